//! Requests that two readers could read differently, and clients that want to keep us busy.

use std::time::Duration;

use crate::support::{Endpoint, PATIENCE, World, eventually};

/// Sends raw bytes; the endpoint must see nothing, and the client 400 and the end.
async fn refused(world: &World, endpoint: &Endpoint, raw: &str) {
    let mut client = world.client().await;
    client.send(raw).await;
    let answer = String::from_utf8(client.rest().await).unwrap();
    let status = answer.get(..12).unwrap_or(&answer);
    let is_bare = raw.contains("HTTP/1.2");
    let expected = if is_bare { "HTTP/1.0 400" } else { "HTTP/1.1 400" };
    assert_eq!(status, expected, "{raw:?} was answered {answer:?}");
    assert_eq!(
        answer.matches("HTTP/1.1 ").count(),
        usize::from(!is_bare),
        "{raw:?}: one answer only: {answer}"
    );
    assert_eq!(endpoint.connections(), 0, "{raw:?} reached the endpoint");
}

#[tokio::test]
async fn what_could_be_read_in_two_ways_never_reaches_an_endpoint() {
    let world = World::start().await;
    let endpoint = Endpoint::saying("x").await;
    world.route("web.test", endpoint.addr).await;
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: web.test\r\n\r\n";
    for head in [
        "POST / HTTP/1.1\r\nHost: web.test\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: web.test\r\nTransfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: web.test\r\nContent-Length: 6\r\nContent-Length: 5\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: web.test\r\nContent-Length: 6, 6\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: web.test\r\nContent-Length: +6\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: web.test\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: web.test\r\nTransfer-Encoding: xchunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: web.test\r\nTransfer-Encoding : chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: web.test\r\nTransfer-Encoding:\x0bchunked\r\n\r\n",
        "POST / HTTP/1.0\r\nHost: web.test\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: web.test\r\nX: a\r\n b\r\n\r\n",
        "GET / HTTP/1.1\nHost: web.test\n\n",
        "GET / HTTP/1.1\r\nHost: web.test\nX: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: web.test\r\nX: a\rb\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: web.test\r\nX: a\0b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: web.test\r\nHost: web.test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: web.test\r\nHost: other.test\r\n\r\n",
        "GET http://other.test/ HTTP/1.1\r\nHost: web.test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: web.test/evil\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.2\r\nHost: web.test\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET /\r\n\r\n",
        "G\0T / HTTP/1.1\r\nHost: web.test\r\n\r\n",
    ] {
        refused(&world, &endpoint, head).await;
        if !head.contains("HTTP/2.0") {
            refused(&world, &endpoint, &format!("{head}{smuggled}")).await;
        }
    }
}

#[tokio::test]
async fn a_malformed_chunk_ends_the_request_and_the_connection() {
    for chunks in [
        "x\r\n",
        "-1\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "11111111111111111\r\n",
    ] {
        let world = World::start().await;
        let endpoint = Endpoint::new(|mut wire| async move {
            wire.head().await;
            let rest = wire.rest().await;
            assert!(!rest.ends_with(b"0\r\n\r\n"), "the body must not look whole: {rest:?}");
        })
        .await;
        world.route("web.test", endpoint.addr).await;
        let mut client = world.client().await;
        let head = "POST / HTTP/1.1\r\nHost: web.test\r\nTransfer-Encoding: chunked\r\n\r\n";
        client.send(format!("{head}{chunks}GET /smuggled HTTP/1.1\r\n\r\n")).await;
        let answer = String::from_utf8(client.rest().await).unwrap();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{chunks:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), usize::from(!answer.is_empty()));
    }
}

#[tokio::test]
async fn a_bad_request_behind_a_good_one_does_not_harm_it() {
    let world = World::start().await;
    let endpoint = Endpoint::saying("good").await;
    world.route("web.test", endpoint.addr).await;
    let mut client = world.client().await;
    client.send("GET / HTTP/1.1\r\nHost: web.test\r\n\r\nGET / HTTP/1.1\nHost: web.test\n\n").await;
    assert_eq!(client.response().await.text(), "good");
    assert_eq!(client.response().await.status, 400);
    assert!(client.is_closed().await);
    eventually("the refusal is counted", || world.router.totals().refused == 1).await;
}

#[tokio::test]
async fn bytes_that_come_before_an_upgrade_is_decided_are_never_a_request() {
    let world = World::start().await;
    let endpoint = Endpoint::saying("no upgrade").await;
    world.route("web.test", endpoint.addr).await;
    let mut client = world.client().await;
    let head = "GET / HTTP/1.1\r\nHost: web.test\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    client.send(format!("{head}GET /smuggled HTTP/1.1\r\nHost: web.test\r\n\r\n")).await;
    let answer = client.response().await;
    assert_eq!(answer.text(), "no upgrade");
    assert_eq!(answer.header("connection").as_deref(), Some("close"));
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_refused_upgrade_leaves_the_connection_usable_and_strict() {
    let world = World::start().await;
    let endpoint = Endpoint::saying("plain").await;
    world.route("web.test", endpoint.addr).await;
    let mut client = world.client().await;
    for _ in 0..3 {
        client
            .send("GET / HTTP/1.1\r\nHost: web.test\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
            .await;
        assert_eq!(client.response().await.text(), "plain");
    }
    client.send("GET / HTTP/1.1\nHost: web.test\n\n").await;
    assert_eq!(client.response().await.status, 400);
}

#[tokio::test]
async fn heads_beyond_the_limits_are_refused() {
    let world = World::with(|config| {
        config.limits.header_bytes_max = 8 * 1024;
        config.limits.headers_max = 20;
    })
    .await;
    let endpoint = Endpoint::saying("x").await;
    world.route("web.test", endpoint.addr).await;
    for (lines, statuses) in [
        ("X: y\r\n".repeat(10), &[200][..]),
        ("X: y\r\n".repeat(30), &[431]),
        (format!("X: {}\r\n", "y".repeat(9000)), &[431]),
        (format!("X: {}\r\n", "y".repeat(1000)).repeat(10), &[431]),
    ] {
        let mut client = world.client().await;
        let request = format!("GET / HTTP/1.1\r\nHost: web.test\r\n{lines}\r\n");
        let _ = client.try_send(request).await;
        let status = client.response().await.status;
        assert!(statuses.contains(&status), "{} bytes: {status}", lines.len());
    }
}

#[tokio::test]
async fn a_head_beyond_the_limits_has_its_line_with_the_app_it_was_for() {
    let mut world = World::with(|config| {
        config.limits.header_bytes_max = 8 * 1024;
        config.limits.headers_max = 20;
    })
    .await;
    let endpoint = Endpoint::saying("x").await;
    world.route("web.test", endpoint.addr).await;
    for lines in ["X: y\r\n".repeat(30), format!("X: {}\r\n", "y".repeat(1000)).repeat(10)] {
        let head =
            "POST /a?b HTTP/1.1\r\nHost: web.test\r\nUser-Agent: me\r\nContent-Length: 9\r\n";
        let mut client = world.client().await;
        client.send(format!("{head}{lines}\r\n")).await;
        let answer = client.response().await;
        assert_eq!((answer.status, answer.text()), (431, ""));
        let error = answer.header("x-cf-routererror");
        assert_eq!(error.as_deref(), Some("max-request-size-exceeded"));
        assert!(client.is_closed().await);
        let line = world.line().await;
        assert!(line.contains("] \"POST /a?b HTTP/1.1\" 431 0 0 \"-\" \"me\" "), "{line}");
        let chosen = format!("\"{}\" x_forwarded_for", endpoint.addr);
        assert!(line.contains(&chosen) && line.contains(" app_id:\"web\" "), "{line}");
        assert!(line.contains("x_cf_routererror:\"max-request-size-exceeded\""), "{line}");
        let answer =
            world.ask(&format!("GET / HTTP/1.1\r\nHost: nobody.test\r\n{lines}\r\n")).await;
        assert_eq!(answer.status, 404, "nobody's request is that first");
    }
    assert_eq!(endpoint.connections(), 0);
}

#[tokio::test]
async fn slow_heads_and_idle_connections_are_closed() {
    let world = World::with(|config| {
        config.limits.header_read_timeout = Duration::from_secs(1);
        config.limits.keep_alive_idle = Duration::from_secs(1);
    })
    .await;
    let mut slow = world.client().await;
    slow.send("GET / HTTP/1.1\r\nHost: web").await;
    let mut idle = world.client().await;
    idle.send("GET / HTTP/1.1\r\nHost: nobody.test\r\n\r\n").await;
    assert_eq!(idle.response().await.status, 404);
    let drip = async {
        // A byte now and then does not help.
        while slow.try_send("x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, drip).await.expect("a slow head is cut");
    assert!(idle.is_closed().await);
    eventually("no connection is left", || world.router.totals().connections == 0).await;
}

#[tokio::test]
async fn who_says_nothing_is_let_in_and_heard_as_soon_as_it_speaks() {
    let world = World::with(|config| config.workers = 1).await;
    let asked = world.ask("GET / HTTP/1.0\r\nHost: nobody.test\r\n\r\n").await;
    assert_eq!(asked.status, 404, "its worker accepts by now");
    eventually("nobody is connected", || world.router.totals().connections == 0).await;
    let mut silent = world.client().await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(world.router.totals().connections, 0, "it is not accepted yet");
    eventually("it is accepted", || world.router.totals().connections == 1).await;
    silent.send("GET / HTTP/1.1\r\nHost: nobody.test\r\n\r\n").await;
    assert_eq!(silent.response().await.status, 404);
}

#[tokio::test]
async fn bodies_that_stand_still_are_given_up_and_free_the_endpoint() {
    for framing in ["Content-Length: 9\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n9\r\nabc"] {
        let world = World::with(|config| {
            config.limits.endpoint_timeout = Duration::from_millis(300);
        })
        .await;
        let endpoint = Endpoint::new(|mut wire| async move {
            wire.rest().await;
        })
        .await;
        world.route("web.test", endpoint.addr).await;
        let mut client = world.client().await;
        client.send(format!("POST / HTTP/1.1\r\nHost: web.test\r\n{framing}")).await;
        let answer = client.response().await;
        assert_eq!(answer.status, 502);
        assert_eq!(answer.header("connection").as_deref(), Some("close"));
        eventually("the endpoint is freed", || endpoint.ends() == 1).await;
        assert!(client.is_closed().await);
    }
}

#[tokio::test]
async fn bodies_beyond_the_limit_are_refused() {
    let world = World::with(|config| config.limits.body_bytes_max = 10).await;
    let endpoint = Endpoint::new(|mut wire| async move {
        while wire.request().await.is_some() {
            wire.answer("taken").await;
        }
    })
    .await;
    world.route("web.test", endpoint.addr).await;
    for (framing, status) in [
        ("Content-Length: 10\r\n\r\n0123456789", 200),
        ("Transfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n", 200),
        ("Content-Length: 11\r\n\r\n", 413),
        ("Content-Length: 11\r\nExpect: 100-continue\r\n\r\n", 413),
        ("Transfer-Encoding: chunked\r\n\r\nb\r\n0123456789a\r\n", 413),
        ("Transfer-Encoding: chunked\r\n\r\n6\r\n012345\r\n6\r\n678901\r\n", 413),
    ] {
        let mut client = world.client().await;
        client.send(format!("POST / HTTP/1.1\r\nHost: web.test\r\n{framing}")).await;
        let answer = client.response().await;
        assert_eq!(answer.status, status, "{framing:?}: {}", answer.text());
        if status == 413 {
            assert_eq!(answer.header("connection").as_deref(), Some("close"));
            assert_eq!(answer.header("x-cf-routererror").as_deref(), Some("body_too_large"));
            assert!(client.is_closed().await);
        }
    }
}

#[tokio::test]
async fn bodies_that_drip_are_given_up_and_free_the_endpoint() {
    for (framing, drop) in [
        ("Content-Length: 900000\r\n\r\n", "x"),
        ("Transfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n"),
    ] {
        let world = World::with(|config| {
            config.limits.endpoint_timeout = Duration::from_millis(300);
            config.limits.upload_timeout = Duration::from_millis(300);
        })
        .await;
        let endpoint = Endpoint::new(|mut wire| async move {
            wire.rest().await;
        })
        .await;
        world.route("web.test", endpoint.addr).await;
        let mut client = world.client().await;
        client.send(format!("POST / HTTP/1.1\r\nHost: web.test\r\n{framing}")).await;
        let drip = async {
            // A byte now and then does not help.
            while endpoint.ends() == 0 {
                let _ = client.try_send(drop).await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, drip).await.expect("the endpoint is freed");
        assert_eq!(client.response().await.status, 502);
        eventually("no connection is left", || world.router.totals().connections == 0).await;
    }
}

#[tokio::test]
async fn a_peer_that_is_gone_without_a_word_is_asked_for() {
    let world = World::start().await;
    let endpoint = Endpoint::saying("ok").await;
    world.route("web.test", endpoint.addr).await;
    let mut client = world.client().await;
    client.send("GET / HTTP/1.1\r\nHost: web.test\r\n\r\n").await;
    assert_eq!(client.response().await.text(), "ok");
    // Both rest now, and a timer of keep-alives runs on the router's end of each.
    let is_watched = |column: usize, port: u16| {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let port = format!(":{port:04X}");
        let of_port = |line: &Vec<&str>| line[column].ends_with(&port) && line[3] == "01";
        let lines = table.lines().skip(1).map(|line| line.split_whitespace().collect());
        lines.filter(of_port).any(|line| line[5].starts_with("02:"))
    };
    eventually("the client's connection is watched", || is_watched(1, world.addr.port())).await;
    eventually("the endpoint's is, too", || is_watched(2, endpoint.addr.port())).await;
}

#[tokio::test]
async fn answers_that_nobody_reads_are_given_up() {
    let world = World::with(|config| config.limits.stream_idle = Duration::from_millis(300)).await;
    let endpoint = Endpoint::new(|mut wire| async move {
        wire.head().await;
        let mut sent = wire.try_send("HTTP/1.1 200 OK\r\n\r\n").await;
        while sent.is_ok() {
            sent = wire.try_send(vec![b'x'; 1024 * 1024]).await;
        }
    })
    .await;
    world.route("web.test", endpoint.addr).await;
    let mut client = world.client().await;
    client.send("GET / HTTP/1.1\r\nHost: web.test\r\n\r\n").await;
    eventually("the endpoint is freed", || endpoint.ends() == 1).await;
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_a_place() {
    let world = World::with(|config| {
        config.workers = 1;
        config.limits.connections_max = 2;
    })
    .await;
    let (first, _second) = (world.client().await, world.client().await);
    eventually("both are in", || world.router.totals().connections == 2).await;
    let mut third = world.client().await;
    third.send("GET / HTTP/1.1\r\nHost: nobody.test\r\n\r\n").await;
    let early = tokio::time::timeout(Duration::from_millis(100), third.head()).await;
    assert!(early.is_err(), "answered beyond the limit");
    drop(first);
    assert_eq!(third.response().await.status, 404);
}

#[tokio::test]
async fn connect_is_not_carried() {
    let world = World::start().await;
    let answer = world.ask("CONNECT web.test:80 HTTP/1.1\r\nHost: web.test:80\r\n\r\n").await;
    assert_eq!(answer.status, 405);
}
