//! Blobs coming in: at once, in chunks, resumed, or not at all because they are here already.

use axum::body::Body;
use axum::extract::{Query, Request};
use axum::http::{HeaderMap, Method, StatusCode, header};
use futures_util::StreamExt as _;
use lattice_daemon::gate::Authorized;
use serde::Deserialize;
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;
use uuid::Uuid;

use super::Registry;
use super::address::{Digest, Name};
use super::answer::{Answer, CONTENT_DIGEST, Code, Problem, empty};
use super::store::{Claim, StoreError, blocking};

/// After so many bytes of one body, the disk is looked at anew.
const ROOM_CHECK_BYTES: u64 = 16 * 1024 * 1024;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    digest: Option<String>,
    mount: Option<String>,
}

/// `POST /v2/NAME/blobs/uploads/`: begins an upload, or finishes at once by `mount` or `digest`.
pub(super) async fn begin(
    _: Authorized,
    registry: &Registry,
    name: Name,
    request: Request,
) -> Answer {
    let asked = asked(&request)?;
    if let Some(mount) = &asked.mount {
        let digest = Digest::parse(mount)?;
        let wanted = digest.clone();
        if blocking(&registry.store, move |store| store.touch(&wanted)).await? {
            return Ok(created(&name, &digest));
        }
    }
    let digest = asked.digest.as_deref().map(Digest::parse).transpose()?;
    check_room(registry).await?;
    let most = registry.limits.uploads_max;
    let Some(id) = blocking(&registry.store, move |store| store.begin(most)).await? else {
        let message = format!("{most} uploads are under way; finish or cancel one");
        return Err(Problem::new(Code::TooManyRequests, message));
    };
    match digest {
        None => Ok(accepted(&name, id, 0)),
        Some(digest) => {
            let claim = claim(registry, id)?;
            let added = add(registry, id, 0, request.into_body()).await;
            let answer = match added {
                Ok(_) => finish(registry, &name, id, digest).await,
                Err(problem) => Err(problem),
            };
            if answer.is_err() {
                // Nobody was told the upload's id, so that nobody could resume it.
                blocking(&registry.store, move |store| store.drop_upload(id)).await?;
            }
            drop(claim);
            answer
        }
    }
}

/// `GET`, `PATCH`, `PUT` and `DELETE /v2/NAME/blobs/uploads/ID`
pub(super) async fn go_on(
    _: Authorized,
    registry: &Registry,
    (name, id): (Name, Uuid),
    request: Request,
) -> Answer {
    let Some(arrived) = blocking(&registry.store, move |store| store.arrived(id)).await? else {
        return Err(unknown());
    };
    match request.method().clone() {
        Method::GET => Ok(status(StatusCode::NO_CONTENT, &name, id, arrived)),
        Method::PATCH => {
            let _claim = claim(registry, id)?;
            let arrived = append(registry, &name, id, request).await?;
            Ok(accepted(&name, id, arrived))
        }
        Method::PUT => {
            let Some(digest) = asked(&request)?.digest else {
                return Err(Problem::new(Code::DigestInvalid, "the query has no `digest`"));
            };
            let digest = Digest::parse(&digest)?;
            let _claim = claim(registry, id)?;
            append(registry, &name, id, request).await?;
            finish(registry, &name, id, digest).await
        }
        Method::DELETE => {
            let _claim = claim(registry, id)?;
            blocking(&registry.store, move |store| store.drop_upload(id)).await?;
            Ok(empty(StatusCode::NO_CONTENT, []))
        }
        other => Err(Problem::unsupported(&other)),
    }
}

/// Adds a request's body where it says it belongs.
async fn append(
    registry: &Registry,
    name: &Name,
    id: Uuid,
    request: Request,
) -> Result<u64, Problem> {
    // Under the claim nobody else adds to it; but it may have grown since it was looked at.
    let arrived = blocking(&registry.store, move |store| store.arrived(id)).await?;
    let arrived = arrived.ok_or_else(unknown)?;
    if let Some((first, length)) = content_range(request.headers())? {
        if first != arrived {
            let message = format!("{arrived} bytes have arrived; the next chunk starts there");
            let problem = Problem::new(Code::RangeInvalid, message);
            return Err(placed(name, id, arrived).into_iter().fold(problem, |problem, header| {
                let (key, value) = header;
                problem.with(key, value)
            }));
        }
        let announced = request.headers().get(header::CONTENT_LENGTH);
        let announced = announced.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|announced| announced != length) {
            let message = "Content-Range and Content-Length do not agree";
            return Err(Problem::new(Code::BlobUploadInvalid, message));
        }
    }
    add(registry, id, arrived, request.into_body()).await
}

/// Streams a body to the end of an upload; what has arrived stays when it breaks off.
async fn add(registry: &Registry, id: Uuid, arrived: u64, body: Body) -> Result<u64, Problem> {
    let failed = |source| StoreError::Io { what: "add to an upload", source };
    let path = registry.store.upload_path(id);
    let mut file = File::options().append(true).open(path).await.map_err(failed)?;
    let mut chunks = body.into_data_stream();
    let mut total = arrived;
    let mut checked = arrived;
    let outcome = loop {
        let next = tokio::time::timeout(registry.limits.silence_max, chunks.next());
        let chunk = match next.await {
            Ok(None) => break Ok(total),
            Ok(Some(Ok(chunk))) => chunk,
            Ok(Some(Err(error))) => {
                let message = format!("the body broke off after {total} bytes: {error}");
                break Err(Problem::new(Code::BlobUploadInvalid, message));
            }
            Err(_) => {
                let message = format!("the sender fell silent after {total} bytes");
                break Err(Problem::new(Code::BlobUploadInvalid, message));
            }
        };
        total += chunk.len() as u64;
        let most = registry.limits.blob_bytes_max;
        if total > most {
            let message = format!("a blob may have at most {most} bytes");
            break Err(Problem::new(Code::SizeInvalid, message));
        }
        if total - checked > ROOM_CHECK_BYTES {
            checked = total;
            if let Err(full) = check_room(registry).await {
                break Err(full);
            }
        }
        file.write_all(&chunk).await.map_err(failed)?;
    };
    file.flush().await.map_err(failed)?;
    outcome
}

/// Refuses to take more when the disk would not have enough left for the platform's records.
async fn check_room(registry: &Registry) -> Result<(), Problem> {
    let free = blocking(&registry.store, |store| store.free_bytes()).await?;
    let least = registry.limits.free_bytes_min;
    if free >= least {
        return Ok(());
    }
    let message = format!(
        "the platform's disk has {} MiB free, and {} MiB have to stay so; make room on it",
        free >> 20,
        least >> 20
    );
    Err(Problem::new(Code::SizeInvalid, message))
}

async fn finish(registry: &Registry, name: &Name, id: Uuid, digest: Digest) -> Answer {
    let expected = digest.clone();
    match blocking(&registry.store, move |store| store.finish(id, &expected)).await? {
        Ok(()) => Ok(created(name, &digest)),
        Err(found) => {
            let message = format!("the content's digest is {found}, not {digest}");
            Err(Problem::new(Code::DigestInvalid, message))
        }
    }
}

fn claim(registry: &Registry, id: Uuid) -> Result<Claim, Problem> {
    let message = "another request is adding to this upload";
    Claim::take(&registry.store, id).ok_or_else(|| Problem::new(Code::TooManyRequests, message))
}

fn asked(request: &Request) -> Result<Asked, Problem> {
    let asked = Query::<Asked>::try_from_uri(request.uri());
    let malformed = |_| Problem::new(Code::BlobUploadInvalid, "the query is malformed");
    asked.map(|Query(asked)| asked).map_err(malformed)
}

/// The first byte and the length of a chunk, where it says so (`FIRST-LAST`).
fn content_range(headers: &HeaderMap) -> Result<Option<(u64, u64)>, Problem> {
    let Some(value) = headers.get(header::CONTENT_RANGE) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    let text = text.strip_prefix("bytes ").unwrap_or(text);
    let text = text.split('/').next().unwrap_or_default();
    let bounds = text
        .split_once('-')
        .and_then(|(first, last)| Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?)));
    match bounds {
        Some((first, last)) if first <= last && last < u64::MAX => {
            Ok(Some((first, last - first + 1)))
        }
        _ => Err(Problem::new(Code::BlobUploadInvalid, "Content-Range is not `FIRST-LAST`")),
    }
}

/// Where an upload stands. Locations have no host: behind a router it is not ours to know.
fn placed(name: &Name, id: Uuid, arrived: u64) -> [(&'static str, String); 3] {
    [
        ("location", format!("/v2/{name}/blobs/uploads/{id}")),
        ("range", format!("0-{}", arrived.saturating_sub(1))),
        ("docker-upload-uuid", id.to_string()),
    ]
}

fn status(code: StatusCode, name: &Name, id: Uuid, arrived: u64) -> axum::response::Response {
    empty(code, placed(name, id, arrived))
}

fn accepted(name: &Name, id: Uuid, arrived: u64) -> axum::response::Response {
    status(StatusCode::ACCEPTED, name, id, arrived)
}

fn created(name: &Name, digest: &Digest) -> axum::response::Response {
    let location = format!("/v2/{name}/blobs/{digest}");
    empty(StatusCode::CREATED, [("location", location), (CONTENT_DIGEST, digest.to_string())])
}

fn unknown() -> Problem {
    Problem::new(Code::BlobUploadUnknown, "no such upload; it may have expired")
}
