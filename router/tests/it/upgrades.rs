//! WebSocket and other upgrades.

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
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
