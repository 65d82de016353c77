//! What a path on a person's disk is: an OCI layout, a `docker save` archive, a directory that is a
//! root filesystem, or none of these.

use std::fs;
use std::path::Path;

use lattice_api::registry::{Blob, Descriptor, Fetched, ImageDocument};
use tempfile::NamedTempFile;

use super::files::Files;
use super::{PushError, docker_archive, layout, rootfs};

/// Files that mark a directory as a program's source.
const PROJECT_MARKERS: [&str; 8] = [
    "Dockerfile",
    "Containerfile",
    "Procfile",
    "package.json",
    "Cargo.toml",
    "go.mod",
    "requirements.txt",
    "Gemfile",
];

/// What kind of thing an image came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind {
    /// An OCI layout, as a directory or a tar.
    OciLayout,
    /// What `docker save` writes.
    DockerArchive,
    /// A directory that became the only layer.
    RootfsDirectory,
}

/// An image on this machine's disk, ready to be pushed.
#[derive(Debug)]
pub struct ImageSource {
    pub(crate) kind: SourceKind,
    /// What an index lists first, then what gets the name.
    pub(crate) manifests: Vec<Fetched>,
    pub(crate) blobs: Vec<(Descriptor, Blob)>,
    pub(crate) document: ImageDocument,
    pub(crate) notes: Vec<String>,
    /// Files that are deleted when the source is dropped.
    pub(crate) _temporary: Vec<NamedTempFile>,
}

/// Recognises what is at `path` and reads its structure; blocks. A directory is a root filesystem
/// if it holds `etc` or `usr`; or, unless files mark it as a program's source, if it holds `bin` or
/// an executable file at its top.
pub fn open(path: &Path) -> Result<ImageSource, PushError> {
    let found = fs::metadata(path).map_err(|e| machine(&format!("read {}", path.display()), e))?;
    if found.is_dir() {
        if path.join("index.json").is_file() && path.join("oci-layout").is_file() {
            return layout::read(Files::directory(path));
        }
        return directory(path);
    }
    let files = Files::archive(path)?;
    if files.has("manifest.json") {
        return docker_archive::read(files);
    }
    if files.has("index.json") && files.has("oci-layout") {
        return layout::read(files);
    }
    Err(PushError::NotAnImage {
        path: path.to_owned(),
        why: "it is a tar archive without manifest.json (docker save) or index.json (OCI)".into(),
        next: "make one with: docker save -o app.tar IMAGE; or unpack a root filesystem into a \
               directory and name that"
            .into(),
    })
}

fn directory(path: &Path) -> Result<ImageSource, PushError> {
    let has = |name: &str| path.join(name).is_dir();
    let marker = PROJECT_MARKERS.into_iter().find(|name| path.join(name).is_file());
    let is_system = has("etc") || has("usr");
    let programs = rootfs::programs(path)?;
    if is_system || (marker.is_none() && (has("bin") || !programs.is_empty())) {
        return rootfs::read(path, &programs);
    }
    let (why, next) = match marker {
        Some(marker) => (
            format!("it has a {marker}, so it is the source of a program, not an image of it"),
            "build it first: docker build -t app . && docker save -o app.tar app, or buildah bud \
             -t app . && buildah push app oci-archive:app.tar; then ltc create NAME app.tar",
        ),
        None => (
            "it has no index.json (OCI layout), no etc, usr or bin (root filesystem), and no \
             executable file at its top"
                .to_owned(),
            "name an OCI layout, the tar that docker save -o app.tar IMAGE writes, or a directory \
             with the program in it",
        ),
    };
    Err(PushError::NotAnImage { path: path.to_owned(), why, next: next.to_owned() })
}

// === impl ImageSource ===

impl ImageSource {
    /// What it came from.
    pub fn kind(&self) -> SourceKind {
        self.kind
    }

    /// The configuration of the image; of the first one where there are several.
    pub fn document(&self) -> &ImageDocument {
        &self.document
    }

    /// What a person should know: files that were left out.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// What the image's blobs are and where, each once.
    pub fn blobs(&self) -> &[(Descriptor, Blob)] {
        &self.blobs
    }

    pub(crate) fn manifests(&self) -> &[Fetched] {
        &self.manifests
    }
}

pub(crate) fn machine(what: &str, error: std::io::Error) -> PushError {
    PushError::Machine { what: what.to_owned(), why: error.to_string() }
}
