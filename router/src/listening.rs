//! Opens listening sockets, one for each worker on the same address, and hands them out.

use core::net::SocketAddr;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use tokio::sync::mpsc;

use crate::StartError;
use crate::config::Side;
use crate::tcp::{Opens, Port};

/// Connections the kernel holds for one worker until it accepts them.
const BACKLOG: i32 = 4096;

/// The workers, as takers of listening sockets.
#[derive(Debug, Clone)]
pub(crate) struct Listening {
    workers: Vec<mpsc::Sender<Opened>>,
}

/// A listening socket for one worker.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) listener: TcpListener,
    pub(crate) serves: Serves,
}

/// What comes in through a listener.
#[derive(Debug, Clone)]
pub(crate) enum Serves {
    /// Requests, and whether under TLS.
    Http(Side, bool),
    /// The connections of a TCP route's port.
    Tcp(Arc<Port>),
}

// === impl Listening ===

impl Listening {
    pub(crate) fn new(workers: Vec<mpsc::Sender<Opened>>) -> Self {
        Self { workers }
    }

    /// Listens on one more address, with every worker or none, and says which one it became.
    pub(crate) fn open(&self, addr: SocketAddr, serves: &Serves) -> Result<SocketAddr, StartError> {
        let places: Result<Vec<_>, _> = self.workers.iter().map(|w| w.try_reserve()).collect();
        let places = places.map_err(|_| StartError::NoMoreListeners)?;
        let (bound, listeners) =
            open(addr, places.len()).map_err(|source| StartError::Listen { addr, source })?;
        for (place, listener) in places.into_iter().zip(listeners) {
            place.send(Opened { listener, serves: serves.clone() });
        }
        Ok(bound)
    }
}

impl Opens for Listening {
    fn open(&self, addr: SocketAddr, port: &Arc<Port>) -> Result<(), StartError> {
        Self::open(self, addr, &Serves::Tcp(port.clone())).map(drop)
    }
}

/// Opens `workers` sockets on one address; the kernel spreads connections over them. Port 0 picks
/// a free port.
///
/// The address is first taken alone: `SO_REUSEPORT` would let two routers of one user share it, and
/// each would get half of the other's requests.
fn open(addr: SocketAddr, workers: usize) -> io::Result<(SocketAddr, Vec<TcpListener>)> {
    let addr = bind(addr, false)?.local_addr()?;
    let listeners: io::Result<Vec<_>> = (0..workers).map(|_| bind(addr, true)).collect();
    Ok((addr, listeners?))
}

fn bind(addr: SocketAddr, is_shared: bool) -> io::Result<TcpListener> {
    let family = if addr.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if is_shared {
        sockopt::set_socket_reuseport(&socket, true)?;
    }
    rustix::net::bind(&socket, &addr)?;
    if is_shared {
        rustix::net::listen(&socket, BACKLOG)?;
    }
    Ok(TcpListener::from(socket))
}
