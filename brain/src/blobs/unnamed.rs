//! Removes manifests that nothing names any more: an image that was pushed again under the same
//! tag leaves the former one behind, which an app may still name by its digest.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use lattice_api::brain::Receptor;
use lattice_model::ImageRef;
use lattice_model::image::ImageVersion;

use super::address::{Digest, Name};
use super::manifest;
use super::store::{Store, StoreError};
use crate::Handle;

/// Knows which images may have to be pulled again.
#[async_trait]
pub trait WantedImages: Send + Sync {
    /// The root filesystems of all that is desired; `None` where that cannot be told now, so that
    /// nothing may be removed.
    async fn rootfs(&self) -> Option<Vec<String>>;
}

#[async_trait]
impl WantedImages for Handle {
    async fn rootfs(&self) -> Option<Vec<String>> {
        let (lrps, tasks) = (self.desired_lrps(None).await.ok()?, self.tasks(None).await.ok()?);
        let lrps = lrps.iter().flat_map(|lrp| &lrp.containers);
        let tasks = tasks.iter().flat_map(|task| &task.definition.containers);
        Some(lrps.chain(tasks).map(|container| container.rootfs.clone()).collect())
    }
}

/// The digests by which these are known. The registry's host is not asked for: to keep what is of
/// another registry does no harm.
pub(super) fn digests(rootfs: &[String]) -> HashSet<Digest> {
    let digest = |rootfs: &String| match ImageRef::from_rootfs(rootfs).ok()?.version {
        ImageVersion::Digest(digest) => Digest::of_hex(digest.strip_prefix("sha256:")?),
        ImageVersion::Tag(_) => None,
    };
    rootfs.iter().filter_map(digest).collect()
}

/// Drops manifests without a tag that are not wanted, that no other manifest of the repository
/// lists, that are about no other, and that were pushed so long ago. Returns how many.
pub(super) fn drop_unnamed(
    store: &Store,
    wanted: &HashSet<Digest>,
    age_min: Duration,
) -> Result<usize, StoreError> {
    let _none_refers = store.references.write().unwrap_or_else(PoisonError::into_inner);
    let mut dropped = 0;
    for name in store.repositories()? {
        let named = named(store, &name)?;
        for digest in store.revisions(&name)? {
            let is_needed = named.contains(&digest) || wanted.contains(&digest);
            let is_old = || store.revision_age(&name, &digest).map(|age| age >= Some(age_min));
            if !is_needed && is_old()? && store.drop_revision(&name, &digest)? {
                dropped += 1;
            }
        }
    }
    Ok(dropped)
}

/// What a repository's own tags and manifests name, and what is about another manifest.
fn named(store: &Store, name: &Name) -> Result<HashSet<Digest>, StoreError> {
    let mut named = store.tagged_all(name)?;
    for digest in store.revisions(name)? {
        let media_type = store.revision(name, &digest)?;
        let bytes = store.read(&digest)?.unwrap_or_default();
        let Ok(manifest) = manifest::parse(&bytes, media_type.as_deref()) else { continue };
        named.extend(manifest.manifests);
        if manifest.subject.is_some() {
            named.insert(digest);
        }
    }
    Ok(named)
}

/// The wanted images' digests, where somebody knows them.
pub(super) async fn wanted(of: Option<&Arc<dyn WantedImages>>) -> Option<HashSet<Digest>> {
    of?.rootfs().await.map(|rootfs| digests(&rootfs))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::blobs::address::Tag;

    const LONG_AGO: Duration = Duration::ZERO;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        (dir, store)
    }

    const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
    const INDEX: &str = "application/vnd.oci.image.index.v1+json";

    fn push(store: &Store, name: &Name, manifest: &serde_json::Value) -> Digest {
        let kind = if manifest["manifests"].is_array() { INDEX } else { IMAGE };
        let digest = store.put(manifest.to_string().as_bytes()).unwrap();
        store.add_revision(name, &digest, kind).unwrap();
        digest
    }

    fn image(n: u32) -> serde_json::Value {
        json!({"schemaVersion": 2, "annotations": {"n": n.to_string()},
               "config": {"digest": format!("sha256:{}", "0".repeat(64))}, "layers": []})
    }

    #[test]
    fn only_what_nothing_names_is_dropped() {
        let (_dir, store) = store();
        let name = Name::parse("team/web").unwrap();
        let [tagged, wanted, unnamed] = [1, 2, 3].map(|n| push(&store, &name, &image(n)));
        store.tag(&name, &Tag::parse("v1").unwrap(), &tagged).unwrap();
        let child = push(&store, &name, &image(4));
        let index = json!({"schemaVersion": 2, "manifests": [{"digest": child.to_string()}]});
        let index = push(&store, &name, &index);
        let mut about = image(5);
        about["subject"] = json!({"digest": unnamed.to_string()});
        let about = push(&store, &name, &about);

        let wanted_images = digests(&[
            format!("docker://registry.l.localhost/team/web#{wanted}"),
            "docker:///library/nginx#latest".to_owned(),
            "preloaded:cflinuxfs2".to_owned(),
        ]);
        assert_eq!(wanted_images, HashSet::from([wanted.clone()]));
        let young = drop_unnamed(&store, &wanted_images, Duration::from_secs(3600)).unwrap();
        assert_eq!(young, 0, "it may be on its way to an app");
        assert_eq!(drop_unnamed(&store, &wanted_images, LONG_AGO).unwrap(), 2);
        let mut left = HashSet::from([tagged.clone(), wanted, child, about.clone()]);
        assert_eq!(HashSet::from_iter(store.revisions(&name).unwrap()), left, "{unnamed} {index}");
        // What a list that has gone listed goes with the next turn.
        assert_eq!(drop_unnamed(&store, &HashSet::new(), LONG_AGO).unwrap(), 2);
        left = HashSet::from([tagged, about]);
        assert_eq!(HashSet::from_iter(store.revisions(&name).unwrap()), left);
    }
}
