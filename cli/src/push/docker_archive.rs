//! Reads what `docker save` writes: `manifest.json`, a configuration and layers by name.

use std::io::{self, Read};

use lattice_api::registry::document::{
    Descriptor, Manifest, OCI_CONFIG, OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD, OCI_MANIFEST,
};
use lattice_api::registry::{Blob, Fetched, ImageDocument, digest_of};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::PushError;
use super::files::{Files, reader};
use super::source::{ImageSource, SourceKind, machine};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

pub(crate) fn read(files: Files) -> Result<ImageSource, PushError> {
    let saved: Vec<Saved> = files.parsed("manifest.json")?;
    let [one] = &saved[..] else {
        let names: Vec<&str> =
            saved.iter().flat_map(|s| s.repo_tags.iter().flatten()).map(String::as_str).collect();
        let count = saved.len();
        let why = format!("it holds {count} images ({}); save one", names.join(", "));
        return Err(files.malformed(why));
    };
    let config_bytes = files.document(&one.config)?;
    let document: ImageDocument = serde_json::from_slice(&config_bytes)
        .map_err(|e| files.malformed(format!("{} does not parse: {e}", one.config)))?;
    let names = one.layers.clone().unwrap_or_default();
    if names.len() != document.rootfs.diff_ids.len() {
        let (layers, ids) = (names.len(), document.rootfs.diff_ids.len());
        return Err(files.malformed(format!("{layers} layers, but {ids} diff ids")));
    }
    let layers = names.iter().map(|name| layer(&files, name)).collect::<Result<Vec<_>, _>>()?;
    let config = Descriptor {
        media_type: OCI_CONFIG.to_owned(),
        digest: digest_of(&config_bytes),
        size: config_bytes.len() as u64,
        ..Descriptor::default()
    };
    let fetched = manifest_of(&config, layers.iter().map(|(d, _)| d.clone()).collect());
    let mut blobs: Vec<(Descriptor, Blob)> = vec![(config, Blob::Bytes(config_bytes.into()))];
    for (descriptor, blob) in layers {
        if blobs.iter().all(|(d, _)| d.digest != descriptor.digest) {
            blobs.push((descriptor, blob));
        }
    }
    Ok(ImageSource {
        kind: SourceKind::DockerArchive,
        manifests: vec![fetched],
        blobs,
        document,
        notes: Vec::new(),
        _temporary: files.into_temporary(),
    })
}

/// A manifest for a configuration and layers.
pub(crate) fn manifest_of(config: &Descriptor, layers: Vec<Descriptor>) -> Fetched {
    let manifest = Manifest {
        schema_version: 2,
        media_type: OCI_MANIFEST.to_owned(),
        config: config.clone(),
        layers,
    };
    let bytes = serde_json::to_vec(&manifest).expect("a manifest is JSON");
    Fetched { digest: digest_of(&bytes), media_type: OCI_MANIFEST.to_owned(), bytes }
}

/// A layer goes as it lies in the archive: compressed or not.
fn layer(files: &Files, name: &str) -> Result<(Descriptor, Blob), PushError> {
    let (blob, size) = files
        .find(name)
        .ok_or_else(|| files.malformed(format!("the layer {name} is not in it")))?;
    let (digest, start) = hashed(&blob, size)
        .map_err(|e| machine(&format!("read {name} in {}", files.path.display()), e))?;
    let media_type = match start[..] {
        [0x1f, 0x8b, ..] => OCI_LAYER_GZIP,
        [0x28, 0xb5, 0x2f, 0xfd] => OCI_LAYER_ZSTD,
        _ => OCI_LAYER,
    };
    let media_type = media_type.to_owned();
    Ok((Descriptor { media_type, digest, size, ..Descriptor::default() }, blob))
}

/// A blob's digest, and its first four bytes.
fn hashed(blob: &Blob, size: u64) -> io::Result<(String, Vec<u8>)> {
    let mut reader = reader(blob, size)?;
    let (mut hasher, mut start) = (Sha256::new(), Vec::new());
    let mut buffer = vec![0; 128 * 1024];
    loop {
        let n = reader.read(&mut buffer)?;
        if n == 0 {
            return Ok((format!("sha256:{}", hex::encode(hasher.finalize())), start));
        }
        let wanted = 4usize.saturating_sub(start.len()).min(n);
        start.extend_from_slice(&buffer[..wanted]);
        hasher.update(&buffer[..n]);
    }
}
