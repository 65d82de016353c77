//! Fetches an archive and extracts it in the container, as the user who shall own it.

use lattice_model::action::Download;

use super::{Failure, StepContext};
use crate::downloads::{Checksum, byte_size};
use crate::rootfs_files::Extraction;

/// Performs it.
pub(super) async fn perform(download: &Download, cx: &StepContext) -> Result<(), Failure> {
    let cx = cx.as_source(&download.log_source);
    let outcome = tokio::select! {
        outcome = fetch_and_extract(download, &cx) => outcome,
        () = cx.cancel.cancelled() => return Err(Failure::Cancelled),
    };
    let artifact = &download.artifact;
    match outcome {
        Ok(bytes) => {
            say(&cx, artifact, &format!("Downloaded {artifact} ({})", byte_size(bytes)));
            Ok(())
        }
        Err(why) => {
            let name = if artifact.is_empty() { "an archive" } else { artifact };
            cx.log.err(&format!("Failed to download {name}: {why}"));
            Err(Failure::Failed(format!("Downloading failed: {why}")))
        }
    }
}

async fn fetch_and_extract(download: &Download, cx: &StepContext) -> Result<u64, String> {
    say(cx, &download.artifact, &format!("Downloading {}...", download.artifact));
    let place = &cx.place;
    let user = place.files.resolve_user(&place.rootfs, &download.user).await;
    let owner = place.on_host(&user.map_err(|error| error.to_string())?.ids)?;
    let checksum = Checksum::of(download)?;
    let fetched = place.transfers.fetch(&download.from, &download.cache_key, checksum).await;
    let archive = fetched.map_err(|error| error.to_string())?;
    let bytes_max = place.transfers.bytes_max();
    let into = Extraction { to: &download.to, owner: &owner, bytes_max };
    place
        .files
        .extract_archive(&place.rootfs, archive.file, &into)
        .await
        .map_err(|error| error.to_string())?;
    Ok(archive.bytes)
}

/// Speaks only of what has a name.
fn say(cx: &StepContext, artifact: &str, line: &str) {
    if !artifact.is_empty() {
        cx.log.out(line);
    }
}
