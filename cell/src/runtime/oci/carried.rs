//! The program that stands beside containers and in them. This one carries it in itself and puts it
//! where it can be started, so that there is nothing else to install: being small, it costs every
//! instance little, whatever the platform has grown to.

use std::fs::{self, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{StatVfsMountFlags, statvfs};

/// The program, and a name that tells it from those of other versions.
const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/lattice-shim"));
const NAME: &str = concat!("lattice-shim-", env!("LATTICE_SHIM_HASH"));
/// Containers' roots, who are nobody here, run it too.
const MODE: u32 = 0o755;

/// Held by whoever writes it.
static WRITING: Mutex<()> = Mutex::new(());

/// Where it is in `dir`, once it is [`there`].
pub(super) fn path_in(dir: &Path) -> PathBuf {
    dir.join(NAME)
}

/// True where the kernel runs nothing: what is carried could be written there and not be started.
pub fn runs_nothing(dir: &Path) -> bool {
    statvfs(dir).is_ok_and(|found| found.f_flag.contains(StatVfsMountFlags::NOEXEC))
}

/// Sees to it that it is at that path, alone in its directory. What runs from one of another
/// version's keeps that, wherever its name has gone.
pub(super) fn there(path: &Path) -> Result<(), String> {
    if is_whole(path) {
        return Ok(());
    }
    let _writer = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    if is_whole(path) {
        return Ok(());
    }
    let dir = path.parent().unwrap_or(path);
    let told = |e: io::Error| format!("cannot put a program into {}: {e}", dir.display());
    fs::create_dir_all(dir).map_err(told)?;
    if runs_nothing(dir) {
        return Err(format!(
            "cannot run programs from {}: its file system is mounted noexec; remount it with exec, \
             or take another data directory",
            dir.display()
        ));
    }
    write(path, dir).map_err(told)?;
    tidy(dir).unwrap_or_else(|why| tracing::warn!(%why, "programs of other versions stay"));
    Ok(())
}

/// One whose writer was interrupted, or that somebody else has changed, is as good as none.
fn is_whole(path: &Path) -> bool {
    let is_ours = |found: &fs::Metadata| {
        found.is_file() && found.len() == PROGRAM.len() as u64 && found.mode() & 0o7777 == MODE
    };
    fs::symlink_metadata(path).is_ok_and(|found| is_ours(&found))
}

/// Whoever finds it there finds all of it.
fn write(path: &Path, dir: &Path) -> io::Result<()> {
    let mut new = tempfile::NamedTempFile::new_in(dir)?;
    new.write_all(PROGRAM)?;
    new.as_file().set_permissions(Permissions::from_mode(MODE))?;
    new.as_file().sync_all()?;
    new.persist(path)?;
    Ok(())
}

fn tidy(dir: &Path) -> io::Result<()> {
    for file in fs::read_dir(dir)? {
        let file = file?;
        if *file.file_name() != *NAME {
            fs::remove_file(file.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

    use super::*;

    #[test]
    fn it_is_written_once_for_everyone_and_takes_the_place_of_others() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("program");
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("lattice-shim-of-another-version"), "").unwrap();
        let path = path_in(&dir);
        there(&path).unwrap();
        let found = fs::metadata(&path).unwrap();
        assert_eq!(found.permissions().mode() & 0o777, 0o755);
        assert_eq!(fs::read(&path).unwrap(), PROGRAM);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);

        there(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().ino(), found.ino());
    }

    #[test]
    fn what_is_not_as_it_was_written_is_written_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = path_in(dir.path());
        let is_good = || fs::read(&path).unwrap() == PROGRAM && is_whole(&path);
        fs::write(&path, "half of").unwrap();
        there(&path).unwrap();
        assert!(is_good());
        fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
        there(&path).unwrap();
        assert!(is_good());
        fs::remove_file(&path).unwrap();
        there(&path).unwrap();
        assert!(is_good());
    }

    #[test]
    fn where_nothing_can_be_put_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let error = there(&path_in(&file)).unwrap_err();
        assert!(error.contains(&*file.to_string_lossy()), "{error}");
    }

    #[test]
    fn what_another_left_beside_it_keeps_nobody_from_starting() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("directory")).unwrap();
        there(&path_in(dir.path())).unwrap();
    }

    #[test]
    fn a_file_system_that_runs_nothing_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!runs_nothing(dir.path()));
        match mount("tmpfs", dir.path(), "tmpfs", MountFlags::NOEXEC, None) {
            // Only root mounts; the containers' own tests are root's.
            Err(rustix::io::Errno::PERM) => return,
            mounted => mounted.unwrap(),
        }
        let error = there(&path_in(dir.path())).unwrap_err();
        unmount(dir.path(), UnmountFlags::DETACH).unwrap();
        assert!(error.contains("mounted noexec"), "{error}");
    }
}
