//! First stage: refuses what could be read in two ways, and finds host and path.
//!
//! Framing is judged before hyper by [`crate::framing`]; what is judged here shows in the parsed
//! head. The checks that overlap stay: this stage does not trust the one before it.

use std::borrow::Cow;

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, Method, Request, Uri, Version};

use crate::table::key;
use crate::verdict::Failure;
use crate::worker::Peer;

/// What the request asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Lower-case, without port.
    pub(crate) host: String,
    /// Without query; as sent.
    pub(crate) path: String,
}

/// Reads a request's head.
pub(crate) fn read<B>(request: &Request<B>, peer: &Peer) -> Result<Asked, Failure> {
    if request.method() == Method::CONNECT {
        return Err(Failure::Unsupported);
    }
    check_framing(request.version(), request.headers())?;
    let named = named_host(request)?;
    let host = key::host_of(named);
    if host.is_empty() || is_address(&host, peer) {
        return Err(Failure::EmptyHost);
    }
    Ok(Asked { host: host.into_owned(), path: request.uri().path().to_owned() })
}

fn check_framing(version: Version, headers: &HeaderMap) -> Result<(), Failure> {
    let mut encodings = headers.get_all(TRANSFER_ENCODING).iter();
    let Some(encoding) = encodings.next() else { return Ok(()) };
    if headers.contains_key(CONTENT_LENGTH) {
        return Err(Failure::Ambiguous("both Content-Length and Transfer-Encoding"));
    }
    let is_chunked = encoding.as_bytes().eq_ignore_ascii_case(b"chunked");
    if !is_chunked || encodings.next().is_some() || version == Version::HTTP_10 {
        return Err(Failure::Ambiguous("a Transfer-Encoding that is not one chunked"));
    }
    Ok(())
}

/// The host the request names, once: a request line with another host than the header is refused,
/// because the endpoint might believe the other one.
fn named_host<B>(request: &Request<B>) -> Result<&str, Failure> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let header = hosts.next();
    if hosts.next().is_some() {
        return Err(Failure::MalformedHost);
    }
    let header = match header {
        Some(header) => header.to_str().map_err(|_| Failure::MalformedHost)?,
        None if request.version() == Version::HTTP_10 => return Err(Failure::EmptyHost),
        None => return Err(Failure::MalformedHost),
    };
    if !header.bytes().all(is_host_byte) {
        return Err(Failure::MalformedHost);
    }
    match authority(request.uri()) {
        Some(authority) if !authority.eq_ignore_ascii_case(header) => {
            Err(Failure::Ambiguous("the request line and the Host header name different hosts"))
        }
        Some(_) | None => Ok(header),
    }
}

fn authority(uri: &Uri) -> Option<Cow<'_, str>> {
    uri.authority().map(|authority| Cow::Borrowed(authority.as_str()))
}

fn is_host_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-._~%:[]!$&'()*+,;=".contains(&b)
}

/// gorouter takes a request for the client's own address as one without a host.
fn is_address(host: &str, peer: &Peer) -> bool {
    host.parse().is_ok_and(|ip: core::net::IpAddr| ip == peer.addr.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(uri: &str, version: Version, headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().uri(uri).version(version);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    fn check(request: &Request<()>, expected: Result<(&str, &str), Failure>) {
        let peer = Peer::for_test("10.1.1.1:5000");
        let expected = expected.map(|(host, path)| Asked { host: host.into(), path: path.into() });
        assert_eq!(read(request, &peer), expected, "{request:?}");
    }

    #[test]
    fn host_and_path_are_found() {
        let (v10, v11) = (Version::HTTP_10, Version::HTTP_11);
        let host = ("host", "Web.test:80");
        check(&head("/a?b", v11, &[host]), Ok(("web.test", "/a")));
        check(&head("/", v10, &[host]), Ok(("web.test", "/")));
        check(&head("http://web.test:80/x", v11, &[host]), Ok(("web.test", "/x")));
        check(&head("*", v11, &[host]), Ok(("web.test", "*")));
        check(&head("/", v11, &[host, ("transfer-encoding", "Chunked")]), Ok(("web.test", "/")));
    }

    #[test]
    fn what_names_no_host_or_two_is_refused() {
        let (v10, v11) = (Version::HTTP_10, Version::HTTP_11);
        for (uri, version, headers, failure) in [
            ("/", v11, &[][..], Failure::MalformedHost),
            ("/", v10, &[], Failure::EmptyHost),
            ("/", v11, &[("host", "")], Failure::EmptyHost),
            ("/", v11, &[("host", ":80")], Failure::EmptyHost),
            ("/", v11, &[("host", "10.1.1.1")], Failure::EmptyHost),
            ("/", v11, &[("host", "a"), ("host", "a")], Failure::MalformedHost),
            ("/", v11, &[("host", "a b")], Failure::MalformedHost),
            ("/", v11, &[("host", "a/b")], Failure::MalformedHost),
            ("/", v11, &[("host", "user@a")], Failure::MalformedHost),
        ] {
            check(&head(uri, version, headers), Err(failure));
        }
        let two = head("http://b/", v11, &[("host", "a")]);
        assert!(matches!(read(&two, &Peer::for_test("10.1.1.1:1")), Err(Failure::Ambiguous(_))));
    }

    #[test]
    fn two_framings_are_refused_here_too() {
        for (version, headers) in [
            (Version::HTTP_11, vec![("content-length", "3"), ("transfer-encoding", "chunked")]),
            (Version::HTTP_11, vec![("transfer-encoding", "gzip, chunked")]),
            (Version::HTTP_10, vec![("transfer-encoding", "chunked")]),
            (
                Version::HTTP_11,
                vec![("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
            ),
        ] {
            let request = head("/", version, &[vec![("host", "a")], headers].concat());
            let refused = read(&request, &Peer::for_test("10.1.1.1:1"));
            assert!(matches!(refused, Err(Failure::Ambiguous(_))), "{request:?}");
        }
    }
}
