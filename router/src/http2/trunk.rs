//! A connection to an endpoint that many requests share, each as a stream of its own.

use std::cell::Cell;
use std::fmt;
use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use tracing::debug;

use super::socket::{Fault, Socket};
use super::upstream::Upstream;
use super::{SEND_BUFFER_BYTES, STREAM_WINDOW_BYTES};
use crate::wire::Secured;

/// Streams at once, whatever the endpoint takes: so much of their bodies may wait here.
const STREAMS_MAX: usize = 100;
/// The same, until the endpoint has said what it takes.
const STREAMS_AT_FIRST: usize = 10;
/// The windows of all streams together never close: a client that reads slowly stops its own answer,
/// and nobody else's.
const CONNECTION_WINDOW_BYTES: u32 = (1 << 31) - 1;
/// Streams that were taken back and of which something may still come.
const RESET_STREAMS_MAX: usize = 4096;
/// How many more requests than are answered may be taken back before another connection is used:
/// endpoints end one on which that goes on and on, with all that is under way there.
const CANCELLED_MAX: u32 = 50;
/// How long the endpoint's system may leave what was sent unacknowledged. Many requests wait for it.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// The connection. It ends with its last stream once nobody keeps it.
pub(crate) struct Trunk {
    requests: SendRequest<Bytes>,
    /// Streams that are under way.
    open: Cell<usize>,
    cancelled: Cell<u32>,
    /// When the last of them ended.
    rests_since: Cell<Instant>,
    /// It takes no more streams.
    is_over: Rc<Cell<bool>>,
    /// Why TLS has failed, where it has: `h2` does not tell.
    fault: Fault,
}

/// A place among the streams of a trunk.
pub(super) struct Place(Rc<Trunk>);

/// Ends with the connection's task, however that ends.
struct Ends(Rc<Cell<bool>>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

fn of_tls(fault: &Fault) -> Option<io::Error> {
    let tls = fault.borrow().clone()?;
    Some(io::Error::new(io::ErrorKind::InvalidData, tls))
}

// === impl Trunk ===

impl Trunk {
    /// Begins to speak HTTP/2 with who has agreed to it; answers may have heads so large.
    pub(crate) async fn begin(secured: Box<Secured>, head_max: usize) -> io::Result<Rc<Self>> {
        secured.give_up_after(SILENCE_MAX)?;
        let mut builder = Builder::new();
        builder
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .initial_max_send_streams(STREAMS_AT_FIRST)
            .max_concurrent_reset_streams(RESET_STREAMS_MAX)
            .max_local_error_reset_streams(None)
            .max_header_list_size(head_max.try_into().unwrap_or(u32::MAX))
            .max_send_buffer_size(SEND_BUFFER_BYTES);
        let fault = Fault::default();
        let socket = Socket::noting(secured, fault.clone());
        let outlet = socket.outlet();
        let begun = builder.handshake(socket).await;
        let (requests, mut connection) =
            begun.map_err(|error| of_tls(&fault).unwrap_or_else(|| io::Error::other(error)))?;
        let is_over = Rc::new(Cell::new(false));
        let ends = Ends(is_over.clone());
        outlet.takes_over();
        tokio::task::spawn_local(async move {
            let _ends = ends;
            let carried = poll_fn(|cx| match Pin::new(&mut connection).poll(cx) {
                Poll::Ready(ended) => Poll::Ready(ended.map_err(io::Error::other)),
                Poll::Pending => match outlet.poll_flush(cx) {
                    Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                    Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
                },
            });
            if let Err(error) = carried.await {
                debug!(%error, "a connection in HTTP/2 to an endpoint broke off");
            }
        });
        let (open, cancelled, rests_since) =
            (Cell::new(0), Cell::new(0), Cell::new(Instant::now()));
        Ok(Rc::new(Self { requests, open, cancelled, rests_since, is_over, fault }))
    }

    /// A stream for one request, if the endpoint takes another one beside those under way, and the
    /// connection has not rested for longer than `rest`.
    pub(crate) fn stream(self: &Rc<Self>, rest: Duration) -> Option<Upstream> {
        let most = self.requests.current_max_send_streams().min(STREAMS_MAX);
        if self.open.get() >= most || !self.is_good(Instant::now(), rest) {
            return None;
        }
        self.open.set(self.open.get() + 1);
        Some(Upstream::new(self.requests.clone(), Place(self.clone())))
    }

    /// Why it came to its end, where TLS has failed.
    pub(crate) fn fault(&self) -> Option<io::Error> {
        of_tls(&self.fault)
    }

    /// Whether it takes further requests, and was used for one not so long ago.
    pub(crate) fn is_good(&self, now: Instant, rest: Duration) -> bool {
        let rests = now.saturating_duration_since(self.rests_since.get());
        !self.is_over.get() && (self.open.get() > 0 || rests <= rest)
    }
}

impl fmt::Debug for Trunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trunk").field("open", &self.open.get()).finish_non_exhaustive()
    }
}

// === impl Place ===

impl Place {
    /// Has it take no further requests; those under way go on.
    pub(super) fn is_last(&self) {
        self.0.is_over.set(true);
    }

    /// Why TLS has failed, where it has.
    pub(super) fn fault(&self) -> Option<io::Error> {
        self.0.fault()
    }

    /// Notes whether the request came to its end, or was taken back.
    pub(super) fn ended(&self, is_whole: bool) {
        let cancelled = self.0.cancelled.get();
        self.0.cancelled.set(match is_whole {
            true => cancelled.saturating_sub(1),
            false => cancelled + 1,
        });
        if self.0.cancelled.get() > CANCELLED_MAX {
            self.is_last();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
        self.0.rests_since.set(Instant::now());
    }
}
