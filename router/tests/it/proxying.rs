//! Requests that reach their endpoint, and how the connections to it are used.

use std::time::Duration;

use crate::support::{Endpoint, World, eventually, registration};

#[tokio::test]
async fn a_request_goes_to_its_hosts_endpoint_and_is_told_in_the_apps_log() {
    let mut world = World::start().await;
    let endpoint = Endpoint::saying("hello").await;
    world.route("web.test", endpoint.addr).await;
    let answer =
        world.ask("GET /a?b HTTP/1.1\r\nHost: WEB.test:80\r\nUser-Agent: me\r\n\r\n").await;
    assert_eq!((answer.status, answer.text()), (200, "hello"));
    assert_eq!(answer.header("X-Vcap-Request-Id").unwrap().len(), 36);
    let line = world.line().await;
    assert!(line.starts_with("WEB.test:80 - ["), "{line}");
    for part in [
        "\"GET /a?b HTTP/1.1\" 200 0 5 \"-\" \"me\" \"127.0.0.1:",
        &format!("\"{}\"", endpoint.addr),
        "x_forwarded_for:\"127.0.0.1\" x_forwarded_proto:\"http\" vcap_request_id:\"",
        "app_id:\"web\" app_index:\"0\" instance_id:\"guid-0\" x_cf_routererror:\"-\"",
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
}

#[tokio::test]
async fn a_url_is_told_in_the_log_by_its_path() {
    let mut world = World::start().await;
    let endpoint = Endpoint::saying("hello").await;
    world.route("web.test", endpoint.addr).await;
    for (target, told) in [
        ("http://web.test/a?b", "\"GET /a?b HTTP/1.1\""),
        ("http://web.test", "\"GET / HTTP/1.1\""),
        ("/a?b", "\"GET /a?b HTTP/1.1\""),
    ] {
        world.ask(&format!("GET {target} HTTP/1.1\r\nHost: web.test\r\n\r\n")).await;
        let line = world.line().await;
        assert!(line.contains(told), "{target}: {line}");
    }
}

#[tokio::test]
async fn connections_are_kept_on_both_sides() {
    let world = World::with(|config| config.workers = 1).await;
    let endpoint = Endpoint::saying("hello").await;
    world.route("web.test", endpoint.addr).await;
    let mut client = world.client().await;
    for _ in 0..5 {
        client.send("GET / HTTP/1.1\r\nHost: web.test\r\n\r\n").await;
        assert_eq!(client.response().await.text(), "hello");
    }
    client.send("POST / HTTP/1.1\r\nHost: web.test\r\nContent-Length: 2\r\n\r\nhi").await;
    assert_eq!(client.response().await.text(), "hello");
    assert_eq!(endpoint.connections(), 1);
}

#[tokio::test]
async fn no_more_connections_are_kept_than_the_limits_say() {
    for (per_endpoint, all, dialed) in [(256, 4096, 3), (1, 4096, 5), (256, 1, 5)] {
        let world = World::with(|config| {
            config.workers = 1;
            config.limits.idle_per_endpoint_max = per_endpoint;
            config.limits.idle_max = all;
        })
        .await;
        let go = std::sync::Arc::new(tokio::sync::Barrier::new(3));
        let endpoint = Endpoint::new(move |mut wire| {
            let go = go.clone();
            async move {
                while wire.request().await.is_some() {
                    go.wait().await;
                    wire.answer("x").await;
                }
            }
        })
        .await;
        world.route("web.test", endpoint.addr).await;
        for _ in 0..2 {
            // The endpoint answers three at a time.
            let get = || world.get("web.test", "/");
            let answers = tokio::join!(get(), get(), get());
            assert_eq!(answers.0.status + answers.1.status + answers.2.status, 600);
        }
        assert_eq!(world.router.totals().dials, dialed, "{per_endpoint} {all}");
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let world = World::start().await;
    let endpoint = Endpoint::echoing_heads().await;
    world.route("web.test", endpoint.addr).await;
    let mut client = world.client().await;
    let both = ["/1", "/2"].map(|path| format!("GET {path} HTTP/1.1\r\nHost: web.test\r\n\r\n"));
    client.send(both.concat()).await;
    assert!(client.response().await.text().starts_with("GET /1 "));
    assert!(client.response().await.text().starts_with("GET /2 "));
}

#[tokio::test]
async fn endpoints_take_turns() {
    let world = World::start().await;
    let (one, two) = (Endpoint::saying("one").await, Endpoint::saying("two").await);
    world.route("web.test", one.addr).await;
    world.route("web.test", two.addr).await;
    let mut ones = 0;
    for _ in 0..10 {
        ones += usize::from(world.get("web.test", "/").await.text() == "one");
    }
    assert_eq!(ones, 5);
}

#[tokio::test]
async fn an_unregistered_endpoint_gets_nothing_more_not_even_on_a_kept_connection() {
    let world = World::with(|config| config.workers = 1).await;
    let (old, new) = (Endpoint::saying("old").await, Endpoint::saying("new").await);
    world.route("web.test", old.addr).await;
    let mut client = world.client().await;
    client.send("GET / HTTP/1.1\r\nHost: web.test\r\n\r\n").await;
    assert_eq!(client.response().await.text(), "old");
    world.route("web.test", new.addr).await;
    world.unregister("web.test", old.addr).await;
    for _ in 0..4 {
        client.send("GET / HTTP/1.1\r\nHost: web.test\r\n\r\n").await;
        assert_eq!(client.response().await.text(), "new");
    }
}

#[tokio::test]
async fn context_paths_and_wildcards_choose_among_apps() {
    let world = World::start().await;
    let (root, api, any) = (
        Endpoint::saying("root").await,
        Endpoint::saying("api").await,
        Endpoint::saying("any").await,
    );
    world.route("web.test", root.addr).await;
    world.route("web.test/api", api.addr).await;
    world.route("*.test", any.addr).await;
    for (host, path, expected) in [
        ("web.test", "/", "root"),
        ("web.test", "/API/v1?x", "api"),
        ("web.test", "/apis", "root"),
        ("other.test", "/api", "any"),
    ] {
        assert_eq!(world.get(host, path).await.text(), expected, "{host}{path}");
    }
}

#[tokio::test]
async fn old_clients_speak_http_1_0() {
    let world = World::start().await;
    let chunked = Endpoint::new(|mut wire| async move {
        while wire.request().await.is_some() {
            let answer =
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
            wire.send(answer).await;
        }
    })
    .await;
    world.route("web.test", chunked.addr).await;
    let mut client = world.client().await;
    client.send("GET / HTTP/1.0\r\nHost: web.test\r\n\r\n").await;
    let answer = client.response().await;
    assert_eq!((answer.status, answer.text()), (200, "abc"));
    assert!(answer.head.starts_with("HTTP/1.0 200"), "{}", answer.head);
    assert_eq!(answer.header("transfer-encoding"), None);
}

#[tokio::test]
async fn one_answer_is_logged_for_each_request_even_if_the_client_keeps_the_connection() {
    let mut world = World::start().await;
    let endpoint = Endpoint::saying("x").await;
    world.route("web.test", endpoint.addr).await;
    let mut client = world.client().await;
    for n in 0..3 {
        client.send(format!("GET /{n} HTTP/1.1\r\nHost: web.test\r\n\r\n")).await;
        client.response().await;
        let line = world.line().await;
        assert!(line.contains(&format!("GET /{n} ")), "{line}");
    }
    assert!(world.has_no_line());
}

#[tokio::test]
async fn cookies_keep_a_client_with_its_instance() {
    let world = World::start().await;
    let script = |name: &'static str| {
        Endpoint::new(move |mut wire| async move {
            while wire.request().await.is_some() {
                let head =
                    "HTTP/1.1 200 OK\r\nSet-Cookie: JSESSIONID=1\r\nContent-Length: 1\r\n\r\n";
                wire.send(format!("{head}{name}")).await;
            }
        })
    };
    let (a, b) = (script("a").await, script("b").await);
    for (endpoint, guid) in [(&a, "guid-a"), (&b, "guid-b")] {
        let mut told = registration("web.test", endpoint.addr);
        told.private_instance_id = guid.to_owned();
        world.register(&told).await;
    }
    for _ in 0..4 {
        let answer = world
            .ask("GET / HTTP/1.1\r\nHost: web.test\r\nCookie: JSESSIONID=1; __VCAP_ID__=guid-b\r\n\r\n")
            .await;
        assert_eq!(answer.text(), "b");
        assert!(answer.head.contains("__VCAP_ID__=guid-b; Path=/; HttpOnly"), "{}", answer.head);
    }
}

#[tokio::test]
async fn requests_under_way_finish_at_shutdown_and_new_ones_are_not_taken() {
    let world = World::start().await;
    let slow = Endpoint::new(|mut wire| async move {
        wire.head().await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        wire.answer("late").await;
    })
    .await;
    world.route("web.test", slow.addr).await;
    let mut client = world.client().await;
    client.send("GET / HTTP/1.1\r\nHost: web.test\r\n\r\n").await;
    eventually("the endpoint has it", || slow.connections() == 1).await;
    let tasks = world.tasks.clone();
    let end = tokio::spawn(async move { tasks.end(Duration::from_secs(8)).await });
    assert_eq!(client.response().await.text(), "late");
    assert!(client.is_closed().await);
    assert!(end.await.unwrap());
    assert!(tokio::net::TcpStream::connect(world.addr).await.is_err());
}

#[tokio::test]
async fn an_endpoint_may_be_registered_by_name() {
    let mut world = World::with(|config| {
        config.line_rules.extra = vec![lattice_router::ExtraField::DnsTime];
    })
    .await;
    let endpoint = Endpoint::echoing_heads().await;
    let mut told = crate::support::registration("web.test", endpoint.addr);
    told.host = "web.localhost".to_owned();
    told.private_instance_id.clear();
    world.register(&told).await;
    let label = format!("web.localhost:{}", endpoint.addr.port());
    let answer = world.get("web.test", "/").await;
    assert!(answer.text().contains(&format!("X-CF-InstanceID: {label}\r\n")), "{}", answer.text());
    let line = world.line().await;
    assert!(line.contains(&format!(" \"{label}\" ")), "{line}");
    assert!(line.contains(" dns_time:") && !line.contains("dns_time:\"-\""), "{line}");
}
