//! What is known about a client connection outside of it, so that one look now and then finds
//! those that stand still, without a timer for each.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::config::Limits;

/// How long a client may take to read the answer to a request that was refused half-read.
const LINGER: Duration = Duration::from_secs(2);

/// So many bytes of a body in each second win it one more second.
const UPLOAD_BYTES_PER_SECOND: u64 = 1024;

/// The worker's coarse clock: milliseconds since it began, as of the last look.
pub(crate) type Ticks = Rc<Cell<u64>>;

/// The notes on one connection.
#[derive(Debug)]
pub(crate) struct Watch {
    ticks: Ticks,
    moved_at: Cell<u64>,
    since: Cell<u64>,
    /// When the phase began, however often its time began anew.
    entered: Cell<u64>,
    phase: Cell<Phase>,
    order: Cell<Order>,
    is_overdue: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No byte of the next request came.
    Idle,
    /// Part of a head came.
    Head,
    /// An endpoint is asked, and has not begun its answer.
    Awaiting,
    /// The same where all that is asked for is an upgrade, which may take any time (facts 1.10).
    Upgrading,
    /// An answer is on its way.
    Streaming,
    /// The last answer was given; the client may still be sending.
    Lingering,
    /// Bytes go through in which nothing is seen.
    Through,
    /// Several requests are under way, each with a watch of its own.
    Carrying,
}

/// What a connection is told to do; a later one is harder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Order {
    /// Go on.
    Serve,
    /// Take one more request at most, and say with its answer that the connection ends: a client
    /// that has begun one does not lose it.
    LastRequest,
    /// Take no more requests.
    Finish,
    /// End now.
    Drop,
}

/// A connection's work, which an order to drop ends.
pub(crate) struct Watched<'w, F> {
    watch: &'w Watch,
    work: Pin<&'w mut F>,
}

// === impl Watch ===

impl Watch {
    /// The notes on a new connection.
    pub(crate) fn new(ticks: Ticks) -> Self {
        let now = ticks.get();
        Self {
            ticks,
            moved_at: Cell::new(now),
            since: Cell::new(now),
            entered: Cell::new(now),
            phase: Cell::new(Phase::Idle),
            order: Cell::new(Order::Serve),
            is_overdue: Cell::new(false),
            waker: RefCell::default(),
        }
    }

    /// Bytes came or went.
    pub(crate) fn moved(&self) {
        self.moved_at.set(self.ticks.get());
    }

    /// A phase begins; the same one again does not.
    pub(crate) fn enters(&self, phase: Phase) {
        if self.phase.replace(phase) != phase {
            self.since.set(self.ticks.get());
            self.entered.set(self.ticks.get());
            self.moved();
        }
    }

    /// So much of a body has come by now, and the endpoint's time begins anew; unless it takes longer
    /// than `limit` and drips, which is how a few clients hold many endpoints.
    pub(crate) fn uploaded(&self, bytes: u64, limit: Duration) {
        let earned = bytes.saturating_mul(1000) / UPLOAD_BYTES_PER_SECOND;
        let granted = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX).saturating_add(earned);
        if self.ticks.get().saturating_sub(self.entered.get()) <= granted {
            self.goes_on();
        }
    }

    /// The phase's time begins anew.
    pub(crate) fn goes_on(&self) {
        self.is_overdue.set(false);
        self.since.set(self.ticks.get());
        self.moved();
    }

    /// Whether an answer is on its way, or what may come in its place.
    pub(crate) fn is_answering(&self) -> bool {
        match self.phase.get() {
            Phase::Idle | Phase::Head | Phase::Awaiting | Phase::Upgrading => false,
            Phase::Streaming | Phase::Lingering | Phase::Through | Phase::Carrying => true,
        }
    }

    /// Whether the answer that comes next is the last.
    pub(crate) fn is_finishing(&self) -> bool {
        self.order.get() != Order::Serve
    }

    /// Whether no more requests are taken.
    pub(crate) fn takes_none(&self) -> bool {
        self.order.get() >= Order::Finish
    }

    /// Whether the time is up of an endpoint that is awaited, or of bytes that go through; said once.
    pub(crate) fn take_overdue(&self) -> bool {
        self.is_overdue.take()
    }

    /// Gives the order; a harder one stays.
    pub(crate) fn order(&self, order: Order) {
        if order > self.order.get() {
            self.order.set(order);
            self.wake();
        }
    }

    /// Looks at the clock, and gives the order that follows; `idle` is how long what goes through
    /// may stand still.
    pub(crate) fn look(&self, limits: &Limits, idle: Duration) {
        let now = self.ticks.get();
        let over = |since: &Cell<u64>, limit: Duration| {
            u128::from(now.saturating_sub(since.get())) > limit.as_millis()
        };
        match self.phase.get() {
            Phase::Idle if over(&self.moved_at, limits.keep_alive_idle) => {
                self.order(Order::Finish)
            }
            Phase::Head if over(&self.since, limits.header_read_timeout) => self.order(Order::Drop),
            Phase::Awaiting if over(&self.since, limits.endpoint_timeout) => {
                self.is_overdue.set(true);
                self.wake();
            }
            Phase::Through if over(&self.moved_at, idle) => {
                self.is_overdue.set(true);
                self.wake();
            }
            Phase::Streaming if over(&self.moved_at, limits.stream_idle) => self.order(Order::Drop),
            Phase::Lingering if over(&self.since, LINGER) => self.order(Order::Drop),
            Phase::Idle
            | Phase::Head
            | Phase::Awaiting
            | Phase::Upgrading
            | Phase::Streaming
            | Phase::Lingering
            | Phase::Through
            | Phase::Carrying => {}
        }
    }

    /// Does the work until it ends, or is dropped by order.
    pub(crate) fn over<'w, F: Future<Output = ()>>(
        &'w self,
        work: Pin<&'w mut F>,
    ) -> Watched<'w, F> {
        Watched { watch: self, work }
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    fn listen(&self, waker: &Waker) {
        let mut known = self.waker.borrow_mut();
        if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *known = Some(waker.clone());
        }
    }
}

impl<F: Future<Output = ()>> Future for Watched<'_, F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        this.watch.listen(cx.waker());
        if this.watch.order.get() == Order::Drop {
            return Poll::Ready(());
        }
        this.work.as_mut().poll(cx)
    }
}

/// How often to look, so that no limit is overstepped by much.
pub(crate) fn interval(limits: &Limits) -> Duration {
    let shortest = [
        limits.keep_alive_idle,
        limits.header_read_timeout,
        limits.endpoint_timeout,
        limits.stream_idle,
    ];
    let shortest = shortest.into_iter().min().unwrap_or_default();
    (shortest / 4).clamp(Duration::from_millis(10), Duration::from_secs(1))
}
