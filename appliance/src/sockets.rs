//! Listening sockets that outlive this process: the service manager that started it keeps them
//! (`FDSTORE=1` of sd_notify(3)) and passes them to the one that it starts next. However this one
//! ends, who connects meanwhile waits and is not turned away.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::Arc;

use lattice_router::Keeper;
use listenfd::ListenFd;
use sd_notify::NotifyState;
use tracing::warn;

/// Sockets that go in one message; the kernel takes no more than 253.
const AT_ONCE: usize = 128;

/// The service manager.
#[derive(Debug)]
struct Manager;

/// What the service manager has kept of a former process. Asked once, before there are threads: it
/// takes what it reads out of the environment.
pub(crate) fn kept() -> Vec<TcpListener> {
    let mut passed = ListenFd::from_env();
    (0..passed.len()).filter_map(|nth| passed.take_tcp_listener(nth).ok().flatten()).collect()
}

/// Who keeps sockets for the next process, where there is somebody.
pub(crate) fn keeper() -> Option<Arc<dyn Keeper>> {
    let is_managed = std::env::var_os("NOTIFY_SOCKET").is_some();
    is_managed.then(|| Arc::new(Manager) as Arc<dyn Keeper>)
}

impl Keeper for Manager {
    fn keep(&self, addr: SocketAddr, sockets: &[TcpListener]) {
        let name = name_of(addr);
        for some in sockets.chunks(AT_ONCE) {
            let some: Vec<BorrowedFd<'_>> = some.iter().map(|socket| socket.as_fd()).collect();
            let state = [NotifyState::FdStore, NotifyState::FdName(&name)];
            if let Err(error) = sd_notify::notify_with_fds(&state, &some) {
                warn!(%addr, %error, "the service manager does not keep what is listened on");
            }
        }
    }

    fn release(&self, addr: SocketAddr) {
        let name = name_of(addr);
        let state = [NotifyState::FdStoreRemove, NotifyState::FdName(&name)];
        if let Err(error) = sd_notify::notify(&state) {
            warn!(%addr, %error, "the service manager was not told that nobody listens any more");
        }
    }
}

/// An address as a name that systemd takes, which has no colon.
fn name_of(addr: SocketAddr) -> String {
    addr.to_string().replace(':', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_name_without_a_colon() {
        for (addr, name) in [("127.0.0.1:80", "127.0.0.1_80"), ("[::1]:443", "[__1]_443")] {
            assert_eq!(name_of(addr.parse().unwrap()), name);
        }
    }
}
