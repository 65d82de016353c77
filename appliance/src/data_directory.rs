//! The directory in which an appliance keeps all it has.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

use tracing::warn;

use crate::preflight;

/// Makes the data directory, for its owner only.
pub fn make(data_dir: &Path) -> anyhow::Result<()> {
    let mut dirs = fs::DirBuilder::new();
    dirs.recursive(true).mode(0o700);
    Ok(dirs.create(data_dir).map_err(|why| preflight::unusable(data_dir, &why))?)
}

/// A directory that was there already is not closed: it may hold more than lattice's own.
pub fn warn_of_onlookers(data_dir: &Path) {
    if fs::metadata(data_dir).is_ok_and(|found| found.permissions().mode() & 0o077 != 0) {
        let fix = format!("chmod 700 {}", data_dir.display());
        warn!(fix, "others may look into the data directory");
    }
}
