//! What clients are told when no endpoint answers, and which requests are saved.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lattice_router::error_page::ErrorPage;
use tokio::sync::Notify;

use crate::support::{Endpoint, Response, World, eventually};

#[track_caller]
fn check(answer: &Response, status: u16, error: Option<&str>, cache: Option<&str>, body: &str) {
    assert_eq!(answer.status, status, "{}", answer.head);
    assert_eq!(answer.header("x-cf-routererror").as_deref(), error);
    assert_eq!(answer.header("cache-control").as_deref(), cache);
    assert_eq!(answer.header("content-type").as_deref(), Some("text/plain; charset=utf-8"));
    assert_eq!(answer.header("x-content-type-options").as_deref(), Some("nosniff"));
    assert_eq!(answer.text(), body);
}

#[tokio::test]
async fn an_unknown_host_is_told_so() {
    let mut world = World::start().await;
    check(
        &world.get("Nobody.test:80", "/").await,
        404,
        Some("unknown_route"),
        Some("no-cache, no-store"),
        "404 Not Found: Requested route ('Nobody.test:80') does not exist.\n",
    );
    assert!(world.has_no_line());
}

#[tokio::test]
async fn a_route_whose_instances_are_gone_is_unavailable_for_a_while() {
    let world = World::with(|config| {
        config.freshness.empty_route_kept = Duration::from_millis(300);
        config.freshness.prune_interval = Duration::from_millis(20);
    })
    .await;
    let endpoint = Endpoint::saying("x").await;
    world.route("web.test", endpoint.addr).await;
    world.unregister("web.test", endpoint.addr).await;
    check(
        &world.get("web.test", "/").await,
        503,
        Some("no_endpoints"),
        Some("public,max-age=2"),
        "503 Service Unavailable: Requested route ('web.test') has no available endpoints.\n",
    );
    eventually("the route is forgotten", || world.router.routes().is_empty()).await;
    assert_eq!(world.get("web.test", "/").await.status, 404);
}

#[tokio::test]
async fn when_every_endpoint_refuses_the_client_learns_that_and_why() {
    let mut world = World::start().await;
    for _ in 0..2 {
        world.route("web.test", Endpoint::refusing().await).await;
    }
    let answer = world.get("web.test", "/").await;
    check(
        &answer,
        502,
        Some("endpoint_failure (dial: Connection refused (os error 111))"),
        None,
        "502 Bad Gateway: Registered endpoint failed to handle the request.\n",
    );
    let line = world.line().await;
    assert!(line.contains("\" 502 0 "), "{line}");
    assert!(line.contains("x_cf_routererror:\"endpoint_failure (dial: "), "{line}");
}

#[tokio::test]
async fn a_dead_endpoint_is_passed_over_for_any_method_with_its_body() {
    let world = World::start().await;
    let good = Endpoint::new(|mut wire| async move {
        while let Some(request) = wire.request().await {
            wire.answer(request.text()).await;
        }
    })
    .await;
    world.route("web.test", Endpoint::refusing().await).await;
    world.route("web.test", good.addr).await;
    for _ in 0..4 {
        let answer =
            world.ask("POST / HTTP/1.1\r\nHost: web.test\r\nContent-Length: 4\r\n\r\nbody").await;
        assert_eq!((answer.status, answer.text()), (200, "body"));
    }
    assert_eq!(world.router.totals().retries, 1, "the dead one is marked and skipped");
}

#[tokio::test]
async fn no_more_than_three_endpoints_are_tried() {
    let world = World::start().await;
    for _ in 0..5 {
        world.route("web.test", Endpoint::refusing().await).await;
    }
    assert_eq!(world.get("web.test", "/").await.status, 502);
    let totals = world.router.totals();
    assert_eq!((totals.dials, totals.retries), (3, 2));
}

/// An endpoint that answers the first request of a connection and closes upon the second.
async fn tired_endpoint(requests: Arc<AtomicUsize>) -> Endpoint {
    Endpoint::new(move |mut wire| {
        let requests = requests.clone();
        async move {
            wire.request().await;
            requests.fetch_add(1, Ordering::Relaxed);
            wire.answer("x").await;
            if wire.request().await.is_some() {
                requests.fetch_add(1, Ordering::Relaxed);
            }
            wire.reset();
        }
    })
    .await
}

#[tokio::test]
async fn a_get_survives_a_kept_connection_that_dies_and_a_post_is_never_sent_twice() {
    for (second, expected, seen) in [
        ("GET / HTTP/1.1\r\nHost: web.test\r\n\r\n", 200, 3),
        ("POST / HTTP/1.1\r\nHost: web.test\r\nContent-Length: 1\r\n\r\nx", 502, 2),
        ("POST / HTTP/1.1\r\nHost: web.test\r\nContent-Length: 0\r\n\r\n", 502, 2),
    ] {
        let requests = Arc::new(AtomicUsize::new(0));
        let world = World::with(|config| config.workers = 1).await;
        let endpoint = tired_endpoint(requests.clone()).await;
        world.route("web.test", endpoint.addr).await;
        let mut client = world.client().await;
        client.send("GET / HTTP/1.1\r\nHost: web.test\r\n\r\n").await;
        assert_eq!(client.response().await.status, 200);
        client.send(second).await;
        assert_eq!(client.response().await.status, expected, "{second}");
        assert_eq!(requests.load(Ordering::Relaxed), seen, "{second}");
    }
}

#[tokio::test]
async fn a_kept_connection_closed_by_the_endpoint_is_not_used_even_for_a_post() {
    let world = World::with(|config| config.workers = 1).await;
    let endpoint = Endpoint::new(|mut wire| async move {
        wire.request().await;
        wire.answer("x").await;
    })
    .await;
    world.route("web.test", endpoint.addr).await;
    let mut client = world.client().await;
    for _ in 0..20 {
        client.send("POST / HTTP/1.1\r\nHost: web.test\r\nContent-Length: 2\r\n\r\nhi").await;
        assert_eq!(client.response().await.status, 200);
        // The endpoint's close travels while the client thinks.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn a_second_answer_behind_the_first_reaches_nobody() {
    let world = World::with(|config| config.workers = 1).await;
    let (go, sent) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let script = (go.clone(), sent.clone());
    let endpoint = Endpoint::new(move |mut wire| {
        let (go, sent) = script.clone();
        async move {
            while wire.request().await.is_some() {
                wire.answer("mine").await;
                go.notified().await;
                wire.answer("stray").await;
                sent.notify_one();
            }
        }
    })
    .await;
    world.route("web.test", endpoint.addr).await;
    let mut client = world.client().await;
    for _ in 0..20 {
        client.send("GET / HTTP/1.1\r\nHost: web.test\r\n\r\n").await;
        assert_eq!(client.response().await.text(), "mine");
        go.notify_one();
        sent.notified().await;
    }
    assert_eq!(endpoint.connections(), 20, "none is used again");
}

#[tokio::test]
async fn an_answer_that_is_not_http_or_none_at_all_is_the_endpoints_fault() {
    for (answer, error) in [
        ("garbage\r\n\r\n", "endpoint_failure (not a valid answer: "),
        ("", "endpoint_failure (EOF)"),
        ("HTTP/1.1 200 OK\r\n", "endpoint_failure (unexpected EOF)"),
    ] {
        let world = World::start().await;
        let endpoint = Endpoint::new(move |mut wire| async move {
            wire.request().await;
            wire.send(answer).await;
        })
        .await;
        world.route("web.test", endpoint.addr).await;
        let got = world.get("web.test", "/").await;
        assert_eq!(got.status, 502);
        let told = got.header("x-cf-routererror").unwrap();
        assert!(told.starts_with(error), "{told}");
    }
}

#[tokio::test]
async fn an_endpoint_that_never_answers_is_given_up() {
    let world = World::with(|config| {
        config.limits.endpoint_timeout = Duration::from_millis(50);
    })
    .await;
    let endpoint = Endpoint::new(|mut wire| async move {
        wire.rest().await;
    })
    .await;
    world.route("web.test", endpoint.addr).await;
    let answer = world.get("web.test", "/").await;
    assert_eq!(answer.status, 502);
    let error = answer.header("x-cf-routererror").unwrap();
    assert_eq!(error, "endpoint_failure (context deadline exceeded)");
}

#[tokio::test]
async fn each_endpoint_has_its_own_time() {
    let world = World::with(|config| {
        config.limits.endpoint_timeout = Duration::from_secs(3);
    })
    .await;
    let asked = Arc::new(AtomicUsize::new(0));
    let mut endpoints = Vec::new();
    for _ in 0..2 {
        let asked = asked.clone();
        let endpoint = Endpoint::new(move |mut wire| {
            let asked = asked.clone();
            async move {
                wire.request().await;
                // The pace is the point: both together take longer than the limit.
                tokio::time::sleep(Duration::from_secs(2)).await;
                if asked.fetch_add(1, Ordering::Relaxed) > 0 {
                    wire.answer("second").await;
                }
            }
        })
        .await;
        world.route("web.test", endpoint.addr).await;
        endpoints.push(endpoint);
    }
    assert_eq!(world.get("web.test", "/").await.text(), "second");
}

#[tokio::test]
async fn a_long_answer_is_not_a_slow_endpoint() {
    let world = World::with(|config| {
        config.limits.endpoint_timeout = Duration::from_secs(2);
    })
    .await;
    let endpoint = Endpoint::new(|mut wire| async move {
        wire.request().await;
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n").await;
        for _ in 0..12 {
            // The pace is the point: more than the limit in all.
            tokio::time::sleep(Duration::from_millis(250)).await;
            wire.send("x").await;
        }
    })
    .await;
    world.route("web.test", endpoint.addr).await;
    assert_eq!(world.get("web.test", "/").await.text(), "xxxxxxxxxxxx");
}

#[tokio::test]
async fn what_cannot_be_asked_twice_goes_on_no_connection_that_has_rested() {
    let world = World::with(|config| {
        config.workers = 1;
        config.limits.endpoint_rest = Duration::ZERO;
    })
    .await;
    // Each connection takes one request, and is closed as the second one comes.
    let endpoint = Endpoint::new(|mut wire| async move {
        wire.request().await;
        wire.answer("ok").await;
        wire.request().await;
    })
    .await;
    world.route("web.test", endpoint.addr).await;
    let bare = "POST / HTTP/1.1\r\nHost: web.test\r\nContent-Length: 0\r\n\r\n";
    let body = "PUT / HTTP/1.1\r\nHost: web.test\r\nContent-Length: 1\r\n\r\nx";
    for (nth, asks) in [bare, body, bare].into_iter().enumerate() {
        assert_eq!(world.ask(asks).await.text(), "ok");
        assert_eq!(endpoint.connections(), nth + 1);
    }
    // What can be asked twice is.
    assert_eq!(world.get("web.test", "/").await.text(), "ok");
    assert_eq!(endpoint.connections(), 4);
}

#[tokio::test]
async fn a_slow_upload_is_not_a_slow_endpoint() {
    let world = World::with(|config| {
        config.limits.endpoint_timeout = Duration::from_millis(400);
    })
    .await;
    let endpoint = Endpoint::new(|mut wire| async move {
        wire.request().await;
        wire.answer("thanks").await;
    })
    .await;
    world.route("web.test", endpoint.addr).await;
    let mut client = world.client().await;
    client.send("POST / HTTP/1.1\r\nHost: web.test\r\nContent-Length: 10\r\n\r\n").await;
    for _ in 0..10 {
        // The pace is the point: longer than the limit in all, shorter between bytes.
        tokio::time::sleep(Duration::from_millis(80)).await;
        client.send("x").await;
    }
    assert_eq!(client.response().await.text(), "thanks");
}

#[tokio::test]
async fn an_answer_head_beyond_the_limit_is_refused() {
    let world = World::start().await;
    let endpoint = Endpoint::new(|mut wire| async move {
        wire.request().await;
        let lines = "X-A: b\r\n".repeat(200);
        let _ = wire.try_send(format!("HTTP/1.1 200 OK\r\n{lines}\r\n")).await;
    })
    .await;
    world.route("web.test", endpoint.addr).await;
    let answer = world.get("web.test", "/").await;
    let error = answer.header("x-cf-routererror");
    let expected = Some("endpoint_failure (Too many response headers)");
    assert_eq!((answer.status, error.as_deref()), (502, expected));
}

#[tokio::test]
async fn lines_show_what_was_asked_for_and_hide_what_was_not() {
    use lattice_router::{ExtraField, LineRules};
    let rules = LineRules {
        extra: vec![
            ExtraField::FailedAttempts,
            ExtraField::FailedAttemptsTime,
            ExtraField::BackendTime,
            ExtraField::DialTime,
            ExtraField::TlsTime,
            ExtraField::LocalAddress,
        ],
        headers: vec!["X-Tenant".to_owned(), "X-CF-InstanceIndex".to_owned(), "X-None".to_owned()],
        hides_forwarded_for: true,
        hides_client: true,
        query: lattice_router::Query::Hidden,
    };
    let mut world = World::with(|config| config.line_rules = rules).await;
    let good = Endpoint::saying("ok").await;
    world.route("web.test", Endpoint::refusing().await).await;
    world.route("web.test", good.addr).await;
    let mut failed = 0;
    for _ in 0..2 {
        let request = "GET /a?secret HTTP/1.1\r\nHost: web.test\r\nX-Tenant: blue\r\n\r\n";
        assert_eq!(world.ask(request).await.status, 200);
        let line = world.line().await;
        assert!(line.contains("\"GET /a HTTP/1.1\"") && !line.contains("secret"), "{line}");
        assert!(line.contains(" \"-\" \"-\" \"-\" \"127.0.0.1:"), "no client: {line}");
        assert!(line.contains(" x_forwarded_for:\"-\" "), "{line}");
        assert!(line.contains(" gorouter_time:0.0"), "{line}");
        assert!(line.contains(" backend_time:0.0") && line.contains(" tls_time:\"-\" "), "{line}");
        let (_, local) = line.split_once(" local_address:\"").unwrap();
        let (local, _) = local.split_once('"').unwrap();
        let local: std::net::SocketAddr = local.parse().unwrap();
        assert!(![world.addr, good.addr].contains(&local), "an end of its own: {line}");
        assert!(
            line.ends_with(" x_tenant:\"blue\" x_cf_instanceindex:\"0\" x_none:\"-\""),
            "{line}"
        );
        failed += usize::from(line.contains(" failed_attempts:1 failed_attempts_time:0.0"));
    }
    assert_eq!(failed, 1, "the one that refuses is tried once, and marked");
    let request = "GET / HTTP/1.1\r\nHost: gone.test\r\n\r\n";
    world.route("gone.test", Endpoint::refusing().await).await;
    assert_eq!(world.ask(request).await.status, 502);
    let line = world.line().await;
    for expected in [
        " failed_attempts:1 failed_attempts_time:0.0",
        " backend_time:\"-\" ",
        " local_address:\"-\" ",
    ] {
        assert!(line.contains(expected), "{expected}: {line}");
    }
}

#[tokio::test]
async fn what_is_not_there_may_be_shown_on_a_page() {
    let template =
        "<h1>{{.Status}} {{.StatusText}}</h1>{{.Message}} {{.Header.Get \"X-Cf-RouterError\"}}";
    let world = World::with(|config| {
        config.error_page = Some(ErrorPage::parse(template).unwrap());
    })
    .await;
    world.route("dead.test", Endpoint::refusing().await).await;
    let answer = world.get("no<b>ody.test", "/").await;
    assert_eq!(answer.status, 400, "what is malformed is told in one line");
    let answer = world.get("nobody.test", "/").await;
    assert_eq!(
        answer.text(),
        "<h1>404 Not Found</h1>Requested route (&#39;nobody.test&#39;) does not exist. unknown_route"
    );
    assert_eq!(answer.header("content-type").as_deref(), Some("text/html; charset=utf-8"));
    assert_eq!(answer.header("x-content-type-options").as_deref(), Some("nosniff"));
    let length = answer.text().len().to_string();
    assert_eq!(answer.header("content-length"), Some(length));
    let answer = world.get("dead.test", "/").await;
    assert!(answer.text().starts_with("502 Bad Gateway: "), "an endpoint's fault is not");
}
