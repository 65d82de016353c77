//! A body that comes in over HTTP/2, as the bytes that it has in HTTP/1.

use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::RecvStream;

use super::head::{self, Framing};

/// The body.
pub(super) struct Inflow {
    from: RecvStream,
    framing: Framing,
    /// A chunk's size, or all that follows the last chunk.
    before: Bytes,
    data: Bytes,
    /// A chunk's end.
    after: &'static [u8],
    /// So much is still to come, where that was said. Who has read all of it asks for no more, so the
    /// last of it waits for the stream's end: to leave before that would be to take it back.
    left: Option<u64>,
    is_ended: bool,
}

// === impl Inflow ===

impl Inflow {
    pub(super) fn new(from: RecvStream, framing: Framing, left: Option<u64>) -> Self {
        let (before, data, after) = (Bytes::new(), Bytes::new(), b"".as_slice());
        let is_ended = from.is_end_stream();
        Self { from, framing, before, data, after, left, is_ended }
    }

    /// Whether nothing more comes than what waits.
    pub(super) fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// Whether the stream has ended, and all of it was taken.
    pub(super) fn is_spent(&self) -> bool {
        !self.is_waiting() && (self.is_ended || self.from.is_end_stream())
    }

    /// Whether something can be taken.
    pub(super) fn is_waiting(&self) -> bool {
        let is_held = self.left == Some(0) && !self.is_ended && !self.from.is_end_stream();
        !is_held
            && (self.before.has_remaining()
                || self.data.has_remaining()
                || self.after.has_remaining())
    }

    /// Ready when something waits. Pending forever once all was read.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        while !self.is_waiting() {
            if self.is_ended {
                return Poll::Pending;
            }
            match ready!(self.from.poll_data(cx)).transpose()? {
                Some(data) if data.is_empty() => {}
                Some(data) => self.gives(data),
                None => {
                    let trailers = ready!(self.from.poll_trailers(cx))?;
                    self.is_ended = true;
                    if self.framing == Framing::Chunks {
                        self.before = head::trailers(&trailers.unwrap_or_default());
                    }
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Takes some of what waits; the other end may send as much again.
    pub(super) fn take(&mut self, into: &mut [u8]) -> Result<usize, h2::Error> {
        let mut n = copy(&mut self.before, into);
        let of_data = copy(&mut self.data, &mut into[n..]);
        n += of_data;
        if !self.data.has_remaining() {
            n += copy(&mut self.after, &mut into[n..]);
        }
        self.from.flow_control().release_capacity(of_data)?;
        Ok(n)
    }

    fn gives(&mut self, data: Bytes) {
        if self.framing == Framing::Chunks {
            self.before = format!("{:x}\r\n", data.len()).into();
            self.after = b"\r\n";
        }
        self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
        self.data = data;
    }
}

/// Moves as much as there is room for.
pub(super) fn copy(from: &mut impl Buf, into: &mut [u8]) -> usize {
    let n = from.remaining().min(into.len());
    from.copy_to_slice(&mut into[..n]);
    n
}
