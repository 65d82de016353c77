//! The real [`Images`]: pulls from registries into the content store, and mounts from it.

mod pins;
mod pull;
mod upkeep;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use async_trait::async_trait;
use lattice_api::cell::images::{ImageStock, PrunedImages};
use lattice_api::registry::{Client, ImageDocument, Manifest, Options};
use lattice_model::image::ImageVersion;
use lattice_model::{ImageRef, RegistryCredentials};
use tokio::sync::Semaphore;

use super::collect::Goal;
use super::content::Content;
use super::registry::image_config;
use super::rootfs::machine;
use super::rootfs::overlay::Rootfs;
use super::{DiskQuota, Image, ImageError, Images, ProgressFn, UnpackLimits};
use crate::runtime::ContainerId;
use crate::userns::UserNamespace;
use pins::Pins;
pub use upkeep::Disk;

/// What stays free of a disk unless that is said; of a small disk a twentieth.
const FREE_MIN_BYTES: u64 = 1 << 30;

/// Where images are kept, and what they may use.
#[derive(Debug, Clone)]
pub struct ImagesConfig {
    /// Images go to `images` in it, root filesystems to `rootfs`.
    pub data_dir: PathBuf,
    /// How registries are spoken to; which in plain HTTP among it.
    pub registry: Options,
    /// Asked before the registries they stand for, in this order.
    pub mirrors: Vec<Mirror>,
    /// What unpacking one layer may use up.
    pub limits: UnpackLimits,
    /// The most layers of one image that are fetched at the same time.
    pub downloads_max: usize,
    /// The most layers of all images that are fetched at the same time.
    pub downloads_of_all_max: usize,
    /// Layers that were not used for so long are removed when the store is tidied.
    pub unused_max: Duration,
    /// What is to stay free of the disk, in bytes; `None` is 1 GiB, or a twentieth of a disk that
    /// is smaller than 20 GiB.
    pub free_min_bytes: Option<u64>,
    /// True when what a container may write is bounded, see [`super::rootfs::quota::try_in`].
    pub bounds_disks: bool,
}

/// A registry that has what another has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// The registry it stands for, as in [`ImageRef::registry`].
    pub registry: String,
    /// `host` or `host:port`. It is sent no credentials.
    pub host: String,
}

/// Pulls, keeps and mounts images. Cheap to clone.
#[derive(Clone)]
pub struct ImageStore {
    client: Client,
    content: Content,
    rootfs: Rootfs,
    config: Arc<ImagesConfig>,
    free_min_bytes: u64,
    /// Says how full the disk is.
    disk: Disk,
    /// Layers that are about to be used.
    pins: Pins,
    downloads: Arc<Semaphore>,
    /// Held by whoever makes room.
    collecting: Arc<tokio::sync::Mutex<()>>,
    /// One lock for each layer that is being fetched.
    under_way: Arc<Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>>,
}

// === impl ImagesConfig ===

impl ImagesConfig {
    /// The defaults, with that directory and those hosts that are spoken to in plain HTTP.
    pub fn new(data_dir: &Path, insecure_registries: Vec<String>) -> Self {
        Self {
            data_dir: data_dir.to_owned(),
            registry: Options { insecure_registries, ..Options::default() },
            mirrors: Vec::new(),
            limits: UnpackLimits::default(),
            downloads_max: 3,
            downloads_of_all_max: 6,
            unused_max: Duration::from_secs(7 * 24 * 3600),
            free_min_bytes: None,
            bounds_disks: true,
        }
    }
}

// === impl Mirror ===

impl std::str::FromStr for Mirror {
    type Err = String;

    /// Reads `REGISTRY=HOST[:PORT]`.
    fn from_str(text: &str) -> Result<Self, String> {
        let is_host = |host: &str| {
            // As part of an image's name it is checked by the rules for those.
            !host.is_empty()
                && !host.contains('/')
                && ImageRef::from_rootfs(&format!("docker://{host}/x")).is_ok()
        };
        match text.split_once('=') {
            Some((registry, host)) if is_host(registry) && is_host(host) => {
                Ok(Self { registry: registry.to_owned(), host: host.to_owned() })
            }
            _ => Err(format!("'{text}' is not REGISTRY=HOST, such as docker.io=mirror:5000")),
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
        let client = Client::new(config.registry.clone())
            .map_err(|e| ImageError::Machine { what: what(), why: e.to_string() })?;
        let disk = Disk::of(&config.data_dir);
        let total = disk.space().map_err(|e| machine(&what(), e))?.total;
        let free_min_bytes = config.free_min_bytes.unwrap_or(FREE_MIN_BYTES.min(total / 20));
        Ok(Self {
            client,
            content,
            rootfs,
            free_min_bytes,
            disk,
            pins: Pins::default(),
            downloads: Arc::new(Semaphore::new(config.downloads_of_all_max.max(1))),
            collecting: Arc::default(),
            under_way: Arc::default(),
            config: Arc::new(config),
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
        let diff_ids = &document.rootfs.diff_ids;
        let layers: Vec<_> = diff_ids.iter().map(|id| self.content.files_path(id)).collect();
        // First held, then looked for: what is found then stays.
        let hold = self.pins.pin(layers.clone());
        let is_whole = diff_ids.iter().all(|id| self.content.layer(id).is_some());
        is_whole.then(|| Image { digest, config: image_config(&document), layers, hold })
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
        self.pull_or_reuse(image, credentials, progress).await.map(Arc::new)
    }

    async fn mount(
        &self,
        image: &Image,
        id: &ContainerId,
        users: Option<&UserNamespace>,
        quota: Option<DiskQuota>,
    ) -> Result<PathBuf, ImageError> {
        let quota = quota.filter(|_| self.config.bounds_disks);
        let (layers, id, users) = (image.layers.clone(), id.clone(), users.cloned());
        self.blocking(move |rootfs| rootfs.mount(&layers, &id, users.as_ref(), quota)).await
    }

    async fn unmount(&self, id: &ContainerId) -> Result<(), ImageError> {
        let id = id.clone();
        self.blocking(move |rootfs| rootfs.unmount(&id)).await
    }

    async fn disk_usage(&self, id: &ContainerId) -> Result<u64, ImageError> {
        let id = id.clone();
        self.blocking(move |rootfs| rootfs.disk_usage(&id)).await
    }

    async fn list(&self) -> Result<Vec<ContainerId>, ImageError> {
        self.blocking(Rootfs::list).await
    }

    async fn tidy(&self) -> Result<(), ImageError> {
        self.collect(Goal::UnusedFor(self.config.unused_max)).await?;
        self.keep_room().await
    }

    async fn stock(&self) -> Result<ImageStock, ImageError> {
        self.take_stock().await
    }

    async fn prune(&self) -> Result<PrunedImages, ImageError> {
        self.collect(Goal::Everything).await
    }
}

fn parse<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    serde_json::from_slice(bytes).ok()
}

#[cfg(test)]
mod tests;
