use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::routing::get;

use super::cache::etag_path;
use super::*;
use crate::testing::{Gate, eventually};

struct Server {
    url: String,
    sent: Arc<AtomicUsize>,
}

/// Serves `/etag` with an ETag and honours it, `/big`, which is 4 KiB, and `/endless`, which drips.
async fn server() -> Server {
    lattice_daemon::install_crypto();
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    let with_etag = async move |headers: HeaderMap| {
        if headers.get("if-none-match").is_some_and(|etag| etag == "\"v1\"") {
            return StatusCode::NOT_MODIFIED.into_response();
        }
        counter.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(20)).await;
        ([("etag", "\"v1\"")], "archive").into_response()
    };
    let drips = async || {
        let drip = futures_util::stream::unfold((), async |()| {
            tokio::time::sleep(Duration::from_millis(10)).await;
            Some((Ok::<_, io::Error>("drip"), ()))
        });
        axum::body::Body::from_stream(drip)
    };
    let app = Router::new()
        .route("/etag", get(with_etag))
        .route("/big", get(async || vec![0_u8; 4096]))
        .route("/endless", get(drips));
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
        let fetched = transfers.fetch(&url, "key", None).await.unwrap();
        assert_eq!((fetched.bytes, text(fetched).as_str()), (7, "archive"));
    }
    assert_eq!(server.sent.load(Ordering::Relaxed), 1);
    transfers.fetch(&url, "", None).await.unwrap();
    assert_eq!(server.sent.load(Ordering::Relaxed), 2, "without a key nothing is kept");
    assert_eq!(archives(dir.path()), 1);
}

#[tokio::test]
async fn many_who_want_the_same_wait_for_one_who_fetches_it() {
    let (server, dir) = (server().await, tempfile::tempdir().unwrap());
    let transfers = transfers(dir.path(), Limits::default());
    let url = format!("{}/etag", server.url);
    let fetches = (0..8).map(|_| transfers.fetch(&url, "key", None));
    for fetched in futures_util::future::join_all(fetches).await {
        assert_eq!(text(fetched.unwrap()), "archive");
    }
    assert_eq!(server.sent.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_transfer_that_never_ends_is_ended() {
    let (server, dir) = (server().await, tempfile::tempdir().unwrap());
    let limits = Limits { transfer_timeout: Duration::from_millis(200), ..Limits::default() };
    let transfers = transfers(dir.path(), limits);
    let error = transfers.fetch(&format!("{}/endless", server.url), "key", None).await.unwrap_err();
    assert!(error.to_string().ends_with("it took longer than 0.2 s"), "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn an_archive_that_a_crash_left_without_its_etag_is_fetched_anew() {
    let (server, dir) = (server().await, tempfile::tempdir().unwrap());
    let transfers = transfers(dir.path(), Limits::default());
    let url = format!("{}/etag", server.url);
    transfers.fetch(&url, "key", None).await.unwrap();
    let kept = transfers.cache.place("key", &Url::parse(&url).unwrap());
    std::fs::remove_file(etag_path(&kept)).unwrap();
    std::fs::write(&kept, "half of another").unwrap();
    assert_eq!(text(transfers.fetch(&url, "key", None).await.unwrap()), "archive");
    assert_eq!(server.sent.load(Ordering::Relaxed), 2);
}

#[test]
fn an_etag_never_outlives_its_archive() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::new(dir.path().to_owned(), 10);
    let put = |name: &str, etag: &str| {
        let (partial, mut file) = cache.begin().unwrap();
        file.write_all(b"12345678").unwrap();
        let kept = dir.path().join(name);
        (cache.put(partial, &kept, etag), kept)
    };
    let (outcome, a) = put("a.archive", "1");
    outcome.unwrap();
    // The second archive cannot take its place: the first one's ETag is gone all the same.
    std::fs::remove_file(&a).unwrap();
    std::fs::create_dir(&a).unwrap();
    assert!(put("a.archive", "2").0.is_err());
    assert!(!etag_path(&a).exists());
    // What cannot be removed does not keep anybody from removing the rest.
    std::fs::write(a.join("x"), "x").unwrap();
    let (_, b) = put("b.archive", "1");
    let (_, c) = put("c.archive", "1");
    std::fs::remove_file(etag_path(&b)).unwrap();
    cache.make_room(&c);
    assert!(a.exists() && !b.exists() && c.exists());
}

#[tokio::test]
async fn the_cache_keeps_to_its_size() {
    let (server, dir) = (server().await, tempfile::tempdir().unwrap());
    let limits = Limits { download_cache_bytes_max: 15, ..Limits::default() };
    let transfers = transfers(dir.path(), limits);
    for key in ["a", "b", "c", "d"] {
        transfers.fetch(&format!("{}/etag", server.url), key, None).await.unwrap();
    }
    assert_eq!(archives(dir.path()), 2);
}

#[tokio::test]
async fn what_is_too_large_or_no_url_is_refused_without_telling_secrets() {
    let (server, dir) = (server().await, tempfile::tempdir().unwrap());
    let limits = Limits { download_bytes_max: 1024, ..Limits::default() };
    let transfers = transfers(dir.path(), limits);
    let big = format!("{}/big?token=secret", server.url);
    let too_large = transfers.fetch(&big, "", None).await.unwrap_err().to_string();
    let expected = format!("{}/big is larger than 1K, the most this cell transfers", server.url);
    assert_eq!(too_large, expected);
    let file = transfers.fetch("file:///etc/passwd", "", None).await.unwrap_err().to_string();
    assert_eq!(file, "'file:///etc/passwd' is not an http or https URL");
    let closed = "http://user:secret@127.0.0.1:1/x?token=secret";
    let refused = transfers.fetch(closed, "", None).await.unwrap_err().to_string();
    assert!(refused.starts_with("cannot transfer http://127.0.0.1:1/x: "), "{refused}");
    assert!(!refused.contains("secret"), "{refused}");
}

/// Serves `/cut`, whose first answers break off in their middle.
async fn cut(breaks: usize, etag: &'static str) -> (String, Arc<std::sync::Mutex<Vec<String>>>) {
    lattice_daemon::install_crypto();
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (log, left) = (Arc::clone(&asked), Arc::new(AtomicUsize::new(breaks)));
    let answer = async move |headers: HeaderMap| {
        let range = headers.get("range").and_then(|v| v.to_str().ok()).unwrap_or("-").to_owned();
        log.lock().unwrap().push(range.clone());
        let from: usize = range
            .strip_prefix("bytes=")
            .and_then(|r| r.strip_suffix('-'))
            .map_or(0, |from| from.parse().unwrap());
        let rest = vec![b'x'; 100_000 - from];
        let is_cut = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        let parts: Vec<Result<Vec<u8>, io::Error>> = match is_cut {
            Ok(_) => vec![Ok(rest[..rest.len() / 2].to_vec()), Err(io::Error::other("cut"))],
            Err(_) => vec![Ok(rest)],
        };
        let parts = futures_util::stream::iter(parts);
        let parts = futures_util::StreamExt::then(parts, |part| async {
            // The first half has to leave before the connection breaks.
            tokio::time::sleep(Duration::from_millis(20)).await;
            part
        });
        let mut response = axum::body::Body::from_stream(parts).into_response();
        if !etag.is_empty() {
            response.headers_mut().insert("etag", etag.parse().unwrap());
        }
        if from > 0 {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let range = format!("bytes {from}-99999/100000").parse().unwrap();
            response.headers_mut().insert("content-range", range);
        }
        response
    };
    let app = Router::new().route("/cut", get(answer));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/cut", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, asked)
}

#[tokio::test]
async fn a_download_that_breaks_off_goes_on_where_it_broke_and_else_from_its_beginning() {
    for (etag, expected) in [("\"v1\"", vec!["-", "bytes=50000-"]), ("", vec!["-", "-"])] {
        let (url, asked) = cut(1, etag).await;
        let dir = tempfile::tempdir().unwrap();
        let fetched =
            transfers(dir.path(), Limits::default()).fetch(&url, "k", None).await.unwrap();
        assert_eq!((fetched.bytes, text(fetched).len()), (100_000, 100_000));
        assert_eq!(*asked.lock().unwrap(), expected);
    }
}

#[tokio::test]
async fn what_is_not_as_expected_is_refused_and_not_kept() {
    let checksum = |value: &str| {
        let (checksum_algorithm, checksum_value) = ("md5".to_owned(), value.to_owned());
        let download = lattice_model::action::Download {
            checksum_algorithm,
            checksum_value,
            ..Default::default()
        };
        Checksum::of(&download).unwrap()
    };
    let (server, dir) = (server().await, tempfile::tempdir().unwrap());
    let transfers = transfers(dir.path(), Limits::default());
    let url = format!("{}/etag", server.url);
    let wrong = transfers.fetch(&url, "key", checksum(&"0".repeat(32))).await.unwrap_err();
    let why = wrong.to_string();
    assert!(why.contains("/etag is not what it should be: its md5 is"), "{why}");
    assert!(why.contains(&"0".repeat(32)), "{why}");
    assert_eq!(archives(dir.path()), 0);
    let got = why.split("its md5 is ").nth(1).unwrap().split(',').next().unwrap();
    for _ in 0..2 {
        let fetched = transfers.fetch(&url, "key", checksum(got)).await.unwrap();
        assert_eq!(text(fetched), "archive");
    }
    assert_eq!(server.sent.load(Ordering::Relaxed), 2, "the second time it was here");
}

/// Serves `/`, as version N with the ETag "vN", to those who do not have it, through a gate.
async fn versions() -> (Server, Arc<AtomicUsize>, Arc<Gate>) {
    lattice_daemon::install_crypto();
    let (sent, version) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(1)));
    let gate = Arc::new(Gate::default());
    let (counter, newest, entrance) = (Arc::clone(&sent), Arc::clone(&version), Arc::clone(&gate));
    let answer = async move |headers: HeaderMap| {
        entrance.pass().await;
        let number = newest.load(Ordering::SeqCst);
        let etag = format!("\"v{number}\"");
        if headers.get("if-none-match").is_some_and(|known| *known == etag) {
            return StatusCode::NOT_MODIFIED.into_response();
        }
        counter.fetch_add(1, Ordering::SeqCst);
        ([("etag", etag)], format!("version {number}")).into_response()
    };
    let app = Router::new().route("/", get(answer));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (Server { url, sent }, version, gate)
}

#[tokio::test]
async fn another_etag_brings_the_new_content_and_the_same_one_the_copy() {
    let (server, version, _) = versions().await;
    let dir = tempfile::tempdir().unwrap();
    let transfers = transfers(dir.path(), Limits::default());
    for (number, expected, sent) in
        [(1, "version 1", 1), (1, "version 1", 1), (2, "version 2", 2), (2, "version 2", 2)]
    {
        version.store(number, Ordering::SeqCst);
        let fetched = transfers.fetch(&server.url, "key", None).await.unwrap();
        assert_eq!(text(fetched), expected);
        assert_eq!(server.sent.load(Ordering::SeqCst), sent, "{expected}");
    }
    assert_eq!(archives(dir.path()), 1, "the new one takes the old one's place");
}

#[tokio::test]
async fn what_was_used_last_stays_in_the_cache_though_it_came_first() {
    let (server, _, _) = versions().await;
    let dir = tempfile::tempdir().unwrap();
    // Two fit.
    let limits = Limits { download_cache_bytes_max: 20, ..Limits::default() };
    let transfers = transfers(dir.path(), limits);
    let url = Url::parse(&server.url).unwrap();
    let place = |key: &str| transfers.cache.place(key, &url);
    let now = std::time::SystemTime::now();
    for (key, age) in [("first", 2_000), ("second", 1_000)] {
        transfers.fetch(&server.url, key, None).await.unwrap();
        let copy = File::options().write(true).open(place(key)).unwrap();
        copy.set_modified(now - Duration::from_secs(age)).unwrap();
    }
    transfers.fetch(&server.url, "first", None).await.unwrap();
    assert_eq!(server.sent.load(Ordering::SeqCst), 2, "it is the copy");
    transfers.fetch(&server.url, "third", None).await.unwrap();
    let kept = ["first", "second", "third"].map(|key| place(key).exists());
    assert_eq!(kept, [true, false, true]);
}

#[tokio::test]
async fn so_many_downloads_are_under_way_at_once_and_the_others_wait() {
    let (server, _, gate) = versions().await;
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { downloads_at_once: 2, ..Limits::default() };
    let transfers = transfers(dir.path(), limits);
    gate.shut();
    let keys = ["a", "b", "c", "d", "e"];
    let all =
        futures_util::future::join_all(keys.map(|key| transfers.fetch(&server.url, key, None)));
    let open = async {
        eventually("two are under way", || gate.visitors() == 2).await;
        gate.open();
    };
    let (fetched, ()) = futures_util::future::join(all, open).await;
    for fetched in fetched {
        assert_eq!(text(fetched.unwrap()), "version 1");
    }
    assert_eq!((server.sent.load(Ordering::SeqCst), gate.most()), (5, 2));
}
