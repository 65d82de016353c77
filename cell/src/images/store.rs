//! The real [`Images`]: pulls from registries into the content store, and mounts from it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use lattice_api::registry::document::LAYERS_MAX;
use lattice_api::registry::{
    Access, Client, Descriptor, ImageDocument, Manifest, Options, RegistryError, Repository,
};
use lattice_model::image::{ImageVersion, is_digest};
use lattice_model::{ImageRef, RegistryCredentials};
use tokio::sync::OwnedMutexGuard;
use tracing::{info, warn};

use super::content::Content;
use super::registry::{about, check_platform, image_config};
use super::rootfs::overlay::Rootfs;
use super::rootfs::{machine, told};
use super::{Image, ImageError, Images, ProgressFn, UnpackLimits};
use crate::runtime::ContainerId;

/// Where images are kept, and what they may use.
#[derive(Debug, Clone)]
pub struct ImagesConfig {
    /// Images go to `images` in it, root filesystems to `rootfs`.
    pub data_dir: PathBuf,
    /// How registries are spoken to; which in plain HTTP among it.
    pub registry: Options,
    /// What unpacking one layer may use up.
    pub limits: UnpackLimits,
    /// The most layers of one image that are fetched at the same time.
    pub downloads_max: usize,
    /// Layers that were not used for so long are removed when the store is tidied.
    pub unused_max: Duration,
}

/// Pulls, keeps and mounts images. Cheap to clone.
#[derive(Clone)]
pub struct ImageStore {
    client: Client,
    content: Content,
    rootfs: Rootfs,
    limits: UnpackLimits,
    downloads_max: usize,
    unused_max: Duration,
    /// The layers of each root filesystem that was mounted here.
    mounted: Arc<Mutex<HashMap<ContainerId, Vec<PathBuf>>>>,
    /// One lock for each layer that is being fetched.
    under_way: Arc<Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>>,
}

/// An image to be had, and where.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    image: &'a ImageRef,
    repository: &'a Repository,
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

// === impl ImagesConfig ===

impl ImagesConfig {
    /// The defaults, with that directory and those hosts that are spoken to in plain HTTP.
    pub fn new(data_dir: &Path, insecure_registries: Vec<String>) -> Self {
        Self {
            data_dir: data_dir.to_owned(),
            registry: Options { insecure_registries, ..Options::default() },
            limits: UnpackLimits::default(),
            downloads_max: 3,
            unused_max: Duration::from_secs(7 * 24 * 3600),
        }
    }
}

// === impl ImageStore ===

impl ImageStore {
    /// Opens or makes the store. A TLS provider must be installed already.
    pub fn open(config: ImagesConfig) -> Result<Self, ImageError> {
        let what = || format!("open the image store in {}", config.data_dir.display());
        let content = Content::open(&config.data_dir).map_err(|e| machine(&what(), e))?;
        let rootfs = Rootfs::open(&config.data_dir).map_err(|e| machine(&what(), e))?;
        let client = Client::new(config.registry)
            .map_err(|e| ImageError::Machine { what: what(), why: e.to_string() })?;
        Ok(Self {
            client,
            content,
            rootfs,
            limits: config.limits,
            downloads_max: config.downloads_max.max(1),
            unused_max: config.unused_max,
            mounted: Arc::default(),
            under_way: Arc::default(),
        })
    }

    /// The image from the store alone, if all of it is here.
    fn cached(&self, image: &ImageRef) -> Option<Image> {
        let digest = match (self.content.last_meaning(&image.to_string()), &image.version) {
            (Some(digest), _) => digest,
            (None, ImageVersion::Digest(digest)) => digest.clone(),
            (None, ImageVersion::Tag(_)) => return None,
        };
        let manifest: Manifest = parse(&self.content.document(&digest)?)?;
        let document: ImageDocument = parse(&self.content.document(&manifest.config.digest)?)?;
        let diff_ids = document.rootfs.diff_ids.iter();
        let layers = diff_ids.map(|id| self.content.layer(id)).collect::<Option<Vec<_>>>()?;
        Some(Image { digest, config: image_config(&document), layers })
    }

    /// Asks the registry, and fetches what is missing here.
    async fn fetch(
        &self,
        wanted: Wanted<'_>,
        progress: ProgressFn,
    ) -> Result<Image, RegistryOrImage> {
        let Wanted { image, repository } = wanted;
        let resolved = repository.resolve(image.version.reference()).await?;
        self.keep(&resolved.digest, &resolved.bytes)?;
        let config_digest = &resolved.manifest.config.digest;
        let bytes = match self.content.document(config_digest) {
            Some(bytes) => bytes,
            None => {
                let bytes = repository.document(&resolved.manifest.config).await?;
                self.keep(config_digest, &bytes)?;
                bytes
            }
        };
        let document: ImageDocument = parse(&bytes).ok_or_else(|| {
            corrupt(image, format!("its configuration {config_digest} is no JSON"))
        })?;
        let architecture = &self.client.options().architecture;
        check_platform(image, &document, architecture)?;
        let layers = self.layers(wanted, &resolved.manifest, &document, progress).await?;
        self.content
            .keep_meaning(&image.to_string(), &resolved.digest)
            .map_err(|e| machine("keep what the image's name means", e))?;
        Ok(Image { digest: resolved.digest, config: image_config(&document), layers })
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
    ) -> Result<Vec<PathBuf>, RegistryOrImage> {
        let (blobs, diff_ids) = (&manifest.layers, &document.rootfs.diff_ids);
        check_layers(wanted.image, blobs, diff_ids, self.limits.bytes_max)?;
        let missing = blobs.iter().zip(diff_ids).filter(|(_, id)| self.content.layer(id).is_none());
        let meter = Meter {
            total: missing.map(|(blob, _)| blob.size).fold(0, u64::saturating_add),
            done: blobs.iter().map(|_| AtomicU64::new(0)).collect(),
            progress,
        };
        meter.tell();
        let layers = blobs.iter().zip(diff_ids).enumerate();
        let layers = layers.map(|(at, (blob, diff_id))| Layer { of: wanted, blob, diff_id, at });
        let fetches = layers.map(|layer| self.layer(layer, &meter));
        let fetches: Vec<_> = fetches.collect();
        stream::iter(fetches).buffered(self.downloads_max).try_collect().await
    }

    /// One layer's files: from the store, or fetched and unpacked into it by whoever is first.
    async fn layer(&self, layer: Layer<'_>, meter: &Meter) -> Result<PathBuf, RegistryOrImage> {
        if let Some(files) = self.content.layer(layer.diff_id) {
            return Ok(files);
        }
        let guard = self.lock(layer.diff_id).await;
        if self.content.layer(layer.diff_id).is_none() {
            self.fetch_layer(&layer, meter, guard).await?;
        }
        meter.set(layer.at, layer.blob.size);
        self.content.layer(layer.diff_id).ok_or_else(|| {
            let gone = std::io::Error::other("it is gone again");
            machine("find the layer that was just unpacked", gone).into()
        })
    }

    async fn fetch_layer(
        &self,
        layer: &Layer<'_>,
        meter: &Meter,
        guard: OwnedMutexGuard<()>,
    ) -> Result<(), RegistryOrImage> {
        let cannot = |e| machine("make room for a layer", e);
        let fetched = self.content.temporary_file().map_err(cannot)?;
        let mut sink = tokio::fs::File::from_std(fetched.reopen().map_err(cannot)?);
        let Wanted { image, repository } = layer.of;
        repository.download(layer.blob, &mut sink, &|done| meter.set(layer.at, done)).await?;
        let (content, limits, diff_id) =
            (self.content.clone(), self.limits, layer.diff_id.to_owned());
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

    fn mounted(&self) -> MutexGuard<'_, HashMap<ContainerId, Vec<PathBuf>>> {
        self.mounted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Rootfs) -> Result<T, ImageError> + Send + 'static,
    ) -> Result<T, ImageError> {
        let rootfs = self.rootfs.clone();
        let done = tokio::task::spawn_blocking(move || work(&rootfs)).await;
        done.unwrap_or_else(|e| Err(machine("work on a root filesystem", std::io::Error::other(e))))
    }
}

#[async_trait]
impl Images for ImageStore {
    async fn pull(
        &self,
        image: &ImageRef,
        credentials: Option<&RegistryCredentials>,
        progress: ProgressFn,
    ) -> Result<Arc<Image>, ImageError> {
        // Credentials go to the registry they are for, and to no other.
        let credentials = credentials.filter(|c| c.registry == image.registry);
        let repository = self.client.repository(image, credentials, Access::Pull);
        match self.fetch(Wanted { image, repository: &repository }, progress).await {
            Ok(image) => Ok(Arc::new(image)),
            Err(RegistryOrImage::Image(error)) => Err(error),
            Err(RegistryOrImage::Registry(error)) => match (&error, self.cached(image)) {
                (RegistryError::Unreachable { why, .. }, Some(cached)) => {
                    let digest = &cached.digest;
                    warn!(%image, %digest, %why, "registry unreachable, using what is here");
                    Ok(Arc::new(cached))
                }
                _ => Err(about(image, error)),
            },
        }
    }

    async fn mount(&self, image: &Image, id: &ContainerId) -> Result<PathBuf, ImageError> {
        let (layers, id) = (image.layers.clone(), id.clone());
        self.mounted().insert(id.clone(), layers.clone());
        self.blocking(move |rootfs| rootfs.mount(&layers, &id)).await
    }

    async fn unmount(&self, id: &ContainerId) -> Result<(), ImageError> {
        let gone = id.clone();
        self.blocking(move |rootfs| rootfs.unmount(&gone)).await?;
        self.mounted().remove(id);
        Ok(())
    }

    async fn disk_usage(&self, id: &ContainerId) -> Result<u64, ImageError> {
        let id = id.clone();
        self.blocking(move |rootfs| rootfs.disk_usage(&id)).await
    }

    async fn list(&self) -> Result<Vec<ContainerId>, ImageError> {
        self.blocking(Rootfs::list).await
    }

    fn adopt(&self, id: &ContainerId, image: &Image) {
        self.mounted().insert(id.clone(), image.layers.clone());
    }

    async fn tidy(&self) -> Result<(), ImageError> {
        let (content, unused_max) = (self.content.clone(), self.unused_max);
        let mounted = self.mounted().clone();
        let removed = self.blocking(move |rootfs| {
            if rootfs.list()?.iter().any(|id| !mounted.contains_key(id)) {
                // An earlier process left it; nobody knows which layers it uses.
                return Ok(Vec::new());
            }
            let layers = mounted.into_values().flatten().collect();
            let removed = content.remove_unused_layers(&layers, unused_max);
            removed.map_err(|e| machine("remove unused layers", e))
        });
        for layer in removed.await? {
            info!(layer, "layer removed, which no app has used for long");
        }
        Ok(())
    }
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

fn parse<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    serde_json::from_slice(bytes).ok()
}

#[cfg(test)]
mod tests;
