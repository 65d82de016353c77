//! Blobs going out, in whole or in part.

use std::io::{ErrorKind, SeekFrom};

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio_util::io::ReaderStream;

use super::Registry;
use super::address::Digest;
use super::answer::{Answer, CONTENT_DIGEST, Code, Problem, with_headers};
use super::store::{StoreError, blocking};
use crate::http::range::{Range, range};

/// Read from disk at once, in bytes.
const CHUNK_BYTES: usize = 128 * 1024;

/// `GET` and `HEAD /v2/NAME/blobs/DIGEST`
pub(super) async fn show(registry: &Registry, digest: Digest, head: &Parts) -> Answer {
    let wanted = digest.clone();
    if !blocking(&registry.store, move |store| store.touch(&wanted)).await? {
        return Err(unknown(&digest));
    }
    let failed = |source| StoreError::Io { what: "read a blob", source };
    let mut file = match File::open(registry.store.blob_path(&digest)).await {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Err(unknown(&digest)),
        Err(e) => return Err(failed(e).into()),
    };
    let size = file.metadata().await.map_err(failed)?.len();
    let asked = head.headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    let (status, first, length) = match asked.map_or(Range::Whole, |text| range(text, size)) {
        Range::Whole => (StatusCode::OK, 0, size),
        Range::Part { first, length } => (StatusCode::PARTIAL_CONTENT, first, length),
        Range::Outside => {
            let problem = Problem::new(Code::RangeInvalid, format!("the blob has {size} bytes"));
            return Err(problem.with("content-range", format!("bytes */{size}")));
        }
    };
    let body = if head.method == Method::HEAD {
        Body::empty()
    } else {
        file.seek(SeekFrom::Start(first)).await.map_err(failed)?;
        Body::from_stream(ReaderStream::with_capacity(file.take(length), CHUNK_BYTES))
    };
    let part = (status == StatusCode::PARTIAL_CONTENT)
        .then(|| ("content-range", format!("bytes {first}-{}/{size}", first + length - 1)));
    Ok(with_headers(describe(status, &digest, length, body), part))
}

fn describe(status: StatusCode, digest: &Digest, length: u64, body: Body) -> Response {
    let headers = [
        ("content-type", "application/octet-stream".to_owned()),
        ("content-length", length.to_string()),
        ("accept-ranges", "bytes".to_owned()),
        ("etag", format!("\"{digest}\"")),
        (CONTENT_DIGEST, digest.to_string()),
    ];
    with_headers((status, body).into_response(), headers)
}

fn unknown(digest: &Digest) -> Problem {
    Problem::new(Code::BlobUnknown, format!("no blob has the digest {digest}"))
}
