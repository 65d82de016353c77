//! What registries demand of those who pull.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use lattice_model::{ContainerSpec, ImageRef, RegistryCredentials};

/// What people gave, by registry. `Debug` shows no password.
pub(crate) type Kept = BTreeMap<String, RegistryCredentials>;

/// Credentials by registry. Shared; the actor changes what is kept after the commit. `Debug` shows
/// no password.
#[derive(Debug, Clone, Default)]
pub struct Keyring {
    own: Option<Arc<RegistryCredentials>>,
    kept: Arc<RwLock<Arc<Kept>>>,
}

// === impl Keyring ===

impl Keyring {
    /// Those that the store kept, and that of the brain's own registry, which nobody replaces.
    pub fn new(own: Option<RegistryCredentials>, kept: Vec<RegistryCredentials>) -> Self {
        let kept: Kept = kept.into_iter().map(|one| (one.registry.clone(), one)).collect();
        Self { own: own.map(Arc::new), kept: Arc::new(RwLock::new(Arc::new(kept))) }
    }

    /// What people gave.
    pub(crate) fn kept(&self) -> Arc<Kept> {
        Arc::clone(&self.kept.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// This is kept from now on.
    pub(crate) fn keep(&self, kept: Kept) {
        *self.kept.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(kept);
    }

    /// Those that are needed to pull these containers' images; one for each registry at most.
    pub fn for_images(&self, containers: &[ContainerSpec]) -> Vec<RegistryCredentials> {
        let image = |container: &ContainerSpec| ImageRef::from_rootfs(&container.rootfs).ok();
        let registries: BTreeSet<String> =
            containers.iter().filter_map(image).map(|image| image.registry).collect();
        let kept = self.kept();
        let own = |registry: &String| self.own.as_deref().filter(|own| own.registry == *registry);
        let known = |registry: &String| own(registry).or_else(|| kept.get(registry)).cloned();
        registries.iter().filter_map(known).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::lrp;

    fn credentials(registry: &str, password: &str) -> RegistryCredentials {
        let (username, password) = ("u".to_owned(), password.to_owned());
        RegistryCredentials { registry: registry.to_owned(), username, password }
    }

    #[test]
    fn a_cell_gets_only_what_its_images_need() {
        let keyring = Keyring::new(
            Some(credentials("registry.l.localhost:8080", "own")),
            vec![credentials("private.io", "old"), credentials("docker.io", "hub")],
        );
        let mut kept = Kept::clone(&keyring.kept());
        for given in [("private.io", "new"), ("registry.l.localhost:8080", "not the one")] {
            kept.insert(given.0.to_owned(), credentials(given.0, given.1));
        }
        keyring.keep(kept);
        let check = |rootfs: &[&str], expected: &[&str]| {
            let container = |rootfs: &&str| {
                let main = lrp("x", 1, 1).main().clone();
                ContainerSpec { rootfs: (*rootfs).to_owned(), ..main }
            };
            let containers: Vec<_> = rootfs.iter().map(container).collect();
            let found = keyring.for_images(&containers);
            let passwords: Vec<_> = found.iter().map(|c| c.password.as_str()).collect();
            assert_eq!(passwords, expected, "{rootfs:?}");
        };
        check(&["docker:///busybox"], &["hub"]);
        check(&["docker://private.io/a/b#c", "docker://private.io/d"], &["new"]);
        check(&["docker://registry.l.localhost:8080/app#1"], &["own"]);
        check(&["docker://private.io/a", "docker:///b"], &["hub", "new"]);
        check(&["docker://unknown.io/a"], &[]);
        check(&["preloaded:stack"], &[]);
        let shown = format!("{keyring:?}");
        assert!(!shown.contains("hub") && !shown.contains("\"own\""), "{shown}");
    }
}
