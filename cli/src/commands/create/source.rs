//! Where the image comes from: a registry, or a path that is pushed first.

use std::path::Path;

use lattice_api::registry::is_loopback;
use lattice_model::{ImageRef, ProcessGuid};

use super::Args;
use crate::context::Cx;
use crate::exit::{Exit, Failure};
use crate::image::{ImageError, ImageMetadata, RegistryAccess};

/// The image to run, and what it says of itself.
pub async fn resolve(
    args: &Args,
    name: &ProcessGuid,
    cx: &Cx,
) -> Result<(ImageRef, ImageMetadata), Failure> {
    let path = Path::new(&args.image);
    let image = match is_path(&args.image) || path.exists() {
        true => push(path, name, cx).await?,
        false => ImageRef::parse(&args.image).map_err(|e| {
            Failure::new(Exit::BadImage, e.to_string())
                .next(format!("ltc create {name} HOST/REPO:TAG"))
                .next(format!("ltc create {name} ./DIRECTORY"))
        })?,
    };
    let credentials = match image.registry == cx.target.registry() {
        true => None,
        false => cx.registry_credentials(&image.registry).await.map_err(image_failure)?,
    };
    let insecure = args.insecure_registry.contains(&image.registry);
    cx.out().progress(&format!("reading {image}"), 0, 0);
    let is_anonymous = credentials.is_none();
    let metadata = cx.images.inspect(&image, &RegistryAccess { credentials, insecure }).await;
    cx.out().end_progress();
    let metadata = metadata.map_err(|error| match error {
        ImageError::Unauthorized(registry) if is_anonymous => ImageError::Anonymous(registry),
        error => error,
    });
    Ok((image, metadata.map_err(image_failure)?))
}

/// What an image that cannot be used means.
pub fn image_failure(error: ImageError) -> Failure {
    let message = error.to_string();
    match error {
        ImageError::Unauthorized(registry) | ImageError::Anonymous(registry) => {
            Failure::new(Exit::BadImage, message).next(format!("ltc registry login {registry}"))
        }
        ImageError::Read { .. } => Failure::new(Exit::FileSystem, message),
        ImageError::NotFound(_) => Failure::new(Exit::BadImage, message)
            .next("check host, repository and tag")
            .next("ltc create NAME ./DIRECTORY    (pushes an image from this machine)"),
        // Loopback is spoken to in plain HTTP anyway.
        ImageError::Unreachable { registry, .. } if is_loopback(&registry) => {
            Failure::new(Exit::BadImage, message).next("check that it runs, and its port")
        }
        ImageError::Unreachable { registry, .. } => Failure::new(Exit::BadImage, message)
            .next("check the host's name and the network")
            .next(format!("--insecure-registry {registry}    (where it speaks plain HTTP)")),
        ImageError::NotAnImage { .. } | ImageError::Failed(_) => {
            Failure::new(Exit::BadImage, message)
        }
    }
}

async fn push(path: &Path, name: &ProcessGuid, cx: &Cx) -> Result<ImageRef, Failure> {
    if !path.exists() {
        let message = format!("there is no {}", path.display());
        return Err(Failure::new(Exit::FileSystem, message)
            .next(format!("ltc create {name} HOST/REPO:TAG")));
    }
    let label = format!("pushing {} to {}", path.display(), cx.target.registry());
    cx.out().progress(&label, 0, 0);
    let progress = |done, total| cx.out().progress(&label, done, total);
    let pushed = cx.images.push(path, name.as_str(), &progress).await;
    cx.out().end_progress();
    let pushed = pushed.map_err(image_failure)?;
    pushed.notes.iter().for_each(|note| cx.out().warn(note));
    let image = &pushed.image;
    let (sent, skipped) = (pushed.blobs_sent, pushed.blobs_skipped);
    cx.out()
        .say(&format!("pushed {image} ({sent} layers and files sent, {skipped} already there)"));
    Ok(pushed.image)
}

/// True for what a person can only have meant as a path.
fn is_path(typed: &str) -> bool {
    typed == "." || typed == ".." || ["./", "../", "/"].iter().any(|start| typed.starts_with(start))
}
