//! The program that stands beside containers and in them. This one carries it in itself and puts it
//! where it can be started, so that there is nothing else to install: being small, it costs every
//! instance little, whatever the platform has grown to.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{StatVfsMountFlags, statvfs};

use crate::runtime::RuntimeError;

/// The program, and a name that tells it from those of other versions.
const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/lattice-shim"));
const NAME: &str = concat!("lattice-shim-", env!("LATTICE_SHIM_HASH"));

/// Sees to it that it is in `dir`, alone there, and gives its path. What runs from one of another
/// version's keeps that, wherever its name has gone.
pub(super) fn put(dir: &Path) -> Result<PathBuf, RuntimeError> {
    let told = |e: io::Error| {
        RuntimeError::Unavailable(format!("cannot put a program into {}: {e}", dir.display()))
    };
    fs::create_dir_all(dir).map_err(told)?;
    let mount = statvfs(dir).map_err(|e| told(e.into()))?;
    if mount.f_flag.contains(StatVfsMountFlags::NOEXEC) {
        return Err(RuntimeError::Unavailable(format!(
            "cannot run programs from {}: its file system is mounted noexec; remount it with exec, \
             or take another data directory",
            dir.display()
        )));
    }
    let path = dir.join(NAME);
    if !path.exists() {
        write(&path).map_err(told)?;
    }
    for other in
        fs::read_dir(dir).map_err(told)?.flatten().filter(|file| *file.file_name() != *NAME)
    {
        fs::remove_file(other.path()).map_err(told)?;
    }
    Ok(path)
}

/// Whoever finds it there finds all of it.
fn write(path: &Path) -> io::Result<()> {
    let new = path.with_extension("new");
    // One that was being written when its writer was killed may still be there.
    match fs::remove_file(&new) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = fs::File::options().write(true).create_new(true).mode(0o755).open(&new)?;
    file.write_all(PROGRAM)?;
    // Containers' roots, who are nobody here, run it too, whatever this process was started with.
    rustix::fs::fchmod(&file, rustix::fs::Mode::from_raw_mode(0o755))?;
    file.sync_all()?;
    drop(file);
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

    use super::*;

    #[test]
    fn it_is_written_once_for_everyone_and_takes_the_place_of_others() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("program");
        let path = put(&dir).unwrap();
        let found = fs::metadata(&path).unwrap();
        assert_eq!(found.permissions().mode() & 0o777, 0o755);
        assert_eq!(fs::read(&path).unwrap(), PROGRAM);

        fs::write(dir.join("lattice-shim-of-another-version"), "").unwrap();
        fs::write(path.with_extension("new"), "half of").unwrap();
        assert_eq!(put(&dir).unwrap(), path);
        assert_eq!(fs::metadata(&path).unwrap().ino(), found.ino());
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
    }

    #[test]
    fn what_was_half_written_is_written_anew() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(NAME).with_extension("new"), "half of").unwrap();
        assert_eq!(fs::read(put(dir.path()).unwrap()).unwrap(), PROGRAM);
    }

    #[test]
    fn where_nothing_can_be_put_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let error = put(&file).unwrap_err().to_string();
        assert!(error.contains(&*file.to_string_lossy()), "{error}");
    }

    #[test]
    fn a_file_system_that_runs_nothing_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        match mount("tmpfs", dir.path(), "tmpfs", MountFlags::NOEXEC, None) {
            // Only root mounts; the containers' own tests are root's.
            Err(rustix::io::Errno::PERM) => return,
            mounted => mounted.unwrap(),
        }
        let error = put(dir.path()).unwrap_err().to_string();
        unmount(dir.path(), UnmountFlags::DETACH).unwrap();
        assert!(error.contains("mounted noexec"), "{error}");
    }
}
