//! A socket under TLS as `h2` wants it.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::wire::{Secured, is_passing};

/// The socket.
pub(super) struct Socket {
    secured: Box<Secured>,
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
        Self { secured, fault }
    }

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
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let readable = self.secured.poll_readable(cx);
            ready!(self.heard_out(readable))?;
            match self.secured.try_read(into.initialize_unfilled()) {
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
        let written = self.secured.poll_write(cx, &[IoSlice::new(bytes)]);
        self.heard_out(written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.secured.poll_write(cx, parts);
        self.heard_out(written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let drained = self.secured.poll_drained(cx);
        self.heard_out(drained)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.secured.poll_shutdown(cx)
    }
}

fn of_tls(error: &io::Error) -> Option<rustls::Error> {
    error.get_ref()?.downcast_ref().cloned()
}
