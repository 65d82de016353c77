//! The registry over a real socket, with `skopeo` as the stranger who pushes and pulls.
#![allow(clippy::unwrap_used)]

mod keeping;
mod manners;
mod skopeo;
mod uploads;

use std::path::PathBuf;
use std::time::Duration;

use lattice_brain::blobs::{BlobsConfig, serve};
use lattice_daemon::credentials::Admin;
use lattice_daemon::tasks::Tasks;
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A served registry, which ends with the test.
struct Served {
    tasks: Tasks,
    port: u16,
    http: reqwest::Client,
    data_dir: tempfile::TempDir,
}

impl Served {
    async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    async fn start_with(adapt: impl FnOnce(&mut BlobsConfig)) -> Self {
        lattice_daemon::install_crypto();
        let data_dir = tempfile::tempdir().unwrap();
        let admin = Admin { username: "user".into(), password: "pass".into() };
        let mut config = BlobsConfig::on_loopback(data_dir.path(), Some(admin));
        adapt(&mut config);
        let tasks = Tasks::default();
        let port = serve(config, None, &tasks).await.unwrap().port();
        Self { tasks, port, http: reqwest::Client::new(), data_dir }
    }

    /// A request with the right credentials; the path may be a `Location`.
    fn request(&self, method: &str, path: &str) -> RequestBuilder {
        self.anonymous(method, path).basic_auth("user", Some("pass"))
    }

    fn anonymous(&self, method: &str, path: &str) -> RequestBuilder {
        assert!(path.starts_with('/'), "locations are relative: {path}");
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        self.http.request(method.parse().unwrap(), url)
    }

    /// Begins an upload and returns its location.
    async fn begin(&self, name: &str) -> String {
        let begun = self.request("POST", &format!("/v2/{name}/blobs/uploads/"));
        let begun = begun.send().await.unwrap();
        assert_eq!(begun.status(), 202);
        header(&begun, "location")
    }

    /// Pushes a blob and returns its digest.
    async fn push(&self, name: &str, bytes: &[u8]) -> String {
        let digest = digest(bytes);
        let path = format!("/v2/{name}/blobs/uploads/?digest={digest}");
        let pushed = self.request("POST", &path).body(bytes.to_vec()).send().await.unwrap();
        assert_eq!(pushed.status(), 201);
        digest
    }

    /// Pushes a manifest and returns the answer.
    async fn put_manifest(&self, path: &str, kind: &str, manifest: &Value) -> Response {
        let request = self.request("PUT", path).header("content-type", kind);
        request.body(manifest.to_string()).send().await.unwrap()
    }

    /// Pushes an image of one layer and returns its manifest's digest.
    async fn push_image(&self, name: &str, tag: &str, layer: &[u8]) -> String {
        let manifest = image(&self.push(name, b"{}").await, &self.push(name, layer).await);
        let path = format!("/v2/{name}/manifests/{tag}");
        let put = self.put_manifest(&path, IMAGE, &manifest).await;
        assert_eq!(put.status(), 201);
        header(&put, "docker-content-digest")
    }

    async fn status(&self, method: &str, path: &str) -> u16 {
        self.request(method, path).send().await.unwrap().status().as_u16()
    }

    fn blob_path(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").unwrap();
        self.data_dir.path().join("registry/blobs/sha256").join(&hex[..2]).join(hex)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.tasks.shutdown().cancel();
    }
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

fn image(config: &str, layer: &str) -> Value {
    json!({"schemaVersion": 2, "mediaType": IMAGE,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config,
            "size": 2},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer,
            "size": 5}]})
}

fn header(response: &Response, name: &str) -> String {
    response.headers()[name].to_str().unwrap().to_owned()
}

/// The code of an error's body.
async fn code(response: Response) -> String {
    let body: Value = response.json().await.unwrap();
    let error = &body["errors"][0];
    assert!(!error["message"].as_str().unwrap().is_empty(), "{body}");
    error["code"].as_str().unwrap().to_owned()
}

/// Asks until the answer satisfies.
async fn eventually(request: impl Fn() -> RequestBuilder, is_good: impl Fn(&Response) -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    loop {
        let response = request().send().await.unwrap();
        if is_good(&response) {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "still {response:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
