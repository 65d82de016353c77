//! What the system is told about every socket.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
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

/// Whether connections come up for accepting with their first bytes only, or at once: to accept a
/// client's that speaks first any sooner is to read it in vain. Who says nothing comes up after a
/// second (tcp(7)).
pub(crate) fn await_first_bytes(listener: &impl AsFd, is_awaited: bool) -> io::Result<()> {
    let seconds = libc::c_int::from(is_awaited);
    let length = size_of_val(&seconds) as libc::socklen_t;
    let option = (&raw const seconds).cast();
    let fd = listener.as_fd().as_raw_fd();
    // SAFETY: the option's value is an int, which outlives the call.
    match unsafe { libc::setsockopt(fd, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, option, length) }
    {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[test]
fn a_connection_comes_up_with_its_first_bytes_or_at_once() {
    use std::io::Write as _;
    use std::net::{TcpListener, TcpStream};

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connect = || TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    await_first_bytes(&listener, true).unwrap();
    let mut client = connect();
    listener.set_nonblocking(true).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    listener.set_nonblocking(false).unwrap();
    client.write_all(b"GET").unwrap();
    listener.accept().unwrap();
    await_first_bytes(&listener, false).unwrap();
    let _silent = connect();
    listener.accept().unwrap();
}
