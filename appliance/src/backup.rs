//! `lattice backup` and `lattice restore`: what the brain keeps, in one file, and back.

use std::path::Path;

use lattice_brain::store::{self, BackupError, Contents};

use crate::args::{Backup, Restore};
use crate::lock::Lock;
use crate::{Usage, data_directory};

/// Copies the store and says what is in the copy.
#[allow(clippy::print_stdout, reason = "a command's answer")]
pub fn back_up(args: &Backup) -> anyhow::Result<()> {
    let made = store::back_up(&args.data.data_dir, &args.file, args.force).map_err(explained)?;
    println!("backed up to {} {}", args.file.display(), told(made));
    Ok(())
}

/// Brings a copy back, unless an appliance runs.
#[allow(clippy::print_stdout, reason = "a command's answer")]
pub fn restore(args: &Restore) -> anyhow::Result<()> {
    let data_dir: &Path = &args.data.data_dir;
    data_directory::make(data_dir)?;
    let _lock = Lock::take(data_dir)?;
    let restored = store::restore(&args.file, data_dir).map_err(explained)?;
    let from = args.file.display();
    println!("restored from {from} {}; `lattice up` brings it back", told(restored));
    Ok(())
}

fn told(contents: Contents) -> String {
    let Contents { desired_lrps, tasks, bytes } = contents;
    format!("(apps: {desired_lrps}, tasks: {tasks}, {} KiB)", bytes.div_ceil(1024))
}

/// What the caller can mend by calling differently is a mistake in usage.
fn explained(error: BackupError) -> anyhow::Error {
    match error {
        BackupError::NoStore { .. } | BackupError::Exists { .. } => Usage(error.to_string()).into(),
        other => other.into(),
    }
}
