//! A client's connection: the heads that come in, the answers that are the router's own, and the
//! connection's end.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::h1::Violation;
use crate::h1::head::{HeadEnd, LineEnds};
use crate::memory::Memory;
use crate::watch::{Phase, Watch};
use crate::wire::{Stream, Wire, poll_flush};
use crate::worker::Peer;

/// How much a client may still send after its last answer before the connection is cut.
const LINGER_BYTES_MAX: usize = 1024 * 1024;

/// The connection.
pub(crate) struct Client {
    pub(crate) wire: Wire,
    pub(crate) peer: Rc<Peer>,
    pub(crate) watch: Rc<Watch>,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A head of so many bytes, at the input's start.
    Head(usize),
    /// What is no head.
    Bad(Violation),
    /// Nothing more.
    End,
}

/// What becomes of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// It takes another request.
    Keep,
    /// It is closed.
    Close,
    /// It is closed once the client has read its answer: bytes of unknown meaning may come until
    /// then, and closing upon them would destroy the answer.
    Linger,
    /// It is cut, so that the answer does not look complete.
    Reset,
}

// === impl Client ===

impl Client {
    pub(crate) fn new(stream: Stream, peer: Rc<Peer>, watch: Rc<Watch>) -> Self {
        Self { wire: Wire::new(stream), peer, watch }
    }

    /// Waits for a whole head.
    pub(crate) async fn next(&mut self, memory: &Memory, bytes_max: usize) -> Next {
        let mut end = HeadEnd::default();
        poll_fn(|cx| self.poll_head(cx, &mut end, memory, bytes_max)).await
    }

    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        end: &mut HeadEnd,
        memory: &Memory,
        bytes_max: usize,
    ) -> Poll<Next> {
        loop {
            // Empty lines before a request are nothing (RFC 9112 2.2).
            while self.wire.input.filled().starts_with(b"\r\n") {
                self.wire.input.consume(2);
                *end = HeadEnd::default();
            }
            let there = self.wire.input.filled().len();
            match end.find(self.wire.input.filled(), LineEnds::Strict) {
                Err(violation) => return Poll::Ready(Next::Bad(violation)),
                Ok(Some(length)) if length <= bytes_max => return Poll::Ready(Next::Head(length)),
                Ok(None) if there <= bytes_max => {}
                Ok(_) => return Poll::Ready(Next::Bad(Violation::TooLarge)),
            }
            self.watch.enters(if there == 0 { Phase::Idle } else { Phase::Head });
            if there == 0 && self.watch.takes_none() {
                return Poll::Ready(Next::End);
            }
            if self.wire.input.has_memory() && self.wire.input.is_full() {
                self.wire.input.grow((2 * there).min(bytes_max + 1));
            }
            match self.wire.poll_read(cx, memory) {
                Poll::Ready(Ok(n)) if n > 0 => self.watch.moved(),
                Poll::Ready(_) => return Poll::Ready(Next::End),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Looks whether the client left. What it sends meanwhile waits in the input; when that is
    /// full, nothing more is read.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>, memory: &Memory) -> Poll<()> {
        while !(self.wire.input.has_memory() && self.wire.input.is_full()) {
            match self.wire.poll_read(cx, memory) {
                Poll::Ready(Ok(n)) if n > 0 => {}
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Pending
    }

    /// Writes an answer of the router's own; whether the client took it.
    pub(crate) async fn answer(&mut self, bytes: &[u8]) -> bool {
        let mut bytes = bytes;
        self.watch.enters(Phase::Streaming);
        poll_fn(|cx| poll_flush(cx, &self.wire.stream, &mut bytes)).await.is_ok()
    }

    /// Ends the connection.
    pub(crate) async fn end(&mut self, after: After, memory: &Memory) {
        match after {
            After::Keep => {}
            // Closing it says all there is to say.
            After::Close if self.wire.stream.is_plain() => {}
            After::Close => {
                // Under TLS the end is said, or the client could not tell it from a cut.
                let _ = poll_fn(|cx| self.wire.stream.poll_shutdown(cx)).await;
            }
            After::Reset => {
                self.wire.stream.will_reset();
            }
            After::Linger => self.linger(memory).await,
        }
    }

    async fn linger(&mut self, memory: &Memory) {
        if poll_fn(|cx| self.wire.stream.poll_shutdown(cx)).await.is_err() {
            return;
        }
        self.watch.enters(Phase::Lingering);
        let mut left = LINGER_BYTES_MAX;
        while left > 0 {
            let there = self.wire.input.filled().len();
            self.wire.input.consume(there);
            match poll_fn(|cx| self.wire.poll_read(cx, memory)).await {
                Ok(n) if n > 0 => left = left.saturating_sub(n),
                _ => return,
            }
        }
    }
}
