//! Removes what nothing needs: manifests that nothing names, blobs that no manifest refers to, and
//! uploads given up.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tracing::{info, warn};

use super::address::Digest;
use super::store::{self, Store, StoreError, blocking};
use super::unnamed::{self, WantedImages, drop_unnamed};
use super::{BlobsLimits, manifest};

/// A blob younger than this is left alone: the manifest that refers to it may be on its way.
const BLOB_AGE_MIN: Duration = Duration::from_secs(3600);

/// What a collection removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Blobs removed.
    pub blobs: usize,
    /// Bytes given back.
    pub bytes: u64,
}

/// Removes blobs of the registry in this data directory that no manifest refers to and that are
/// older than an hour. For a registry that is not being served at the same time; the server
/// collects by itself.
pub async fn collect_garbage(data_dir: &Path) -> Result<Collected, StoreError> {
    let opened = Store::open(data_dir);
    let store = opened.map_err(|source| StoreError::Io { what: "open files", source })?;
    blocking(&Arc::new(store), |store| collect(store, BLOB_AGE_MIN)).await
}

/// Tidies at start and then in intervals. While nobody can tell which images are wanted, no
/// manifest goes.
pub(super) async fn tidy_forever(
    store: Arc<Store>,
    limits: BlobsLimits,
    images: Option<Arc<dyn WantedImages>>,
) {
    let mut interval = tokio::time::interval(limits.garbage_interval);
    loop {
        interval.tick().await;
        let wanted = unnamed::wanted(images.as_ref()).await;
        let tidied = blocking(&store, move |store| {
            let uploads = store.drop_stale_uploads(limits.upload_age_max)?;
            let drop = |wanted| drop_unnamed(store, &wanted, limits.unnamed_age_min);
            let manifests = wanted.map(drop).transpose()?.unwrap_or_default();
            Ok((uploads, manifests, collect(store, BLOB_AGE_MIN)?))
        });
        match tidied.await {
            Ok((0, 0, Collected { blobs: 0, .. })) => {}
            Ok((uploads, manifests, Collected { blobs, bytes })) => {
                info!(uploads, manifests, blobs, bytes, "removed unused parts of the registry");
            }
            Err(error) => {
                let error = &error as &(dyn std::error::Error + 'static);
                warn!(error, "cannot tidy the registry");
            }
        }
    }
}

/// Marks what manifests refer to, and sweeps the rest.
pub(super) fn collect(store: &Store, age_min: Duration) -> Result<Collected, StoreError> {
    let _none_refers = store.references.write().unwrap_or_else(PoisonError::into_inner);
    let needed = needed(store)?;
    let failed = |source| StoreError::Io { what: "look for unused blobs", source };
    let mut collected = Collected::default();
    for directory in store::names_in(&store.blobs_dir()).map_err(failed)? {
        for hex in store::names_in(&store.blobs_dir().join(directory)).map_err(failed)? {
            let Some(digest) = Digest::of_hex(&hex) else { continue };
            if needed.contains(&digest) {
                continue;
            }
            let path = store.blob_path(&digest);
            let is_old = store::age(&path).map_err(failed)?.is_some_and(|age| age >= age_min);
            let bytes = path.metadata().map_or(0, |metadata| metadata.len());
            if is_old && store::remove(&path).map_err(failed)? {
                collected.blobs += 1;
                collected.bytes += bytes;
            }
        }
    }
    Ok(collected)
}

fn needed(store: &Store) -> Result<HashSet<Digest>, StoreError> {
    let mut needed = HashSet::new();
    for name in store.repositories()? {
        for digest in store.revisions(&name)? {
            let media_type = store.revision(&name, &digest)?;
            let bytes = store.read(&digest)?.unwrap_or_default();
            if let Ok(manifest) = manifest::parse(&bytes, media_type.as_deref()) {
                needed.extend(manifest.blobs);
                needed.extend(manifest.manifests);
            }
            needed.insert(digest);
        }
    }
    Ok(needed)
}
