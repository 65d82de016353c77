//! Images from a person's disk to a registry, and what an image in a registry says of itself.

pub mod build;
mod docker_archive;
pub mod docker_config;
mod files;
pub mod inspect;
mod layer;
mod layout;
mod rootfs;
pub mod source;

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use lattice_api::registry::{Access, Blob, Client, Descriptor, RegistryError, Repository};
use lattice_model::{ImageRef, RegistryCredentials};

pub use source::{ImageSource, SourceKind};

/// The most blobs that are sent at the same time.
const UPLOADS_MAX: usize = 3;

/// What a push did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The digest of what the name means now.
    pub digest: String,
    /// Blobs that were sent.
    pub sent: usize,
    /// Blobs that the registry had already.
    pub skipped: usize,
    /// The bytes of the blobs that were sent.
    pub sent_bytes: u64,
}

/// Why an image was not pushed, or not read.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The path leads to something else.
    #[error("{path} is not an image: {why}; {next}")]
    NotAnImage {
        /// Which path.
        path: PathBuf,
        /// What it is instead.
        why: String,
        /// What to do.
        next: String,
    },
    /// It is an image that cannot be used.
    #[error("{path} is an image that cannot be pushed: {why}")]
    Malformed {
        /// Which path.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A file cannot be read or written.
    #[error("cannot {what}: {why}")]
    Machine {
        /// What was tried, as a verb.
        what: String,
        /// What the machine said.
        why: String,
    },
    /// The registry refused, or cannot be reached.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

/// Told of (bytes done, bytes in all), by any thread.
pub type PushProgress<'a> = &'a (dyn Fn(u64, u64) + Send + Sync);

/// Sends an image to a repository and gives it the name's tag. What is there already is not sent.
pub async fn push(
    client: &Client,
    source: &ImageSource,
    to: &ImageRef,
    credentials: Option<&RegistryCredentials>,
    progress: PushProgress<'_>,
) -> Result<Pushed, PushError> {
    let repository = client.repository(to, credentials, Access::Push);
    let total = source.blobs().iter().map(|(blob, _)| blob.size).sum();
    let done: Vec<AtomicU64> = source.blobs().iter().map(|_| AtomicU64::new(0)).collect();
    progress(0, total);
    let told = |at: usize, bytes: u64| {
        done[at].store(bytes, Ordering::Relaxed);
        let sum: u64 = done.iter().map(|d| d.load(Ordering::Relaxed)).sum();
        progress(sum.min(total), total);
    };
    let outcome = Mutex::new((0, 0, 0));
    let sends: Vec<_> = source.blobs().iter().enumerate().collect();
    let sends = sends.into_iter().map(|(at, (descriptor, blob))| {
        let (told, outcome, repository) = (&told, &outcome, &repository);
        async move {
            let sent = send(repository, descriptor, blob, &|bytes| told(at, bytes)).await?;
            let mut counts = outcome.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            match sent {
                true => (counts.0, counts.2) = (counts.0 + 1, counts.2 + descriptor.size),
                false => counts.1 += 1,
            }
            Ok::<(), RegistryError>(())
        }
    });
    let sends: Vec<_> = sends.collect();
    stream::iter(sends).buffer_unordered(UPLOADS_MAX).try_collect::<Vec<()>>().await?;
    let digest = put_manifests(&repository, source, to.version.reference()).await?;
    let (sent, skipped, sent_bytes) =
        *outcome.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    Ok(Pushed { digest, sent, skipped, sent_bytes })
}

async fn send(
    repository: &Repository,
    descriptor: &Descriptor,
    blob: &Blob,
    told: &(dyn Fn(u64) + Send + Sync),
) -> Result<bool, RegistryError> {
    repository.upload(descriptor, blob, told).await
}

/// What an index lists goes first, by digest; the last one gets the name.
async fn put_manifests(
    repository: &Repository,
    source: &ImageSource,
    reference: &str,
) -> Result<String, RegistryError> {
    let (last, parts) = source.manifests().split_last().expect("a source has a manifest");
    for part in parts {
        repository.put_manifest(&part.digest, &part.media_type, &part.bytes).await?;
    }
    let name = if reference.starts_with("sha256:") { &last.digest } else { reference };
    repository.put_manifest(name, &last.media_type, &last.bytes).await
}

#[cfg(test)]
mod tests;
