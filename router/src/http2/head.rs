//! Heads between HTTP/2 and HTTP/1, whose rules the stages after this one know. Pure.

use std::borrow::Cow;

use bytes::Bytes;
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, header};

use crate::decimal;
use crate::h1::name::Name;
use crate::h1::request::RequestHead;
use crate::h1::response::ResponseHead;
use crate::proxy::intake::Target;

/// How a body stands in HTTP/1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// As it is: its length is in the head, or there is none.
    Plain,
    /// In chunks.
    Chunks,
}

/// Writes a request as the last one of a connection in HTTP/1 (RFC 9113 8.3.1); none for what has no
/// place there. What else is wrong with it is found where all heads are judged.
pub(super) fn request(out: &mut Vec<u8>, head: &Parts, has_body: bool) -> Option<Framing> {
    let target = target(head)?;
    let length = head.headers.get(header::CONTENT_LENGTH);
    if !has_body && length.is_some_and(|length| length.as_bytes() != b"0") {
        return None;
    }
    for part in [head.method.as_str(), " ", target, " HTTP/1.1\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    let authority = head.uri.authority().map(|authority| authority.as_str().as_bytes());
    if let Some(authority) = authority {
        line(out, b"host", authority);
    }
    for (name, value) in &head.headers {
        let value = value.as_bytes();
        let is_said = name == header::HOST
            && authority.is_some_and(|authority| authority.eq_ignore_ascii_case(value));
        // Two hosts that differ are both written, and refused with all others that name two.
        if name != header::COOKIE && !is_said {
            line(out, name.as_str().as_bytes(), value);
        }
    }
    cookies(out, &head.headers);
    let framing = match has_body && length.is_none() {
        true => Framing::Chunks,
        false => Framing::Plain,
    };
    if framing == Framing::Chunks {
        line(out, b"transfer-encoding", b"chunked");
    }
    out.extend_from_slice(b"connection: close\r\n\r\n");
    Some(framing)
}

/// Writes what follows the last chunk.
pub(super) fn trailers(trailers: &HeaderMap) -> Bytes {
    let mut out = b"0\r\n".to_vec();
    lines(&mut out, trailers);
    out.extend_from_slice(b"\r\n");
    out.into()
}

/// An answer's head, without what concerns a connection of HTTP/1; none for what HTTP/2 cannot say.
pub(super) fn response(head: &ResponseHead<'_, '_>) -> Option<Response<()>> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(head.status).ok()?;
    for (name, text, value) in head.fields.lines() {
        if !name.is_of_hop() && (name != Name::ContentLength || head.length.is_some()) {
            response
                .headers_mut()
                .append(HeaderName::from_bytes(text).ok()?, HeaderValue::from_bytes(value).ok()?);
        }
    }
    Some(response)
}

/// Whether HTTP/2 can ask for this: `http` knows fewer paths and hosts than clients do.
pub(crate) fn has_words_for(origin: &[u8], host: &[u8]) -> bool {
    uri(origin, host).is_some()
}

/// A request's head, without what concerns a connection of HTTP/1; none for what HTTP/2 cannot say.
pub(super) fn to_endpoint(head: &RequestHead<'_, '_>) -> Option<Request<()>> {
    let host = head.fields.values(Name::Host).next()?;
    let mut request = Request::new(());
    *request.method_mut() = head.method.parse().ok()?;
    *request.uri_mut() = uri(Target::read(head.target)?.origin, host)?;
    for (name, text, value) in head.fields.lines() {
        // Of the lines of one hop, HTTP/2 knows this one (RFC 9113 8.2.2).
        if name != Name::Host && (!name.is_of_hop() || name == Name::Te) {
            request
                .headers_mut()
                .append(HeaderName::from_bytes(text).ok()?, HeaderValue::from_bytes(value).ok()?);
        }
    }
    Some(request)
}

/// An endpoint's head in HTTP/1, and how its body stands there.
pub(super) struct Answer {
    pub(super) bytes: Bytes,
    pub(super) framing: Framing,
    /// The body's length, where the head says it.
    pub(super) length: Option<u64>,
    pub(super) has_body: bool,
}

/// Writes an endpoint's head in HTTP/1.
pub(super) fn answer(head: &http::response::Parts, has_body: bool, to_head: bool) -> Answer {
    let mut out = status_line(head.status);
    let may_have_body = !to_head && !matches!(head.status.as_u16(), 204 | 304);
    let has_body = has_body && may_have_body;
    // In HTTP/1 trailers follow chunks alone.
    let has_trailers = has_body && head.headers.contains_key(header::TRAILER);
    let length = head.headers.get(header::CONTENT_LENGTH).filter(|_| !has_trailers);
    let framing = match has_body && length.is_none() {
        true => Framing::Chunks,
        false => Framing::Plain,
    };
    for (name, value) in &head.headers {
        if name != header::CONTENT_LENGTH || length.is_some() {
            line(&mut out, name.as_str().as_bytes(), value.as_bytes());
        }
    }
    if framing == Framing::Chunks {
        line(&mut out, b"transfer-encoding", b"chunked");
    } else if may_have_body && length.is_none() {
        line(&mut out, b"content-length", b"0");
    }
    out.extend_from_slice(b"\r\n");
    let length = length.filter(|_| has_body);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    Answer { bytes: out.into(), framing, length, has_body }
}

/// A head before the last one.
pub(super) fn informational(head: &Response<()>) -> Bytes {
    let mut out = status_line(head.status());
    lines(&mut out, head.headers());
    out.extend_from_slice(b"\r\n");
    out.into()
}

/// Trailers that were written as lines.
pub(super) fn fields(lines: &[u8]) -> Option<HeaderMap> {
    let mut fields = HeaderMap::new();
    for line in lines.split(|&b| b == b'\n').filter(|line| !line.is_empty()) {
        let colon = memchr::memchr(b':', line)?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        fields.append(HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?);
    }
    Some(fields)
}

fn uri(origin: &[u8], host: &[u8]) -> Option<Uri> {
    // A URL may have a query and no path; a request has one (RFC 9113 8.3.1).
    let origin = match origin.starts_with(b"?") {
        true => Cow::Owned([b"/", origin].concat()),
        false => Cow::Borrowed(origin),
    };
    let path = PathAndQuery::try_from(&*origin).ok()?;
    let authority = Authority::try_from(host).ok()?;
    // What it does not like it may leave out, or take for something else.
    if path.as_str().as_bytes() != &*origin || authority.as_str().contains('@') {
        return None;
    }
    let mut parts = http::uri::Parts::default();
    (parts.scheme, parts.authority) = (Some(Scheme::HTTPS), Some(authority));
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).ok()
}

/// A path with its query, `*`, or for CONNECT a host. URLs have their parts apart here.
fn target(head: &Parts) -> Option<&str> {
    match head.uri.path_and_query() {
        None => head.uri.authority().map(http::uri::Authority::as_str),
        Some(path) => {
            let text = path.as_str();
            (text.starts_with('/') || text == "*").then_some(text)
        }
    }
}

/// Cookies may come apart, and are one line again (RFC 9113 8.2.3).
fn cookies(out: &mut Vec<u8>, headers: &HeaderMap) {
    for (nth, crumb) in headers.get_all(header::COOKIE).iter().enumerate() {
        out.extend_from_slice(if nth == 0 { b"cookie: " } else { b"; " });
        out.extend_from_slice(crumb.as_bytes());
    }
    if headers.contains_key(header::COOKIE) {
        out.extend_from_slice(b"\r\n");
    }
}

fn status_line(status: StatusCode) -> Vec<u8> {
    let mut out = b"HTTP/1.1 ".to_vec();
    decimal::push(&mut out, status.as_u16().into());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
    out
}

fn lines(out: &mut Vec<u8>, headers: &HeaderMap) {
    for (name, value) in headers {
        line(out, name.as_str().as_bytes(), value.as_bytes());
    }
}

fn line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    for part in [name, b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::h1::head::Slots;

    #[track_caller]
    fn check(uri: &str, lines: &[(&str, &str)], has_body: bool, expected: Option<&str>) {
        let mut request = Request::builder().method("POST").uri(uri);
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let mut out = Vec::new();
        let framing = super::request(&mut out, &parts, has_body);
        let text = framing.map(|_| String::from_utf8(out).unwrap());
        let expected = expected.map(|e| format!("{}\r\n\r\n", e.replace('|', "\r\n")));
        assert_eq!(text, expected, "{uri} {lines:?}");
    }

    #[test]
    fn a_request_is_said_in_http_1() {
        for (uri, lines, has_body, expected) in [
            ("https://Web.test/a?b", vec![], false, "POST /a?b HTTP/1.1|host: Web.test"),
            ("https://a", vec![("host", "A")], false, "POST / HTTP/1.1|host: a"),
            ("https://a/", vec![("host", "b")], false, "POST / HTTP/1.1|host: a|host: b"),
            ("/x", vec![("host", "b")], false, "POST /x HTTP/1.1|host: b"),
            ("/x", vec![], false, "POST /x HTTP/1.1"),
            (
                "https://a/",
                vec![("cookie", "a=1"), ("x-b", "2"), ("cookie", "c=3")],
                false,
                "POST / HTTP/1.1|host: a|x-b: 2|cookie: a=1; c=3",
            ),
            (
                "https://a/",
                vec![("content-length", "3")],
                true,
                "POST / HTTP/1.1|host: a|content-length: 3",
            ),
            ("https://a/", vec![], true, "POST / HTTP/1.1|host: a|transfer-encoding: chunked"),
        ] {
            check(uri, &lines, has_body, Some(&format!("{expected}|connection: close")));
        }
    }

    #[test]
    fn what_http_1_has_no_place_for_is_not_said() {
        check("https://a/", &[("content-length", "3")], false, None);
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.uri = "http://a/".parse().unwrap();
        let mut uri = http::uri::Parts::default();
        uri.path_and_query = "x/http://b/".parse().ok();
        parts.uri = http::Uri::from_parts(uri).unwrap_or(parts.uri);
        if parts.uri.path().starts_with('x') {
            assert_eq!(super::request(&mut Vec::new(), &parts, false), None);
        }
    }

    #[test]
    fn an_answer_is_said_without_what_concerns_a_connection() {
        let head =
            b"HTTP/1.1 203 Odd\r\nConnection: close\r\nX-A: 1\r\nTransfer-Encoding: chunked\r\n\
                     X-A: 2\r\nDate: now\r\n\r\n";
        let mut slots = Slots::new();
        let parsed = ResponseHead::parse(head, 10, false, &mut slots).unwrap();
        let response = response(&parsed).unwrap();
        assert_eq!(response.status(), 203);
        let lines: Vec<_> =
            response.headers().iter().map(|(n, v)| (n.as_str(), v.as_bytes())).collect();
        assert_eq!(lines, [("x-a", &b"1"[..]), ("x-a", b"2"), ("date", b"now")]);
    }

    #[test]
    fn trailers_are_the_same_lines() {
        let fields = fields(b"X-A: 1\r\nx-b:2\r\n").unwrap();
        assert_eq!(trailers(&fields), "0\r\nx-a: 1\r\nx-b: 2\r\n\r\n");
        assert_eq!(trailers(&HeaderMap::new()), "0\r\n\r\n");
        assert!(super::fields(b"no colon\r\n").is_none());
    }
}
