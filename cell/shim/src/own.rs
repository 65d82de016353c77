//! The OCI runtime's program, out of the reach of those it is started for. A process that enters a
//! container runs that program until it becomes another; whoever is root of this host in there can
//! see it as `/proc/PID/exe` and would write to it (CVE-2019-5736), if its mount let them.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::mount::{OpenTreeFlags, open_tree};

/// What this process itself runs.
const OWN: &str = "/proc/self/exe";

/// A program that is about to be started; it can be as long as this lives.
#[derive(Debug)]
pub(crate) enum Program {
    /// This one, on a mount that is nowhere else and only to be read.
    Own(OwnedFd),
    /// Another one, which looks after itself as `runc` and `crun` do.
    Other(PathBuf),
}

// === impl Program ===

impl Program {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        if path != Path::new(OWN) {
            return Ok(Self::Other(path.to_owned()));
        }
        // A kernel before 5.12 cannot do that, nor any where the mount has been taken away, nor where
        // what is asked of it is filtered.
        let inabilities = [libc::ENOSYS, libc::EINVAL, libc::EPERM].map(Some);
        match read_only(path) {
            Err(e) if inabilities.contains(&e.raw_os_error()) => Ok(Self::Other(path.to_owned())),
            program => program.map(Self::Own),
        }
    }

    /// Where a child of this process finds it.
    pub(crate) fn path(&self) -> PathBuf {
        match self {
            Self::Own(program) => format!("/proc/self/fd/{}", program.as_raw_fd()).into(),
            Self::Other(path) => path.clone(),
        }
    }
}

fn read_only(path: &Path) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let mount = open_tree(CWD, path, flags)?;
    forbid_writing(&mount)?;
    Ok(mount)
}

fn forbid_writing(mount: &OwnedFd) -> io::Result<()> {
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_RDONLY,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: the descriptor is open, the path ends and the attributes are as long as is said.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use rustix::fs::{StatVfsMountFlags, fstatvfs};

    use super::*;

    #[test]
    fn another_program_is_where_it_is() {
        let other = Program::open(Path::new("/usr/sbin/runc")).unwrap();
        assert_eq!(other.path(), Path::new("/usr/sbin/runc"));
    }

    #[test]
    fn this_program_can_be_read_there_and_not_be_written_to() {
        let own = match Program::open(Path::new(OWN)) {
            Ok(own) => own,
            // Only root makes mounts; the containers' own tests are root's.
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => return,
            Err(e) => panic!("{e}"),
        };
        let read = File::open(own.path()).expect("it can be read");
        assert!(fstatvfs(&read).unwrap().f_flag.contains(StatVfsMountFlags::RDONLY));
        File::options().append(true).open(own.path()).expect_err("it cannot be written to");
    }
}
