//! What endpoints are told about the client (family S2), and what stays on the client's hop.

use super::{Case, GETS_OK, OK, Then, check};

macro_rules! headers {
    ($about:literal, $given:literal, $seen:literal) => {
        Case {
            about: $about,
            sends: concat!("GET / HTTP/1.1\r\nHost: web.test\r\n", $given, "\r\n"),
            answers: &[OK],
            saw: &[concat!("GET / HTTP/1.1 | ", $seen)],
            gets: &[GETS_OK],
            then: Then::Stays,
        }
    };
}

#[tokio::test]
async fn endpoints_are_told_who_asks() {
    check(&[
        headers!(
            "XFF is appended to",
            "X-Forwarded-For: 1.2.3.4\r\n",
            "host: web.test | x-forwarded-for: 1.2.3.4, 127.0.0.1"
        ),
        headers!(
            "several XFF become one",
            "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\n",
            "host: web.test | x-forwarded-for: 1.1.1.1, 2.2.2.2, 127.0.0.1"
        ),
        headers!(
            "XFP is kept",
            "X-Forwarded-Proto: https\r\n",
            "host: web.test | x-forwarded-proto: https"
        ),
        headers!(
            "XFH is left alone",
            "X-Forwarded-Host: a\r\nForwarded: for=b\r\n",
            "forwarded: for=b | host: web.test | x-forwarded-host: a"
        ),
        headers!(
            "a request start is kept",
            "X-Request-Start: 5\r\n",
            "host: web.test | x-request-start: 5"
        ),
        headers!("a request id is replaced", "X-Vcap-Request-Id: forged\r\n", "host: web.test"),
        headers!(
            "who the endpoint is cannot be forged",
            "X-CF-ApplicationID: a\r\nX-CF-InstanceID: b\r\nX-CF-InstanceIndex: 9\r\n",
            "host: web.test"
        ),
        headers!(
            "nor taken away",
            "Connection: x-cf-applicationid, x-forwarded-for\r\n",
            "host: web.test"
        ),
    ])
    .await;
}

#[tokio::test]
async fn what_concerns_one_hop_stays_there() {
    check(&[
        headers!(
            "what Connection names",
            "Connection: X-Secret, close-to\r\nX-Secret: s\r\nX-Open: o\r\n",
            "host: web.test | x-open: o"
        ),
        headers!(
            "not what makes the message",
            "Connection: host, content-length\r\nContent-Length: 0\r\n",
            "content-length: 0 | host: web.test"
        ),
        headers!(
            "keep-alive",
            "Keep-Alive: timeout=5\r\nProxy-Connection: x\r\n",
            "host: web.test"
        ),
        headers!(
            "proxy credentials",
            "Proxy-Authorization: s\r\nAuthorization: t\r\n",
            "authorization: t | host: web.test"
        ),
        headers!("TE but for trailers", "TE: trailers, gzip\r\n", "host: web.test | te: trailers"),
        headers!("TE", "TE: gzip\r\n", "host: web.test"),
        headers!("an upgrade that Connection does not name", "Upgrade: h2c\r\n", "host: web.test"),
        headers!(
            "other headers, repeated and odd",
            "A: 1\r\na: 2\r\nX_y: \r\n",
            "a: 1 | a: 2 | host: web.test | x_y: "
        ),
    ])
    .await;
}
