//! What the system is told about every socket.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::net::sockopt;

/// Has a socket send what is written at once, and find out when its other end is gone without a
/// word: it asks after so much silence, and then each time after as much again. What is taken from
/// a listening socket has both from that (socket(7), tcp(7)).
pub(crate) fn prepare(socket: impl AsFd, probe: Duration) -> io::Result<()> {
    let probe = probe.max(Duration::from_secs(1));
    sockopt::set_tcp_nodelay(&socket, true)?;
    sockopt::set_socket_keepalive(&socket, true)?;
    sockopt::set_tcp_keepidle(&socket, probe)?;
    sockopt::set_tcp_keepintvl(&socket, probe)?;
    Ok(())
}
