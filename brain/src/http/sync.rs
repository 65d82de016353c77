//! `/v1/sync/:arch/:artifact`: the `ltc` that fits this platform (B.1). Behind the gate, which the
//! original's was not.

use std::io::SeekFrom;
use std::path::Path as FilePath;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use lattice_daemon::gate::Authorized;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio_util::io::ReaderStream;

use super::Api;
use super::answer::empty;
use super::parts::Path;
use super::range::{Range, range};

/// Systems and what their `ltc` is called; nothing else is handed out.
const KNOWN: [(&str, &str); 3] = [("linux", "ltc"), ("osx", "ltc"), ("windows", "ltc.exe")];

pub(super) async fn download(
    _: Authorized,
    State(api): State<Api>,
    Path((arch, artifact)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let known = KNOWN.into_iter().find(|known| *known == (arch.as_str(), artifact.as_str()));
    let (Some((arch, artifact)), Some(folder)) = (known, &api.artifacts) else {
        return empty(StatusCode::INTERNAL_SERVER_ERROR);
    };
    let asked = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    match send(&folder.join(arch).join(artifact), asked).await {
        Ok(response) => response,
        Err(error) => {
            tracing::warn!(%error, arch, artifact, "cannot hand out a program");
            empty(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

async fn send(path: &FilePath, asked: Option<&str>) -> std::io::Result<Response> {
    let mut file = File::open(path).await?;
    let size = file.metadata().await?.len();
    let (status, first, length) = match asked.map_or(Range::Whole, |text| range(text, size)) {
        Range::Whole => (StatusCode::OK, 0, size),
        Range::Part { first, length } => (StatusCode::PARTIAL_CONTENT, first, length),
        Range::Outside => {
            let range = [(header::CONTENT_RANGE, format!("bytes */{size}"))];
            return Ok((StatusCode::RANGE_NOT_SATISFIABLE, range).into_response());
        }
    };
    file.seek(SeekFrom::Start(first)).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::ACCEPT_RANGES, "bytes".to_owned()),
        (header::CONTENT_LENGTH, length.to_string()),
    ];
    let part = (status == StatusCode::PARTIAL_CONTENT)
        .then(|| [(header::CONTENT_RANGE, format!("bytes {first}-{}/{size}", first + length - 1))]);
    let body = Body::from_stream(ReaderStream::new(file.take(length)));
    let response = (status, headers, body).into_response();
    Ok(match part {
        Some(part) => (part, response).into_response(),
        None => response,
    })
}
