//! What the registry client says, in an image's words.

use lattice_api::registry::{ImageDocument, RegistryError};
use lattice_model::ImageRef;

use super::{ImageConfig, ImageError};

/// A registry's error, as one about an image.
pub(crate) fn about(image: &ImageRef, error: RegistryError) -> ImageError {
    let image = image.to_string();
    match error {
        RegistryError::NotFound { why, registry, .. } => ImageError::NotFound {
            image,
            why: format!("registry {registry} says: {why}; check the name and the tag"),
        },
        RegistryError::Unauthorized { registry, why, next, .. } => {
            ImageError::Unauthorized { registry, image, why: format!("{why}; {next}") }
        }
        RegistryError::Unreachable { registry, why, .. }
        | RegistryError::Refused { registry, why, .. } => {
            ImageError::Unreachable { registry, image, why }
        }
        RegistryError::Corrupt { what, why, .. } if image.ends_with(&what) => {
            ImageError::Corrupt { image, why }
        }
        RegistryError::Corrupt { what, why, .. } => {
            ImageError::Corrupt { image, why: format!("{what}: {why}") }
        }
        RegistryError::NoPlatform { wanted, offered, .. } => {
            ImageError::Unsupported(format!("{image} is not built for {wanted}; it has {offered}"))
        }
        RegistryError::Machine { what, why } => ImageError::Machine { what, why },
    }
}

/// What an image says of itself, as the cell uses it.
pub(crate) fn image_config(document: &ImageDocument) -> ImageConfig {
    let run = &document.config;
    ImageConfig {
        env: run.env_vars(),
        entrypoint: run.entrypoint.clone(),
        cmd: run.cmd.clone(),
        user: run.user.clone(),
        working_dir: run.working_dir.clone(),
        exposed_ports: run.tcp_ports(),
        stop_signal: run.stop_signal.clone(),
    }
}

/// Says what makes an image unfit for this machine.
pub(crate) fn check_platform(
    image: &ImageRef,
    document: &ImageDocument,
    architecture: &str,
) -> Result<(), ImageError> {
    let fits = |has: &str, wanted: &str| has.is_empty() || has == wanted;
    if fits(&document.os, "linux") && fits(&document.architecture, architecture) {
        return Ok(());
    }
    Err(ImageError::Unsupported(format!(
        "{image} is not built for linux/{architecture}; it has {}/{}",
        document.os, document.architecture
    )))
}
