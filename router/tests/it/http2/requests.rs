//! What a client of good conduct gets.

use std::future::poll_fn;
use std::sync::Arc;

use h2::Reason;
use http::{HeaderMap, Method, Request};
use lattice_router::Config;
use tokio::sync::Semaphore;

use super::client::{Answer, Client, request, send_all, whole};
use super::frames::{
    ACK, DATA, END_HEADERS, END_STREAM, GET, GOAWAY, HEADERS, NO_ERROR, PING, Raw, packed,
};
use super::{asking, world};
use crate::support::{Endpoint, World, eventually, registration};
use crate::tls::{Authority, connect};

#[tokio::test]
async fn who_asks_for_http_2_gets_it_and_its_lines_say_so() {
    let (mut world, authority) = world(|_| {}).await;
    let endpoint = Endpoint::echoing_heads().await;
    world.route("web.test", endpoint.addr).await;
    let mut client = Client::connect(&world, &authority).await;
    let answer = client.get("https://web.test/a?b=1").await;
    assert_eq!(answer.status(), 200);
    assert!(answer.text().starts_with("GET /a?b=1 HTTP/1.1\r\nhost: web.test\r\n"));
    assert!(answer.text().contains("X-Forwarded-Proto: https\r\n"), "{}", answer.text());
    assert!(!answer.text().to_lowercase().contains("connection:"), "{}", answer.text());
    assert_eq!(answer.header("x-vcap-request-id").map(str::len), Some(36));
    assert_eq!(answer.header("connection"), None);
    let line = world.line().await;
    assert!(line.contains("\"GET /a?b=1 HTTP/2.0\" 200 0 "), "{line}");
    let mut config = asking(&authority);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let mut old = connect(world.addr, "web.test", config).await.unwrap();
    old.send("GET / HTTP/1.1\r\nHost: web.test\r\n\r\n").await;
    assert_eq!(old.response().await.status, 200);
}

#[tokio::test]
async fn the_routers_own_answers_are_those_of_http_1() {
    let (world, authority) = world(|_| {}).await;
    world.register(&registration("dead.test", Endpoint::refusing().await)).await;
    let mut client = Client::connect(&world, &authority).await;
    for (url, status, error, body) in [
        (
            "https://nobody.test/",
            404,
            "unknown_route",
            "404 Not Found: Requested route ('nobody.test') does not exist.\n",
        ),
        (
            "https://dead.test/",
            502,
            "endpoint_failure (dial: Connection refused (os error 111))",
            "502 Bad Gateway: Registered endpoint failed to handle the request.\n",
        ),
        (
            "https://127.0.0.1/",
            400,
            "empty_host",
            "400 Bad Request: Request had empty Host header\n",
        ),
    ] {
        let answer = client.get(url).await;
        assert_eq!((answer.status(), answer.text()), (status, body));
        assert_eq!(answer.header("x-cf-routererror"), Some(error));
        let length = body.len().to_string();
        assert_eq!(answer.header("content-length"), Some(length.as_str()));
        let head = client.ask(request(Method::HEAD, url), b"").await.unwrap();
        assert_eq!((head.status(), head.text()), (status, ""));
    }
    let connect = Request::builder().method("CONNECT").uri("web.test:443").body(()).unwrap();
    let answer = client.ask(connect, b"").await.unwrap();
    assert_eq!(answer.status(), 405);
}

#[tokio::test]
async fn bodies_of_any_length_come_through_both_ways() {
    let (world, authority) = world(|_| {}).await;
    let endpoint = Endpoint::new(|mut wire| async move {
        while let Some(request) = wire.request().await {
            let chunked = request.head.contains("Transfer-Encoding: chunked");
            let length = request.body.len();
            let head = match chunked {
                true => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
                false => format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"),
            };
            wire.send(head).await;
            match chunked {
                true => {
                    for piece in request.body.chunks(70_000) {
                        let size = format!("{:x}\r\n", piece.len());
                        wire.send([size.as_bytes(), piece, b"\r\n"].concat()).await;
                    }
                    wire.send("0\r\nX-Sum: 7\r\n\r\n").await;
                }
                false => wire.send(request.body).await,
            }
        }
    })
    .await;
    world.route("web.test", endpoint.addr).await;
    let mut client = Client::connect(&world, &authority).await;
    for (length, says_length) in
        [(0, true), (1, true), (5_000, true), (3_000_000, true), (1, false), (3_000_000, false)]
    {
        let body: Vec<u8> = (0..length).map(|n: u32| n.to_le_bytes()[0]).collect();
        let mut asks = request(Method::POST, "https://web.test/");
        if says_length {
            asks.headers_mut().insert("content-length", length.into());
        }
        let answer = client.ask(asks, &body).await.unwrap();
        assert!(answer.body == body, "{length} bytes came back otherwise");
        let sum = answer.trailers.get("x-sum").map(|sum| sum.to_str().unwrap());
        assert_eq!(sum, (!says_length).then_some("7"));
    }
    assert_eq!(endpoint.connections(), 1, "connections to endpoints are kept");
}

#[tokio::test]
async fn trailers_of_a_request_reach_the_endpoint_and_those_that_would_route_do_not() {
    let (world, authority) = world(|_| {}).await;
    let endpoint = Endpoint::new(|mut wire| async move {
        while let Some(head) = wire.head().await {
            let body = wire.framed_body(&head, false).await;
            wire.answer(&body).await;
        }
    })
    .await;
    world.route("web.test", endpoint.addr).await;
    let mut client = Client::connect(&world, &authority).await;
    let (answer, mut send) =
        client.begin(request(Method::POST, "https://web.test/"), false).await.unwrap();
    send_all(&mut send, b"hi", false).await.unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", 7.into());
    trailers.insert("x-forwarded-for", 9.into());
    send.send_trailers(trailers).unwrap();
    assert_eq!(Answer::of(answer).await.unwrap().text(), "hi + x-sum: 7");
}

#[tokio::test]
async fn requests_on_one_connection_do_not_wait_for_each_other() {
    let (world, authority) = world(|_| {}).await;
    let gate = Arc::new(Semaphore::new(0));
    let waits = gate.clone();
    let endpoint = Endpoint::new(move |mut wire| {
        let waits = waits.clone();
        async move {
            while let Some(request) = wire.request().await {
                if request.head.starts_with("GET /slow ") {
                    waits.acquire().await.unwrap().forget();
                }
                wire.answer("ok").await;
            }
        }
    })
    .await;
    world.route("web.test", endpoint.addr).await;
    let mut client = Client::connect(&world, &authority).await;
    let slow = request(Method::GET, "https://web.test/slow");
    let mut waiting = Vec::new();
    for _ in 0..20 {
        waiting.push(client.begin(slow.clone(), true).await.unwrap().0);
    }
    assert_eq!(client.get("https://web.test/fast").await.text(), "ok");
    gate.add_permits(20);
    for answer in waiting {
        assert_eq!(Answer::of(answer).await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_does_not_look_complete() {
    let (world, authority) = world(|_| {}).await;
    for script in [
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        let endpoint = Endpoint::new(move |mut wire| async move {
            wire.request().await;
            wire.send(script).await;
        })
        .await;
        let route = registration("half.test", endpoint.addr);
        world.register(&route).await;
        let mut client = Client::connect(&world, &authority).await;
        let asks = request(Method::GET, "https://half.test/");
        let error = client.ask(asks, b"").await.unwrap_err();
        assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR), "{script:?}");
        assert_eq!(client.get("https://nobody.test/").await.status(), 404, "others go on");
        world.unregister("half.test", endpoint.addr).await;
    }
}

#[tokio::test]
async fn a_client_that_takes_its_request_back_ends_it() {
    let (mut world, authority) = world(|_| {}).await;
    let endpoint = Endpoint::new(|mut wire| async move {
        wire.request().await;
        assert!(wire.is_closed().await);
    })
    .await;
    world.route("web.test", endpoint.addr).await;
    let mut client = Client::connect(&world, &authority).await;
    let asks = request(Method::GET, "https://web.test/slow");
    let (answer, mut send) = client.begin(asks, true).await.unwrap();
    eventually("the endpoint is asked", || endpoint.connections() == 1).await;
    send.send_reset(Reason::CANCEL);
    drop(answer);
    eventually("the endpoint's connection ends", || endpoint.ends() == 1).await;
    let line = world.line().await;
    assert!(line.contains("HTTP/2.0\" 499 "), "{line}");
    assert_eq!(client.get("https://nobody.test/").await.status(), 404, "others go on");
}

#[tokio::test]
async fn an_answer_may_come_before_the_request_is_complete() {
    let (world, authority) = world(|_| {}).await;
    let endpoint = Endpoint::new(|mut wire| async move {
        while wire.head().await.is_some() {
            wire.answer("enough").await;
        }
    })
    .await;
    world.route("web.test", endpoint.addr).await;
    let mut client = Client::connect(&world, &authority).await;
    let asks = request(Method::POST, "https://web.test/");
    let (answer, mut send) = client.begin(asks, false).await.unwrap();
    send_all(&mut send, b"some", false).await.unwrap();
    assert_eq!(Answer::of(answer).await.unwrap().text(), "enough");
    // Some clients take a reset for a failure, even after the answer: the rest is read for a while.
    send_all(&mut send, &[0; 500_000], true).await.unwrap();
    let asks = request(Method::POST, "https://web.test/");
    let (answer, mut send) = client.begin(asks, false).await.unwrap();
    assert_eq!(Answer::of(answer).await.unwrap().text(), "enough");
    let told = poll_fn(|cx| send.poll_reset(cx)).await.unwrap();
    assert_eq!(told, Reason::NO_ERROR, "and not for ever (RFC 9113 8.1)");
}

#[tokio::test]
async fn a_body_may_wait_for_a_continue() {
    let (world, authority) = world(|_| {}).await;
    let endpoint = Endpoint::new(|mut wire| async move {
        while let Some(head) = wire.head().await {
            assert!(head.contains("expect: 100-continue\r\n"));
            wire.send("HTTP/1.1 100 Continue\r\n\r\n").await;
            let body = wire.framed_body(&head, false).await;
            wire.answer(&body).await;
        }
    })
    .await;
    world.route("web.test", endpoint.addr).await;
    let mut client = Client::connect(&world, &authority).await;
    let mut asks = request(Method::POST, "https://web.test/");
    asks.headers_mut().insert("expect", "100-continue".parse().unwrap());
    let (mut answer, mut send) = client.begin(asks, false).await.unwrap();
    let told = poll_fn(|cx| answer.poll_informational(cx)).await.unwrap().unwrap();
    assert_eq!(told.status(), 100);
    send_all(&mut send, b"now", true).await.unwrap();
    assert_eq!(Answer::of(answer).await.unwrap().text(), "now");
}

/// A router whose endpoint answers when it is let.
async fn held(change: impl FnOnce(&mut Config)) -> (World, Authority, Arc<Semaphore>, Endpoint) {
    let (world, authority) = world(change).await;
    let gate = Arc::new(Semaphore::new(0));
    let waits = gate.clone();
    let endpoint = Endpoint::new(move |mut wire| {
        let waits = waits.clone();
        async move {
            while wire.request().await.is_some() {
                waits.acquire().await.unwrap().forget();
                wire.answer("at last").await;
            }
        }
    })
    .await;
    world.route("web.test", endpoint.addr).await;
    (world, authority, gate, endpoint)
}

#[tokio::test]
async fn a_router_that_ends_finishes_what_it_has_and_takes_no_more() {
    let (world, authority, gate, endpoint) = held(|_| {}).await;
    let mut raw = Raw::connect(&world, &authority).await;
    raw.send(HEADERS, END_HEADERS | END_STREAM, 1, &packed(&GET)).await;
    eventually("the endpoint is asked", || endpoint.connections() == 1).await;
    world.tasks.shutdown().cancel();
    let told = raw.next_of(&[GOAWAY]).await.unwrap();
    assert_eq!(told.error(), (NO_ERROR, true));
    // What was sent before the client heard of it would be served; the answer to this ends that.
    let ping = raw.next_of(&[PING]).await.unwrap();
    raw.send(PING, ACK, 0, &ping.payload).await;
    let told = raw.next_of(&[GOAWAY]).await.unwrap();
    assert_eq!((told.error(), &told.payload[..4]), ((NO_ERROR, true), &[0, 0, 0, 1][..]));
    raw.send(HEADERS, END_HEADERS | END_STREAM, 3, &packed(&GET)).await;
    gate.add_permits(1);
    let answer = raw.next_of(&[HEADERS]).await.unwrap();
    let body = raw.next_of(&[DATA]).await.unwrap();
    assert_eq!((answer.stream, body.stream, &*body.payload), (1, 1, &b"at last"[..]));
    while let Some(frame) = raw.next().await {
        assert_ne!(frame.stream, 3, "it took another request");
    }
}

#[tokio::test]
async fn a_client_without_requests_is_told_to_leave_after_a_while() {
    let (world, authority) = world(|config| {
        config.limits.keep_alive_idle = std::time::Duration::from_millis(100);
    })
    .await;
    let mut raw = Raw::connect(&world, &authority).await;
    let told = raw.next_of(&[GOAWAY]).await.unwrap();
    assert_eq!(told.error(), (NO_ERROR, true));
    while raw.next().await.is_some() {}
}

#[tokio::test]
async fn requests_beyond_the_routers_places_are_refused_and_may_be_sent_again() {
    // One connection, the next one and one request fill the places of the one worker.
    let (world, authority, gate, endpoint) = held(|config| {
        config.workers = 1;
        config.limits.connections_max = 3;
    })
    .await;
    let mut client = Client::connect(&world, &authority).await;
    let asks = request(Method::GET, "https://web.test/");
    let (first, _) = client.begin(asks.clone(), true).await.unwrap();
    eventually("the endpoint is asked", || endpoint.connections() == 1).await;
    let error = client.ask(asks.clone(), b"").await.unwrap_err();
    assert_eq!(error.reason(), Some(Reason::REFUSED_STREAM));
    gate.add_permits(2);
    assert_eq!(Answer::of(first).await.unwrap().text(), "at last");
    assert_eq!(client.ask(asks, b"").await.unwrap().text(), "at last");
}

#[tokio::test]
async fn in_clear_there_is_no_http_2() {
    let world = World::start().await;
    let answer = world.ask("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.header("x-cf-routererror").as_deref(), Some("empty_host"));
    assert_eq!(answer.text(), "400 Bad Request: Request had empty Host header\n");
    assert_eq!(world.ask("PRI * HTTP/2.1\r\n\r\n").await.status, 505);
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_up_nobody_but_itself() {
    let (world, authority) = world(|_| {}).await;
    let endpoint = Endpoint::new(|mut wire| async move {
        while let Some(request) = wire.request().await {
            let length = if request.head.starts_with("GET /big ") { 4_000_000 } else { 2 };
            wire.answer(&"x".repeat(length)).await;
        }
    })
    .await;
    world.route("web.test", endpoint.addr).await;
    let mut client = Client::connect(&world, &authority).await;
    let (big, _) = client.begin(request(Method::GET, "https://web.test/big"), true).await.unwrap();
    let (head, unread) = big.await.unwrap().into_parts();
    assert_eq!(head.status, 200);
    let mut other = Client::connect(&world, &authority).await;
    assert_eq!(other.get("https://web.test/small").await.text(), "xx");
    let (read, _) = whole(unread).await.unwrap();
    assert_eq!(read.len(), 4_000_000);
}
