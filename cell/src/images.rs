//! Images: fetched from registries, verified, unpacked once per layer, and stacked into root
//! filesystems; behind one seam, [`Images`].

mod archive;
pub mod collect;
mod confined;
mod content;
pub mod fake;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod plan;
mod registry;
pub mod rootfs;
mod store;
mod unpack;
pub mod users;
mod zip;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use lattice_api::cell::images::{ImageStock, PrunedImages};
use lattice_model::action::EnvVar;
use lattice_model::{ImageRef, RegistryCredentials};
use serde::{Deserialize, Serialize};

use crate::runtime::ContainerId;
use crate::userns::UserNamespace;

pub use fake::FakeImages;
pub use rootfs::quota::DiskQuota;
pub use store::{Disk, ImageStore, ImagesConfig, Mirror};
pub use unpack::UnpackLimits;

/// Fetches images and makes root filesystems of them.
#[async_trait]
pub trait Images: Send + Sync {
    /// Fetches what is missing of an image and verifies it; several calls for one image are one
    /// download. Tells its progress as it goes.
    async fn pull(
        &self,
        image: &ImageRef,
        credentials: Option<&RegistryCredentials>,
        progress: ProgressFn,
    ) -> Result<Arc<Image>, ImageError>;
    /// Mounts a writable root filesystem for a container, whose files belong to `users` as the
    /// image's belong to the host's, and who may write as much as `quota`.
    async fn mount(
        &self,
        image: &Image,
        id: &ContainerId,
        users: Option<&UserNamespace>,
        quota: Option<DiskQuota>,
    ) -> Result<PathBuf, ImageError>;
    /// Makes a directory that everybody may write to, on the disk and within the quota of a container
    /// that has a root filesystem; it goes with that.
    async fn volume(&self, id: &ContainerId, name: &str) -> Result<PathBuf, ImageError>;
    /// Unmounts it and forgets what was written; no error when there is none.
    async fn unmount(&self, id: &ContainerId) -> Result<(), ImageError>;
    /// How many bytes were written to the container's root filesystem and its volumes.
    async fn disk_usage(&self, id: &ContainerId) -> Result<u64, ImageError>;
    /// Every container that has a root filesystem here, leftovers included.
    async fn list(&self) -> Result<Vec<ContainerId>, ImageError>;
    /// Removes what no container has used for long; it is fetched anew when it is wanted.
    async fn tidy(&self) -> Result<(), ImageError> {
        Ok(())
    }
    /// Makes sure that as much of the disk is free as is to be, by removing what no container uses;
    /// [`ImageError::DiskFull`] when that is not enough.
    async fn keep_room(&self) -> Result<(), ImageError> {
        Ok(())
    }
    /// What is kept; nothing where nothing is fetched.
    async fn stock(&self) -> Result<ImageStock, ImageError> {
        Ok(ImageStock::default())
    }
    /// Removes all that no container uses.
    async fn prune(&self) -> Result<PrunedImages, ImageError> {
        Ok(PrunedImages::default())
    }
}

/// Told of (bytes done, bytes in all; 0 while unknown).
pub type ProgressFn = Arc<dyn Fn(u64, u64) + Send + Sync>;

/// An image that is here, whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The digest of its manifest.
    pub digest: String,
    /// What it says of itself.
    pub config: ImageConfig,
    /// Its unpacked layers, the lowest first.
    pub layers: Vec<PathBuf>,
    /// Keeps them for as long as the image lives. What is mounted needs none.
    #[serde(skip)]
    pub hold: Hold,
}

/// Keeps layers from being removed while it lives; equal to every other.
#[derive(Debug, Clone, Default)]
pub struct Hold {
    /// Whoever removes layers looks whether anybody still has this.
    _layers: Option<Arc<[PathBuf]>>,
}

impl PartialEq for Hold {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Hold {}

/// What an image says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// Environment.
    pub env: Vec<EnvVar>,
    /// The program.
    pub entrypoint: Vec<String>,
    /// Its arguments, or the program where there is no entrypoint.
    pub cmd: Vec<String>,
    /// `user[:group]`, names or numbers; empty is root.
    pub user: String,
    /// The working directory; empty is `/`.
    pub working_dir: String,
    /// TCP ports, ascending.
    pub exposed_ports: Vec<u16>,
    /// What asks its program to end (`SIGQUIT`); empty is SIGTERM.
    #[serde(default)]
    pub stop_signal: String,
}

/// Why an image is not to be had. To a person: what happened, why, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The rootfs is not an image this cell can fetch.
    #[error("{0}")]
    Unsupported(String),
    /// The registry does not know it.
    #[error("{image} was not found: {why}")]
    NotFound {
        /// Which image.
        image: String,
        /// What the registry said.
        why: String,
    },
    /// The registry wants other credentials.
    #[error("registry {registry} refused access to {image}: {why}")]
    Unauthorized {
        /// Which registry.
        registry: String,
        /// Which image.
        image: String,
        /// What the registry said.
        why: String,
    },
    /// The registry cannot be reached or breaks off.
    #[error("cannot fetch {image} from {registry}: {why}")]
    Unreachable {
        /// Which registry.
        registry: String,
        /// Which image.
        image: String,
        /// What went wrong.
        why: String,
    },
    /// What arrived is not what was promised, or is not fit to be unpacked.
    #[error("{image} is not usable: {why}")]
    Corrupt {
        /// Which image.
        image: String,
        /// What is wrong with it.
        why: String,
    },
    /// The disk is too full for it.
    #[error(
        "no room for {image}: it needs at least {} MB and {} MB of the disk are to stay free, but \
         {} MB are free, and no image is left that could go; free disk in {directory}, or give it \
         a larger one",
        needed >> 20, kept_free >> 20, free >> 20
    )]
    DiskLow {
        /// Which image.
        image: String,
        /// What it needs, in bytes.
        needed: u64,
        /// What is to stay free, in bytes.
        kept_free: u64,
        /// What is free, in bytes.
        free: u64,
        /// The data directory.
        directory: String,
    },
    /// The disk is too full for anything new.
    #[error(
        "the disk is low: {} MB are free and {} MB are to stay free, and no image is left that could \
         go; free disk in {directory}, or give it a larger one",
        free >> 20, kept_free >> 20
    )]
    DiskFull {
        /// What is to stay free, in bytes.
        kept_free: u64,
        /// What is free, in bytes.
        free: u64,
        /// The data directory.
        directory: String,
    },
    /// This machine failed.
    #[error("cannot {what}: {why}")]
    Machine {
        /// What was tried, as a verb.
        what: String,
        /// What the machine said.
        why: String,
    },
}
