//! What is in the store, and what leaves it.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::{Duration, SystemTime};

use lattice_api::registry::document::LAYERS_MAX;
use lattice_api::registry::{ImageDocument, Manifest};
use tempfile::TempDir;

use super::{BYTES, Content, FILES, file_name, set_used};
use crate::images::confined::remove_all;
use crate::images::rootfs::overlay::used_bytes;

/// Documents that nothing needs are kept this long: a pull that is under way may have fetched them.
const DOCUMENT_GRACE: Duration = Duration::from_secs(3600);

/// An unpacked layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeptLayer {
    home: PathBuf,
    /// Its files.
    pub(crate) files: PathBuf,
    /// What it takes of the disk.
    pub(crate) bytes: u64,
    /// When it was last wanted.
    pub(crate) used: SystemTime,
}

/// What a name last meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeptName {
    path: PathBuf,
    /// As people write it; empty in a store of an older version.
    pub(crate) name: String,
    /// The manifest's digest.
    pub(crate) digest: String,
    /// The configuration's digest; empty when that is not known any more.
    config: String,
    /// The files of its layers, which may be gone; `None` when that is not known any more.
    pub(crate) layers: Option<Vec<PathBuf>>,
}

// === impl Content ===

impl Content {
    /// Every unpacked layer.
    pub(crate) fn kept_layers(&self) -> io::Result<Vec<KeptLayer>> {
        let mut layers = Vec::new();
        for entry in fs::read_dir(self.directory.join("layers"))? {
            let home = entry?.path();
            // One that goes this moment is not kept.
            let Ok(used) = fs::metadata(&home).and_then(|found| found.modified()) else { continue };
            let bytes = layer_bytes(&home, used).unwrap_or_default();
            layers.push(KeptLayer { files: home.join(FILES), home, bytes, used });
        }
        Ok(layers)
    }

    /// What names last meant, by name.
    pub(crate) fn kept_names(&self) -> io::Result<Vec<KeptName>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.directory.join("names"))? {
            let path = entry?.path();
            let Ok(text) = fs::read_to_string(&path) else { continue };
            let (digest, name) = text.split_once(' ').unwrap_or((&text, ""));
            let (digest, name) = (digest.to_owned(), name.to_owned());
            let (config, layers) = self.layers_of(&digest).unzip();
            names.push(KeptName { path, name, digest, config: config.unwrap_or_default(), layers });
        }
        names.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(names)
    }

    /// The configuration's digest and the layers' files of a manifest that is here.
    fn layers_of(&self, digest: &str) -> Option<(String, Vec<PathBuf>)> {
        let manifest: Manifest = serde_json::from_slice(&self.document(digest)?).ok()?;
        let config = manifest.config.digest;
        let document: ImageDocument = serde_json::from_slice(&self.document(&config)?).ok()?;
        let layers = document.rootfs.diff_ids.iter().take(LAYERS_MAX);
        Some((config, layers.map(|id| self.files_path(id)).collect()))
    }

    /// Says that a layer is in use now.
    pub(crate) fn use_layer(&self, layer: &KeptLayer) -> io::Result<()> {
        set_used(&layer.home, SystemTime::now())
    }

    /// Removes a layer that is not in use when it comes to it; false when it stays.
    pub(crate) fn remove_layer(
        &self,
        layer: &KeptLayer,
        is_in_use: impl FnOnce(&Path) -> bool,
    ) -> io::Result<bool> {
        let gone = {
            let _nobody_takes_it = self.layers.write().unwrap_or_else(PoisonError::into_inner);
            if is_in_use(&layer.files) {
                return Ok(false);
            }
            let gone = TempDir::new_in(self.directory.join("tmp"))?;
            match fs::rename(&layer.home, gone.path()) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
                done => done?,
            }
            gone
        };
        remove_all(gone.path())?;
        Ok(true)
    }

    /// Forgets images that are not whole any more, and the documents that nothing needs; returns
    /// the images' names.
    pub(crate) fn forget_incomplete(&self) -> io::Result<Vec<String>> {
        let mut forgotten = Vec::new();
        let mut needed = HashSet::new();
        for name in self.kept_names()? {
            let layers = name.layers.as_deref();
            if layers.is_some_and(|layers| layers.iter().all(|files| files.is_dir())) {
                needed.extend([file_name(&name.digest), file_name(&name.config)]);
                continue;
            }
            fs::remove_file(&name.path)?;
            forgotten.push(if name.name.is_empty() { name.digest } else { name.name });
        }
        for entry in fs::read_dir(self.directory.join("blobs"))? {
            let entry = entry?;
            let age = entry.metadata()?.modified()?.elapsed().unwrap_or_default();
            let is_needed = needed.contains(&*entry.file_name().to_string_lossy());
            if !is_needed && age > DOCUMENT_GRACE {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(forgotten)
    }
}

/// As it was counted when it was unpacked; that of an older version's store is counted now.
fn layer_bytes(home: &Path, used: SystemTime) -> io::Result<u64> {
    let counted = fs::read_to_string(home.join(BYTES));
    if let Some(bytes) = counted.ok().and_then(|text| text.parse().ok()) {
        return Ok(bytes);
    }
    let bytes = used_bytes(&home.join(FILES))?;
    fs::write(home.join(BYTES), bytes.to_string())?;
    // To write it down is not to use it.
    set_used(home, used)?;
    Ok(bytes)
}
