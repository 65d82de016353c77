//! The PROXY protocol in front of connections: whom endpoints and access lines are told of.

use std::time::Duration;

use lattice_router::Config;

use crate::support::{Endpoint, World};

fn reading(config: &mut Config) {
    config.reads_preamble = true;
    // However busy the machine is, whoever says nothing yet is waited for.
    config.limits.proxy_header_timeout = Duration::from_secs(3600);
}

const GET: &str = "GET / HTTP/1.1\r\nHost: web.test\r\n\r\n";

#[tokio::test]
async fn endpoints_and_lines_are_told_of_whom_the_load_balancer_speaks_for() {
    let record = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x01\x02\x03\x04\x05\x06\x07\x08\0\x63\0\x50";
    let mut world = World::with(reading).await;
    let endpoint = Endpoint::echoing_heads().await;
    world.route("web.test", endpoint.addr).await;
    for (header, source) in [
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 99 80\r\n".as_slice(), "1.2.3.4:99"),
        (b"PROXY TCP6 ::1 ::2 99 80\r\n", "[::1]:99"),
        (record, "1.2.3.4:99"),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1:"),
        (b"", "127.0.0.1:"),
    ] {
        let mut client = world.client().await;
        client.send([header, GET.as_bytes()].concat()).await;
        let answer = client.response().await;
        let ip = source.rsplit_once(':').unwrap().0.trim_matches(['[', ']']);
        let told = format!("X-Forwarded-For: {ip}\r\n");
        assert!(answer.text().contains(&told), "{source}: {}", answer.text());
        client.send(GET).await;
        assert_eq!(client.response().await.status, 200, "the next request has no header");
        for _ in 0..2 {
            let line = world.line().await;
            assert!(line.contains(&format!("\"{source}")), "{line}");
        }
    }
}

#[tokio::test]
async fn a_header_in_pieces_is_read_and_one_that_makes_no_sense_ends_the_connection() {
    let world = World::with(reading).await;
    let endpoint = Endpoint::echoing_heads().await;
    world.route("web.test", endpoint.addr).await;
    let mut client = world.client().await;
    client.send("PROXY TCP4 1.2.3.4").await;
    client.send(" 5.6.7.8 99 80\r\nGET / HTT").await;
    client.send("P/1.1\r\nHost: web.test\r\n\r\n").await;
    assert!(client.response().await.text().contains("X-Forwarded-For: 1.2.3.4\r\n"));
    let mut client = world.client().await;
    client.send("PROXY TCP4 nonsense\r\n").await;
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn who_says_it_too_late_has_sent_a_malformed_request() {
    let world = World::with(|config| {
        reading(config);
        config.limits.proxy_header_timeout = Duration::from_millis(10);
    })
    .await;
    let mut client = world.client().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    client.send(format!("PROXY TCP4 1.2.3.4 5.6.7.8 99 80\r\n{GET}")).await;
    assert_eq!(client.response().await.status, 400);
}

#[tokio::test]
async fn where_nobody_may_say_it_a_header_is_a_malformed_request() {
    let world = World::start().await;
    let mut client = world.client().await;
    client.send(format!("PROXY TCP4 1.2.3.4 5.6.7.8 99 80\r\n{GET}")).await;
    assert_eq!(client.response().await.status, 400);
}
