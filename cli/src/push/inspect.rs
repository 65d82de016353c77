//! What an image in a registry says of itself: what `ltc create` builds an app from.

use lattice_api::registry::{Access, Client, ImageDocument, Options, RegistryError};
use lattice_model::action::EnvVar;
use lattice_model::{ImageRef, RegistryCredentials};

use super::PushError;

/// What an image says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageFacts {
    /// Environment, in order.
    pub env: Vec<EnvVar>,
    /// The program.
    pub entrypoint: Vec<String>,
    /// Its arguments, or the program where there is no entrypoint.
    pub cmd: Vec<String>,
    /// `user[:group]`; empty when it names none.
    pub user: String,
    /// The working directory; empty when it names none.
    pub working_dir: String,
    /// TCP ports, ascending.
    pub exposed_ports: Vec<u16>,
}

/// Asks a registry. `insecure` are hosts to speak plain HTTP with; a TLS provider must be
/// installed.
pub async fn config_of(
    image: &ImageRef,
    credentials: Option<&RegistryCredentials>,
    insecure: &[String],
) -> Result<ImageFacts, PushError> {
    let options = Options { insecure_registries: insecure.to_vec(), ..Options::default() };
    // The cells may be another kind of machine than this one, and say the same of themselves.
    let known = ["amd64", "arm64"].into_iter().filter(|a| *a != options.architecture);
    let architectures = [options.architecture.clone()].into_iter().chain(known.map(str::to_owned));
    let mut refused = None;
    for architecture in architectures {
        let client = Client::new(Options { architecture, ..options.clone() })?;
        let repository = client.repository(image, credentials, Access::Pull);
        match repository.resolve(image.version.reference()).await {
            Ok(resolved) => return Ok((&repository.image_document(&resolved).await?).into()),
            Err(error @ RegistryError::NoPlatform { .. }) => {
                refused.get_or_insert(error);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(refused.expect("every architecture was refused").into())
}

impl From<&ImageDocument> for ImageFacts {
    fn from(document: &ImageDocument) -> Self {
        let run = &document.config;
        Self {
            env: run.env_vars(),
            entrypoint: run.entrypoint.clone(),
            cmd: run.cmd.clone(),
            user: run.user.clone(),
            working_dir: run.working_dir.clone(),
            exposed_ports: run.tcp_ports(),
        }
    }
}
