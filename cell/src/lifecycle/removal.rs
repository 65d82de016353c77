//! Removes every trace of a container: processes first, then its network, then its files.

use std::collections::BTreeSet;
use std::io;

use futures_util::StreamExt as _;
use futures_util::stream;

use crate::runtime::ContainerId;
use crate::tools::Tools;

/// What an earlier process has left.
pub(crate) struct Found {
    /// Containers, networks, root filesystems.
    lists: [BTreeSet<ContainerId>; 3],
}

/// Removes a container; may be called for one that is half made, or not there at all. Each part is
/// tried, whatever becomes of the others; the error names all that failed.
pub(crate) async fn remove(tools: &Tools, id: &ContainerId) -> Result<(), String> {
    let _slot = tools.removals.acquire().await.expect("never closed");
    let seams = &tools.seams;
    let outcomes = [
        tools.step("delete the container", seams.runtime.delete(id)).await,
        tools.step("disconnect the container", seams.network.detach(id)).await,
        tools.step("unmount the image", seams.images.unmount(id)).await,
        remove_files(tools, id),
    ];
    let failures: Vec<String> = outcomes.into_iter().filter_map(Result::err).collect();
    if failures.is_empty() { Ok(()) } else { Err(failures.join("; ")) }
}

/// Removes all that an earlier process has left, several at once; gives those that stay.
pub(crate) async fn remove_leftovers(
    tools: &Tools,
    left: BTreeSet<ContainerId>,
) -> BTreeSet<ContainerId> {
    let at_once = tools.config.limits.removals_at_once.max(1);
    let outcomes = stream::iter(left).map(|id| async move {
        let outcome = remove(tools, &id).await;
        match &outcome {
            Ok(()) => tracing::info!(container = %id, "leftover removed"),
            Err(why) => tracing::warn!(container = %id, %why, "leftover stays"),
        }
        outcome.is_err().then_some(id)
    });
    let stayed: Vec<_> = outcomes.buffer_unordered(at_once).collect().await;
    stayed.into_iter().flatten().collect()
}

/// Looks for all that an earlier process has left.
pub(crate) async fn find(tools: &Tools) -> Result<Found, String> {
    let seams = &tools.seams;
    let lists = [
        tools.step("list containers", seams.runtime.list()).await?,
        tools.step("list networks", seams.network.list()).await?,
        tools.step("list mounted images", seams.images.list()).await?,
    ];
    Ok(Found { lists: lists.map(|list| list.into_iter().collect()) })
}

// === impl Found ===

impl Found {
    /// Everything here that looks like a container.
    pub(crate) fn all(&self) -> BTreeSet<ContainerId> {
        self.lists.iter().flatten().cloned().collect()
    }

    /// True when no part of it is missing.
    pub(crate) fn is_whole(&self, id: &ContainerId) -> bool {
        self.lists.iter().all(|list| list.contains(id))
    }
}

fn remove_files(tools: &Tools, id: &ContainerId) -> Result<(), String> {
    let dir = tools.config.instances_dir().join(id.as_str());
    match std::fs::remove_dir_all(&dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(format!("cannot remove {}: {error}", dir.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
