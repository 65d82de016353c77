//! Bodies of any size, both ways, whole and broken off.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::{Endpoint, World, eventually};

const MB: usize = 1024 * 1024;
const BIG: usize = 50 * MB;

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = status.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// Reads a request's head, then counts the bytes after it until `n` or the end.
async fn counting_endpoint(
    n: usize,
    counted: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
) -> Endpoint {
    Endpoint::new(move |mut wire| {
        let (counted, ended) = (counted.clone(), ended.clone());
        async move {
            wire.head().await;
            counted.fetch_add(wire.skip(n).await, Ordering::Relaxed);
            wire.answer("thanks").await;
            ended.fetch_add(1, Ordering::Relaxed);
        }
    })
    .await
}

/// Sends a 200 with a `Content-Length` of `BIG` and `n` bytes.
async fn sending_endpoint(n: usize, failed: Arc<AtomicUsize>) -> Endpoint {
    Endpoint::new(move |mut wire| {
        let failed = failed.clone();
        async move {
            wire.head().await;
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {BIG}\r\n\r\n");
            let mut sent = wire.try_send(head).await;
            for _ in 0..n / MB {
                if sent.is_ok() {
                    sent = wire.try_send(vec![b'x'; MB]).await;
                }
            }
            failed.fetch_add(usize::from(sent.is_err()), Ordering::Relaxed);
        }
    })
    .await
}

#[tokio::test]
async fn fifty_megabytes_pass_both_ways_in_little_memory() {
    let mut world = World::start().await;
    let (counted, ended) = (Arc::default(), Arc::default());
    let upload = counting_endpoint(BIG, Arc::clone(&counted), ended).await;
    let download = sending_endpoint(BIG, Arc::default()).await;
    world.route("up.test", upload.addr).await;
    world.route("down.test", download.addr).await;
    let before = resident_bytes();
    let mut client = world.client().await;
    client.send(format!("POST / HTTP/1.1\r\nHost: up.test\r\nContent-Length: {BIG}\r\n\r\n")).await;
    for _ in 0..BIG / MB {
        client.send(vec![b'x'; MB]).await;
    }
    assert_eq!(client.response().await.text(), "thanks");
    assert_eq!(counted.load(Ordering::Relaxed), BIG);
    assert!(world.line().await.contains(&format!("\" 200 {BIG} 6 ")));
    client.send("GET / HTTP/1.1\r\nHost: down.test\r\n\r\n").await;
    client.head().await.unwrap();
    assert_eq!(client.skip(BIG).await, BIG);
    assert!(world.line().await.contains(&format!("\" 200 0 {BIG} ")));
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 16 * MB, "grew by {} MB", grown / MB);
}

#[tokio::test]
async fn an_endpoint_that_reads_nothing_holds_the_client_back() {
    let world = World::start().await;
    let endpoint = Endpoint::new(|mut wire| async move {
        wire.head().await;
        std::future::pending::<()>().await;
    })
    .await;
    world.route("web.test", endpoint.addr).await;
    let mut client = world.client().await;
    client
        .send(format!("POST / HTTP/1.1\r\nHost: web.test\r\nContent-Length: {BIG}\r\n\r\n"))
        .await;
    let flood = async {
        for _ in 0..BIG / MB {
            client.send(vec![b'x'; MB]).await;
        }
    };
    let sent = tokio::time::timeout(std::time::Duration::from_millis(500), flood).await;
    assert!(sent.is_err(), "50 MB were swallowed");
}

#[tokio::test]
async fn an_upload_that_breaks_off_breaks_off_at_the_endpoint_too() {
    for framing in [format!("Content-Length: {BIG}"), "Transfer-Encoding: chunked".to_owned()] {
        let mut world = World::start().await;
        let counted = Arc::<AtomicUsize>::default();
        let bytes = counted.clone();
        let endpoint = Endpoint::new(move |mut wire| {
            let bytes = bytes.clone();
            async move {
                wire.head().await;
                let rest = wire.rest().await;
                assert!(!rest.ends_with(b"0\r\n\r\n"), "a truncated body must not look whole");
                bytes.fetch_add(rest.len(), Ordering::Relaxed);
            }
        })
        .await;
        world.route("web.test", endpoint.addr).await;
        let mut client = world.client().await;
        client.send(format!("POST / HTTP/1.1\r\nHost: web.test\r\n{framing}\r\n\r\n")).await;
        client.send("5\r\nhello\r\n").await;
        eventually("the endpoint has the connection", || endpoint.connections() == 1).await;
        client.reset();
        eventually("the endpoint sees the end", || endpoint.ends() == 1).await;
        assert!(counted.load(Ordering::Relaxed) <= 10);
        let line = world.line().await;
        assert!(line.contains(" HTTP/1.1\" 499 ") || line.contains(" HTTP/1.1\" 400 "), "{line}");
    }
}

#[tokio::test]
async fn a_download_that_the_client_leaves_is_ended_at_the_endpoint() {
    let mut world = World::start().await;
    let failed = Arc::<AtomicUsize>::default();
    let endpoint = sending_endpoint(BIG, failed.clone()).await;
    world.route("web.test", endpoint.addr).await;
    let mut client = world.client().await;
    client.send("GET / HTTP/1.1\r\nHost: web.test\r\n\r\n").await;
    client.head().await.unwrap();
    client.skip(MB).await;
    drop(client);
    eventually("the endpoint notices", || failed.load(Ordering::Relaxed) == 1).await;
    let line = world.line().await;
    assert!(line.contains(" HTTP/1.1\" 499 0 "), "{line}");
    assert_eq!(world.router.totals().cancelled, 1);
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_frees_the_endpoint() {
    let mut world = World::start().await;
    let endpoint = Endpoint::new(|mut wire| async move {
        wire.head().await;
        wire.rest().await;
    })
    .await;
    world.route("web.test", endpoint.addr).await;
    let mut client = world.client().await;
    client.send("GET / HTTP/1.1\r\nHost: web.test\r\n\r\n").await;
    eventually("the endpoint has it", || endpoint.connections() == 1).await;
    drop(client);
    eventually("the endpoint is freed", || endpoint.ends() == 1).await;
    assert!(world.line().await.contains(" HTTP/1.1\" 499 0 0 "));
}

#[tokio::test]
async fn an_answer_that_breaks_off_never_looks_complete() {
    for head in ["Content-Length: 100", "Transfer-Encoding: chunked"] {
        let mut world = World::start().await;
        let endpoint = Endpoint::new(move |mut wire| async move {
            wire.head().await;
            wire.send(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n5\r\nhello\r\n")).await;
        })
        .await;
        world.route("web.test", endpoint.addr).await;
        let mut client = world.client().await;
        client.send("GET / HTTP/1.1\r\nHost: web.test\r\n\r\n").await;
        assert!(client.head().await.unwrap().starts_with("HTTP/1.1 200"));
        let rest = client.rest().await;
        assert!(!rest.ends_with(b"0\r\n\r\n") && rest.len() < 100, "{rest:?}");
        let line = world.line().await;
        assert!(line.contains("x_cf_routererror:\"endpoint_failure (answer broke off"), "{line}");
    }
}

#[tokio::test]
async fn events_pass_at_once() {
    let world = World::start().await;
    let (next, steps) = tokio::sync::watch::channel(0);
    let endpoint = Endpoint::new(move |mut wire| {
        let mut steps = steps.clone();
        async move {
            wire.head().await;
            wire.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n").await;
            loop {
                let n = *steps.borrow_and_update();
                wire.send(format!("data: {n}\n\n")).await;
                if steps.changed().await.is_err() {
                    return;
                }
            }
        }
    })
    .await;
    world.route("web.test", endpoint.addr).await;
    let mut client = world.client().await;
    client.send("GET / HTTP/1.1\r\nHost: web.test\r\n\r\n").await;
    let head = client.head().await.unwrap().to_ascii_lowercase();
    assert!(head.contains("transfer-encoding: chunked"), "{head}");
    for n in 0..3 {
        let _ = next.send(n);
        // Each event is read before the next one is sent: none may wait in the router.
        loop {
            if client.line().await == format!("data: {n}\n") {
                break;
            }
        }
    }
}

#[tokio::test]
async fn an_answer_may_flow_while_the_request_does() {
    for framing in ["Content-Length: 6", "Transfer-Encoding: chunked"] {
        let world = World::start().await;
        let endpoint = Endpoint::new(|mut wire| async move {
            let head = wire.head().await.unwrap();
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n").await;
            let is_chunked = head.contains("chunked");
            for _ in 0..3 {
                if is_chunked {
                    wire.line().await;
                }
                let piece = wire.take(2).await;
                wire.send(piece).await;
                if is_chunked {
                    wire.line().await;
                }
            }
        })
        .await;
        world.route("web.test", endpoint.addr).await;
        let mut client = world.client().await;
        client.send(format!("POST / HTTP/1.1\r\nHost: web.test\r\n{framing}\r\n\r\n")).await;
        assert!(client.head().await.unwrap().starts_with("HTTP/1.1 200"));
        for piece in ["ab", "cd", "ef"] {
            // Each piece comes back before the next one is sent.
            let sent = if framing.contains("chunked") {
                format!("2\r\n{piece}\r\n")
            } else {
                piece.to_owned()
            };
            client.send(sent).await;
            assert_eq!(client.take(2).await, piece.as_bytes());
        }
    }
}

#[tokio::test]
async fn both_framings_are_kept_both_ways() {
    let world = World::start().await;
    let endpoint = Endpoint::new(|mut wire| async move {
        while let Some(request) = wire.request().await {
            let body = request.text().to_owned();
            let framing = request.header("content-length").unwrap_or("chunked".to_owned());
            let answer = match request.header("transfer-encoding") {
                Some(_) => format!("Transfer-Encoding: chunked\r\n\r\n4\r\n{body}\r\n0\r\n\r\n"),
                None => format!("Content-Length: {framing}\r\n\r\n{body}"),
            };
            wire.send(format!("HTTP/1.1 200 OK\r\n{answer}")).await;
        }
    })
    .await;
    world.route("web.test", endpoint.addr).await;
    let head = "POST / HTTP/1.1\r\nHost: web.test\r\n";
    let counted = world.ask(&format!("{head}Content-Length: 4\r\n\r\nabcd")).await;
    assert_eq!(counted.header("content-length").as_deref(), Some("4"));
    assert_eq!(counted.text(), "abcd");
    let chunked = "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n";
    let chunked = world.ask(&format!("{head}{chunked}")).await;
    assert_eq!(chunked.header("transfer-encoding").as_deref(), Some("chunked"));
    assert_eq!(chunked.text(), "abcd");
}

#[tokio::test]
async fn answers_without_a_body_have_none_and_leave_the_connection_usable() {
    let world = World::start().await;
    let endpoint = Endpoint::new(|mut wire| async move {
        while let Some(request) = wire.request().await {
            let answer = match request.head.split(' ').nth(1).unwrap() {
                "/204" => "204 No Content\r\n",
                "/304" => "304 Not Modified\r\nETag: x\r\n",
                _ => "200 OK\r\nContent-Length: 7\r\n",
            };
            wire.send(format!("HTTP/1.1 {answer}\r\n")).await;
        }
    })
    .await;
    world.route("web.test", endpoint.addr).await;
    let mut client = world.client().await;
    for (method, path, status) in
        [("GET", "/204", 204), ("HEAD", "/200", 200), ("GET", "/304", 304), ("HEAD", "/", 200)]
    {
        client.send(format!("{method} {path} HTTP/1.1\r\nHost: web.test\r\n\r\n")).await;
        let answer = client.response_to(method).await;
        assert_eq!(answer.status, status);
        let length = answer.header("content-length");
        assert_eq!(length.as_deref(), (method == "HEAD").then_some("7"), "{}", answer.head);
    }
}

#[tokio::test]
async fn trailers_follow_the_body() {
    let world = World::start().await;
    let endpoint = Endpoint::new(|mut wire| async move {
        wire.head().await;
        wire.send(
            "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n\
             2\r\nab\r\n0\r\nX-Sum: 7\r\n\r\n",
        )
        .await;
    })
    .await;
    world.route("web.test", endpoint.addr).await;
    let mut client = world.client().await;
    let request = "GET / HTTP/1.1\r\nHost: web.test\r\nTE: trailers\r\nConnection: close\r\n\r\n";
    client.send(request).await;
    let all = String::from_utf8(client.rest().await).unwrap().to_ascii_lowercase();
    assert!(all.ends_with("0\r\nx-sum: 7\r\n\r\n"), "{all}");
}

#[tokio::test]
async fn a_client_is_told_to_continue_only_when_the_endpoint_wants_the_body() {
    let world = World::start().await;
    let willing = Endpoint::new(|mut wire| async move {
        let head = wire.head().await.unwrap();
        assert!(head.contains("Expect: 100-continue"), "{head}");
        wire.send("HTTP/1.1 100 Continue\r\n\r\n").await;
        let body = wire.take(4).await;
        wire.answer(std::str::from_utf8(&body).unwrap()).await;
    })
    .await;
    let unwilling = Endpoint::new(|mut wire| async move {
        wire.head().await;
        wire.send("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n").await;
        assert!(wire.is_closed().await, "no byte of the body may come");
    })
    .await;
    world.route("willing.test", willing.addr).await;
    world.route("unwilling.test", unwilling.addr).await;
    let request = |host| {
        format!(
            "POST / HTTP/1.1\r\nHost: {host}\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
        )
    };
    let mut client = world.client().await;
    client.send(request("willing.test")).await;
    assert_eq!(client.head().await.unwrap(), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("body").await;
    assert_eq!(client.response().await.text(), "body");
    let mut client = world.client().await;
    client.send(request("unwilling.test")).await;
    assert_eq!(client.response().await.status, 413);
}

#[tokio::test]
async fn a_connection_of_a_continue_is_used_again_unless_the_rules_end_it() {
    for (closes, connections) in [(false, 1), (true, 2)] {
        let world = World::with(|config| {
            config.workers = 1;
            config.headers.closes_after_continue = closes;
        })
        .await;
        let endpoint = Endpoint::new(|mut wire| async move {
            while let Some(head) = wire.head().await {
                wire.send("HTTP/1.1 100 Continue\r\n\r\n").await;
                assert_eq!(wire.take(2).await, b"hi");
                wire.answer(&head).await;
            }
        })
        .await;
        world.route("web.test", endpoint.addr).await;
        let mut client = world.client().await;
        for _ in 0..2 {
            let head = "POST / HTTP/1.1\r\nHost: web.test\r\nExpect: 100-continue\r\n";
            client.send(format!("{head}Content-Length: 2\r\n\r\n")).await;
            assert!(client.head().await.unwrap().starts_with("HTTP/1.1 100 "));
            client.send("hi").await;
            let answer = client.response().await;
            assert_eq!(answer.text().contains("Connection: close"), closes, "{}", answer.text());
        }
        assert_eq!(endpoint.connections(), connections, "{closes}");
    }
}
