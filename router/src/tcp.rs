//! TCP routes: a port of the router, and perhaps a name that TLS clients ask for, leads to
//! instances. What goes over such a connection is never read, but for that name.
//!
//! | Part | Is |
//! |---|---|
//! | [`ports`] | which endpoints are behind which port, and which ports are open; pure, but for opening them |
//! | [`greeting`] | the name in the greeting of TLS; pure |
//! | [`carrying`] | one connection, from its first byte to its last |
//!
//! The table of HTTP routes serves here, too: a port stands in it for a host, and a name for a
//! context path, so that a connection whose name has no route goes to the port's own.

pub(crate) mod carrying;
pub(crate) mod greeting;
pub(crate) mod ports;

use core::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::StartError;
use crate::pool::Route;
use crate::table::Table;

/// An external port that has routes.
#[derive(Debug)]
pub(crate) struct Port {
    /// The port as text, as the table knows it.
    pub(crate) name: Box<str>,
    /// Its routes are in the table; until then who comes waits in the queue.
    pub(crate) serving: CancellationToken,
    /// It has no routes any more.
    pub(crate) closing: CancellationToken,
    /// Places for its connections, over all workers.
    pub(crate) places: Arc<Semaphore>,
    table: Arc<Table>,
}

/// Opens ports; a seam, so that their owner can be tested without sockets.
pub(crate) trait Opens: Send + Sync {
    /// Listens on an address for a port, until that is closing.
    fn open(&self, addr: SocketAddr, port: &Arc<Port>) -> Result<(), StartError>;

    /// Listens on no address of a port any more.
    fn close(&self, port: &Arc<Port>);
}

/// Opens nothing, and says that it did.
#[cfg(any(test, fuzzing))]
pub(crate) struct NoDoors;

#[cfg(any(test, fuzzing))]
impl Opens for NoDoors {
    fn open(&self, _: SocketAddr, _: &Arc<Port>) -> Result<(), StartError> {
        Ok(())
    }

    fn close(&self, _: &Arc<Port>) {}
}

// === impl Port ===

impl Port {
    /// A port that takes so many connections at once.
    pub(crate) fn new(number: u16, connections_max: usize, table: Arc<Table>) -> Self {
        let name = number.to_string().into();
        let (serving, closing) = (CancellationToken::new(), CancellationToken::new());
        Self { name, serving, closing, places: Arc::new(Semaphore::new(connections_max)), table }
    }

    /// Whether the name a client asks for decides where it gets.
    pub(crate) fn is_split(&self) -> bool {
        self.table.has_paths(&self.name)
    }

    /// The route of a name, or of who asks for none or for one without a route.
    pub(crate) fn route(&self, name: Option<&str>) -> Option<Arc<Route>> {
        let path = name.map(|name| format!("/{name}"));
        self.table.find_exact(&self.name, path.as_deref().unwrap_or("/"))
    }
}
