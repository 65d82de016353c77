//! What hostile and careless clients send.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Served, code, digest, header};

/// One answer to a request line that no proper client would send.
async fn raw(served: &Served, method: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", served.port)).await.unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic dXNlcjpwYXNz\r\n\
         Content-Length: 2\r\nConnection: close\r\n\r\n{{}}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).unwrap_or_default().parse().unwrap();
    (status, answer)
}

#[tokio::test]
async fn hostile_names_reach_no_file() {
    let served = Served::start().await;
    let hex = "a".repeat(64);
    for name in ["..", "../..", "a/../../..", "%2e%2e", "..%2f..", ".", "a//b", "_x", "A", "a%00b"]
    {
        for (method, path) in [
            ("GET", format!("/v2/{name}/manifests/latest")),
            ("PUT", format!("/v2/{name}/manifests/latest")),
            ("DELETE", format!("/v2/{name}/manifests/latest")),
            ("POST", format!("/v2/{name}/blobs/uploads/")),
            ("GET", format!("/v2/{name}/blobs/sha256:{hex}")),
            ("GET", format!("/v2/{name}/tags/list")),
        ] {
            let (status, answer) = raw(&served, method, &path).await;
            assert!(matches!(status, 400 | 404), "{method} {path}: {answer}");
            assert!(answer.contains("\"errors\":[{\"code\":"), "{method} {path}: {answer}");
        }
    }
    for reference in
        ["..", "../../../etc/passwd", "%2e%2e%2fx", "sha256:../../x", ".hidden", "a%2fb"]
    {
        for method in ["GET", "PUT", "DELETE"] {
            let (status, answer) =
                raw(&served, method, &format!("/v2/a/manifests/{reference}")).await;
            assert!(matches!(status, 400 | 404), "{method} {reference}: {answer}");
        }
        for path in [format!("/v2/a/blobs/{reference}"), format!("/v2/a/blobs/uploads/{reference}")]
        {
            let (status, answer) = raw(&served, "GET", &path).await;
            assert!(matches!(status, 400 | 404), "{path}: {answer}");
        }
    }
    let registry = served.data_dir.path().join("registry");
    let beside = std::fs::read_dir(served.data_dir.path()).unwrap().count();
    let names = std::fs::read_dir(registry.join("repositories")).unwrap().count();
    let uploads = std::fs::read_dir(registry.join("uploads")).unwrap().count();
    assert_eq!((beside, names, uploads), (1, 0, 0), "no file was made by any of this");
}

#[tokio::test]
async fn nobody_passes_without_the_right_credentials_on_any_path() {
    let served = Served::start().await;
    let blob = format!("/v2/a/blobs/{}", digest(b""));
    for (method, path) in [
        ("GET", "/v2/"),
        ("GET", "/v2/_catalog"),
        ("GET", "/v2/a/tags/list"),
        ("GET", "/v2/a/manifests/v1"),
        ("PUT", "/v2/a/manifests/v1"),
        ("DELETE", "/v2/a/manifests/v1"),
        ("POST", "/v2/a/blobs/uploads/"),
        ("PATCH", "/v2/a/blobs/uploads/00000000-0000-0000-0000-000000000000"),
        ("GET", blob.as_str()),
        ("GET", "/elsewhere"),
    ] {
        for request in [
            served.anonymous(method, path),
            served.anonymous(method, path).basic_auth("user", Some("wrong")),
        ] {
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), 401, "{method} {path}");
            assert_eq!(header(&response, "www-authenticate"), "Basic realm=\"lattice\"");
            assert_eq!(code(response).await, "UNAUTHORIZED", "{method} {path}");
        }
        let foreign = served.request(method, path).header("origin", "http://evil.example");
        let foreign = foreign.send().await.unwrap();
        assert_eq!(foreign.status(), 403, "{method} {path}");
        assert_eq!(code(foreign).await, "DENIED");
    }
}

#[tokio::test]
async fn it_says_that_it_is_a_registry_and_what_it_does_not_do() {
    let served = Served::start().await;
    for path in ["/v2", "/v2/"] {
        let root = served.request("GET", path).send().await.unwrap();
        assert_eq!(root.status(), 200);
        assert_eq!(header(&root, "docker-distribution-api-version"), "registry/2.0");
    }
    let blob = format!("/v2/a/blobs/{}", digest(b""));
    for (method, path, status, expected) in [
        ("DELETE", blob.as_str(), 405, "UNSUPPORTED"),
        ("POST", "/v2/a/manifests/v1", 405, "UNSUPPORTED"),
        ("GET", "/v2/a/blobs/uploads/", 405, "UNSUPPORTED"),
        ("GET", "/v3/", 404, "NOT_FOUND"),
        ("GET", "/v2/_catalog?n=x", 405, "UNSUPPORTED"),
    ] {
        let response = served.request(method, path).send().await.unwrap();
        assert_eq!(response.status(), status, "{method} {path}");
        assert_eq!(code(response).await, expected, "{method} {path}");
    }
}
