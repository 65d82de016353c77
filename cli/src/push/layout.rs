//! Reads an OCI layout: `index.json`, and everything else by digest.

use lattice_api::registry::document::{self, Descriptor, Index, Manifest};
use lattice_api::registry::{Blob, Fetched, ImageDocument, digest_of};
use lattice_model::image::is_digest;

use super::PushError;
use super::files::Files;
use super::source::{ImageSource, SourceKind};

const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// What is found while following an index.
#[derive(Default)]
struct Found {
    manifests: Vec<Fetched>,
    blobs: Vec<(Descriptor, Blob)>,
    document: Option<ImageDocument>,
}

pub(crate) fn read(files: Files) -> Result<ImageSource, PushError> {
    let bytes = files.document("index.json")?;
    let index: Index = serde_json::from_slice(&bytes)
        .map_err(|e| files.malformed(format!("index.json does not parse: {e}")))?;
    let found = match images(&index)[..] {
        [] => return Err(files.malformed("index.json lists no image")),
        [only] => follow(&files, only)?,
        ref several => all(&files, several, &index, &bytes)?,
    };
    Ok(ImageSource {
        kind: SourceKind::OciLayout,
        manifests: found.manifests,
        blobs: found.blobs,
        document: found.document.ok_or_else(|| files.malformed("it holds no image"))?,
        notes: Vec::new(),
        _temporary: files.into_temporary(),
    })
}

/// The images an index lists, each once; provenance that builders attach is none.
fn images(index: &Index) -> Vec<&Descriptor> {
    let mut images: Vec<&Descriptor> = Vec::new();
    for entry in &index.manifests {
        let is_image = entry.platform.as_ref().is_none_or(|p| p.os != "unknown");
        if is_image && images.iter().all(|i| i.digest != entry.digest) {
            images.push(entry);
        }
    }
    images
}

/// An image, or an index of which everything is here; where only one image of an index is here,
/// that one.
fn follow(files: &Files, entry: &Descriptor) -> Result<Found, PushError> {
    let fetched = manifest(files, entry)?;
    if !is_index(entry, &fetched.bytes) {
        return image(files, fetched);
    }
    let index: Index = parse(files, &fetched)?;
    let listed = images(&index);
    let here: Vec<_> = listed.iter().filter(|i| files.has(&blob_name(&i.digest))).collect();
    match here[..] {
        [] => Err(files.malformed("none of the images its index lists is in it")),
        [only] => image(files, manifest(files, only)?),
        _ if here.len() < listed.len() => Err(files.malformed(format!(
            "its index lists {} images and it holds {}; export all or one, as with docker save \
             --platform linux/amd64",
            listed.len(),
            here.len()
        ))),
        _ => all(files, &listed, &index, &fetched.bytes),
    }
}

fn all(
    files: &Files,
    listed: &[&Descriptor],
    index: &Index,
    bytes: &[u8],
) -> Result<Found, PushError> {
    if listed.iter().any(|i| i.platform.is_none()) {
        let names: Vec<&str> =
            listed.iter().filter_map(|i| i.annotations.get(REF_NAME)).map(String::as_str).collect();
        let count = listed.len();
        let why = format!("it holds {count} images ({}); export one", names.join(", "));
        return Err(files.malformed(why));
    }
    let mut found = Found::default();
    for entry in &index.manifests {
        let one = image(files, manifest(files, entry)?)?;
        found.manifests.extend(one.manifests);
        for blob in one.blobs {
            if found.blobs.iter().all(|(d, _)| d.digest != blob.0.digest) {
                found.blobs.push(blob);
            }
        }
        found.document = found.document.or(one.document);
    }
    let media_type = document::OCI_INDEX;
    let media_type =
        if index.media_type.is_empty() { media_type } else { index.media_type.as_str() };
    found.manifests.push(Fetched {
        digest: digest_of(bytes),
        media_type: media_type.to_owned(),
        bytes: bytes.to_vec(),
    });
    Ok(found)
}

fn image(files: &Files, fetched: Fetched) -> Result<Found, PushError> {
    let manifest: Manifest = parse(files, &fetched)?;
    manifest.check().map_err(|why| files.malformed(why))?;
    let document = files.parsed(&blob_name(&manifest.config.digest))?;
    let mut blobs: Vec<(Descriptor, Blob)> = Vec::new();
    for descriptor in manifest.layers.into_iter().chain([manifest.config]) {
        let digest = &descriptor.digest;
        let (blob, size) = files
            .find(&blob_name(digest))
            .ok_or_else(|| files.malformed(format!("the layer {digest} is not in it")))?;
        if size != descriptor.size {
            let promised = descriptor.size;
            let why = format!("{digest} has {size} bytes; its manifest says {promised}");
            return Err(files.malformed(why));
        }
        if blobs.iter().all(|(d, _)| d.digest != *digest) {
            blobs.push((descriptor, blob));
        }
    }
    Ok(Found { manifests: vec![fetched], blobs, document: Some(document) })
}

fn manifest(files: &Files, entry: &Descriptor) -> Result<Fetched, PushError> {
    if !is_digest(&entry.digest) {
        return Err(files.malformed(format!("'{}' is not a sha256 digest", entry.digest)));
    }
    let bytes = files.document(&blob_name(&entry.digest))?;
    let digest = digest_of(&bytes);
    if digest != entry.digest {
        let why = format!("a manifest should be {}, but is {digest}", entry.digest);
        return Err(files.malformed(why));
    }
    let media_type = match entry.media_type.as_str() {
        "" => document::OCI_MANIFEST,
        named => named,
    };
    Ok(Fetched { digest, media_type: media_type.to_owned(), bytes })
}

fn is_index(entry: &Descriptor, bytes: &[u8]) -> bool {
    match entry.media_type.as_str() {
        document::OCI_INDEX | document::DOCKER_INDEX => true,
        "" => serde_json::from_slice::<Index>(bytes).is_ok_and(|i| !i.manifests.is_empty()),
        _ => false,
    }
}

fn parse<T: serde::de::DeserializeOwned>(files: &Files, of: &Fetched) -> Result<T, PushError> {
    serde_json::from_slice(&of.bytes)
        .map_err(|e| files.malformed(format!("the manifest {} does not parse: {e}", of.digest)))
}

fn blob_name(digest: &str) -> String {
    format!("blobs/{}", digest.replacen(':', "/", 1))
}
