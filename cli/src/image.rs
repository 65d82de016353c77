//! Images as `ltc` needs them: what one says of itself, and the gateway to registries.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use lattice_model::{ImageRef, RegistryCredentials};

/// What an image's configuration says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageMetadata {
    /// The user to run as; empty when it names none.
    pub user: String,
    /// The working directory; empty when it names none.
    pub working_dir: String,
    /// The program and first arguments.
    pub entrypoint: Vec<String>,
    /// The arguments behind, or the whole command where there is no entrypoint.
    pub cmd: Vec<String>,
    /// `NAME=VALUE`.
    pub env: Vec<String>,
    /// Exposed TCP ports, ascending.
    pub exposed_ports: Vec<u16>,
}

/// How to ask a registry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegistryAccess {
    /// A user and password, where one is known.
    pub credentials: Option<RegistryCredentials>,
    /// True when plain HTTP is allowed.
    pub insecure: bool,
}

/// What a push has brought about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushedImage {
    /// The image, by digest.
    pub image: ImageRef,
    /// Layers and the like that were sent.
    pub blobs_sent: usize,
    /// Those that were there already.
    pub blobs_skipped: usize,
    /// What the person should know of the source.
    pub notes: Vec<String>,
}

/// Why an image cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// The registry has no such image.
    #[error("there is no image {0}")]
    NotFound(String),
    /// The registry wants other credentials.
    #[error("the registry {0} did not accept the user and password")]
    Unauthorized(String),
    /// The registry wants credentials, and none are known.
    #[error("the registry {0} gives this image to nobody without a user and password")]
    Anonymous(String),
    /// No answer came.
    #[error("cannot reach the registry {registry}: {cause}")]
    Unreachable {
        /// Which registry.
        registry: String,
        /// What went wrong below.
        cause: String,
    },
    /// A path that is to be pushed holds no image.
    #[error("{path} is not an image: {expected}")]
    NotAnImage {
        /// Which path.
        path: PathBuf,
        /// What was expected, and what to do.
        expected: String,
    },
    /// A file cannot be read.
    #[error("cannot read {path}: {cause}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

/// Told how far a push has come: bytes done, and bytes in all (0 while unknown).
pub type PushProgress<'a> = &'a (dyn Fn(u64, u64) + Send + Sync);

/// The way to registries: those of the world, and the platform's own.
#[async_trait]
pub trait ImageGateway: Send + Sync {
    /// Reads an image's configuration for this machine's kind of processor and Linux.
    async fn inspect(
        &self,
        image: &ImageRef,
        access: &RegistryAccess,
    ) -> Result<ImageMetadata, ImageError>;

    /// Pushes an OCI layout, a saved tarball or a root filesystem to the platform's registry
    /// as `app`; the answer names it by digest.
    async fn push(
        &self,
        path: &Path,
        app: &str,
        progress: PushProgress<'_>,
    ) -> Result<PushedImage, ImageError>;

    /// Asks a registry whether it takes these credentials.
    async fn check(&self, credentials: &RegistryCredentials) -> Result<(), ImageError>;

    /// What the person's Docker configuration holds for a registry.
    async fn credentials_for(
        &self,
        registry: &str,
    ) -> Result<Option<RegistryCredentials>, ImageError>;
}
