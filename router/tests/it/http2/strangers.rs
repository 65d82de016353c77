//! Clients that others wrote: curl, nghttp and h2load, which `script/bootstrap` installs.

use std::process::Output;

use tokio::process::Command;

use super::world;
use crate::support::{Endpoint, PATIENCE, World};

/// A router with an endpoint that says what it was sent, and where its authority's certificate is.
async fn served() -> (World, Endpoint, tempfile::NamedTempFile) {
    let (world, authority) = world(|_| {}).await;
    let endpoint = Endpoint::new(|mut wire| async move {
        while let Some(head) = wire.head().await {
            let body = wire.framed_body(&head, false).await;
            wire.answer(&format!("{} bytes to {}", body.len(), head.lines().next().unwrap())).await;
        }
    })
    .await;
    world.route("web.test", endpoint.addr).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &authority.pem).unwrap();
    (world, endpoint, file)
}

async fn run(program: &str, args: &[&str]) -> Output {
    let running = Command::new(program).args(args).kill_on_drop(true).output();
    let output = tokio::time::timeout(PATIENCE, running).await.expect("it ends in time");
    output.unwrap_or_else(|error| panic!("{program}, which script/bootstrap installs: {error}"))
}

#[tokio::test]
async fn curl_gets_and_posts() {
    let (world, _endpoint, authority) = served().await;
    let port = world.addr.port();
    let (url, to) = (format!("https://web.test:{port}/a?b"), format!("web.test:{port}:127.0.0.1"));
    let body = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(body.path(), "x".repeat(500_000)).unwrap();
    let upload = format!("@{}", body.path().display());
    for (version, more, expected) in [
        ("--http2", vec![], "0 bytes to GET /a?b HTTP/1.1 200 2"),
        ("--http2", vec!["--data-binary", &upload], "500000 bytes to POST /a?b HTTP/1.1 200 2"),
        ("--http1.1", vec![], "0 bytes to GET /a?b HTTP/1.1 200 1.1"),
    ] {
        let said = " %{http_code} %{http_version}";
        let ca = authority.path().to_str().unwrap();
        let args = ["-sS", version, "--cacert", ca, "--resolve", &to, "-w", said, &url];
        let output = run("curl", &[&args, more.as_slice()].concat()).await;
        let (told, error) = (output.stdout, String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8(told).unwrap(), expected, "{version} {more:?} {error}");
    }
}

#[tokio::test]
async fn nghttp_gets_many_at_once() {
    let (world, _endpoint, _) = served().await;
    let url = format!("https://{}/", world.addr);
    let args = ["-nv", "-m", "20", "-H:authority: web.test", "--no-verify-peer", &url];
    let output = run("nghttp", &args).await;
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!(told.matches(":status: 200").count(), 20, "{told}");
    assert!(output.status.success());
}

#[tokio::test]
async fn h2load_finds_every_request_answered() {
    let (world, endpoint, _) = served().await;
    let url = format!("https://{}/", world.addr);
    let args = ["-n2000", "-c4", "-m50", "-t1", "-H:authority: web.test", &url];
    let output = run("h2load", &args).await;
    let told = String::from_utf8_lossy(&output.stdout);
    let all = "requests: 2000 total, 2000 started, 2000 done, 2000 succeeded, 0 failed, 0 errored";
    assert!(told.contains(all), "{told}");
    assert!(told.contains("Application protocol: h2"), "{told}");
    assert!(endpoint.connections() <= 200, "{}", endpoint.connections());
}
