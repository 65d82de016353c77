//! Blobs coming in, in every way and with every accident.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::{Served, code, digest, eventually, header};

#[tokio::test]
async fn a_broken_chunked_upload_is_resumed_where_it_broke() {
    let served = Served::start().await;
    let bytes: Vec<u8> = (0..100_u8).collect();
    let location = served.begin("app").await;
    let mut stream = TcpStream::connect(("127.0.0.1", served.port)).await.unwrap();
    let head = format!(
        "PATCH {location} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic dXNlcjpwYXNz\r\n\
         Content-Type: application/octet-stream\r\nContent-Range: 0-99\r\n\
         Content-Length: 100\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&bytes[..40]).await.unwrap();
    stream.flush().await.unwrap();
    let arrived = |response: &reqwest::Response| {
        response.status() == 204 && header(response, "range") == "0-39"
    };
    eventually(|| served.request("GET", &location), arrived).await;
    drop(stream);

    let rest = || {
        let request = served.request("PATCH", &location).header("content-range", "40-99");
        request.body(bytes[40..].to_vec())
    };
    // Until the server has noticed that the first sender is gone, the upload is not free.
    eventually(rest, |response| response.status() == 202).await;
    let path = format!("{location}?digest={}", digest(&bytes));
    let finished = served.request("PUT", &path).send().await.unwrap();
    assert_eq!(finished.status(), 201);
    let blob = header(&finished, "location");
    assert_eq!(header(&finished, "docker-content-digest"), digest(&bytes));
    let pulled = served.request("GET", &blob).send().await.unwrap();
    assert_eq!(pulled.bytes().await.unwrap(), bytes);
    assert_eq!(served.status("GET", &location).await, 404, "the upload is over");
}

#[tokio::test]
async fn a_blob_comes_in_by_each_way_of_the_protocol() {
    let served = Served::start().await;
    // At once.
    let one = served.push("app", b"one").await;
    // Begin, then all with the end.
    let location = served.begin("app").await;
    let path = format!("{location}?digest={}", digest(b"two"));
    let put = served.request("PUT", &path).body("two").send().await.unwrap();
    assert_eq!(put.status(), 201);
    // In chunks that do not say where they belong, the last with the end.
    let location = served.begin("app").await;
    let chunk = served.request("PATCH", &location).body("th").send().await.unwrap();
    assert_eq!((chunk.status().as_u16(), header(&chunk, "range").as_str()), (202, "0-1"));
    let next = header(&chunk, "location");
    let path = format!("{next}?digest={}", digest(b"three"));
    let put = served.request("PUT", &path).header("content-range", "2-4").body("ree");
    assert_eq!(put.send().await.unwrap().status(), 201);
    // Empty.
    let empty = served.push("app", b"").await;
    // By what another repository has.
    let path = format!("/v2/other/blobs/uploads/?mount={one}&from=app");
    let mounted = served.request("POST", &path).send().await.unwrap();
    assert_eq!(mounted.status(), 201);
    assert_eq!(header(&mounted, "location"), format!("/v2/other/blobs/{one}"));
    let path = format!("/v2/other/blobs/uploads/?mount={}&from=app", digest(b"nowhere"));
    assert_eq!(served.status("POST", &path).await, 202, "an ordinary upload begins");

    for (digest, bytes) in
        [(one, &b"one"[..]), (digest(b"two"), b"two"), (digest(b"three"), b"three"), (empty, b"")]
    {
        let path = format!("/v2/app/blobs/{digest}");
        let pulled = served.request("GET", &path).send().await.unwrap();
        assert_eq!(pulled.status(), 200);
        assert_eq!(pulled.bytes().await.unwrap(), bytes);
        let head = served.request("HEAD", &path).send().await.unwrap();
        assert_eq!(header(&head, "content-length"), bytes.len().to_string());
        assert_eq!(header(&head, "docker-content-digest"), digest);
    }
}

#[tokio::test]
async fn content_that_is_not_what_it_is_said_to_be_is_not_kept() {
    let served = Served::start().await;
    let wrong = digest(b"something else");
    let location = served.begin("app").await;
    let path = format!("{location}?digest={wrong}");
    let put = served.request("PUT", &path).body("this").send().await.unwrap();
    assert_eq!((put.status().as_u16(), code(put).await.as_str()), (400, "DIGEST_INVALID"));
    let path = format!("/v2/app/blobs/uploads/?digest={wrong}");
    let post = served.request("POST", &path).body("this").send().await.unwrap();
    assert_eq!((post.status().as_u16(), code(post).await.as_str()), (400, "DIGEST_INVALID"));
    for digest in [wrong, digest(b"this")] {
        let path = format!("/v2/app/blobs/{digest}");
        let get = served.request("GET", &path).send().await.unwrap();
        assert_eq!((get.status().as_u16(), code(get).await.as_str()), (404, "BLOB_UNKNOWN"));
    }
    let location = served.begin("app").await;
    for query in ["", "?digest=", "?digest=sha256:12", "?digest=md5:0", "?x=1"] {
        let put = served.request("PUT", &format!("{location}{query}")).send().await.unwrap();
        assert_eq!(code(put).await, "DIGEST_INVALID", "{query}");
    }
}

#[tokio::test]
async fn a_chunk_in_the_wrong_place_is_told_where_the_next_one_belongs() {
    let served = Served::start().await;
    let location = served.begin("app").await;
    assert_eq!(
        served.request("PATCH", &location).body("12345").send().await.unwrap().status(),
        202
    );
    for range in ["0-4", "4-8", "6-10"] {
        let patch = served.request("PATCH", &location).header("content-range", range);
        let patch = patch.body("12345").send().await.unwrap();
        assert_eq!((patch.status().as_u16(), header(&patch, "range").as_str()), (416, "0-4"));
        assert_eq!(header(&patch, "location"), location);
    }
    for range in ["5-99", "9-5", "x", "5", "-"] {
        let patch = served.request("PATCH", &location).header("content-range", range);
        assert_eq!(patch.body("12345").send().await.unwrap().status(), 400, "{range}");
    }
    let get = served.request("GET", &location).send().await.unwrap();
    assert_eq!(header(&get, "range"), "0-4", "nothing was added");
}

#[tokio::test]
async fn a_cancelled_upload_is_gone() {
    let served = Served::start().await;
    let location = served.begin("app").await;
    assert_eq!(served.status("DELETE", &location).await, 204);
    for method in ["GET", "PATCH", "PUT", "DELETE"] {
        let response = served.request(method, &location).send().await.unwrap();
        assert_eq!(response.status(), 404, "{method}");
        assert_eq!(code(response).await, "BLOB_UPLOAD_UNKNOWN", "{method}");
    }
}

#[tokio::test]
async fn the_same_blob_pushed_by_many_at_once_is_kept_once() {
    let served = Served::start().await;
    let bytes: Vec<u8> = (0..500_000_u32).flat_map(u32::to_le_bytes).collect();
    let digests = futures_util::future::join_all((0..8).map(|_| served.push("app", &bytes))).await;
    assert!(digests.iter().all(|found| *found == digest(&bytes)));
    let kept = std::fs::read(served.blob_path(&digest(&bytes))).unwrap();
    assert!(kept == bytes, "whole");
    let left = std::fs::read_dir(served.data_dir.path().join("registry/uploads")).unwrap();
    assert_eq!(left.count(), 0, "no upload is left behind");
}

#[tokio::test]
async fn uploads_have_limits() {
    let served = Served::start_with(|config| {
        config.limits.uploads_max = 1;
        config.limits.blob_bytes_max = 10;
    })
    .await;
    let location = served.begin("app").await;
    let more = served.request("POST", "/v2/app/blobs/uploads/").send().await.unwrap();
    assert_eq!((more.status().as_u16(), code(more).await.as_str()), (429, "TOOMANYREQUESTS"));
    let patch = served.request("PATCH", &location).body("0123456789x").send().await.unwrap();
    assert_eq!((patch.status().as_u16(), code(patch).await.as_str()), (413, "SIZE_INVALID"));
    assert_eq!(
        served.request("PATCH", &location).body("0123456789").send().await.unwrap().status(),
        202
    );
}

#[tokio::test]
async fn the_disk_keeps_room_for_the_platforms_records() {
    let served = Served::start_with(|config| config.limits.free_bytes_min = 1 << 62).await;
    let begun = served.request("POST", "/v2/app/blobs/uploads/").send().await.unwrap();
    assert_eq!(begun.status().as_u16(), 413);
    let said = begun.text().await.unwrap();
    assert!(said.contains("SIZE_INVALID") && said.contains("MiB free"), "{said}");
}

/// A sender that announces 100 bytes and stops after 10; returns when these have arrived.
async fn stuck_sender(served: &Served, location: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", served.port)).await.unwrap();
    let head = format!(
        "PATCH {location} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic dXNlcjpwYXNz\r\n\
         Content-Length: 100\r\n\r\n0123456789"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let arrived = |response: &reqwest::Response| header(response, "range") == "0-9";
    eventually(|| served.request("GET", location), arrived).await;
    stream
}

#[tokio::test]
async fn two_senders_do_not_mix_in_one_upload() {
    let served = Served::start().await;
    let location = served.begin("app").await;
    let first = stuck_sender(&served, &location).await;
    for method in ["PATCH", "PUT", "DELETE"] {
        let path = format!("{location}?digest={}", digest(b"x"));
        let second = served.request(method, &path).body("x").send().await.unwrap();
        assert_eq!(
            (second.status().as_u16(), code(second).await.as_str()),
            (429, "TOOMANYREQUESTS")
        );
    }
    let get = served.request("GET", &location).send().await.unwrap();
    assert_eq!(header(&get, "range"), "0-9", "nothing was mixed in");
    drop(first);
    let patch = || served.request("PATCH", &location).body("x");
    eventually(patch, |response| response.status() == 202).await;
}

#[tokio::test]
async fn a_silent_sender_is_given_up_and_what_it_sent_is_kept() {
    let short = Duration::from_millis(100);
    let served = Served::start_with(|config| config.limits.silence_max = short).await;
    let location = served.begin("app").await;
    let _still_there = stuck_sender(&served, &location).await;
    let patch = || served.request("PATCH", &location).header("content-range", "10-10").body("x");
    eventually(patch, |response| response.status() == 202).await;
    let get = served.request("GET", &location).send().await.unwrap();
    assert_eq!(header(&get, "range"), "0-10");
}
