//! HTTP/2, by `h2`. In front: a task for the connection, and one for each request, which sees a
//! connection in HTTP/1 (`Substream`) and takes the same stages as all others. To endpoints that
//! speak it: a task for the connection (`Trunk`), which many requests share, each of which sees a
//! connection in HTTP/1 again (`Upstream`). All of them run on the thread of the connection.
//!
//! `h2` bounds what a frame can do: heads and their continuations, headers unpacked, resets of what
//! was not taken yet, frames without content. What a client does with whole requests is bounded
//! here: how many at once, how many over all connections, and how many it takes back.

mod head;
mod inflow;
mod outflow;
mod socket;
mod substream;
mod trunk;
mod upstream;

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::{Method, Request};
use tokio::time::{Instant, Sleep};
use tracing::debug;

use crate::proxy;
use crate::proxy::client::Client;
use crate::watch::{Phase, Watch};
use crate::wire::{Secured, Stream};
use crate::worker::{Peer, Slot, Worker};
pub(crate) use head::has_words_for;
use socket::{Outlet, Socket};
pub(crate) use substream::Substream;
pub(crate) use trunk::Trunk;
pub(crate) use upstream::Upstream;

/// What may come of one body before any of it was passed on.
const STREAM_WINDOW_BYTES: u32 = 128 * 1024;
/// The same for all bodies of a connection.
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// What waits of one body in `h2` at most.
const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// How many more requests a client may take back than it lets be answered.
const CANCELLED_MAX: u32 = 200;
/// How long a client without requests may take to hear that the connection ends.
const GOODBYE: Duration = Duration::from_secs(1);

type Taken = (Request<RecvStream>, SendResponse<Bytes>);

/// One connection.
struct Carrier {
    connection: Connection<Socket, Bytes>,
    outlet: Outlet,
    watch: Rc<Watch>,
    conduct: Rc<Conduct>,
    goodbye: Option<Pin<Box<Sleep>>>,
}

/// How a client treats its requests.
#[derive(Debug)]
struct Conduct {
    watch: Rc<Watch>,
    open: Cell<usize>,
    cancelled: Cell<u32>,
}

/// Serves a connection until it ends.
pub(crate) async fn serve(
    worker: &Rc<Worker>,
    secured: Box<Secured>,
    peer: Rc<Peer>,
    watch: &Rc<Watch>,
) {
    watch.enters(Phase::Head);
    let limits = &worker.shared.limits;
    let mut builder = Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(limits.streams_max)
        .max_header_list_size(limits.header_bytes_max.try_into().unwrap_or(u32::MAX))
        .max_send_buffer_size(SEND_BUFFER_BYTES);
    let socket = Socket::new(secured);
    let outlet = socket.outlet();
    let connection = match builder.handshake(socket).await {
        Ok(connection) => connection,
        Err(error) => return debug!(%error, "a client does not speak HTTP/2"),
    };
    watch.enters(Phase::Idle);
    let conduct = Rc::new(Conduct::new(watch.clone()));
    outlet.takes_over();
    let mut carrier = Carrier { connection, outlet, watch: watch.clone(), conduct, goodbye: None };
    while let Some(taken) = poll_fn(|cx| carrier.poll(cx)).await {
        if !carrier.conduct.has_room(limits.streams_max) {
            // Those that were taken back just now end first: who replaces a request is served.
            tokio::task::yield_now().await;
        }
        begin(worker, &peer, taken, &carrier.conduct);
    }
}

/// Serves one request beside the others, if there is a place for it and it can be one.
fn begin(worker: &Rc<Worker>, peer: &Rc<Peer>, taken: Taken, conduct: &Rc<Conduct>) {
    let (request, mut respond) = taken;
    // A stream that the client reset is over for `h2`, and may be under way here all the same.
    if !conduct.has_room(worker.shared.limits.streams_max) {
        debug!("more requests at once than may be; a stream is refused");
        return respond.send_reset(Reason::REFUSED_STREAM);
    }
    let Some(slot) = Slot::try_take(worker) else {
        debug!("connection limit reached; a stream is refused");
        return respond.send_reset(Reason::REFUSED_STREAM);
    };
    let (parts, body) = request.into_parts();
    let mut bytes = worker.memory.lend_text();
    let Some(framing) = head::request(&mut bytes, &parts, !body.is_end_stream()) else {
        return respond.send_reset(Reason::PROTOCOL_ERROR);
    };
    conduct.began();
    let to_head = parts.method == Method::HEAD;
    let stream = Substream::new(body, framing, respond, to_head, conduct.clone());
    let (worker, peer) = (worker.clone(), peer.clone());
    tokio::task::spawn_local(async move {
        let _slot = slot;
        let watch = worker.watch();
        let mut client = Client::new(Stream::Http2(Box::new(stream)), peer, watch.clone());
        client.wire.begin_with(&worker.memory, &bytes);
        worker.memory.take_text(bytes);
        let work = pin!(proxy::serve(&worker, &mut client));
        watch.over(work).await;
        worker.leave(&watch);
    });
}

// === impl Carrier ===

impl Carrier {
    /// The next request; none when there will be no more and all are answered.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Taken>> {
        if self.conduct.is_unruly() {
            debug!("a client takes its requests back again and again");
            self.connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
        }
        if self.watch.is_finishing() && self.goodbye.is_none() {
            self.connection.graceful_shutdown();
            self.goodbye = Some(Box::pin(tokio::time::sleep(GOODBYE)));
        }
        match self.connection.poll_accept(cx) {
            Poll::Ready(Some(Ok(taken))) => return Poll::Ready(Some(taken)),
            Poll::Ready(Some(Err(error))) => {
                debug!(%error, "a connection in HTTP/2 broke off");
                return Poll::Ready(None);
            }
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => {}
        }
        match self.outlet.poll_flush(cx) {
            Poll::Ready(Ok(())) => self.poll_goodbye(cx).map(|()| None),
            Poll::Ready(Err(error)) => {
                debug!(%error, "a client takes nothing any more");
                Poll::Ready(None)
            }
            // Nobody leaves before that is said.
            Poll::Pending => Poll::Pending,
        }
    }

    /// Ready when a client that was told of the end has nothing more to come.
    fn poll_goodbye(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(goodbye) = &mut self.goodbye else { return Poll::Pending };
        while goodbye.as_mut().poll(cx).is_ready() {
            if self.conduct.open.get() == 0 {
                return Poll::Ready(());
            }
            goodbye.as_mut().reset(Instant::now() + GOODBYE);
        }
        Poll::Pending
    }
}

// === impl Conduct ===

impl Conduct {
    fn new(watch: Rc<Watch>) -> Self {
        Self { watch, open: Cell::default(), cancelled: Cell::default() }
    }

    fn has_room(&self, streams_max: u32) -> bool {
        usize::try_from(streams_max).is_ok_and(|max| self.open.get() < max)
    }

    fn began(&self) {
        self.open.set(self.open.get() + 1);
        self.watch.enters(Phase::Carrying);
    }

    /// Notes a request's end.
    fn ended(&self, is_cancelled: bool) {
        self.open.set(self.open.get() - 1);
        if self.open.get() == 0 {
            self.watch.enters(Phase::Idle);
        }
        self.cancelled.set(match is_cancelled {
            true => self.cancelled.get() + 1,
            false => self.cancelled.get().saturating_sub(1),
        });
    }

    fn is_unruly(&self) -> bool {
        self.cancelled.get() > CANCELLED_MAX
    }
}

/// A stream that can be written to no more.
fn broken(error: h2::Error) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, error)
}
