//! What is counted, and what lines say of it.

use lattice_router::{AccessLines, Query, records};

use crate::support::{Endpoint, PATIENCE, World, eventually, registration};

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

#[tokio::test]
async fn a_writer_is_told_of_requests_themselves_where_it_wants_to_know() {
    let (way, mut written) = records::channel(true);
    let world = World::with(|config| {
        config.lines = AccessLines::All;
        config.records = Some(way);
    })
    .await;
    let endpoint = Endpoint::saying("ok").await;
    let mut told = registration("web.test", endpoint.addr);
    told.tags.insert("component".to_owned(), "web".to_owned());
    world.register(&told).await;
    let request = "PUT /a?b HTTP/1.1\r\nHost: web.test\r\nUser-Agent: me\r\n\r\n";
    assert_eq!(world.ask(request).await.status, 200);
    let mut next = async || {
        tokio::time::timeout(PATIENCE, written.records.recv())
            .await
            .expect("a line")
            .expect("it runs")
    };
    let record = next().await;
    assert_eq!(record.facts.unwrap().tags.get("component"), Some("web"));
    assert!(record.short.is_none());
    let served = record.served.unwrap();
    let said = (&*served.method, &*served.uri, &*served.user_agent, &*served.forwarded_for);
    assert_eq!(said, ("PUT", "http://web.test/a", "me", "127.0.0.1"));
    assert_eq!((served.status, served.sent, &*served.instance_id), (200, 2, "guid-0"));
    assert!(served.began <= served.asked.unwrap());
    assert_eq!(world.get("nobody.test", "/").await.status, 404);
    let record = next().await;
    let served = record.served.unwrap();
    assert_eq!((served.status, served.asked, record.facts), (404, None, None));
}
