//! Whether instances can have users of their own on this machine. Not every kernel and file system
//! can show layers with other owners, and a container that this program runs in may forbid it.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::mount::{UnmountFlags, mount_bind, unmount};
use rustix::process::{WaitOptions, waitpid};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::{FIRST_ID, IDS, Idle, UserNamespace};
use crate::images::rootfs::overlay::Rootfs;
use crate::runtime::ContainerId;

/// The range that is tried: no instance's, as it ends where theirs begin.
const TRIED_ID: u32 = FIRST_ID - IDS;

/// The root filesystem that is mounted for that.
const NAME: &str = "probe";

/// Tries it in `data_dir`; an error is what this machine cannot do, and leaves nothing behind.
/// Blocks.
pub fn try_in(data_dir: &Path) -> Result<(), String> {
    let scratch = &data_dir.join("probe");
    // An earlier process may have been killed at it.
    clear(scratch).map_err(|e| format!("{} cannot be removed: {e}", scratch.display()))?;
    fs::create_dir(scratch).map_err(|e| format!("nothing can be written: {e}"))?;
    let outcome = try_all(scratch);
    let cleared = clear(scratch);
    outcome.and_then(|()| cleared.map_err(|e| format!("what was tried stays: {e}")))
}

/// Removes what was tried; no error when there is nothing.
fn clear(scratch: &Path) -> io::Result<()> {
    if !scratch.exists() {
        return Ok(());
    }
    Rootfs::open(scratch)?.unmount(&ContainerId::new(NAME)).map_err(io::Error::other)?;
    // Where nothing was bound there is nothing to unmount.
    let _ = unmount(scratch.join("users"), UnmountFlags::DETACH);
    fs::remove_dir_all(scratch)
}

fn try_all(scratch: &Path) -> Result<(), String> {
    let idle = Idle::start(libc::CLONE_NEWUSER | libc::CLONE_NEWNET)
        .map_err(|e| format!("no user namespace can be made: {e}"))?;
    idle.map_ids(TRIED_ID).map_err(|e| format!("users cannot be mapped: {e}"))?;
    let users = UserNamespace { path: scratch.join("users"), first_id: TRIED_ID };
    let bound = File::create_new(&users.path)
        .and_then(|_| Ok(mount_bind(idle.file("ns/user"), &users.path)?));
    bound.map_err(|e| format!("a user namespace cannot be bound to a file: {e}"))?;
    shows_layers(scratch, &users)
        .map_err(|e| format!("layers cannot be shown with other owners (Linux 5.19 can): {e}"))?;
    shows_kernel(&idle)
        .map_err(|e| format!("/proc and /sys cannot be shown in a user namespace: {e}"))
}

/// Stacks a layer as for an instance.
fn shows_layers(scratch: &Path, users: &UserNamespace) -> io::Result<()> {
    let layer = scratch.join("layer");
    fs::create_dir(&layer)?;
    fs::write(layer.join("file"), "")?;
    let rootfs = Rootfs::open(scratch)?;
    let id = ContainerId::new(NAME);
    let mounted = rootfs.mount(&[layer], &id, Some(users), None).map_err(io::Error::other)?;
    match fs::metadata(mounted.join("file"))?.uid() {
        TRIED_ID => Ok(()),
        other => Err(io::Error::other(format!("the owner is {other} instead of {TRIED_ID}"))),
    }
}

/// Mounts what every container has, as its root will; the kernel refuses where a part of the
/// host's own is hidden.
fn shows_kernel(idle: &Idle) -> io::Result<()> {
    let namespaces = ["user", "net"].map(|kind| File::open(idle.file(&format!("ns/{kind}"))));
    let [users, network] = namespaces;
    let (users, network) = (users?, network?);
    // SAFETY: a fork; the child only makes system calls and ends.
    match unsafe { libc::fork() } {
        0 => {
            let enter = |file: &File, kind| move_into_link_name_space(file.as_fd(), Some(kind));
            let entered = enter(&users, LinkNameSpaceType::User)
                .and_then(|()| enter(&network, LinkNameSpaceType::Network));
            let code = entered.map_or_else(rustix::io::Errno::raw_os_error, |()| mount_kernel());
            // SAFETY: ends this process, and runs nothing of the parent's.
            unsafe { libc::_exit(code) }
        }
        -1 => Err(io::Error::last_os_error()),
        child => {
            let status = waitpid(rustix::process::Pid::from_raw(child), WaitOptions::empty())?;
            let code = status.and_then(|(_, status)| status.exit_status());
            match code {
                Some(0) => Ok(()),
                Some(errno) => Err(io::Error::from_raw_os_error(errno)),
                None => Err(io::Error::other("the process that tried it was killed")),
            }
        }
    }
}

/// In a process of its own: a process namespace holds for children alone, so a child mounts; the
/// error's number, or 0.
fn mount_kernel() -> i32 {
    let errno = || io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
    let (none, flags) = (std::ptr::null(), libc::MS_NOSUID | libc::MS_NOEXEC | libc::MS_NODEV);
    // SAFETY: plain system calls on strings that are constants.
    unsafe {
        if libc::unshare(libc::CLONE_NEWNS | libc::CLONE_NEWPID) != 0 {
            return errno();
        }
        match libc::fork() {
            0 => {
                let mount = |kind: &std::ffi::CStr, place: &std::ffi::CStr| {
                    let kind = kind.as_ptr();
                    libc::mount(kind, place.as_ptr(), kind, flags, none)
                };
                let is_well = mount(c"proc", c"/proc") == 0 && mount(c"sysfs", c"/sys") == 0;
                libc::_exit(if is_well { 0 } else { errno() })
            }
            -1 => errno(),
            child => {
                let mut status = 0;
                libc::waitpid(child, &raw mut status, 0);
                libc::WEXITSTATUS(status)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_can_is_found_out_and_left_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let mounts = || {
            let all = fs::read_to_string("/proc/self/mountinfo").unwrap();
            all.lines().filter(|line| line.contains(&*dir.path().to_string_lossy())).count()
        };
        // As one leaves it that is killed.
        let scratch = dir.path().join("probe");
        fs::create_dir(&scratch).unwrap();
        try_all(&scratch).unwrap();
        assert_ne!(mounts(), 0);
        try_in(dir.path()).unwrap();
        assert_eq!((mounts(), fs::read_dir(dir.path()).unwrap().count()), (0, 0));
    }

    #[test]
    fn a_file_system_that_cannot_is_named() {
        let error = try_in(Path::new("/proc")).unwrap_err();
        assert!(error.starts_with("nothing can be written"), "{error}");
    }
}
