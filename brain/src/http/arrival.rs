//! Connections whose request heads must arrive in time. hyper's own limit also holds for idle
//! connections, and so is far too long for a head that has begun.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Counts a connection's turns: odd while a request is being answered. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Turns(Arc<AtomicU64>);

/// A request is being answered as long as this lives.
#[derive(Debug)]
pub(super) struct Answering(Turns);

/// A connection that fails when a head that has begun, or the first one, does not end in time.
#[derive(Debug)]
pub(super) struct Arriving<IO> {
    io: IO,
    turns: Turns,
    timeout: Duration,
    /// The head of this turn is late after this.
    late: Option<(u64, Pin<Box<Sleep>>)>,
}

/// An answer's body, with which the answering ends.
#[derive(Debug)]
pub(super) struct LastPart {
    body: Body,
    _answering: Answering,
}

// === impl Turns ===

impl Turns {
    /// The head has arrived.
    pub(super) fn answering(&self) -> Answering {
        self.0.fetch_add(1, Ordering::Relaxed);
        Answering(self.clone())
    }

    fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::Relaxed);
    }
}

// === impl Arriving ===

impl<IO> Arriving<IO> {
    pub(super) fn new(io: IO, turns: Turns, timeout: Duration) -> Self {
        let late = Some((turns.now(), Box::pin(sleep(timeout))));
        Self { io, turns, timeout, late }
    }

    /// Some bytes have come: of a head, unless a request is being answered.
    fn heard(&mut self) {
        let turn = self.turns.now();
        let is_known = self.late.as_ref().is_some_and(|(of, _)| *of == turn);
        if turn.is_multiple_of(2) && !is_known {
            self.late = Some((turn, Box::pin(sleep(self.timeout))));
        }
    }

    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let turn = self.turns.now();
        let Some((_, late)) = self.late.as_mut().filter(|(of, _)| *of == turn) else {
            return Poll::Pending;
        };
        ready!(late.as_mut().poll(cx));
        Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, "a request's head is late"))
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Arriving<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buf);
        if polled.is_ready() {
            if buf.filled().len() > before {
                self.heard();
            }
            return polled;
        }
        Poll::Ready(Err(ready!(self.poll_late(cx))))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Arriving<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

// === impl LastPart ===

impl LastPart {
    pub(super) fn new(body: Body, answering: Answering) -> Self {
        Self { body, _answering: answering }
    }
}

impl HttpBody for LastPart {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio::time::timeout;

    use super::*;

    const TIMEOUT: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn only_a_head_that_has_begun_or_the_first_one_is_ever_late() {
        let (mut client, server) = duplex(64);
        let turns = Turns::default();
        let mut server = Arriving::new(server, turns.clone(), TIMEOUT);
        let mut byte = [0];
        client.write_all(b"x").await.unwrap();
        server.read_exact(&mut byte).await.unwrap();
        let answering = turns.answering();
        client.write_all(b"y").await.unwrap();
        server.read_exact(&mut byte).await.unwrap();
        let waiting = timeout(TIMEOUT * 3, server.read_exact(&mut byte));
        assert!(waiting.await.is_err(), "a body may take longer, and so may an answer");
        drop(answering);
        let idle = timeout(TIMEOUT * 3, server.read_exact(&mut byte));
        assert!(idle.await.is_err(), "an idle connection is not late");
        client.write_all(b"G").await.unwrap();
        server.read_exact(&mut byte).await.unwrap();
        let late = server.read_exact(&mut byte).await.unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn bytes_one_by_one_do_not_put_the_end_off() {
        let (mut client, server) = duplex(64);
        let mut server = Arriving::new(server, Turns::default(), TIMEOUT);
        tokio::spawn(async move {
            while client.write_all(b"G").await.is_ok() {
                sleep(TIMEOUT / 10).await;
            }
        });
        let late = server.read_to_end(&mut Vec::new()).await.unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
    }
}
