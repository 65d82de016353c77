//! What is counted, and what lines say of it.

use lattice_router::Query;

use crate::support::{Endpoint, World, eventually, registration};

#[tokio::test]
async fn the_requests_of_each_app_are_measured_where_that_is_asked_for() {
    let world = World::with(|config| config.measures_apps = true).await;
    let endpoint = Endpoint::saying("ok").await;
    for (uri, source_id) in
        [("a.test", "app-a"), ("b.test", "app-a"), ("c.test", "app-c"), ("d.test", "")]
    {
        let mut told = registration(uri, endpoint.addr);
        told.tags.insert("source_id".to_owned(), source_id.to_owned());
        world.register(&told).await;
    }
    for host in ["a.test", "b.test", "b.test", "c.test", "d.test", "none.test"] {
        world.get(host, "/").await;
    }
    let counted = || {
        let apps = world.router.apps();
        apps.iter().map(|(name, times)| (name.to_string(), times.count())).collect::<Vec<_>>()
    };
    let expected = [("app-a", 3), ("app-c", 1), ("gorouter", 2)];
    eventually("they are", || counted().iter().map(|(name, n)| (name.as_str(), *n)).eq(expected))
        .await;
    let plain = World::start().await;
    plain.get("none.test", "/").await;
    assert!(plain.router.apps().is_empty(), "nobody asked");
}

#[tokio::test]
async fn lines_hash_queries_and_tell_semicolons() {
    let mut world = World::with(|config| config.line_rules.query = Query::Hashed).await;
    let endpoint = Endpoint::saying("ok").await;
    world.route("web.test", endpoint.addr).await;
    for (method, target, shown, error) in [
        ("GET", "/a?abc", "/a?hash=a9993e364706816aba3e25717850c26c9cd0d89d", "-"),
        ("GET", "/a", "/a", "-"),
        ("DELETE", "/a?abc", "/a?abc", "-"),
        ("DELETE", "/a;b?c", "/a;b?c", "deprecated-semicolon-params"),
        ("DELETE", "/a?b;c", "/a?b;c", "deprecated-semicolon-params"),
    ] {
        let request = format!("{method} {target} HTTP/1.1\r\nHost: web.test\r\n\r\n");
        assert_eq!(world.ask(&request).await.status, 200);
        let line = world.line().await;
        assert!(line.contains(&format!("\"{method} {shown} HTTP/1.1\"")), "{line}");
        assert!(line.contains(&format!("x_cf_routererror:\"{error}\"")), "{line}");
    }
}

#[tokio::test]
async fn a_content_length_that_says_nothing_is_none_and_is_counted() {
    let world = World::start().await;
    let endpoint = Endpoint::echoing_heads().await;
    world.route("web.test", endpoint.addr).await;
    let mut client = world.client().await;
    for _ in 0..2 {
        client.send("POST / HTTP/1.1\r\nHost: web.test\r\nContent-Length:\r\n\r\n").await;
        let answer = client.response().await;
        assert_eq!(answer.status, 200);
        assert!(!answer.text().contains("Content-Length"), "{}", answer.text());
    }
    assert_eq!(world.router.totals().empty_lengths, 2);
}
