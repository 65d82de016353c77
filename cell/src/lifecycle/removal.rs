//! Removes every trace of an instance: processes first, then its network, then its files.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream;

use crate::pod::{Part, Pod};
use crate::runtime::ContainerId;
use crate::tools::Tools;

/// What an earlier process has left.
pub(crate) struct Found {
    /// Containers, networks, root filesystems, and what was written for instances: the last to go.
    lists: [BTreeSet<ContainerId>; 4],
}

/// Removes an instance with so many containers; may be called for one that is half made, or not
/// there at all. Each part is tried, whatever becomes of the others; the error names all that
/// failed.
pub(crate) async fn remove(tools: &Tools, id: &ContainerId, count: usize) -> Result<(), String> {
    let _slot = tools.removals.acquire().await.expect("never closed");
    let seams = &tools.seams;
    let members: Vec<ContainerId> = (0..count).map(|index| id.member(index)).collect();
    let delete = |member| tools.step("delete the container", seams.runtime.delete(member));
    let mut outcomes = join_all(members.iter().map(delete)).await;
    outcomes.push(tools.step("disconnect the container", seams.network.detach(id)).await);
    for member in &members {
        outcomes.push(tools.step("unmount the image", seams.images.unmount(member)).await);
    }
    outcomes.push(remove_files(tools, id));
    let failures: Vec<String> = outcomes.into_iter().filter_map(Result::err).collect();
    if failures.is_empty() { Ok(()) } else { Err(failures.join("; ")) }
}

/// Removes all that an earlier process has left, several at once; gives those that stay.
pub(crate) async fn remove_leftovers(
    tools: &Tools,
    left: BTreeSet<ContainerId>,
) -> BTreeSet<ContainerId> {
    let at_once = tools.config.limits.removals_at_once.max(1);
    let mut instances: BTreeMap<ContainerId, usize> = BTreeMap::new();
    for id in left {
        let (instance, index) = id.instance();
        let count = instances.entry(instance).or_default();
        *count = (*count).max(index + 1);
    }
    let outcomes = stream::iter(instances).map(|(id, count)| async move {
        let outcome = remove(tools, &id, count).await;
        match &outcome {
            Ok(()) => tracing::info!(container = %id, "leftover removed"),
            Err(why) => tracing::warn!(container = %id, %why, "leftover stays"),
        }
        // The last of its names says how many there are.
        outcome.is_err().then(|| id.member(count - 1))
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
        list_files(tools)?,
    ];
    Ok(Found { lists: lists.map(|list| list.into_iter().collect()) })
}

// === impl Found ===

impl Found {
    /// Every instance here of which there is anything.
    pub(crate) fn instances(&self) -> BTreeSet<ContainerId> {
        self.lists.iter().flatten().map(|id| id.instance().0).collect()
    }

    /// All that there is of an instance, by the names of its containers.
    pub(crate) fn members(&self, instance: &ContainerId) -> BTreeSet<ContainerId> {
        let all = self.lists.iter().flatten();
        all.filter(|id| id.instance().0 == *instance).cloned().collect()
    }

    /// True when no part of it is missing.
    pub(crate) fn is_whole(&self, pod: &Pod<'_>) -> bool {
        let [containers, networks, roots, _] = &self.lists;
        let is_there = |part: &Part<'_>| {
            containers.contains(&part.id) && (part.shares.is_some() || roots.contains(&part.id))
        };
        let main = pod.containers.first();
        main.is_some_and(|main| networks.contains(&main.id)) && pod.containers.iter().all(is_there)
    }
}

fn list_files(tools: &Tools) -> Result<Vec<ContainerId>, String> {
    let dir = tools.config.instances_dir();
    let read = || std::fs::read_dir(&dir)?.collect::<io::Result<Vec<_>>>();
    let entries = read().map_err(|e| format!("cannot read {}: {e}", dir.display()))?;
    Ok(entries.iter().map(|entry| ContainerId::new(&entry.file_name().to_string_lossy())).collect())
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
