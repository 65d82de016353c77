//! An address where nobody takes a connection, nor refuses one.

use std::net::{SocketAddr, TcpListener, TcpStream};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{AddressFamily, SocketType, bind, listen, socket};

use super::anywhere;

/// The address. Its queue is full: the system answers nobody who comes.
pub(crate) struct Silent {
    pub(crate) addr: SocketAddr,
    _held: (TcpListener, TcpStream),
}

// === impl Silent ===

impl Silent {
    pub(crate) fn new() -> Self {
        let listener = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&listener, &anywhere()).unwrap();
        // A queue of none holds one (listen(2)).
        listen(&listener, 0).unwrap();
        let listener = TcpListener::from(listener);
        let addr = listener.local_addr().unwrap();
        let first = TcpStream::connect(addr).unwrap();
        poll(&mut [PollFd::new(&listener, PollFlags::IN)], None).unwrap();
        Self { addr, _held: (listener, first) }
    }
}
