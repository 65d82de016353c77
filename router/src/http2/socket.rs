//! A socket under TLS as `h2` wants it. `h2` flushes after almost every frame; here what it writes
//! is gathered, and goes out together once it has nothing more to write.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::wire::{Secured, is_passing};

/// So much is gathered at most, which is what one record of TLS carries.
const GATHERED_BYTES_MAX: usize = 16 * 1024;

/// The socket, for `h2`.
pub(super) struct Socket(Rc<Inner>);

/// The same socket, for who polls `h2`, and lets out what was gathered when that is done.
pub(super) struct Outlet(Rc<Inner>);

struct Inner {
    secured: Secured,
    /// It has no memory while nothing waits.
    gathered: RefCell<Vec<u8>>,
    has_outlet: Cell<bool>,
    fault: Fault,
}

/// Why TLS has failed, for who is told no more than that it has.
pub(super) type Fault = Rc<RefCell<Option<rustls::Error>>>;

// === impl Socket ===

impl Socket {
    pub(super) fn new(secured: Box<Secured>) -> Self {
        Self::noting(secured, Fault::default())
    }

    /// One that notes there why TLS fails.
    pub(super) fn noting(secured: Box<Secured>, fault: Fault) -> Self {
        let (gathered, has_outlet) = (RefCell::default(), Cell::new(false));
        Self(Rc::new(Inner { secured: *secured, gathered, has_outlet, fault }))
    }

    /// What lets out what is gathered; it must be opened each time `h2` was polled.
    pub(super) fn outlet(&self) -> Outlet {
        Outlet(self.0.clone())
    }
}

// === impl Outlet ===

impl Outlet {
    /// From now on what `h2` flushes waits for this.
    pub(super) fn takes_over(&self) {
        self.0.has_outlet.set(true);
    }

    /// Ready when all that was written is in the kernel.
    pub(super) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_flush(cx)
    }
}

// === impl Inner ===

impl Inner {
    /// What came of reading or writing; where it failed, the other side may have said why before it
    /// hung up.
    fn heard_out<T>(&self, done: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &done {
            let last = self.secured.last_words().err();
            let tls = [Some(error), last.as_ref()].into_iter().flatten().find_map(of_tls);
            let mut fault = self.fault.borrow_mut();
            *fault = fault.take().or(tls);
        }
        done
    }

    /// Takes all of the parts, unless they are more than is gathered.
    fn poll_gather(&self, cx: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let length = parts.iter().map(|part| part.len()).sum();
        if self.gathered.borrow().len() + length > GATHERED_BYTES_MAX {
            ready!(self.poll_let_out(cx))?;
        }
        if length > GATHERED_BYTES_MAX {
            return self.heard_out(self.secured.poll_write(cx, parts));
        }
        let mut gathered = self.gathered.borrow_mut();
        if gathered.capacity() == 0 {
            gathered.reserve_exact(GATHERED_BYTES_MAX);
        }
        parts.iter().for_each(|part| gathered.extend_from_slice(part));
        Poll::Ready(Ok(length))
    }

    /// Ready when nothing is gathered any more.
    fn poll_let_out(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut gathered = self.gathered.borrow_mut();
        while !gathered.is_empty() {
            let written = self.secured.poll_write(cx, &[IoSlice::new(&gathered)]);
            let written = ready!(self.heard_out(written))?;
            gathered.drain(..written);
        }
        *gathered = Vec::new();
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_let_out(cx))?;
        self.heard_out(self.secured.poll_drained(cx))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let readable = self.0.secured.poll_readable(cx);
            ready!(self.0.heard_out(readable))?;
            match self.0.secured.try_read(into.initialize_unfilled()) {
                Err(error) if is_passing(&error) => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(n) => {
                    into.advance(n);
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_gather(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_gather(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.0.has_outlet.get() {
            return Poll::Ready(Ok(()));
        }
        self.0.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.0.poll_let_out(cx))?;
        self.0.secured.poll_shutdown(cx)
    }
}

fn of_tls(error: &io::Error) -> Option<rustls::Error> {
    error.get_ref()?.downcast_ref().cloned()
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;

    use rustls::pki_types::ServerName;
    use rustls::{ClientConnection, ServerConnection};
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::tls::{self, Identity};
    use crate::wire::{Ear, Stream};

    /// Both ends of a connection, after the handshake.
    async fn ends() -> (Box<Secured>, Stream) {
        let made = rcgen::generate_simple_self_signed(vec!["web.test".to_owned()]).unwrap();
        let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let served = tls::status_server(Identity::of_pem(&cert, &key).unwrap(), None).unwrap();
        let asked = tls::client(&[], None, false).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (near, _) = listener.accept().await.unwrap();
        let name = ServerName::try_from("web.test").unwrap();
        let near = Secured::new(near, ServerConnection::new(Arc::new(served)).unwrap());
        let far = Secured::new(far, ClientConnection::new(Arc::new(asked), name).unwrap());
        let hands =
            [&near, &far].map(|end| async move { poll_fn(|cx| end.poll_handshake(cx)).await });
        futures_util::future::try_join_all(hands).await.unwrap();
        (Box::new(near), Stream::Tls(Box::new(far)))
    }

    /// What has come, up to so many bytes; more does not come by itself.
    async fn read(far: &Stream, length: usize) -> Vec<u8> {
        let (mut all, mut chunk) = (Vec::new(), vec![0; length]);
        while all.len() < length {
            poll_fn(|cx| far.poll_readable(cx)).await.unwrap();
            let n = far.try_read(&mut chunk).unwrap();
            all.extend_from_slice(&chunk[..n]);
        }
        all
    }

    #[tokio::test]
    async fn what_is_flushed_goes_out_together_through_the_outlet() {
        let (near, far) = ends().await;
        let mut socket = Socket::new(near);
        let outlet = socket.outlet();
        let mut say = async |text: &[u8]| {
            socket.write_all(text).await.unwrap();
            socket.flush().await.unwrap();
        };
        say(b"preface").await;
        assert_eq!(read(&far, 7).await, b"preface", "at first nobody opens the outlet");
        outlet.takes_over();
        say(b"one").await;
        say(b"two").await;
        assert!(far.is_quiet(Ear::System), "it waits for what follows");
        poll_fn(|cx| outlet.poll_flush(cx)).await.unwrap();
        assert_eq!(read(&far, 6).await, b"onetwo");
        // No more is gathered than makes a record, and what is more is not gathered at all.
        let record = vec![b'r'; GATHERED_BYTES_MAX];
        say(&record).await;
        assert!(far.is_quiet(Ear::System));
        say(b"+").await;
        assert_eq!(read(&far, record.len()).await, record);
        say(&[&*record, &*record].concat()).await;
        assert_eq!(read(&far, 1 + 2 * record.len()).await[..2], *b"+r");
        say(b"end").await;
        socket.shutdown().await.unwrap();
        assert_eq!(read(&far, 3).await, b"end", "an end does not wait");
    }
    #[tokio::test]
    async fn what_is_not_taken_goes_out_when_it_is() {
        let (near, far) = ends().await;
        let mut socket = Socket::new(near);
        let outlet = socket.outlet();
        outlet.takes_over();
        let much = vec![b'm'; 8 * 1024 * 1024];
        let said = much.clone();
        let tasks = tokio::task::LocalSet::new();
        let saying = tasks.spawn_local(async move {
            socket.write_all(&said).await.unwrap();
            socket.write_all(b"end").await.unwrap();
            poll_fn(|cx| outlet.poll_flush(cx)).await
        });
        let heard = tasks.run_until(async {
            // Until the system takes no more.
            while far.is_quiet(Ear::System) {
                tokio::task::yield_now().await;
            }
            read(&far, much.len() + 3).await
        });
        let heard = tokio::time::timeout(std::time::Duration::from_secs(30), heard).await;
        assert!(heard.unwrap().ends_with(b"mend"));
        tasks.run_until(saying).await.unwrap().unwrap();
    }
}
