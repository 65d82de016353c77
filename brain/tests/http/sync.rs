//! What is handed out at `/v1/sync`.

use super::{Served, answer};

async fn serving_ltc() -> (Served, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("linux")).unwrap();
    std::fs::write(dir.path().join("linux/ltc"), b"0123456789").unwrap();
    std::fs::write(dir.path().join("linux/secret"), b"x").unwrap();
    let folder = dir.path().to_owned();
    let served = Served::start_with(|config| config.artifacts = Some(folder)).await;
    (served, dir)
}

#[tokio::test]
async fn ltc_is_handed_out_whole_or_in_part() {
    let (served, _dir) = serving_ltc().await;
    let response = served.request("GET", "/v1/sync/linux/ltc").send().await.unwrap();
    assert_eq!(response.status(), 200);
    for (name, expected) in [
        ("content-type", "application/octet-stream"),
        ("accept-ranges", "bytes"),
        ("content-length", "10"),
    ] {
        assert_eq!(response.headers()[name], expected, "{name}");
    }
    assert_eq!(response.text().await.unwrap(), "0123456789");
    for (range, status, content_range, body) in [
        ("bytes=2-4", 206, "bytes 2-4/10", "234"),
        ("bytes=-1", 206, "bytes 9-9/10", "9"),
        ("bytes=10-", 416, "bytes */10", ""),
    ] {
        let part = served.request("GET", "/v1/sync/linux/ltc").header("range", range);
        let response = part.send().await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{range}");
        assert_eq!(response.headers()["content-range"], content_range, "{range}");
        assert_eq!(response.text().await.unwrap(), body, "{range}");
    }
}

#[tokio::test]
async fn nothing_else_is_handed_out() {
    let (served, _dir) = serving_ltc().await;
    for path in [
        "linux/secret",
        "osx/ltc",
        "plan9/ltc",
        "linux%2f..%2flinux/ltc",
        "linux/..%2flinux%2fsecret",
        "..%2f..%2fetc/passwd",
    ] {
        let found = answer(served.request("GET", &format!("/v1/sync/{path}"))).await;
        assert_eq!(found, (500, String::new()), "{path}");
    }
    let without = Served::start().await;
    assert_eq!(answer(without.request("GET", "/v1/sync/linux/ltc")).await, (500, String::new()));
    assert_eq!(answer(served.anonymous("GET", "/v1/sync/linux/ltc")).await.0, 401);
}
