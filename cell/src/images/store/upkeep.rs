//! What is kept, what goes, and room on the disk for what comes.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use lattice_api::cell::images::{ImageStock, KeptImage, PrunedImages};
use lattice_model::{ImageRef, Time};
use tracing::info;

use super::ImageStore;
use super::pins::Pins;
use crate::images::ImageError;
use crate::images::collect::{Candidate, Goal, choose, missing};
use crate::images::content::Content;
use crate::images::content::garbage::KeptLayer;
use crate::images::rootfs::machine;
use crate::images::rootfs::overlay::Rootfs;

/// How full a disk is. Cheap to clone.
#[derive(Clone)]
pub struct Disk(Arc<dyn Fn() -> io::Result<Space> + Send + Sync>);

/// In bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Space {
    pub(super) free: u64,
    pub(super) total: u64,
}

// === impl Disk ===

impl Disk {
    /// The one this directory is on.
    pub(super) fn of(directory: &Path) -> Self {
        let directory = directory.to_owned();
        Self(Arc::new(move || {
            let found = rustix::fs::statvfs(&directory)?;
            let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
            Ok(Space { free: bytes(found.f_bavail), total: bytes(found.f_blocks) })
        }))
    }

    /// One that a test fills.
    #[cfg(test)]
    pub(super) fn told(tell: impl Fn() -> Space + Send + Sync + 'static) -> Self {
        Self(Arc::new(move || Ok(tell())))
    }

    pub(super) fn space(&self) -> io::Result<Space> {
        (self.0)()
    }
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Disk").field(&self.space().ok()).finish()
    }
}

// === impl ImageStore ===

impl ImageStore {
    /// Lists what is here; that does not count as use.
    pub(super) async fn take_stock(&self) -> Result<ImageStock, ImageError> {
        let space = self.space()?;
        let (content, pins) = (self.content.clone(), self.pins.clone());
        self.blocking(move |rootfs| {
            let failed = |e| machine("list the images", e);
            let used = in_use(rootfs, &pins)?.unwrap_or_default();
            let layers = content.kept_layers().map_err(failed)?;
            let names = content.kept_names().map_err(failed)?;
            let image = |name: crate::images::content::garbage::KeptName| {
                let wanted = name.layers?;
                let found = |files: &PathBuf| layers.iter().find(|layer| layer.files == *files);
                let kept = wanted.iter().map(found).collect::<Option<Vec<_>>>()?;
                let last_used = kept.iter().map(|layer| layer.used).max();
                Some(KeptImage {
                    name: if name.name.is_empty() { name.digest.clone() } else { name.name },
                    digest: name.digest,
                    bytes: kept.iter().map(|layer| layer.bytes).sum(),
                    layers: kept.len(),
                    in_use: !wanted.is_empty() && wanted.iter().all(|files| used.contains(files)),
                    last_used: time(last_used.unwrap_or(UNIX_EPOCH)),
                })
            };
            Ok(ImageStock {
                images: names.into_iter().filter_map(image).collect(),
                layers_bytes: layers.iter().map(|layer| layer.bytes).sum(),
                disk_free_bytes: space.free,
                disk_total_bytes: space.total,
            })
        })
        .await
    }

    /// Removes layers that nobody uses, and forgets the images that had them.
    pub(super) async fn collect(&self, goal: Goal) -> Result<PrunedImages, ImageError> {
        let (content, pins) = (self.content.clone(), self.pins.clone());
        let collected = self.blocking(move |rootfs| {
            let Some(used) = in_use(rootfs, &pins)? else {
                info!("a container does not say which layers it uses, so no image is removed");
                return Ok(PrunedImages::default());
            };
            let removed = remove_layers(&content, &used, goal, |files| {
                // What the pins let go meanwhile has its root filesystem by now.
                pins.held().contains(files)
                    || !matches!(rootfs.layers_in_use(), Ok(Some(used)) if !used.contains(files))
            });
            removed.map_err(|e| machine("remove images that nobody uses", e))
        });
        let collected = collected.await?;
        if collected.layers > 0 {
            let PrunedImages { images, layers, bytes } = &collected;
            info!(layers, bytes, ?images, "images removed that nobody uses");
        }
        Ok(collected)
    }

    /// Makes room for so many bytes of an image, or says what is missing.
    pub(super) async fn make_room(&self, image: &ImageRef, needed: u64) -> Result<(), ImageError> {
        let _turn = self.collecting.lock().await;
        let kept_free = self.free_min_bytes;
        let short = missing(self.space()?.free, needed, kept_free);
        if short == 0 {
            return Ok(());
        }
        self.collect(Goal::Bytes(short)).await?;
        let free = self.space()?.free;
        if missing(free, needed, kept_free) == 0 {
            return Ok(());
        }
        let (image, directory) = (image.to_string(), self.config.data_dir.display().to_string());
        Err(ImageError::DiskLow { image, needed, kept_free, free, directory })
    }

    /// Makes room before a pull has to; an error when there is none to be made.
    pub(super) async fn collect_when_low(&self) -> Result<(), ImageError> {
        let _turn = self.collecting.lock().await;
        let kept_free = self.free_min_bytes;
        let short = missing(self.space()?.free, 0, kept_free);
        if short == 0 {
            return Ok(());
        }
        self.collect(Goal::Bytes(short)).await?;
        let free = self.space()?.free;
        if missing(free, 0, kept_free) == 0 {
            return Ok(());
        }
        let directory = self.config.data_dir.display().to_string();
        Err(ImageError::DiskFull { kept_free, free, directory })
    }

    fn space(&self) -> Result<super::upkeep::Space, ImageError> {
        self.disk.space().map_err(|e| machine("see how full the disk is", e))
    }
}

/// The layers that containers stand on, or soon will; `None` when that is not known.
fn in_use(rootfs: &Rootfs, pins: &Pins) -> Result<Option<HashSet<PathBuf>>, ImageError> {
    // In this order: who lets go of a pin has his root filesystem by then.
    let held = pins.held();
    let Some(mut used) = rootfs.layers_in_use()? else { return Ok(None) };
    used.extend(held);
    Ok(Some(used))
}

fn remove_layers(
    content: &Content,
    used: &HashSet<PathBuf>,
    goal: Goal,
    is_in_use: impl Fn(&Path) -> bool,
) -> io::Result<PrunedImages> {
    let layers = content.kept_layers()?;
    let now = SystemTime::now();
    let candidate = |layer: &KeptLayer| Candidate {
        bytes: layer.bytes,
        unused: now.duration_since(layer.used).unwrap_or_default(),
        is_in_use: used.contains(&layer.files),
    };
    let candidates: Vec<Candidate> = layers.iter().map(candidate).collect();
    let mut pruned = PrunedImages::default();
    for at in choose(&candidates, goal) {
        if content.remove_layer(&layers[at], &is_in_use)? {
            pruned.layers += 1;
            pruned.bytes += layers[at].bytes;
        }
    }
    for layer in layers.iter().zip(&candidates).filter(|(_, c)| c.is_in_use).map(|(l, _)| l) {
        content.use_layer(layer)?;
    }
    if pruned.layers > 0 {
        pruned.images = content.forget_incomplete()?;
    }
    Ok(pruned)
}

fn time(at: SystemTime) -> Time {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
