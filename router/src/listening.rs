//! Opens listening sockets, one for each worker on the same address.

use core::net::SocketAddr;
use std::io;
use std::net::TcpListener;

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

/// Connections the kernel holds for one worker until it accepts them.
const BACKLOG: i32 = 4096;

/// Opens `workers` sockets on one address; the kernel spreads connections over them. Port 0 picks
/// a free port.
///
/// The address is first taken alone: `SO_REUSEPORT` would let two routers of one user share it, and
/// each would get half of the other's requests.
pub(crate) fn open(addr: SocketAddr, workers: usize) -> io::Result<(SocketAddr, Vec<TcpListener>)> {
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
