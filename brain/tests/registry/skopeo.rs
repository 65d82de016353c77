//! A stranger's program pushes and pulls.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use super::{IMAGE, INDEX, Served, digest, image};

/// Writes an OCI layout with one image of one layer; returns its manifest's digest.
fn write_layout(directory: &Path, layer: &[u8]) -> String {
    let blobs = directory.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let keep = |bytes: &[u8]| {
        let digest = digest(bytes);
        fs::write(blobs.join(&digest["sha256:".len()..]), bytes).unwrap();
        digest
    };
    let layer_digest = keep(layer);
    let config = json!({"architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [layer_digest]}});
    let config = config.to_string();
    let mut manifest = image(&keep(config.as_bytes()), &layer_digest);
    manifest["config"]["size"] = config.len().into();
    manifest["layers"][0]["size"] = layer.len().into();
    let manifest = manifest.to_string();
    let digest = keep(manifest.as_bytes());
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [{
        "mediaType": IMAGE, "digest": digest, "size": manifest.len(),
        "annotations": {"org.opencontainers.image.ref.name": "v1"}}]});
    fs::write(directory.join("index.json"), index.to_string()).unwrap();
    fs::write(directory.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    digest
}

async fn skopeo(arguments: &[&str]) -> Output {
    let mut command = tokio::process::Command::new("skopeo");
    command.args(["--insecure-policy"]).args(arguments).output().await.unwrap()
}

async fn copy(from: &str, to: &str, more: &[&str]) -> Output {
    let mut arguments = vec!["copy", "--preserve-digests"];
    arguments.extend(more);
    arguments.extend([from, to]);
    skopeo(&arguments).await
}

#[tokio::test]
async fn skopeo_pushes_and_pulls_the_same_bytes() {
    let served = Served::start().await;
    let scratch = tempfile::tempdir().unwrap();
    let layout = scratch.path().join("in");
    // Not a tar archive: the registry does not care what is in a blob.
    let layer: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let manifest = write_layout(&layout, &layer);
    let from = format!("oci:{}:v1", layout.display());
    let remote = format!("docker://127.0.0.1:{}/apps/web:v1", served.port);

    let push = ["--dest-creds=user:pass", "--dest-tls-verify=false"];
    let pushed = copy(&from, &remote, &push).await;
    assert!(pushed.status.success(), "{}", String::from_utf8_lossy(&pushed.stderr));
    // A second push finds the layer and does not send it again.
    let file = served.blob_path(&digest(&layer));
    let first = fs::metadata(&file).unwrap().ino();
    let again = copy(&from, &remote, &push).await;
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    assert_eq!(fs::metadata(&file).unwrap().ino(), first, "the same file");

    let back = scratch.path().join("out");
    let to = format!("oci:{}:v1", back.display());
    let pull = ["--src-creds=user:pass", "--src-tls-verify=false"];
    let pulled = copy(&remote, &to, &pull).await;
    assert!(pulled.status.success(), "{}", String::from_utf8_lossy(&pulled.stderr));
    let index: Value = serde_json::from_slice(&fs::read(back.join("index.json")).unwrap()).unwrap();
    assert_eq!(index["manifests"][0]["digest"], manifest.as_str());
    let hex = digest(&layer)["sha256:".len()..].to_owned();
    assert!(fs::read(back.join("blobs/sha256").join(hex)).unwrap() == layer, "the same bytes");

    let credentials = ["--creds=user:pass", "--tls-verify=false"];
    let mut arguments = vec!["list-tags"];
    arguments.extend(credentials);
    let repository = format!("docker://127.0.0.1:{}/apps/web", served.port);
    arguments.push(&repository);
    let tags = skopeo(&arguments).await;
    let tags: Value = serde_json::from_slice(&tags.stdout).unwrap();
    assert_eq!(tags["Tags"], json!(["v1"]));
    let deleted = skopeo(&["delete", credentials[0], credentials[1], &remote]).await;
    assert!(deleted.status.success(), "{}", String::from_utf8_lossy(&deleted.stderr));
    assert_eq!(served.status("GET", "/v2/apps/web/manifests/v1").await, 404);
}

#[tokio::test]
async fn skopeo_without_the_right_credentials_is_told_so() {
    let served = Served::start().await;
    let scratch = tempfile::tempdir().unwrap();
    write_layout(scratch.path(), b"layer");
    let from = format!("oci:{}:v1", scratch.path().display());
    let remote = format!("docker://127.0.0.1:{}/web:v1", served.port);
    for credentials in ["--dest-creds=user:wrong", "--dest-no-creds"] {
        let pushed = copy(&from, &remote, &[credentials, "--dest-tls-verify=false"]).await;
        let said = String::from_utf8_lossy(&pushed.stderr).into_owned();
        assert!(!pushed.status.success(), "{credentials}");
        assert!(said.contains("authentication required") || said.contains("401"), "{said}");
    }
    assert_eq!(served.status("GET", "/v2/web/tags/list").await, 404);
}
