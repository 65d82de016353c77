//! Manifests by tag and digest, and who refers to them.

use std::sync::PoisonError;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{Method, StatusCode, header};
use axum::response::IntoResponse as _;
use lattice_daemon::gate::Authorized;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::Registry;
use super::address::{Digest, Name, Reference};
use super::answer::{Answer, CONTENT_DIGEST, Code, Problem, empty, with_headers};
use super::manifest::{self, Manifest};
use super::store::{Store, StoreError, blocking};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// `GET`, `HEAD`, `PUT` and `DELETE /v2/NAME/manifests/REFERENCE`
pub(super) async fn handle(
    _: Authorized,
    registry: &Registry,
    (name, reference): (Name, Reference),
    request: Request,
) -> Answer {
    match request.method().clone() {
        Method::GET | Method::HEAD => show(registry, name, reference).await,
        Method::PUT => put(registry, name, reference, request).await,
        Method::DELETE => remove(registry, name, reference).await,
        other => Err(Problem::unsupported(&other)),
    }
}

/// `GET /v2/NAME/referrers/DIGEST`
pub(super) async fn referrers(registry: &Registry, name: Name, subject: Digest) -> Answer {
    let found = blocking(&registry.store, move |store| list_referrers(store, &name, &subject));
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": found.await?});
    let kind = [("content-type", INDEX.to_owned())];
    Ok(with_headers(index.to_string().into_response(), kind))
}

async fn show(registry: &Registry, name: Name, reference: Reference) -> Answer {
    let (of, wanted) = (name.clone(), reference.clone());
    let found = blocking(&registry.store, move |store| {
        let Some(digest) = resolve(store, &of, &wanted)? else { return Ok(None) };
        let Some(media_type) = store.revision(&of, &digest)? else { return Ok(None) };
        Ok(store.read(&digest)?.map(|bytes| (digest, media_type, bytes)))
    });
    let Some((digest, media_type, bytes)) = found.await? else {
        return Err(unknown(&name, &reference));
    };
    let headers = [
        ("content-type", media_type),
        ("content-length", bytes.len().to_string()),
        ("etag", format!("\"{digest}\"")),
        (CONTENT_DIGEST, digest.to_string()),
    ];
    // The server leaves the body out when only the head was asked for.
    Ok(with_headers(Body::from(bytes).into_response(), headers))
}

async fn put(registry: &Registry, name: Name, reference: Reference, request: Request) -> Answer {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.map(str::to_owned);
    let bytes = read(registry, request.into_body()).await?;
    let manifest = manifest::parse(&bytes, kind.as_deref())?;
    let digest = Digest::of_hex(&hex::encode(Sha256::digest(&bytes))).expect("64 hex digits");
    if let Reference::Digest(expected) = &reference
        && *expected != digest
    {
        let message = format!("the content's digest is {digest}, not {expected}");
        return Err(Problem::new(Code::DigestInvalid, message));
    }
    let subject = manifest.subject.clone();
    let of = name.clone();
    let missing =
        blocking(&registry.store, move |store| keep(store, &of, &reference, (&manifest, &bytes)));
    if let Some(missing) = missing.await? {
        let message = format!("{missing} is not here; push it before what refers to it");
        return Err(Problem::new(Code::ManifestBlobUnknown, message));
    }
    let location = format!("/v2/{name}/manifests/{digest}");
    let subject = subject.map(|subject| ("oci-subject", subject.to_string()));
    let headers = [("location", location), (CONTENT_DIGEST, digest.to_string())];
    Ok(empty(StatusCode::CREATED, headers.into_iter().chain(subject)))
}

async fn remove(registry: &Registry, name: Name, reference: Reference) -> Answer {
    let (of, wanted) = (name.clone(), reference.clone());
    let removed = blocking(&registry.store, move |store| match &wanted {
        Reference::Tag(tag) => store.untag(&of, tag),
        Reference::Digest(digest) => store.drop_revision(&of, digest),
    });
    if removed.await? {
        return Ok(empty(StatusCode::ACCEPTED, []));
    }
    Err(unknown(&name, &reference))
}

/// Keeps a manifest when all it refers to is here; otherwise tells what is not.
fn keep(
    store: &Store,
    name: &Name,
    reference: &Reference,
    (manifest, bytes): (&Manifest, &[u8]),
) -> Result<Option<Digest>, StoreError> {
    let _not_collected = store.references.read().unwrap_or_else(PoisonError::into_inner);
    for blob in &manifest.blobs {
        if !store.touch(blob)? {
            return Ok(Some(blob.clone()));
        }
    }
    for child in &manifest.manifests {
        if store.revision(name, child)?.is_none() {
            return Ok(Some(child.clone()));
        }
    }
    let digest = store.put(bytes)?;
    store.add_revision(name, &digest, &manifest.media_type)?;
    if let Reference::Tag(tag) = reference {
        store.tag(name, tag, &digest)?;
    }
    Ok(None)
}

fn resolve(
    store: &Store,
    name: &Name,
    reference: &Reference,
) -> Result<Option<Digest>, StoreError> {
    match reference {
        Reference::Digest(digest) => Ok(Some(digest.clone())),
        Reference::Tag(tag) => store.tagged(name, tag),
    }
}

fn list_referrers(store: &Store, name: &Name, subject: &Digest) -> Result<Vec<Value>, StoreError> {
    let mut found = Vec::new();
    for digest in store.revisions(name)? {
        let media_type = store.revision(name, &digest)?.unwrap_or_default();
        let bytes = store.read(&digest)?.unwrap_or_default();
        let Ok(manifest) = manifest::parse(&bytes, Some(&media_type)) else { continue };
        if manifest.subject.as_ref() != Some(subject) {
            continue;
        }
        let mut descriptor = json!({
            "mediaType": media_type, "digest": digest.to_string(), "size": bytes.len(),
        });
        if let Some(kind) = manifest.artifact_type {
            descriptor["artifactType"] = kind.into();
        }
        if let Some(annotations) = manifest.annotations {
            descriptor["annotations"] = annotations;
        }
        found.push(descriptor);
    }
    Ok(found)
}

async fn read(registry: &Registry, body: Body) -> Result<Vec<u8>, Problem> {
    let most = registry.limits.manifest_bytes_max;
    let bytes = axum::body::to_bytes(body, most);
    match tokio::time::timeout(registry.limits.silence_max, bytes).await {
        Ok(Ok(bytes)) => Ok(bytes.into()),
        Ok(Err(_)) => {
            let message =
                format!("a manifest may have at most {most} bytes, and must arrive whole");
            Err(Problem::new(Code::SizeInvalid, message))
        }
        Err(_) => Err(Problem::new(Code::ManifestInvalid, "the manifest did not arrive in time")),
    }
}

fn unknown(name: &Name, reference: &Reference) -> Problem {
    let message = format!("{name} has no manifest {reference}");
    Problem::new(Code::ManifestUnknown, message)
}
