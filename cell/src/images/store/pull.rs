//! Fetching what is missing of an image: from a mirror or the registry itself, several layers at
//! once, each by whoever is first.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use lattice_api::registry::document::LAYERS_MAX;
use lattice_api::registry::{
    Access, Descriptor, ImageDocument, Manifest, RegistryError, Repository, Resolved,
};
use lattice_model::image::is_digest;
use lattice_model::{ImageRef, RegistryCredentials};
use tokio::sync::OwnedMutexGuard;
use tracing::{info, warn};

use super::{ImageStore, machine, parse};
use crate::images::registry::{about, check_platform, image_config};
use crate::images::rootfs::told;
use crate::images::{Hold, Image, ImageError, ProgressFn, UnpackLimits};

/// The longest pause before something is asked again.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// While a layer is unpacked, it is there twice.
const PACKED_AND_UNPACKED: u64 = 2;

/// An image to be had, and where.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    image: &'a ImageRef,
    repository: &'a Repository,
    /// How often it is asked what the name means.
    attempts: u32,
}

/// One layer of it.
struct Layer<'a> {
    of: Wanted<'a>,
    blob: &'a Descriptor,
    diff_id: &'a str,
    at: usize,
}

/// Adds up how far the layers of an image are.
struct Meter {
    done: Vec<AtomicU64>,
    total: u64,
    progress: ProgressFn,
}

/// A registry's error keeps its kind until it is known whether the store can help.
enum RegistryOrImage {
    Registry(RegistryError),
    Image(ImageError),
}

impl From<RegistryError> for RegistryOrImage {
    fn from(error: RegistryError) -> Self {
        Self::Registry(error)
    }
}

impl From<ImageError> for RegistryOrImage {
    fn from(error: ImageError) -> Self {
        Self::Image(error)
    }
}

// === impl ImageStore ===

impl ImageStore {
    /// The image from a mirror or its registry; from here where none of them answers.
    pub(super) async fn pull_or_reuse(
        &self,
        image: &ImageRef,
        credentials: Option<&RegistryCredentials>,
        progress: ProgressFn,
    ) -> Result<Image, ImageError> {
        let cached = self.cached(image);
        // Whoever has it already need not wait for a registry to come back.
        let attempts = if cached.is_some() { 1 } else { self.config.registry.transfer_attempts };
        for mirror in self.config.mirrors.iter().filter(|m| m.registry == image.registry) {
            let there = ImageRef { registry: mirror.host.clone(), ..image.clone() };
            let repository = self.client.repository(&there, None, Access::Pull);
            let wanted = Wanted { image, repository: &repository, attempts: 1 };
            match self.fetch(wanted, Arc::clone(&progress)).await {
                Ok(found) => return Ok(found),
                Err(RegistryOrImage::Image(error)) => return Err(error),
                Err(RegistryOrImage::Registry(error)) => {
                    info!(%image, mirror = mirror.host, %error, "the mirror does not have it");
                }
            }
        }
        // Credentials go to the registry they are for, and to no other.
        let credentials = credentials.filter(|c| c.registry == image.registry);
        let repository = self.client.repository(image, credentials, Access::Pull);
        match self.fetch(Wanted { image, repository: &repository, attempts }, progress).await {
            Ok(found) => Ok(found),
            Err(RegistryOrImage::Image(error)) => Err(error),
            Err(RegistryOrImage::Registry(error)) => match (&error, cached) {
                (RegistryError::Unreachable { why, .. }, Some(cached)) => {
                    let digest = &cached.digest;
                    warn!(%image, %digest, %why, "registry unreachable, using what is here");
                    Ok(cached)
                }
                _ => Err(about(image, error)),
            },
        }
    }

    /// Asks the registry, and fetches what is missing here.
    async fn fetch(
        &self,
        wanted: Wanted<'_>,
        progress: ProgressFn,
    ) -> Result<Image, RegistryOrImage> {
        let image = wanted.image;
        let resolved = self.resolve(wanted).await?;
        self.keep(&resolved.digest, &resolved.bytes)?;
        let config_digest = &resolved.manifest.config.digest;
        let bytes = match self.content.document(config_digest) {
            Some(bytes) => bytes,
            None => {
                let bytes = wanted.repository.document(&resolved.manifest.config).await?;
                self.keep(config_digest, &bytes)?;
                bytes
            }
        };
        let document: ImageDocument = parse(&bytes).ok_or_else(|| {
            corrupt(image, format!("its configuration {config_digest} is no JSON"))
        })?;
        let architecture = &self.client.options().architecture;
        check_platform(image, &document, architecture)?;
        let (layers, hold) = self.layers(wanted, &resolved.manifest, &document, progress).await?;
        self.content
            .keep_meaning(&image.to_string(), &resolved.digest)
            .map_err(|e| machine("keep what the image's name means", e))?;
        Ok(Image { digest: resolved.digest, config: image_config(&document), layers, hold })
    }

    /// What the name means now. A registry that fails is asked again, after growing pauses.
    async fn resolve(&self, wanted: Wanted<'_>) -> Result<Resolved, RegistryError> {
        let mut pause = self.config.registry.resume_delay;
        let mut failures = 0;
        loop {
            let error = match wanted.repository.resolve(wanted.image.version.reference()).await {
                Err(error @ RegistryError::Unreachable { .. }) => error,
                settled => return settled,
            };
            failures += 1;
            if failures >= wanted.attempts {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn keep(&self, digest: &str, bytes: &[u8]) -> Result<(), ImageError> {
        self.content.keep_document(digest, bytes).map_err(|e| machine("keep a document", e))
    }

    async fn layers(
        &self,
        wanted: Wanted<'_>,
        manifest: &Manifest,
        document: &ImageDocument,
        progress: ProgressFn,
    ) -> Result<(Vec<PathBuf>, Hold), RegistryOrImage> {
        let (blobs, diff_ids) = (&manifest.layers, &document.rootfs.diff_ids);
        check_layers(wanted.image, blobs, diff_ids, self.config.limits.bytes_max)?;
        // First held, then looked for: what is found then stays.
        let files: Vec<_> = diff_ids.iter().map(|id| self.content.files_path(id)).collect();
        let hold = self.pins.pin(files.clone());
        let missing = blobs.iter().zip(diff_ids).filter(|(_, id)| self.content.layer(id).is_none());
        let meter = Meter {
            total: missing.map(|(blob, _)| blob.size).fold(0, u64::saturating_add),
            done: blobs.iter().map(|_| AtomicU64::new(0)).collect(),
            progress,
        };
        meter.tell();
        if meter.total > 0 {
            let needed = meter.total.saturating_mul(PACKED_AND_UNPACKED);
            self.make_room(wanted.image, needed).await?;
        }
        let layers = blobs.iter().zip(diff_ids).enumerate();
        let layers = layers.map(|(at, (blob, diff_id))| Layer { of: wanted, blob, diff_id, at });
        let fetches: Vec<_> = layers.map(|layer| self.layer(layer, &meter)).collect();
        let fetches = stream::iter(fetches).buffered(self.config.downloads_max.max(1));
        fetches.try_collect::<()>().await?;
        Ok((files, hold))
    }

    /// Sees to it that a layer is here: whoever is first fetches it and unpacks it.
    async fn layer(&self, layer: Layer<'_>, meter: &Meter) -> Result<(), RegistryOrImage> {
        if self.content.layer(layer.diff_id).is_some() {
            return Ok(());
        }
        let guard = self.lock(layer.diff_id).await;
        if self.content.layer(layer.diff_id).is_none() {
            self.fetch_layer(&layer, meter, guard).await?;
        }
        meter.set(layer.at, layer.blob.size);
        match self.content.layer(layer.diff_id) {
            Some(_) => Ok(()),
            None => {
                let gone = std::io::Error::other("it is gone again");
                Err(machine("find the layer that was just unpacked", gone).into())
            }
        }
    }

    async fn fetch_layer(
        &self,
        layer: &Layer<'_>,
        meter: &Meter,
        guard: OwnedMutexGuard<()>,
    ) -> Result<(), RegistryOrImage> {
        let _slot = self.downloads.acquire().await.expect("never closed");
        let cannot = |e| machine("make a file for a layer", e);
        let fetched = self.content.temporary_file().map_err(cannot)?;
        let mut sink = tokio::fs::File::from_std(fetched.reopen().map_err(cannot)?);
        let Wanted { image, repository, .. } = layer.of;
        repository.download(layer.blob, &mut sink, &|done| meter.set(layer.at, done)).await?;
        // Half of what is to stay free may be used up by a layer that grew more than was thought.
        let free_min_bytes = self.free_min_bytes / 2;
        let limits = UnpackLimits { free_min_bytes, ..self.config.limits };
        let (content, diff_id) = (self.content.clone(), layer.diff_id.to_owned());
        let unpack = move || {
            // Held to the end, also when nobody waits for the layer any more.
            let _guard = guard;
            content.unpack_layer(fetched.path(), &diff_id, limits)
        };
        let digest = &layer.blob.digest;
        match tokio::task::spawn_blocking(unpack).await {
            Ok(Ok(())) => {
                info!(%image, layer = %digest, "layer unpacked");
                Ok(())
            }
            Ok(Err(trouble)) => {
                let what = format!("unpack layer {digest}");
                Err(match told(&what, &image.to_string(), trouble) {
                    ImageError::Corrupt { image, why } => {
                        ImageError::Corrupt { image, why: format!("layer {digest}: {why}") }
                    }
                    other => other,
                }
                .into())
            }
            Err(e) => Err(machine("unpack a layer", std::io::Error::other(e)).into()),
        }
    }

    async fn lock(&self, diff_id: &str) -> OwnedMutexGuard<()> {
        let lock = {
            let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
            under_way.retain(|_, lock| lock.strong_count() > 0);
            match under_way.get(diff_id).and_then(Weak::upgrade) {
                Some(lock) => lock,
                None => {
                    let lock = Arc::new(tokio::sync::Mutex::new(()));
                    under_way.insert(diff_id.to_owned(), Arc::downgrade(&lock));
                    lock
                }
            }
        };
        lock.lock_owned().await
    }
}

// === impl Meter ===

impl Meter {
    fn set(&self, at: usize, bytes: u64) {
        self.done[at].store(bytes, Ordering::Relaxed);
        self.tell();
    }

    fn tell(&self) {
        let done = self.done.iter().map(|d| d.load(Ordering::Relaxed));
        let done = done.fold(0, u64::saturating_add);
        (self.progress)(done.min(self.total), self.total);
    }
}

fn check_layers(
    image: &ImageRef,
    blobs: &[Descriptor],
    diff_ids: &[String],
    bytes_max: u64,
) -> Result<(), ImageError> {
    if let Some(big) = blobs.iter().find(|blob| blob.size > bytes_max) {
        let (digest, size) = (&big.digest, big.size);
        let why = format!("layer {digest} is {size} bytes; at most {bytes_max} are taken");
        return Err(corrupt(image, why));
    }
    if blobs.len() != diff_ids.len() {
        let (blobs, ids) = (blobs.len(), diff_ids.len());
        return Err(corrupt(image, format!("{blobs} layers, but {ids} diff ids")));
    }
    if diff_ids.len() > LAYERS_MAX {
        let layers = diff_ids.len();
        return Err(corrupt(image, format!("{layers} layers; at most {LAYERS_MAX} are taken")));
    }
    match diff_ids.iter().find(|id| !is_digest(id)) {
        Some(bad) => Err(corrupt(image, format!("'{bad}' is not a sha256 digest"))),
        None => Ok(()),
    }
}

fn corrupt(image: &ImageRef, why: String) -> ImageError {
    ImageError::Corrupt { image: image.to_string(), why }
}
