//! What registries demand of those who pull.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use lattice_model::{ContainerSpec, ImageRef, RegistryCredentials};

/// Credentials by registry. Shared; the actor adds to it after the commit. `Debug` shows no
/// password.
#[derive(Debug, Clone, Default)]
pub struct Keyring(Arc<RwLock<BTreeMap<String, RegistryCredentials>>>);

// === impl Keyring ===

impl Keyring {
    /// Those that the store kept, and over them that of the brain's own registry.
    pub fn new(own: Option<RegistryCredentials>, kept: Vec<RegistryCredentials>) -> Self {
        let keyring = Self::default();
        kept.into_iter().chain(own).for_each(|credentials| keyring.keep(credentials));
        keyring
    }

    /// Adds one, or replaces what is kept for its registry.
    pub fn keep(&self, credentials: RegistryCredentials) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(credentials.registry.clone(), credentials);
    }

    /// Those that are needed to pull these containers' images; one for each registry at most.
    pub fn for_images(&self, containers: &[ContainerSpec]) -> Vec<RegistryCredentials> {
        let image = |container: &ContainerSpec| ImageRef::from_rootfs(&container.rootfs).ok();
        let registries: BTreeSet<String> =
            containers.iter().filter_map(image).map(|image| image.registry).collect();
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        registries.iter().filter_map(|registry| all.get(registry).cloned()).collect()
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
        keyring.keep(credentials("private.io", "new"));
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
        assert!(!format!("{keyring:?}").contains("own"));
    }
}
