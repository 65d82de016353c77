//! Images built on the spot from this workspace's own static programs.

use std::path::{Path, PathBuf};

use lattice_cli::push::build::ImageBuilder;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::{machine, program};

/// Writes an OCI layout whose only content is one of this workspace's programs, at `/NAME`.
pub fn layout(dir: &Path, name: &str, cmd: &[&str]) -> PathBuf {
    let layout = dir.join(format!("{name}-layout"));
    image(name, cmd).write_layout(&layout).unwrap();
    layout
}

/// An image whose only content is one of this workspace's programs, at `/NAME`.
pub fn image(name: &str, cmd: &[&str]) -> ImageBuilder {
    let path = format!("/{name}");
    ImageBuilder::new()
        .file(&path, std::fs::read(stripped(name)).unwrap(), 0o755)
        .entrypoint([path.as_str()])
        .cmd(cmd.iter().copied())
        .user("1000")
        .expose(8080)
}

/// Writes an OCI layout with this one layer, byte for byte, however malformed it is.
pub fn layout_of_layer(layout: &Path, layer: &[u8]) {
    let blobs = layout.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    let put = |media_type: &str, bytes: &[u8]| {
        let digest: String = Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
        std::fs::write(blobs.join(&digest), bytes).unwrap();
        let media_type = format!("application/vnd.oci.image.{media_type}");
        json!({"mediaType": media_type, "digest": format!("sha256:{digest}"), "size": bytes.len()})
    };
    let layer = put("layer.v1.tar", layer);
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {"Entrypoint": ["/evil"]},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
    });
    let config = put("config.v1+json", config.to_string().as_bytes());
    let manifest = json!({"schemaVersion": 2, "config": config, "layers": [layer]});
    let manifest = put("manifest.v1+json", manifest.to_string().as_bytes());
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    std::fs::write(layout.join("index.json"), index.to_string()).unwrap();
    std::fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion": "1.0.0"}"#).unwrap();
}

/// Copies a layout to `docker://HOST/REPO:TAG` as another tool would.
pub fn copy(layout: &Path, to: &str, account: Option<&str>) {
    let from = format!("oci:{}", layout.display());
    let to = format!("docker://{to}");
    let mut args = vec!["--insecure-policy", "copy", "--dest-tls-verify=false", &from, &to];
    if let Some(account) = account {
        args.splice(2..2, ["--dest-creds", account]);
    }
    machine::run_with_hosts("skopeo", &args);
}

/// A program without its symbols: what tests carry about should be small. It is made once and kept
/// beside the program.
pub fn stripped(name: &str) -> PathBuf {
    let from = program(name);
    let to = from.with_file_name(format!("{name}.stripped"));
    let changed = |path: &Path| std::fs::metadata(path).and_then(|file| file.modified()).ok();
    if changed(&to) < changed(&from) {
        // Several tests may be at it; each puts a whole one in place.
        let new = tempfile::NamedTempFile::new_in(from.parent().unwrap()).unwrap();
        let path = new.path().to_str().unwrap();
        machine::run("strip", &["-o", path, from.to_str().unwrap()]);
        new.persist(&to).unwrap();
    }
    to
}
