//! The real way to registries: the person's Docker configuration, the world's registries, and the
//! platform's own, where the target's login is the credentials.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use lattice_api::registry::{Client, Options, RegistryError};
use lattice_model::image::ImageVersion;
use lattice_model::{ImageRef, RegistryCredentials};

use crate::image::{
    ImageError, ImageGateway, ImageMetadata, PushProgress, PushedImage, RegistryAccess,
};
use crate::push::docker_config::DockerConfig;
use crate::push::inspect::{self, ImageFacts};
use crate::push::{self, PushError, source};
use crate::target::Target;

/// Registries over the network, as the person who is logged in to a target.
#[derive(Debug, Clone)]
pub struct RegistryGateway {
    target: Target,
}

impl RegistryGateway {
    /// The gateway of a target.
    pub const fn new(target: Target) -> Self {
        Self { target }
    }

    /// The target's login, where the registry is the target's own.
    fn own_credentials(&self, registry: &str) -> Option<RegistryCredentials> {
        let login = self.target.login.as_ref()?;
        (registry == self.target.registry()).then(|| RegistryCredentials {
            registry: registry.to_owned(),
            username: login.username.clone(),
            password: login.password.clone(),
        })
    }

    /// Hosts that may be spoken to in plain HTTP: the target's own, which has no other port.
    fn plain(&self, more: Option<&str>) -> Vec<String> {
        [self.target.registry()].into_iter().chain(more.map(str::to_owned)).collect()
    }
}

#[async_trait]
impl ImageGateway for RegistryGateway {
    async fn inspect(
        &self,
        image: &ImageRef,
        access: &RegistryAccess,
    ) -> Result<ImageMetadata, ImageError> {
        let own = self.own_credentials(&image.registry);
        let credentials = own.as_ref().or(access.credentials.as_ref());
        let plain = self.plain(access.insecure.then_some(image.registry.as_str()));
        let facts = inspect::config_of(image, credentials, &plain).await.map_err(image_error)?;
        Ok(facts.into())
    }

    async fn push(
        &self,
        path: &Path,
        app: &str,
        progress: PushProgress<'_>,
    ) -> Result<PushedImage, ImageError> {
        let at = PathBuf::from(path);
        let source = tokio::task::spawn_blocking(move || source::open(&at))
            .await
            .map_err(|e| ImageError::Failed(e.to_string()))?
            .map_err(image_error)?;
        let registry = self.target.registry();
        let to = ImageRef {
            registry: registry.clone(),
            repository: repository(app),
            version: ImageVersion::Tag("latest".to_owned()),
        };
        let options = Options { insecure_registries: self.plain(None), ..Options::default() };
        let client = Client::new(options).map_err(|e| image_error(e.into()))?;
        let credentials = self.own_credentials(&registry);
        let pushed = push::push(&client, &source, &to, credentials.as_ref(), progress)
            .await
            .map_err(image_error)?;
        let image = ImageRef { version: ImageVersion::Digest(pushed.digest), ..to };
        Ok(PushedImage {
            image,
            blobs_sent: pushed.sent,
            blobs_skipped: pushed.skipped,
            notes: source.notes().to_vec(),
        })
    }

    async fn check(&self, credentials: &RegistryCredentials) -> Result<(), ImageError> {
        let options = Options { insecure_registries: self.plain(None), ..Options::default() };
        let client = Client::new(options).map_err(|e| image_error(e.into()))?;
        let checked = client.check(&credentials.registry, Some(credentials)).await;
        checked.map_err(|e| image_error(e.into()))
    }

    async fn credentials_for(
        &self,
        registry: &str,
    ) -> Result<Option<RegistryCredentials>, ImageError> {
        let Some(path) = DockerConfig::default_path() else { return Ok(None) };
        let read = |cause: String| ImageError::Read { path: path.clone(), cause };
        let config = DockerConfig::load(&path).map_err(|e| read(e.to_string()))?;
        config.credentials_for(registry).await.map_err(|e| read(e.to_string()))
    }
}

/// An app's repository: its name in the characters that repositories may have.
fn repository(app: &str) -> String {
    let name = app.to_ascii_lowercase().replace('_', "-");
    let name = name.trim_matches('-');
    if name.is_empty() { "app".to_owned() } else { format!("apps/{name}") }
}

impl From<ImageFacts> for ImageMetadata {
    fn from(facts: ImageFacts) -> Self {
        let pair = |var: lattice_model::action::EnvVar| format!("{}={}", var.name, var.value);
        Self {
            user: facts.user,
            working_dir: facts.working_dir,
            entrypoint: facts.entrypoint,
            cmd: facts.cmd,
            env: facts.env.into_iter().map(pair).collect(),
            exposed_ports: facts.exposed_ports,
        }
    }
}

fn image_error(error: PushError) -> ImageError {
    let message = error.to_string();
    match error {
        PushError::NotAnImage { path, why, next } => {
            ImageError::NotAnImage { path, expected: format!("{why}; {next}") }
        }
        PushError::Registry(RegistryError::NotFound { what, .. }) => ImageError::NotFound(what),
        PushError::Registry(RegistryError::Unauthorized { registry, .. }) => {
            ImageError::Unauthorized(registry)
        }
        PushError::Registry(RegistryError::Unreachable { registry, why, .. }) => {
            ImageError::Unreachable { registry, cause: why }
        }
        PushError::Registry(_) | PushError::Malformed { .. } | PushError::Machine { .. } => {
            ImageError::Failed(message)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_app_has_a_repository() {
        for (app, expected) in [("web", "apps/web"), ("My_App", "apps/my-app"), ("-", "app")] {
            assert_eq!(repository(app), expected);
            let text = format!("registry.l.localhost/{expected}");
            assert!(ImageRef::parse(&text).is_ok(), "{text}");
        }
    }
}
