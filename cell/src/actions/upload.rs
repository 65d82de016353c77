//! Sends one file of the container by HTTP POST.

use lattice_model::action::Upload;

use super::{Failure, StepContext};
use crate::downloads::byte_size;

/// Performs it.
pub(super) async fn perform(upload: &Upload, cx: &StepContext) -> Result<(), Failure> {
    let cx = cx.as_source(&upload.log_source);
    let artifact = &upload.artifact;
    if !artifact.is_empty() {
        cx.log.out(&format!("Uploading {artifact}..."));
    }
    let outcome = tokio::select! {
        outcome = send(upload, &cx) => outcome,
        () = cx.cancel.cancelled() => return Err(Failure::Cancelled),
    };
    match outcome {
        Ok(bytes) => {
            if !artifact.is_empty() {
                cx.log.out(&format!("Uploaded {artifact} ({})", byte_size(bytes)));
            }
            Ok(())
        }
        Err(why) => {
            let name = if artifact.is_empty() { "a file" } else { artifact };
            cx.log.err(&format!("Failed to upload {name}: {why}"));
            Err(Failure::Failed(format!("Uploading failed: {why}")))
        }
    }
}

async fn send(upload: &Upload, cx: &StepContext) -> Result<u64, String> {
    let place = &cx.place;
    let bytes_max = place.transfers.upload_bytes_max();
    let content = place.files.read_file(&place.rootfs, &upload.from, bytes_max).await;
    let content = content.map_err(|error| error.to_string())?;
    place.transfers.send(content, &upload.to).await.map_err(|error| error.to_string())
}
