//! Third stage: what the endpoint is told (facts 1.7), and what concerns this hop only.

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Version};
use hyper::body::Incoming;

use super::exchange::Exchange;
use super::outbound::Outbound;
use crate::pool::EndpointHeaders;

pub(crate) const X_VCAP_REQUEST_ID: HeaderName = HeaderName::from_static("x-vcap-request-id");
pub(crate) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(crate) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_REQUEST_START: HeaderName = HeaderName::from_static("x-request-start");
const X_CF_APPLICATION_ID: HeaderName = HeaderName::from_static("x-cf-applicationid");
const X_CF_INSTANCE_ID: HeaderName = HeaderName::from_static("x-cf-instanceid");
const X_CF_INSTANCE_INDEX: HeaderName = HeaderName::from_static("x-cf-instanceindex");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Headers of one hop. `Trailer` is left: it announces what follows the body, which is relayed.
const HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// How many headers a request gains on its way.
const HEADERS_ADDED: usize = 7;

/// Turns the client's request into what endpoints get, but for what names the endpoint.
pub(crate) fn prepare(exchange: &mut Exchange, mut request: Request<Incoming>) -> Outbound {
    let upgrade = requested_upgrade(request.version(), request.headers());
    let client = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
    let (mut parts, body) = request.into_parts();
    let expects_continue = parts.headers.contains_key(EXPECT);
    parts.headers.reserve(HEADERS_ADDED);
    strip_request(&mut parts.headers);
    if let Some(protocol) = upgrade {
        parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        parts.headers.insert(UPGRADE, protocol);
    }
    forwarded(&mut parts.headers, &exchange.peer.forwarded_for);
    parts.headers.insert(X_VCAP_REQUEST_ID, exchange.request_id.clone());
    parts
        .headers
        .entry(X_REQUEST_START)
        .or_insert_with(|| HeaderValue::from(exchange.at.0.div_euclid(1_000_000)));
    exchange.note_forwarded(&parts.headers);
    Outbound::new(parts, body, exchange.tally.clone(), client, expects_continue)
}

/// Tells the endpoint who it is.
pub(crate) fn address(headers: &mut HeaderMap, endpoint: &EndpointHeaders) {
    headers.insert(X_CF_APPLICATION_ID, endpoint.application_id.clone());
    headers.insert(X_CF_INSTANCE_ID, endpoint.instance_id.clone());
    headers.insert(X_CF_INSTANCE_INDEX, endpoint.instance_index.clone());
}

/// Removes what concerned the hop from the endpoint; `switched` keeps what accepts an upgrade.
pub(crate) fn strip_response(headers: &mut HeaderMap, switched: bool) {
    let protocol = headers.get(UPGRADE).cloned();
    strip(headers);
    if let Some(protocol) = protocol.filter(|_| switched) {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol);
    }
}

fn strip_request(headers: &mut HeaderMap) {
    let wants_trailers = headers.get(TE).is_some_and(|te| mentions(te, "trailers"));
    strip(headers);
    if wants_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

fn strip(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        for name in named_by_connection(headers) {
            headers.remove(name);
        }
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// What `Connection` names, but for what makes the message what it is.
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let names = values.flat_map(|value| value.split(',')).map(str::trim);
    names
        .filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok())
        .filter(|name| *name != HOST && *name != CONTENT_LENGTH)
        .collect()
}

/// The protocol that is asked for, if `Connection` says that the asking is meant for us.
fn requested_upgrade(version: Version, headers: &HeaderMap) -> Option<HeaderValue> {
    let is_meant = headers.get_all(CONNECTION).iter().any(|value| mentions(value, "upgrade"));
    (is_meant && version == Version::HTTP_11).then(|| headers.get(UPGRADE).cloned()).flatten()
}

fn mentions(value: &HeaderValue, word: &str) -> bool {
    let Ok(text) = value.to_str() else { return false };
    text.split(',').any(|part| part.trim().eq_ignore_ascii_case(word))
}

fn forwarded(headers: &mut HeaderMap, client: &HeaderValue) {
    let mut earlier = headers.get_all(X_FORWARDED_FOR).iter().peekable();
    let appended = if earlier.peek().is_none() {
        client.clone()
    } else {
        let mut all = Vec::new();
        for value in earlier {
            all.extend_from_slice(value.as_bytes());
            all.extend_from_slice(b", ");
        }
        all.extend_from_slice(client.as_bytes());
        HeaderValue::from_maybe_shared(bytes::Bytes::from(all)).unwrap_or_else(|_| client.clone())
    };
    headers.insert(X_FORWARDED_FOR, appended);
    headers.entry(X_FORWARDED_PROTO).or_insert(HeaderValue::from_static("http"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(headers: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn what_concerns_one_hop_stays_there() {
        for (given, left) in [
            (&[("connection", "close"), ("a", "b")][..], &[("a", "b")][..]),
            (&[("connection", "A, x-b"), ("a", "1"), ("x-b", "2"), ("c", "3")], &[("c", "3")]),
            (&[("connection", "host"), ("host", "h")], &[("host", "h")]),
            (
                &[("connection", "content-length"), ("content-length", "3")],
                &[("content-length", "3")],
            ),
            (&[("te", "trailers, gzip")], &[("te", "trailers")]),
            (&[("te", "gzip")], &[]),
            (&[("keep-alive", "x"), ("proxy-connection", "x"), ("upgrade", "h2c")], &[]),
            (&[("proxy-authorization", "secret"), ("trailer", "t")], &[("trailer", "t")]),
            (&[("transfer-encoding", "chunked")], &[]),
        ] {
            let mut headers = map(given);
            strip_request(&mut headers);
            assert_eq!(headers, map(left), "{given:?}");
        }
    }

    #[test]
    fn the_clients_address_is_appended_to_all_that_came_before() {
        let client = HeaderValue::from_static("10.0.0.1");
        for (given, expected) in [
            (&[][..], "10.0.0.1"),
            (&[("x-forwarded-for", "1.1.1.1")], "1.1.1.1, 10.0.0.1"),
            (
                &[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "2.2.2.2")],
                "1.1.1.1, 2.2.2.2, 10.0.0.1",
            ),
        ] {
            let mut headers = map(given);
            forwarded(&mut headers, &client);
            assert_eq!(headers[X_FORWARDED_FOR], expected);
            assert_eq!(headers[X_FORWARDED_PROTO], "http");
        }
        let mut headers = map(&[("x-forwarded-proto", "https")]);
        forwarded(&mut headers, &client);
        assert_eq!(headers[X_FORWARDED_PROTO], "https");
    }

    #[test]
    fn an_upgrade_counts_only_when_connection_names_it() {
        for (version, headers, expected) in [
            (
                Version::HTTP_11,
                &[("upgrade", "w"), ("connection", "keep-alive, Upgrade")][..],
                true,
            ),
            (Version::HTTP_11, &[("upgrade", "w"), ("connection", "upgraded")], false),
            (Version::HTTP_11, &[("upgrade", "w")], false),
            (Version::HTTP_11, &[("connection", "upgrade")], false),
            (Version::HTTP_10, &[("upgrade", "w"), ("connection", "upgrade")], false),
        ] {
            let upgrade = requested_upgrade(version, &map(headers));
            assert_eq!(upgrade.is_some(), expected, "{headers:?}");
        }
    }
}
