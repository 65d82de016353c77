//! What endpoints and clients are told beside the body.

use crate::support::{Endpoint, World};

/// Sends `given` header lines and compares one header that the endpoint saw.
async fn check(given: &str, name: &str, expected: Option<&str>) {
    let world = World::start().await;
    let endpoint = Endpoint::echoing_heads().await;
    world.route("web.test", endpoint.addr).await;
    let answer = world.ask(&format!("GET / HTTP/1.1\r\nHost: web.test\r\n{given}\r\n")).await;
    let seen = answer.text().lines().find_map(|line| {
        let (key, value) = line.split_once(": ")?;
        key.eq_ignore_ascii_case(name).then_some(value)
    });
    assert_eq!(seen, expected, "{given:?} {name}\n{}", answer.text());
}

#[tokio::test]
async fn endpoints_learn_who_asks_and_who_they_are() {
    for (given, name, expected) in [
        ("", "host", Some("web.test")),
        ("", "x-forwarded-for", Some("127.0.0.1")),
        ("X-Forwarded-For: 1.2.3.4\r\n", "x-forwarded-for", Some("1.2.3.4, 127.0.0.1")),
        ("", "x-forwarded-proto", Some("http")),
        ("X-Forwarded-Proto: https\r\n", "x-forwarded-proto", Some("https")),
        ("X-Request-Start: 5\r\n", "x-request-start", Some("5")),
        ("X-CF-ApplicationID: forged\r\n", "x-cf-applicationid", Some("web")),
        ("X-CF-InstanceID: forged\r\n", "x-cf-instanceid", Some("guid-0")),
        ("X-CF-InstanceIndex: 9\r\n", "x-cf-instanceindex", Some("0")),
        ("Connection: x-cf-applicationid\r\n", "x-cf-applicationid", Some("web")),
        ("Connection: X-Secret\r\nX-Secret: s\r\n", "x-secret", None),
        ("Keep-Alive: timeout=5\r\n", "keep-alive", None),
        ("Proxy-Authorization: s\r\n", "proxy-authorization", None),
        ("Authorization: Basic x\r\n", "authorization", Some("Basic x")),
        ("Te: trailers\r\n", "te", Some("trailers")),
    ] {
        check(given, name, expected).await;
    }
}

#[tokio::test]
async fn every_request_gets_a_new_id_that_the_client_learns() {
    let world = World::start().await;
    let endpoint = Endpoint::echoing_heads().await;
    world.route("web.test", endpoint.addr).await;
    let request = "GET / HTTP/1.1\r\nHost: web.test\r\nX-Vcap-Request-Id: forged\r\n\r\n";
    let (first, second) = (world.ask(request).await, world.ask(request).await);
    let id = |answer: &crate::support::Response| answer.header("x-vcap-request-id").unwrap();
    assert!(first.text().contains(&id(&first)));
    assert_ne!(id(&first), id(&second));
    assert!(!first.text().contains("forged"));
}

#[tokio::test]
async fn the_request_line_is_passed_on_byte_for_byte() {
    let world = World::start().await;
    let endpoint = Endpoint::echoing_heads().await;
    world.route("web.test", endpoint.addr).await;
    for target in [
        "/",
        "/a/",
        "/a%2fb%20c",
        "/a;b=c?x=%22&y",
        "/?",
        "//a//b",
        "/:@!$&'()*+,=~-._",
        "*",
        "http://web.test/abs?x",
    ] {
        let method = if target == "*" { "OPTIONS" } else { "GET" };
        let request = format!("{method} {target} HTTP/1.1\r\nHost: web.test\r\n\r\n");
        let answer = world.ask(&request).await;
        let line = answer.text().lines().next().unwrap_or_default();
        assert_eq!(line, format!("{method} {target} HTTP/1.1"));
    }
}

#[tokio::test]
async fn an_answers_own_headers_are_kept_and_its_hops_are_not() {
    let world = World::start().await;
    let endpoint = Endpoint::new(|mut wire| async move {
        while wire.head().await.is_some() {
            wire.send(
                "HTTP/1.1 418 Short\r\nX-Vcap-Request-Id: own\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\
                 Keep-Alive: timeout=1\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\
                 Content-Length: 0\r\n\r\n",
            )
            .await;
        }
    })
    .await;
    world.route("web.test", endpoint.addr).await;
    let answer = world.get("web.test", "/").await;
    assert_eq!(answer.status, 418);
    assert_eq!(answer.header("x-vcap-request-id").as_deref(), Some("own"));
    assert_eq!(answer.head.matches("Set-Cookie").count(), 2);
    for gone in ["x-hop", "keep-alive", "connection", "content-type"] {
        assert_eq!(answer.header(gone), None, "{gone}");
    }
}
