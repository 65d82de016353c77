//! The connections one worker keeps to endpoints. Nothing here is shared between threads.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tracing::debug;

use crate::config::{HYPER_HEADERS_MAX, Limits};
use crate::metrics::{Traffic, count};
use crate::pool::Backend;
use crate::proxy::upload::Upload;
use crate::verdict::Trouble;

/// The idle connections, by backend.
#[derive(Debug)]
pub(crate) struct Connections {
    idle: RefCell<HashMap<u64, Vec<Idle>>>,
    limits: Limits,
    traffic: Arc<Traffic>,
}

/// A connection in use.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) sender: SendRequest<Upload>,
    pub(crate) backend: Arc<Backend>,
}

#[derive(Debug)]
struct Idle {
    lease: Lease,
    since: Instant,
}

// === impl Connections ===

impl Connections {
    pub(crate) fn new(limits: Limits, traffic: Arc<Traffic>) -> Rc<Self> {
        Rc::new(Self { idle: RefCell::default(), limits, traffic })
    }

    /// The connection used last that is still good.
    pub(crate) fn reuse(&self, backend: &Backend) -> Option<Lease> {
        let mut idle = self.idle.borrow_mut();
        let kept = idle.get_mut(&backend.id)?;
        kept.retain(|idle| !idle.lease.sender.is_closed());
        let at = kept.iter().rposition(|idle| idle.lease.sender.is_ready())?;
        Some(kept.remove(at).lease)
    }

    /// A new connection.
    pub(crate) async fn dial(&self, backend: &Arc<Backend>) -> Result<Lease, Trouble> {
        count(&self.traffic.dials);
        let connecting = connect(backend, &self.limits);
        let sender = match tokio::time::timeout(self.limits.dial_timeout, connecting).await {
            Ok(Ok(sender)) => sender,
            Ok(Err(why)) => return Err(Trouble::Dial(why.to_string())),
            Err(_) => return Err(Trouble::DialTimeout),
        };
        Ok(Lease { sender, backend: backend.clone() })
    }

    /// Keeps a connection whose last answer was read to its end.
    pub(crate) fn keep(&self, lease: Lease) {
        if lease.sender.is_closed() || lease.backend.is_gone() {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        let kept = idle.entry(lease.backend.id).or_default();
        if kept.len() < self.limits.idle_per_endpoint_max {
            kept.push(Idle { lease, since: Instant::now() });
        }
    }

    /// Closes what is old, dead, or leads to a withdrawn endpoint.
    pub(crate) fn sweep(&self, now: Instant) {
        let endpoint_idle = self.limits.endpoint_idle;
        let good = |idle: &Idle| {
            !idle.lease.sender.is_closed()
                && !idle.lease.backend.is_gone()
                && now.saturating_duration_since(idle.since) < endpoint_idle
        };
        self.idle.borrow_mut().retain(|_, kept| {
            kept.retain(good);
            !kept.is_empty()
        });
    }

    /// Whether nothing is kept.
    pub(crate) fn is_empty(&self) -> bool {
        self.idle.borrow().is_empty()
    }

    /// Closes everything that is idle.
    pub(crate) fn clear(&self) {
        self.idle.borrow_mut().clear();
    }
}

async fn connect(backend: &Backend, limits: &Limits) -> io::Result<SendRequest<Upload>> {
    let stream = TcpStream::connect(backend.addr).await?;
    stream.set_nodelay(true)?;
    let mut http = http1::Builder::new();
    if limits.headers_max != HYPER_HEADERS_MAX {
        http.max_headers(limits.headers_max);
    }
    let (sender, connection) = http
        .max_header_size(limits.header_bytes_max)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    tokio::task::spawn_local(async move {
        if let Err(error) = connection.with_upgrades().await {
            debug!(%error, "connection to an endpoint ended");
        }
    });
    Ok(sender)
}

/// How often connections are looked at.
pub(crate) const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
