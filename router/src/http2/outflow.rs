//! A body as it is written in HTTP/1, on its way out over HTTP/2.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use h2::SendStream;

use super::{broken, head};
use crate::h1::Body;
use crate::h1::body::Decoder;

/// So much waits at most for the other end to take it.
pub(super) const WAITING_BYTES_MAX: usize = 32 * 1024;

/// The body.
pub(super) struct Outflow {
    to: SendStream<Bytes>,
    decoder: Decoder,
}

// === impl Outflow ===

impl Outflow {
    pub(super) fn new(to: SendStream<Bytes>, body: Body) -> Self {
        Self { to, decoder: Decoder::new(body) }
    }

    /// Whether all of it is sent.
    pub(super) fn is_done(&self) -> bool {
        self.decoder.is_done()
    }

    /// Ready when the other end wants no more of it.
    pub(super) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.to.poll_reset(cx).map(|_| ())
    }

    /// Sends what the other end takes of what waits. Ready when only the rest is missing.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        waiting: &mut BytesMut,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut data = Bytes::new();
            if let Some(length) = self.next(waiting)? {
                let taken = ready!(self.poll_capacity(cx, length))?;
                data = waiting.split_to(length.min(taken)).freeze();
                self.decoder.used(data.len());
                // What frames the end may be here already.
                self.next(waiting)?;
            }
            if self.is_done() {
                return Poll::Ready(self.end(data));
            }
            if data.is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.to.send_data(data, false).map_err(broken)?;
        }
    }

    fn next(&mut self, waiting: &mut BytesMut) -> io::Result<Option<usize>> {
        self.decoder.next(waiting).map_err(io::Error::other)
    }

    fn poll_capacity(&mut self, cx: &mut Context<'_>, length: usize) -> Poll<io::Result<usize>> {
        self.to.reserve_capacity(length);
        match self.to.capacity() {
            0 => match ready!(self.to.poll_capacity(cx)) {
                Some(taken) => Poll::Ready(taken.map_err(broken)),
                None => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            },
            taken => Poll::Ready(Ok(taken)),
        }
    }

    fn end(&mut self, data: Bytes) -> io::Result<()> {
        let trailers = head::fields(self.decoder.trailers()).unwrap_or_default();
        self.to.send_data(data, trailers.is_empty()).map_err(broken)?;
        if !trailers.is_empty() {
            self.to.send_trailers(trailers).map_err(broken)?;
        }
        Ok(())
    }
}
