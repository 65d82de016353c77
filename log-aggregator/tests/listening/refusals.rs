//! Who is not let in, and what is not there.

use lattice_api::log_aggregator::{LogError, LogReader as _};
use lattice_daemon::credentials::Admin;
use lattice_log_aggregator::Limits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::cluster::{self, Cluster, line};

const GOOD: &str = "Authorization: Basic dTpw";

async fn guarded() -> Cluster {
    let admin = Admin { username: "u".into(), password: "p".into() };
    Cluster::start_with(Limits::default(), Some(admin)).await
}

#[tokio::test]
async fn every_path_is_behind_the_gate() {
    let cluster = guarded().await;
    let paths = [
        "/apps/web/stream",
        "/apps/web/recentlogs",
        "/apps/web/containermetrics",
        "/firehose/x",
        "/",
        "/nothing",
    ];
    for path in paths {
        for headers in [
            &[][..],
            &["Authorization:"],
            &["Authorization: Basic dTpx"],
            &["Cookie: authorization=Basic%20dTpx"],
            &["Authorization: Basic dTpx", "Cookie: authorization=Basic%20dTpw"],
        ] {
            let answer = cluster.get(path, headers).await;
            assert!(answer.starts_with("HTTP/1.1 401 "), "{path} {headers:?}: {answer}");
            assert!(answer.contains("\r\nwww-authenticate: Basic\r\n"), "{answer}");
            assert!(answer.contains("\r\n\r\nYou are not authorized. "), "{answer}");
        }
    }
}

#[tokio::test]
async fn the_right_credentials_pass_in_either_place() {
    let cluster = guarded().await;
    for headers in [
        &[GOOD][..],
        &["Cookie: authorization=Basic%20dTpw"],
        &["Authorization:", "Cookie: authorization=\"Basic dTpw\""],
        &[GOOD, "Cookie: authorization=nonsense"],
        &[GOOD, "Origin: http://localhost"],
        &[GOOD, "Origin: http://d"],
    ] {
        let answer = cluster.get("/apps/web/recentlogs", headers).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{headers:?}: {answer}");
        assert!(
            answer.contains("\r\ncontent-type: multipart/x-protobuf; boundary="),
            "{headers:?}: {answer}"
        );
    }
}

#[tokio::test]
async fn a_page_of_another_origin_is_refused() {
    let cluster = guarded().await;
    for origin in ["http://evil.example", "null", "http://localhost.evil.example"] {
        let origin = format!("Origin: {origin}");
        let answer = cluster.get("/apps/web/stream", &[GOOD, &origin]).await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{origin}: {answer}");
    }
}

#[tokio::test]
async fn a_client_is_told_that_its_credentials_are_wrong() {
    let cluster = guarded().await;
    let mut stream = cluster.client_as(Some(("u", "p"))).stream("web").await.unwrap();
    cluster.emit(line("web", "hi")).await;
    assert_eq!(cluster::next(&mut stream).await, line("web", "hi"));
    for credentials in [None, Some(("u", "x")), Some(("x", "p"))] {
        let client = cluster.client_as(credentials);
        for told in [
            client.stream("web").await.err().unwrap(),
            client.recent("web").await.unwrap_err(),
            client.container_metrics("web").await.unwrap_err(),
        ] {
            let LogError::Unauthorized(text) = &told else { panic!("{told}") };
            assert!(text.starts_with("You are not authorized. "), "{text}");
        }
    }
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let cluster = Cluster::start().await;
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/apps"),
        ("GET", "/apps/web"),
        ("GET", "/apps/web/other"),
        ("GET", "/apps/a/b/stream"),
        ("GET", "/firehose/"),
        ("POST", "/apps/web/recentlogs"),
        ("GET", "/%00%ff"),
    ] {
        let answer = cluster.request(method, path, &[]).await;
        assert!(answer.starts_with("HTTP/1.1 404 "), "{method} {path}: {answer}");
        assert!(answer.ends_with(&format!("\r\n\r\nResource Not Found. {path}")), "{answer}");
    }
}

#[tokio::test]
async fn nonsense_is_answered_and_breaks_nothing() {
    let cluster = Cluster::start().await;
    let long = "x".repeat(513);
    for (path, status) in [
        (format!("/apps/{long}/recentlogs"), 400),
        (format!("/apps/{long}/containermetrics"), 400),
        ("/apps/%ff/recentlogs".to_owned(), 400),
        ("/apps/web/stream".to_owned(), 400), // no upgrade
        ("/apps//recentlogs".to_owned(), 200),
        ("/apps/web/recentlogs?limit=-1".to_owned(), 400),
        ("/apps/..%2f..%2fetc/recentlogs".to_owned(), 200),
        ("/apps/%00/recentlogs".to_owned(), 200),
    ] {
        let answer = cluster.get(&path, &[]).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
    }
    for garbage in [&b"\0\0\0\0"[..], b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"] {
        let mut stream = cluster.connect().await;
        stream.write_all(garbage).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }
    assert!(cluster.client().recent("web").await.is_ok());
}
