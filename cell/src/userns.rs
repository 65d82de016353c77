//! User namespaces: the users of an instance are users of this host that nobody else is, so that
//! its root is nobody outside of it. An instance's network belongs to its user namespace, as the
//! kernel lets nobody else's root mount what shows it.

pub mod idmap;
pub mod probe;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::mount::{MountPropagationFlags, mount_bind, mount_change};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use serde::{Deserialize, Serialize};

/// How many users, and how many groups, an instance has.
pub const IDS: u32 = 1 << 16;

/// The first user of this host that is an instance's. Those below may be people's, also by
/// `/etc/subuid`.
pub(crate) const FIRST_ID: u32 = 0x2000_0000;

/// How many ranges of [`IDS`] follow; above are numbers that some programs take for negative.
pub(crate) const RANGES: u32 = 0x6000;

/// An instance's users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserNamespace {
    /// The file that the namespace is bound to.
    pub path: PathBuf,
    /// What this host calls the instance's user 0, and its group 0; the others follow in order.
    pub first_id: u32,
}

/// A process that has namespaces of its own and does nothing; it ends when this goes.
pub(crate) struct Idle(Pid);

/// Makes the namespace of `users`, and a network namespace that belongs to it; binds them to the
/// files `users.path` and `netns`, which must not exist. Blocks.
pub fn make(users: &UserNamespace, netns: &Path) -> io::Result<()> {
    let idle = Idle::start(libc::CLONE_NEWUSER | libc::CLONE_NEWNET)?;
    idle.map_ids(users.first_id)?;
    for (kind, place) in [("user", users.path.as_path()), ("net", netns)] {
        File::create_new(place)?;
        mount_bind(idle.file(&format!("ns/{kind}")), place)?;
        mount_change(place, MountPropagationFlags::PRIVATE)?;
    }
    Ok(())
}

// === impl UserNamespace ===

impl UserNamespace {
    /// What this host calls a user or group of the instance; `None` for one that it does not have.
    pub fn on_host(&self, id: u32) -> Option<u32> {
        (id < IDS).then(|| self.first_id + id)
    }
}

// === impl Idle ===

impl Idle {
    /// Starts one in new namespaces (`CLONE_NEW*`).
    pub(crate) fn start(namespaces: i32) -> io::Result<Self> {
        let flags = i64::from(namespaces | libc::SIGCHLD);
        // SAFETY: without shared memory this is a fork; the child only makes system calls.
        let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
        if pid == 0 {
            // SAFETY: plain system calls; whoever is the parent kills this process, or dies.
            unsafe {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                loop {
                    libc::pause();
                }
            }
        }
        let pid = i32::try_from(pid).ok().and_then(|pid| Pid::from_raw(pid.max(0)));
        pid.map(Self).ok_or_else(io::Error::last_os_error)
    }

    /// Says which users of this host its first [`IDS`] are.
    pub(crate) fn map_ids(&self, first_id: u32) -> io::Result<()> {
        ["uid_map", "gid_map"]
            .iter()
            .try_for_each(|map| fs::write(self.file(map), format!("0 {first_id} {IDS}\n")))
    }

    /// One of its files in `/proc`.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        Path::new("/proc").join(self.0.as_raw_nonzero().to_string()).join(name)
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        // It cannot have ended before, nor refuse to.
        let _ = kill_process(self.0, Signal::KILL);
        let _ = waitpid(Some(self.0), WaitOptions::empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_has_no_user_beyond_its_own() {
        let users = UserNamespace { path: "/x".into(), first_id: 0x2000_0000 };
        assert_eq!(users.on_host(0), Some(0x2000_0000));
        assert_eq!(users.on_host(IDS - 1), Some(0x2000_ffff));
        assert_eq!(users.on_host(IDS), None);
    }
}
