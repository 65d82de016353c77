//! Network namespaces kept alive by a bind mount each, and work done inside them on threads that
//! end afterwards.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_bind, mount_change, unmount};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};
use tokio::sync::oneshot;

use crate::userns::{self, UserNamespace};

/// Makes a namespace and binds it to `path`, which must not exist; one that belongs to `users`,
/// who are made as well.
pub(super) async fn create(path: &Path, users: Option<UserNamespace>) -> io::Result<OwnedFd> {
    let path = path.to_owned();
    on_own_thread(move || {
        if let Some(users) = users {
            userns::make(&users, &path)?;
            return Ok(File::open(&path)?.into());
        }
        File::create_new(&path)?;
        // SAFETY: only this thread changes its namespace, and it ends right after.
        unsafe { unshare_unsafe(UnshareFlags::NEWNET) }?;
        mount_bind("/proc/thread-self/ns/net", &path)?;
        mount_change(&path, MountPropagationFlags::PRIVATE)?;
        Ok(File::open(&path)?.into())
    })
    .await
}

/// Does `work` inside a namespace.
pub(super) async fn inside<T, F>(path: PathBuf, work: F) -> io::Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> io::Result<T> + Send + 'static,
{
    on_own_thread(move || {
        let namespace = File::open(&path)?;
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
        work()
    })
    .await
}

/// Lets a namespace go; no error when it is gone.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match unmount(path, UnmountFlags::DETACH) {
        // Invalid: not a mount point, because it was left half-made.
        Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => {}
        Err(e) => return Err(e.into()),
    }
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// A thread of its own, because a thread of a pool would carry the namespace to other work.
async fn on_own_thread<T, F>(work: F) -> io::Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> io::Result<T> + Send + 'static,
{
    let (tell, told) = oneshot::channel();
    std::thread::Builder::new().name("network-namespace".to_owned()).spawn(move || {
        // Nobody listens any more: then nobody wants to know.
        let _ = tell.send(work());
    })?;
    told.await.unwrap_or_else(|_| Err(io::Error::other("the thread in the namespace died")))
}
