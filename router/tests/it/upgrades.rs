//! WebSocket and other upgrades.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Endpoint, World, eventually};

async fn websocket_echo() -> Endpoint {
    Endpoint::new(|wire| async move {
        let mut socket = tokio_tungstenite::accept_async(wire.into_stream()).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            if message.is_close() || socket.send(message).await.is_err() {
                break;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_websocket_echoes_through_the_router() {
    let mut world = World::start().await;
    let endpoint = websocket_echo().await;
    world.route("web.test", endpoint.addr).await;
    let stream = tokio::net::TcpStream::connect(world.addr).await.unwrap();
    let (mut socket, response) =
        tokio_tungstenite::client_async("ws://web.test/chat", stream).await.unwrap();
    assert_eq!(response.headers()["x-vcap-request-id"].len(), 36);
    for n in [0, 1, 70_000, 500_000] {
        let message = Message::binary(vec![7u8; n]);
        socket.send(message.clone()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), message);
    }
    assert_eq!(world.router.totals().upgrades, 1);
    assert!(world.has_no_line(), "the line is written at the end");
    socket.close(None).await.unwrap();
    while socket.next().await.is_some() {}
    drop(socket);
    let line = world.line().await;
    assert!(line.contains("\"GET /chat HTTP/1.1\" 101 "), "{line}");
    eventually("the connection is let go", || world.router.totals().connections == 0).await;
}

#[tokio::test]
async fn any_protocol_may_follow_a_101_and_each_side_may_end_first() {
    let world = World::start().await;
    let endpoint = Endpoint::new(|mut wire| async move {
        let head = wire.head().await.unwrap();
        assert!(head.contains("Connection: upgrade") && head.contains("Upgrade: chat/1"), "{head}");
        let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: chat/1\r\n";
        wire.send(format!("{head}\r\nearly")).await;
        let mut stream = wire.into_stream();
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await.unwrap();
        stream.write_all(&heard).await.unwrap();
    })
    .await;
    world.route("web.test", endpoint.addr).await;
    let mut client = world.client().await;
    client
        .send("GET / HTTP/1.1\r\nHost: web.test\r\nConnection: Upgrade\r\nUpgrade: chat/1\r\n\r\n")
        .await;
    let head = client.head().await.unwrap().to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101") && head.contains("upgrade: chat/1"), "{head}");
    assert_eq!(client.take(5).await, b"early");
    // Not HTTP, and full of what would be refused in HTTP.
    client.send("\n\n\0\r GET / HTTP/1.1\n").await;
    let mut stream = client.into_stream();
    stream.shutdown().await.unwrap();
    let mut echoed = Vec::new();
    stream.read_to_end(&mut echoed).await.unwrap();
    assert_eq!(echoed, b"\n\n\0\r GET / HTTP/1.1\n");
}

#[tokio::test]
async fn an_answer_other_than_101_passes_as_it_is() {
    let world = World::start().await;
    let endpoint = Endpoint::new(|mut wire| async move {
        wire.head().await;
        wire.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").await;
    })
    .await;
    world.route("web.test", endpoint.addr).await;
    let request =
        "GET / HTTP/1.1\r\nHost: web.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let answer = world.ask(request).await;
    assert_eq!((answer.status, answer.text()), (403, "no"));
}

#[tokio::test]
async fn a_101_that_nobody_asked_for_is_the_endpoints_fault() {
    let world = World::start().await;
    let endpoint = Endpoint::new(|mut wire| async move {
        wire.head().await;
        wire.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n").await;
        wire.rest().await;
    })
    .await;
    world.route("web.test", endpoint.addr).await;
    assert_eq!(world.get("web.test", "/").await.status, 502);
}

#[tokio::test]
async fn a_101_before_the_requests_end_is_the_endpoints_fault() {
    let world = World::start().await;
    let endpoint = Endpoint::new(|mut wire| async move {
        wire.head().await;
        wire.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nsecret").await;
        wire.rest().await;
    })
    .await;
    world.route("web.test", endpoint.addr).await;
    for half in ["Content-Length: 10\r\n\r\nhalf", "Transfer-Encoding: chunked\r\n\r\n5\r\nha"] {
        let mut client = world.client().await;
        let upgrade = "Host: web.test\r\nConnection: Upgrade\r\nUpgrade: x";
        client.send(format!("POST / HTTP/1.1\r\n{upgrade}\r\n{half}")).await;
        let answer = client.response().await;
        assert_eq!(answer.status, 502, "{half}");
        assert!(!answer.text().contains("secret"), "{half}");
        assert!(client.is_closed().await, "{half}");
    }
    assert_eq!(world.router.totals().upgrades, 0);
}

/// A plain request that is asked for later has run out of time before the upgrade is answered.
#[tokio::test]
async fn an_upgrade_may_take_longer_than_an_endpoints_answer() {
    let world = World::with(|config| {
        config.workers = 1;
        config.limits.endpoint_timeout = Duration::from_millis(200);
    })
    .await;
    let late = Arc::new(Notify::new());
    let answers = late.clone();
    let endpoint = Endpoint::new(move |mut wire| {
        let answers = answers.clone();
        async move {
            let head = wire.head().await.unwrap();
            if head.contains("Upgrade") {
                answers.notified().await;
                wire.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nhi").await;
            }
            wire.rest().await;
        }
    })
    .await;
    world.route("web.test", endpoint.addr).await;
    let mut client = world.client().await;
    client
        .send("GET / HTTP/1.1\r\nHost: web.test\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
        .await;
    eventually("the endpoint is asked", || endpoint.connections() == 1).await;
    assert_eq!(world.get("web.test", "/").await.status, 502);
    late.notify_one();
    let head = client.head().await.unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(client.take(2).await, b"hi");
}
