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

/// What a `Range` header asks for.
#[derive(Debug, PartialEq, Eq)]
enum Range {
    Whole,
    Part { first: u64, length: u64 },
    Outside,
}

/// Reads a `Range` of one part; of several, or malformed, it is as good as none (RFC 9110, 14.2).
fn range(text: &str, size: u64) -> Range {
    let Some((first, last)) = text.strip_prefix("bytes=").and_then(|r| r.split_once('-')) else {
        return Range::Whole;
    };
    let (first, last) = match (first.trim().parse::<u64>(), last.trim()) {
        (Ok(first), "") => (first, size.saturating_sub(1)),
        (Ok(first), last) => match last.parse::<u64>() {
            Ok(last) if first <= last => (first, last.min(size.saturating_sub(1))),
            _ => return Range::Whole,
        },
        (Err(_), last) if first.is_empty() => match last.parse::<u64>() {
            Ok(0) => return Range::Outside,
            Ok(suffix) => (size.saturating_sub(suffix), size.saturating_sub(1)),
            Err(_) => return Range::Whole,
        },
        _ => return Range::Whole,
    };
    if first >= size { Range::Outside } else { Range::Part { first, length: last - first + 1 } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_what_http_says_it_is() {
        let part = |first, length| Range::Part { first, length };
        for (text, size, expected) in [
            ("bytes=0-0", 10, part(0, 1)),
            ("bytes=2-5", 10, part(2, 4)),
            ("bytes=2-", 10, part(2, 8)),
            ("bytes=2-99", 10, part(2, 8)),
            ("bytes=-3", 10, part(7, 3)),
            ("bytes=-99", 10, part(0, 10)),
            ("bytes=10-", 10, Range::Outside),
            ("bytes=0-", 0, Range::Outside),
            ("bytes=-1", 0, Range::Outside),
            ("bytes=-0", 10, Range::Outside),
            ("bytes=5-2", 10, Range::Whole),
            ("bytes=0-1,3-4", 10, Range::Whole),
            ("bytes=x", 10, Range::Whole),
            ("lines=0-1", 10, Range::Whole),
        ] {
            assert_eq!(range(text, size), expected, "{text} of {size}");
        }
    }
}
