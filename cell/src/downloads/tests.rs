use std::io::Read as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::routing::get;

use super::*;

struct Server {
    url: String,
    sent: Arc<AtomicUsize>,
}

/// Serves `/etag` with an ETag and honours it, and `/big`, which is 4 KiB.
async fn server() -> Server {
    lattice_daemon::install_crypto();
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    let with_etag = async move |headers: HeaderMap| {
        if headers.get("if-none-match").is_some_and(|etag| etag == "\"v1\"") {
            return StatusCode::NOT_MODIFIED.into_response();
        }
        counter.fetch_add(1, Ordering::Relaxed);
        ([("etag", "\"v1\"")], "archive").into_response()
    };
    let app =
        Router::new().route("/etag", get(with_etag)).route("/big", get(async || vec![0_u8; 4096]));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    Server { url, sent }
}

fn transfers(dir: &Path, limits: Limits) -> Arc<Transfers> {
    Transfers::new(dir.to_owned(), &limits).unwrap()
}

fn text(fetched: Fetched) -> String {
    let mut text = String::new();
    let mut file = fetched.file;
    file.read_to_string(&mut text).unwrap();
    text
}

fn archives(dir: &Path) -> usize {
    let names = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    names.filter(|path| path.extension().is_some_and(|e| e == "archive")).count()
}

#[test]
fn sizes_are_written_as_cloud_foundry_does() {
    for (bytes, expected) in [
        (0, "0"),
        (512, "512B"),
        (1024, "1K"),
        (1536, "1.5K"),
        (1_258_291, "1.2M"),
        (3 << 30, "3G"),
    ] {
        assert_eq!(byte_size(bytes), expected);
    }
}

#[tokio::test]
async fn a_cached_archive_is_sent_once_and_read_twice() {
    let (server, dir) = (server().await, tempfile::tempdir().unwrap());
    let transfers = transfers(dir.path(), Limits::default());
    let url = format!("{}/etag", server.url);
    for _ in 0..2 {
        let fetched = transfers.fetch(&url, "key").await.unwrap();
        assert_eq!((fetched.bytes, text(fetched).as_str()), (7, "archive"));
    }
    assert_eq!(server.sent.load(Ordering::Relaxed), 1);
    transfers.fetch(&url, "").await.unwrap();
    assert_eq!(server.sent.load(Ordering::Relaxed), 2, "without a key nothing is kept");
    assert_eq!(archives(dir.path()), 1);
}

#[tokio::test]
async fn the_cache_keeps_to_its_size() {
    let (server, dir) = (server().await, tempfile::tempdir().unwrap());
    let limits = Limits { download_cache_bytes_max: 15, ..Limits::default() };
    let transfers = transfers(dir.path(), limits);
    for key in ["a", "b", "c", "d"] {
        transfers.fetch(&format!("{}/etag", server.url), key).await.unwrap();
    }
    assert_eq!(archives(dir.path()), 2);
}

#[tokio::test]
async fn what_is_too_large_or_no_url_is_refused_without_telling_secrets() {
    let (server, dir) = (server().await, tempfile::tempdir().unwrap());
    let limits = Limits { download_bytes_max: 1024, ..Limits::default() };
    let transfers = transfers(dir.path(), limits);
    let big = format!("{}/big?token=secret", server.url);
    let too_large = transfers.fetch(&big, "").await.unwrap_err().to_string();
    let expected = format!("{}/big is larger than 1K, the most this cell transfers", server.url);
    assert_eq!(too_large, expected);
    let file = transfers.fetch("file:///etc/passwd", "").await.unwrap_err().to_string();
    assert_eq!(file, "'file:///etc/passwd' is not an http or https URL");
    let closed = "http://user:secret@127.0.0.1:1/x?token=secret";
    let refused = transfers.fetch(closed, "").await.unwrap_err().to_string();
    assert!(refused.starts_with("cannot transfer http://127.0.0.1:1/x: "), "{refused}");
    assert!(!refused.contains("secret"), "{refused}");
}
