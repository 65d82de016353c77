//! A connection to an endpoint that many requests share, each as a stream of its own.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use tracing::debug;

use super::socket::Socket;
use super::upstream::Upstream;
use super::{CONNECTION_WINDOW_BYTES, SEND_BUFFER_BYTES, STREAM_WINDOW_BYTES};
use crate::wire::Secured;

/// The connection. It ends with its last stream once nobody keeps it.
pub(crate) struct Trunk {
    requests: SendRequest<Bytes>,
    /// Streams that are under way.
    open: Cell<usize>,
    /// When the last of them ended.
    rests_since: Cell<Instant>,
    /// The connection's own task has ended.
    is_over: Rc<Cell<bool>>,
}

/// A place among the streams of a trunk.
pub(super) struct Place(Rc<Trunk>);

// === impl Trunk ===

impl Trunk {
    /// Begins to speak HTTP/2 with who has agreed to it; answers may have heads so large.
    pub(crate) async fn begin(secured: Box<Secured>, head_max: usize) -> io::Result<Rc<Self>> {
        let mut builder = Builder::new();
        builder
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_header_list_size(head_max.try_into().unwrap_or(u32::MAX))
            .max_send_buffer_size(SEND_BUFFER_BYTES);
        let begun = builder.handshake(Socket(secured)).await;
        let (requests, connection) = begun.map_err(io::Error::other)?;
        let is_over = Rc::new(Cell::new(false));
        let ending = is_over.clone();
        tokio::task::spawn_local(async move {
            if let Err(error) = connection.await {
                debug!(%error, "a connection in HTTP/2 to an endpoint broke off");
            }
            ending.set(true);
        });
        let (open, rests_since) = (Cell::new(0), Cell::new(Instant::now()));
        Ok(Rc::new(Self { requests, open, rests_since, is_over }))
    }

    /// A stream for one request, if the endpoint takes another one beside those under way.
    pub(crate) fn stream(self: &Rc<Self>) -> Option<Upstream> {
        let has_room = self.open.get() < self.requests.current_max_send_streams();
        if !has_room || self.is_over.get() {
            return None;
        }
        self.open.set(self.open.get() + 1);
        Some(Upstream::new(self.requests.clone(), Place(self.clone())))
    }

    /// Whether it takes further requests, and was used for one not so long ago.
    pub(crate) fn is_good(&self, now: Instant, idle_max: Duration) -> bool {
        let rests = now.saturating_duration_since(self.rests_since.get());
        !self.is_over.get() && (self.open.get() > 0 || rests < idle_max)
    }
}

impl fmt::Debug for Trunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trunk").field("open", &self.open.get()).finish_non_exhaustive()
    }
}

// === impl Place ===

impl Place {
    /// Notes that the endpoint takes no further requests.
    pub(super) fn is_last(&self) {
        self.0.is_over.set(true);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
        self.0.rests_since.set(Instant::now());
    }
}
