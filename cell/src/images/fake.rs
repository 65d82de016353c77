//! Images without a registry, a kernel feature or root: scripted, for the tests of others.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use lattice_model::{ImageRef, RegistryCredentials};
use tempfile::TempDir;

use super::{DiskQuota, Hold, Image, ImageConfig, ImageError, Images, ProgressFn};
use crate::runtime::ContainerId;
use crate::userns::UserNamespace;

/// Hands out empty directories as root filesystems. Every image is there, with an empty
/// configuration, unless the script says otherwise.
#[derive(Default)]
pub struct FakeImages {
    state: Mutex<State>,
}

type Script = Box<dyn Fn() -> Result<ImageConfig, ImageError> + Send>;

#[derive(Default)]
struct State {
    scripts: HashMap<String, Script>,
    mounted: BTreeMap<ContainerId, TempDir>,
    pulls: Vec<(ImageRef, Option<RegistryCredentials>)>,
    disk_bytes: u64,
}

// === impl FakeImages ===

impl FakeImages {
    /// With every image there.
    pub fn new() -> Self {
        Self::default()
    }

    /// That image, as [`ImageRef`] displays it, says this of itself.
    pub fn with(self, image: &str, config: ImageConfig) -> Self {
        self.script(image, move || Ok(config.clone()))
    }

    /// That image, as [`ImageRef`] displays it, cannot be pulled.
    pub fn failing(self, image: &str, error: impl Fn() -> ImageError + Send + 'static) -> Self {
        self.script(image, move || Err(error()))
    }

    /// What every container has written from now on.
    pub fn set_disk_usage(&self, bytes: u64) {
        self.state().disk_bytes = bytes;
    }

    /// What was pulled, in order, with the credentials that came along.
    pub fn pulls(&self) -> Vec<(ImageRef, Option<RegistryCredentials>)> {
        self.state().pulls.clone()
    }

    fn script(
        self,
        image: &str,
        script: impl Fn() -> Result<ImageConfig, ImageError> + Send + 'static,
    ) -> Self {
        self.state().scripts.insert(image.to_owned(), Box::new(script));
        self
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Images for FakeImages {
    async fn pull(
        &self,
        image: &ImageRef,
        credentials: Option<&RegistryCredentials>,
        progress: ProgressFn,
    ) -> Result<Arc<Image>, ImageError> {
        progress(0, 0);
        let mut state = self.state();
        state.pulls.push((image.clone(), credentials.cloned()));
        let name = image.to_string();
        let config =
            state.scripts.get(&name).map_or_else(|| Ok(ImageConfig::default()), |s| s())?;
        drop(state);
        progress(1, 1);
        let digest = lattice_api::registry::digest_of(name.as_bytes());
        Ok(Arc::new(Image { digest, config, layers: Vec::new(), hold: Hold::default() }))
    }

    async fn mount(
        &self,
        _image: &Image,
        id: &ContainerId,
        _: Option<&UserNamespace>,
        _: Option<DiskQuota>,
    ) -> Result<PathBuf, ImageError> {
        let directory = tempfile::tempdir().map_err(|e| super::rootfs::machine("mount", e))?;
        let path = directory.path().to_owned();
        let mut state = self.state();
        if state.mounted.contains_key(id) {
            let twice = std::io::Error::other("it has one already");
            return Err(super::rootfs::machine("mount the root filesystem", twice));
        }
        state.mounted.insert(id.clone(), directory);
        Ok(path)
    }

    async fn unmount(&self, id: &ContainerId) -> Result<(), ImageError> {
        self.state().mounted.remove(id);
        Ok(())
    }

    async fn disk_usage(&self, _id: &ContainerId) -> Result<u64, ImageError> {
        Ok(self.state().disk_bytes)
    }

    async fn list(&self) -> Result<Vec<ContainerId>, ImageError> {
        Ok(self.state().mounted.keys().cloned().collect())
    }
}
