//! A socket, in clear or under TLS, or one stream of a connection in HTTP/2. Both sides of TLS are
//! driven here, one task at a time: nothing waits for a lock.

use core::net::SocketAddr;
use std::cell::RefCell;
use std::fmt;
use std::io::{self, IoSlice, Read, Write};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown};
use rustls::Connection;
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::http2::{Substream, Upstream};

/// The socket, or what stands for one.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    /// In clear, of a TCP route: anything may come, urgent marks included.
    Through(TcpStream),
    Tls(Box<Secured>),
    Http2(Box<Substream>),
    /// The same to an endpoint.
    Upstream(Box<Upstream>),
}

/// A socket under TLS.
pub(crate) struct Secured {
    tcp: TcpStream,
    tls: RefCell<Connection>,
}

/// How to find out whether something came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ear {
    /// The runtime's news of the socket, which cost nothing and are as old as its last look at all
    /// sockets.
    News,
    /// The system is asked, whatever was heard.
    System,
}

/// Reads and writes what can be at this moment.
struct AtOnce<'s>(&'s TcpStream);

/// Reads what the system has at this moment, whatever was heard of the socket before.
struct Asked<'s>(&'s TcpStream);

// === impl Stream ===

impl Stream {
    /// The same socket, for a TCP route.
    pub(crate) fn through(self) -> Self {
        match self {
            Self::Plain(tcp) => Self::Through(tcp),
            other => other,
        }
    }

    /// Whether it is no more than a socket.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_) | Self::Through(_))
    }

    /// The router's own end of it; none of a stream of HTTP/2.
    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Plain(tcp) | Self::Through(tcp) => tcp.local_addr().ok(),
            Self::Tls(secured) => secured.tcp.local_addr().ok(),
            Self::Http2(_) | Self::Upstream(_) => None,
        }
    }

    /// Ready when something can be read, if only the end.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(tcp) | Self::Through(tcp) => tcp.poll_read_ready(cx),
            Self::Tls(secured) => secured.poll_readable(cx),
            Self::Http2(stream) => stream.poll_readable(cx),
            Self::Upstream(stream) => stream.poll_readable(cx),
        }
    }

    /// Reads once; 0 is the end.
    pub(crate) fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => read_at_once(tcp, into),
            // A read stops at an urgent mark though more is there: only an empty one is the last.
            Self::Through(tcp) => tcp.try_read(into),
            Self::Tls(secured) => secured.try_read(into),
            Self::Http2(stream) => stream.try_read(into),
            Self::Upstream(stream) => stream.try_read(into),
        }
    }

    /// Writes some of the slices, in their order.
    pub(crate) fn poll_write(
        &self,
        cx: &mut Context<'_>,
        slices: [&[u8]; 4],
    ) -> Poll<io::Result<usize>> {
        let mut parts = [IoSlice::new(&[]); 4];
        let mut count = 0;
        for slice in slices.into_iter().filter(|slice| !slice.is_empty()) {
            parts[count] = IoSlice::new(slice);
            count += 1;
        }
        let parts = &parts[..count];
        let tcp = match self {
            Self::Plain(tcp) | Self::Through(tcp) => tcp,
            Self::Tls(secured) => return secured.poll_write(cx, parts),
            Self::Http2(stream) => return stream.poll_write(cx, parts),
            Self::Upstream(stream) => return stream.poll_write(cx, parts),
        };
        loop {
            ready!(tcp.poll_write_ready(cx))?;
            match write_at_once(tcp, parts) {
                Err(error) if is_passing(&error) => {}
                outcome => return Poll::Ready(outcome),
            }
        }
    }

    /// Ready when all that was written is in the kernel.
    pub(crate) fn poll_drained(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) | Self::Through(_) => Poll::Ready(Ok(())),
            Self::Tls(secured) => secured.poll_drained(cx),
            Self::Http2(stream) => stream.poll_drained(cx),
            Self::Upstream(stream) => stream.poll_drained(cx),
        }
    }

    /// Says that nothing more will be written. Ready when that is said, or cannot be.
    pub(crate) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(tcp) | Self::Through(tcp) => Poll::Ready(shut_down(tcp)),
            Self::Tls(secured) => secured.poll_shutdown(cx),
            Self::Http2(stream) => stream.poll_shutdown(cx),
            // Its request says itself where it ends.
            Self::Upstream(stream) => stream.poll_drained(cx),
        }
    }

    /// Why nothing can be written, where that is known.
    pub(crate) fn fault(&self) -> Option<io::Error> {
        match self {
            Self::Upstream(stream) => stream.fault(),
            Self::Plain(_) | Self::Through(_) | Self::Tls(_) | Self::Http2(_) => None,
        }
    }

    /// Has nobody else use the connection of which this is a stream.
    pub(crate) fn retire(&self) {
        if let Self::Upstream(stream) = self {
            stream.retire();
        }
    }

    /// Makes closing it a reset, so that nothing looks complete.
    pub(crate) fn will_reset(&self) {
        let tcp = match self {
            Self::Plain(tcp) | Self::Through(tcp) => tcp,
            Self::Tls(secured) => &secured.tcp,
            Self::Http2(stream) => return stream.reset(),
            // It is cancelled unless it came to its end.
            Self::Upstream(_) => return,
        };
        let at_once = Some(Duration::ZERO);
        let _ = rustix::net::sockopt::set_socket_linger(tcp, at_once);
    }

    /// Whether nothing came since the last answer, neither bytes nor the end: both make a kept
    /// connection useless, and bytes would pass for the next answer.
    pub(crate) fn is_quiet(&self, ear: Ear) -> bool {
        match self {
            Self::Plain(tcp) | Self::Through(tcp) => {
                if ear == Ear::News && !has_news(tcp) {
                    return true;
                }
                let mut byte = [0_u8];
                let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
                let peeked = rustix::net::recv(tcp, &mut byte, flags);
                peeked.is_err_and(|error| error == Errno::WOULDBLOCK)
            }
            Self::Tls(secured) => secured.is_quiet(ear),
            Self::Http2(_) | Self::Upstream(_) => false,
        }
    }
}

// === impl Secured ===

impl Secured {
    /// Begins; the handshake is still to be done.
    pub(crate) fn new(tcp: TcpStream, tls: impl Into<Connection>) -> Self {
        Self { tcp, tls: RefCell::new(tls.into()) }
    }

    /// Has the system end the connection when what was sent is not acknowledged for so long.
    pub(crate) fn give_up_after(&self, silence: Duration) -> io::Result<()> {
        let millis = u32::try_from(silence.as_millis()).unwrap_or(u32::MAX);
        Ok(rustix::net::sockopt::set_tcp_user_timeout(&self.tcp, millis)?)
    }

    /// What the other side said last, where nothing can be written any more: why it hung up may be
    /// there, and unread.
    pub(crate) fn last_words(&self) -> io::Result<()> {
        let mut tls = self.tls.borrow_mut();
        while tls.read_tls(&mut Asked(&self.tcp))? > 0 {
            tls.process_new_packets().map_err(invalid)?;
        }
        Ok(())
    }

    /// Takes bytes that were read before the handshake.
    pub(crate) fn begin_with(&self, mut early: &[u8]) -> io::Result<()> {
        let mut tls = self.tls.borrow_mut();
        while !early.is_empty() {
            tls.read_tls(&mut early)?;
            tls.process_new_packets().map_err(invalid)?;
        }
        Ok(())
    }

    /// Ready when both sides know each other.
    pub(crate) fn poll_handshake(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut tls = self.tls.borrow_mut();
        loop {
            let flushed = self.poll_flush(cx, &mut tls);
            if !tls.is_handshaking() {
                return flushed;
            }
            if let Poll::Ready(Err(error)) = flushed {
                return Poll::Ready(Err(error));
            }
            if ready!(self.poll_records(cx, &mut tls))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// What the handshake came to.
    pub(crate) fn known<T>(&self, of: impl FnOnce(&Connection) -> T) -> T {
        of(&self.tls.borrow())
    }

    /// Ready when something can be read, if only the end.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut tls = self.tls.borrow_mut();
        loop {
            // Tickets and updates of keys go out by the way.
            if let Poll::Ready(Err(error)) = self.poll_flush(cx, &mut tls) {
                return Poll::Ready(Err(error));
            }
            let state = tls.process_new_packets().map_err(invalid)?;
            if state.plaintext_bytes_to_read() > 0 || state.peer_has_closed() {
                return Poll::Ready(Ok(()));
            }
            if ready!(self.poll_records(cx, &mut tls))? == 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Reads once; 0 is the end.
    pub(crate) fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        self.tls.borrow_mut().reader().read(into)
    }

    /// Ready when all that was written is in the kernel.
    pub(crate) fn poll_drained(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx, &mut self.tls.borrow_mut())
    }

    /// Says that nothing more will be written.
    pub(crate) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut tls = self.tls.borrow_mut();
        tls.send_close_notify();
        ready!(self.poll_flush(cx, &mut tls))?;
        Poll::Ready(shut_down(&self.tcp))
    }

    /// Reads what is there; 0 is the end.
    fn poll_records(&self, cx: &mut Context<'_>, tls: &mut Connection) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.tcp.poll_read_ready(cx))?;
            match tls.read_tls(&mut AtOnce(&self.tcp)) {
                Err(error) if is_passing(&error) => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(n) => {
                    let processed = tls.process_new_packets().map_err(invalid);
                    if processed.is_err() {
                        // The other side is told why, if it still listens.
                        let _ = self.poll_flush(cx, tls);
                    }
                    return Poll::Ready(processed.map(|_| n));
                }
            }
        }
    }

    /// Writes some of the parts, in their order.
    pub(crate) fn poll_write(
        &self,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut tls = self.tls.borrow_mut();
        ready!(self.poll_flush(cx, &mut tls))?;
        let written = tls.writer().write_vectored(parts)?;
        match self.poll_flush(cx, &mut tls) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(written)),
        }
    }

    fn poll_flush(&self, cx: &mut Context<'_>, tls: &mut Connection) -> Poll<io::Result<()>> {
        while tls.wants_write() {
            ready!(self.tcp.poll_write_ready(cx))?;
            match tls.write_tls(&mut AtOnce(&self.tcp)) {
                Err(error) if is_passing(&error) => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(_) => {}
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Tickets may have come; they are no answer.
    fn is_quiet(&self, ear: Ear) -> bool {
        let mut tls = self.tls.borrow_mut();
        loop {
            match tls.process_new_packets() {
                Ok(state) if state.plaintext_bytes_to_read() == 0 && !state.peer_has_closed() => {}
                Ok(_) | Err(_) => return false,
            }
            if ear == Ear::News && !has_news(&self.tcp) {
                return true;
            }
            match tls.read_tls(&mut Asked(&self.tcp)) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
    }
}

impl fmt::Debug for Secured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secured").field("tcp", &self.tcp).finish_non_exhaustive()
    }
}

// === impl AtOnce ===

impl Read for AtOnce<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        read_at_once(self.0, into)
    }
}

impl Write for AtOnce<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write_at_once(self.0, &[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        write_at_once(self.0, parts)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// === impl Asked ===

impl Read for Asked<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let (n, _) = rustix::net::recv(self.0, into, RecvFlags::DONTWAIT)?;
        Ok(n)
    }
}

/// Whether the runtime has heard of something to read since all was read.
fn has_news(tcp: &TcpStream) -> bool {
    tcp.try_io(Interest::READABLE, || Ok(())).is_ok()
}

/// Reads once; 0 is the end. A read that leaves room has emptied the socket (epoll(7)); to note that
/// saves a second one, which would only find it empty.
fn read_at_once(tcp: &TcpStream, into: &mut [u8]) -> io::Result<usize> {
    let room = into.len();
    let mut had = 0;
    let read = tcp.try_io(Interest::READABLE, || {
        let (n, _) = rustix::net::recv(tcp, into, RecvFlags::empty())?;
        had = n;
        if (1..room).contains(&n) { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(n) }
    });
    if had > 0 { Ok(had) } else { read }
}

/// Writes once, some of the parts in their order.
fn write_at_once(tcp: &TcpStream, parts: &[IoSlice<'_>]) -> io::Result<usize> {
    tcp.try_io(Interest::WRITABLE, || {
        let written = match parts {
            [one] => rustix::net::send(tcp, one, SendFlags::NOSIGNAL),
            many => {
                let mut nothing_beside = SendAncillaryBuffer::default();
                rustix::net::sendmsg(tcp, many, &mut nothing_beside, SendFlags::NOSIGNAL)
            }
        };
        Ok(written?)
    })
}

fn shut_down(tcp: &TcpStream) -> io::Result<()> {
    rustix::net::shutdown(tcp, Shutdown::Write).map_err(Into::into)
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

pub(crate) fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// A stream that has read an answer to its end, and the other end of it.
    async fn answered() -> (Stream, std::net::TcpStream) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut endpoint, _) = listener.accept().unwrap();
        endpoint.set_nodelay(true).unwrap();
        endpoint.write_all(b"answer").unwrap();
        let stream = Stream::Plain(tcp);
        poll_fn(|cx| stream.poll_readable(cx)).await.unwrap();
        assert_eq!(stream.try_read(&mut [0; 64]).unwrap(), 6);
        (stream, endpoint)
    }

    /// Whether it is noticed that something came, though nobody asks the runtime for news.
    fn is_noticed(stream: &Stream) -> bool {
        (0..1_000_000).any(|_| {
            std::thread::yield_now();
            !stream.is_quiet(Ear::System)
        })
    }

    #[tokio::test]
    async fn what_came_and_was_not_heard_of_is_noticed() {
        let (stream, mut endpoint) = answered().await;
        assert!(stream.is_quiet(Ear::System));
        endpoint.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        assert!(is_noticed(&stream), "a second answer");
        let (stream, endpoint) = answered().await;
        assert!(stream.is_quiet(Ear::System));
        drop(endpoint);
        assert!(is_noticed(&stream), "the end");
    }

    #[tokio::test]
    async fn what_was_heard_of_is_noticed_without_asking() {
        let (stream, endpoint) = answered().await;
        assert!(stream.is_quiet(Ear::News));
        drop(endpoint);
        let heard = async {
            while stream.is_quiet(Ear::News) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), heard).await.expect("the end is heard of");
    }
}
