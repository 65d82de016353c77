//! A client's socket with the strict reader of [`crate::framing`] in front of hyper, and the notes
//! from which the worker sees that a connection stands still.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::task::{Context, Poll, ready};

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tracing::debug;

use crate::framing::{Framing, Place, Violation};

/// What hyper is given instead of a byte that it must not see: no part of a request may hold a NUL,
/// so that hyper answers 400 and closes, after all earlier answers.
const POISON: &[u8] = b"\0\r\n\r\n";

/// A client's socket.
#[derive(Debug)]
pub(crate) struct Guarded {
    stream: TcpStream,
    framing: Framing,
    wire: Arc<Wire>,
    poison: Option<&'static [u8]>,
}

/// What is known about a connection outside of it, in seconds of the worker's clock. Atomics only
/// because hyper wants to move sockets between threads; here they never do.
#[derive(Debug)]
pub(crate) struct Wire {
    clock: Arc<AtomicU32>,
    last_io: AtomicU32,
    head_since: AtomicU32,
    place: AtomicU8,
    order: AtomicU8,
    upgrade: AtomicU8,
    /// Bytes came in between an upgrade's request and its answer.
    premature: AtomicBool,
    /// A request was refused by its framing.
    refused: AtomicBool,
    requests: AtomicU32,
    waker: AtomicWaker,
}

/// What a connection is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Go on.
    Serve,
    /// Take no more requests.
    Finish,
    /// End now.
    Drop,
}

const UPGRADE_UNDECIDED: u8 = 0;
const UPGRADE_ACCEPTED: u8 = 1;
const UPGRADE_REFUSED: u8 = 2;

// === impl Guarded ===

impl Guarded {
    pub(crate) fn new(stream: TcpStream, wire: Arc<Wire>, line_bytes_max: usize) -> Self {
        Self { stream, framing: Framing::new(line_bytes_max), wire, poison: None }
    }

    /// Scans what was just read; what must not be seen is cut off.
    fn inspect(&mut self, buf: &mut ReadBuf<'_>, before: usize) {
        if self.framing.place() == Place::Undecided {
            self.follow_upgrade();
        }
        if let Err((good, violation)) = self.framing.scan(&buf.filled()[before..]) {
            self.refuse(violation);
            buf.set_filled(before + good);
            self.give_poison(buf);
        }
        self.wire.at(self.framing.place());
        if self.framing.is_premature() {
            self.wire.premature.store(true, Ordering::Relaxed);
        }
    }

    fn follow_upgrade(&mut self) {
        match self.wire.upgrade.load(Ordering::Relaxed) {
            UPGRADE_ACCEPTED => self.framing.tunnel(),
            UPGRADE_REFUSED if !self.framing.is_premature() => {
                self.wire.upgrade.store(UPGRADE_UNDECIDED, Ordering::Relaxed);
                self.framing.resume();
            }
            _ => {}
        }
    }

    fn refuse(&mut self, violation: Violation) {
        debug!(?violation, "request refused by its framing");
        self.wire.refused.store(true, Ordering::Relaxed);
        self.poison = Some(POISON);
    }

    fn give_poison(&mut self, buf: &mut ReadBuf<'_>) {
        if let Some(poison) = self.poison {
            let n = poison.len().min(buf.remaining());
            buf.put_slice(&poison[..n]);
            self.poison = Some(&poison[n..]);
        }
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.poison.is_some() {
            this.give_poison(buf);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        this.wire.moved();
        this.inspect(buf, before);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.wire.moved();
        Pin::new(&mut this.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.wire.moved();
        Pin::new(&mut this.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

// === impl Wire ===

impl Wire {
    /// The notes of a new connection.
    pub(crate) fn new(clock: Arc<AtomicU32>) -> Self {
        let now = clock.load(Ordering::Relaxed);
        Self {
            clock,
            last_io: AtomicU32::new(now),
            head_since: AtomicU32::new(now),
            place: AtomicU8::new(place_code(Place::Between)),
            order: AtomicU8::new(0),
            upgrade: AtomicU8::new(UPGRADE_UNDECIDED),
            premature: AtomicBool::new(false),
            refused: AtomicBool::new(false),
            requests: AtomicU32::new(0),
            waker: AtomicWaker::new(),
        }
    }

    /// Notes whether the upgrade was accepted. False when the connection must not be used again,
    /// because bytes of no known meaning came already.
    pub(crate) fn upgrade_decided(&self, accepted: bool) -> bool {
        let state = if accepted { UPGRADE_ACCEPTED } else { UPGRADE_REFUSED };
        self.upgrade.store(state, Ordering::Relaxed);
        accepted || !self.premature.load(Ordering::Relaxed)
    }

    /// Notes that a request is being answered.
    pub(crate) fn begin_request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that it has been answered.
    pub(crate) fn end_request(&self) {
        self.requests.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether a request was refused by its framing.
    pub(crate) fn was_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    /// Gives the order; a harder one stays.
    pub(crate) fn order(&self, order: Order) {
        self.order.fetch_max(order as u8, Ordering::Relaxed);
        self.waker.wake();
    }

    /// The order of the moment, after which `cx` is woken for the next one.
    pub(crate) fn poll_order(&self, cx: &Context<'_>) -> Order {
        self.waker.register(cx.waker());
        match self.order.load(Ordering::Relaxed) {
            0 => Order::Serve,
            1 => Order::Finish,
            _ => Order::Drop,
        }
    }

    /// What a look at the clock says about the connection.
    pub(crate) fn verdict(&self, limits: &crate::config::Limits) -> Order {
        let now = self.clock.load(Ordering::Relaxed);
        let over = |since: &AtomicU32, limit: std::time::Duration| {
            u64::from(now.saturating_sub(since.load(Ordering::Relaxed))) > limit.as_secs()
        };
        let place = self.place.load(Ordering::Relaxed);
        let is_answering = self.requests.load(Ordering::Relaxed) > 0;
        if place == place_code(Place::Tunnel) {
            Order::Serve
        } else if is_answering {
            if over(&self.last_io, limits.stream_idle) { Order::Drop } else { Order::Serve }
        } else if place == place_code(Place::Between) {
            if over(&self.last_io, limits.keep_alive_idle) { Order::Finish } else { Order::Serve }
        } else if over(&self.head_since, limits.header_read_timeout) {
            Order::Drop
        } else {
            Order::Serve
        }
    }

    fn moved(&self) {
        self.last_io.store(self.clock.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    fn at(&self, place: Place) {
        let before = self.place.swap(place_code(place), Ordering::Relaxed);
        if place == Place::Head && before != place_code(Place::Head) {
            self.head_since.store(self.clock.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }
}

fn place_code(place: Place) -> u8 {
    place as u8
}
