//! What endpoints are told about the client (family S2), and what stays on the client's hop.

use super::{check, seen};

#[tokio::test]
async fn endpoints_are_told_who_asks() {
    check(&[
        seen!(
            "XFF is appended to",
            "X-Forwarded-For: 1.2.3.4\r\n",
            "host: web.test | x-forwarded-for: 1.2.3.4, 127.0.0.1"
        ),
        seen!(
            "several XFF become one",
            "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\n",
            "host: web.test | x-forwarded-for: 1.1.1.1, 2.2.2.2, 127.0.0.1"
        ),
        seen!(
            "XFP is kept",
            "X-Forwarded-Proto: https\r\n",
            "host: web.test | x-forwarded-proto: https"
        ),
        seen!(
            "XFH is left alone",
            "X-Forwarded-Host: a\r\nForwarded: for=b\r\n",
            "forwarded: for=b | host: web.test | x-forwarded-host: a"
        ),
        seen!(
            "a request start is kept",
            "X-Request-Start: 5\r\n",
            "host: web.test | x-request-start: 5"
        ),
        seen!("a request id is replaced", "X-Vcap-Request-Id: forged\r\n", "host: web.test"),
        seen!(
            "who the endpoint is cannot be forged",
            "X-CF-ApplicationID: a\r\nX-CF-InstanceID: b\r\nX-CF-InstanceIndex: 9\r\n",
            "host: web.test"
        ),
        seen!(
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
        seen!(
            "what Connection names",
            "Connection: X-Secret, close-to\r\nX-Secret: s\r\nX-Open: o\r\n",
            "host: web.test | x-open: o"
        ),
        seen!(
            "not what makes the message",
            "Connection: host, content-length\r\nContent-Length: 0\r\n",
            "content-length: 0 | host: web.test"
        ),
        seen!("keep-alive", "Keep-Alive: timeout=5\r\nProxy-Connection: x\r\n", "host: web.test"),
        seen!(
            "proxy credentials",
            "Proxy-Authorization: s\r\nAuthorization: t\r\n",
            "authorization: t | host: web.test"
        ),
        seen!("TE but for trailers", "TE: trailers, gzip\r\n", "host: web.test | te: trailers"),
        seen!("TE", "TE: gzip\r\n", "host: web.test"),
        seen!("an upgrade that Connection does not name", "Upgrade: h2c\r\n", "host: web.test"),
        seen!(
            "other headers, repeated and odd",
            "A: 1\r\na: 2\r\nX_y: \r\n",
            "a: 1 | a: 2 | host: web.test | x_y: "
        ),
    ])
    .await;
}
