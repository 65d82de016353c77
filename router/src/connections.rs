//! The connections one worker keeps to endpoints. Nothing here is shared between threads, and a
//! connection that is kept is no more than its socket.

mod trunks;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use tokio::net::TcpStream;

use crate::config::Limits;
use crate::h1::head::HeadEnd;
use crate::http2::Trunk;
use crate::metrics::{Traffic, count};
use crate::names::Names;
use crate::pool::Backend;
use crate::tls::HTTP2;
use crate::verdict::{Distrust, Shape, Trouble};
use crate::wire::{self, Ear, Secured, Stream, Wire};
use crate::worker::Shared;
use trunks::Trunks;

/// Of a connection that was used so short a time ago the runtime's news are believed, which are as
/// old as its last look at all sockets, if the request can be sent twice.
const FRESH: Duration = Duration::from_millis(5);

/// The connections that wait for requests.
#[derive(Debug)]
pub(crate) struct Connections {
    /// Those of HTTP/1, by backend and by what was offered to it: numbers that nobody else chooses.
    idle: RefCell<HashMap<u64, Vec<Idle>, FixedState>>,
    /// How many there are.
    kept: Cell<usize>,
    trunks: Trunks,
    limits: Limits,
    spoken: Spoken,
    names: Names,
    traffic: Arc<Traffic>,
}

/// What is spoken under TLS.
#[derive(Debug)]
pub(crate) struct Spoken {
    to_endpoints: Arc<ClientConfig>,
    /// The same, with HTTP/2 offered.
    to_modern_endpoints: Arc<ClientConfig>,
    to_services: Arc<ClientConfig>,
}

/// What is offered to an endpoint in the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offer {
    /// It speaks what it has registered for: HTTP/1, or whatever its port carries.
    Nothing,
    /// HTTP/2, or else HTTP/1 if it agrees to no more.
    Http2,
}

/// A connection in use.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) wire: Wire,
    pub(crate) backend: Arc<Backend>,
    offer: Offer,
    /// How far the answer's head was read.
    pub(crate) head_end: HeadEnd,
    /// What it took to make it; nothing where it was kept.
    pub(crate) effort: Effort,
}

/// How long a new connection took.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Effort {
    pub(crate) dns: Option<Duration>,
    pub(crate) dial: Option<Duration>,
    pub(crate) tls: Option<Duration>,
}

#[derive(Debug)]
struct Idle {
    stream: Stream,
    backend: Arc<Backend>,
    since: Instant,
}

// === impl Connections ===

impl Connections {
    pub(crate) fn new(limits: Limits, spoken: Spoken, traffic: Arc<Traffic>) -> Rc<Self> {
        let (idle, kept, names) = (RefCell::default(), Cell::default(), Names::default());
        let trunks = Trunks::default();
        Rc::new(Self { idle, kept, trunks, limits, spoken, names, traffic })
    }

    /// A connection that others use as well, or the one used last that is still good for such a
    /// request. What cannot be sent twice goes on none that has rested for long.
    pub(crate) fn reuse(
        &self,
        backend: &Arc<Backend>,
        offer: Offer,
        shape: Shape,
        now: Instant,
    ) -> Option<Lease> {
        let limits = &self.limits;
        let rest = if shape.may_repeat() { limits.endpoint_idle } else { limits.endpoint_rest };
        if offer == Offer::Http2
            && let Some(stream) = self.trunks.stream(backend, rest)
        {
            let stream = Stream::Upstream(Box::new(stream));
            return Some(Lease::new(stream, backend.clone(), offer));
        }
        let mut idle = self.idle.borrow_mut();
        let kept = idle.get_mut(&offer.key(backend))?;
        let rested = |idle: &Idle| now.saturating_duration_since(idle.since);
        while let Some(idle) = kept.pop_if(|idle| rested(idle) <= rest) {
            self.kept.set(self.kept.get() - 1);
            if idle.stream.is_quiet(ear(shape, rested(&idle))) {
                return Some(Lease::new(idle.stream, backend.clone(), offer));
            }
        }
        None
    }

    /// A new connection, which the endpoint may take so long to take.
    pub(crate) async fn dial(
        &self,
        backend: &Arc<Backend>,
        offer: Offer,
        patience: Duration,
    ) -> Result<Lease, Trouble> {
        count(&self.traffic.dials);
        let begun = Instant::now();
        let connecting = self.connect(backend);
        let tcp = match tokio::time::timeout(patience, connecting).await {
            Ok(Ok(tcp)) => tcp,
            Ok(Err(why)) => return Err(Trouble::Dial(why.to_string())),
            Err(_) => return Err(Trouble::DialTimeout),
        };
        let (tcp, dns) = tcp;
        let dial = begun.elapsed().saturating_sub(dns.unwrap_or_default());
        let mut effort = Effort { dns, dial: Some(dial), tls: None };
        let begun = Instant::now();
        let stream = match backend.tls() {
            None => Stream::Plain(tcp),
            Some(name) => {
                let config = self.spoken.to(backend, offer).clone();
                let handshake = secure(tcp, config, name, backend);
                let limit = self.limits.handshake_timeout;
                let Ok(secured) = tokio::time::timeout(limit, handshake).await else {
                    return Err(Trouble::Tls(Distrust::Late, "timed out".to_owned()));
                };
                effort.tls = Some(begun.elapsed());
                self.agreed(backend, Box::new(secured?)).await?
            }
        };
        Ok(Lease { effort, ..Lease::new(stream, backend.clone(), offer) })
    }

    /// The stream for one request over a connection, in what both have agreed to speak.
    async fn agreed(
        &self,
        backend: &Arc<Backend>,
        secured: Box<Secured>,
    ) -> Result<Stream, Trouble> {
        if secured.known(|tls| tls.alpn_protocol() != Some(HTTP2)) {
            return Ok(Stream::Tls(secured));
        }
        let trunk = Trunk::begin(secured, self.limits.answer_header_bytes_max).await;
        let trunk = trunk.map_err(|error| Trouble::of_reading(&error, false))?;
        let Some(stream) = trunk.stream(Duration::MAX) else {
            let fault = trunk.fault().map(|error| Trouble::of_reading(&error, false));
            return Err(fault.unwrap_or(Trouble::DeadConnection));
        };
        if self.kept.get() + self.trunks.count() < self.limits.idle_max {
            self.trunks.keep(backend, trunk, self.limits.idle_per_endpoint_max);
        }
        Ok(Stream::Upstream(Box::new(stream)))
    }

    /// A connection, and how long its name was looked up, where it has one.
    async fn connect(&self, backend: &Backend) -> io::Result<(TcpStream, Option<Duration>)> {
        let begun = Instant::now();
        let (stream, dns) = match backend.host() {
            None => (TcpStream::connect(backend.addr()).await?, None),
            Some(name) => {
                let addresses = self.names.addresses(name).await?;
                let dns = begun.elapsed();
                (connect_to_any(&addresses, backend.addr().port()).await?, Some(dns))
            }
        };
        wire::prepare(&stream, self.limits.endpoint_probe)?;
        Ok((stream, dns))
    }

    /// Keeps a connection whose last answer was read, and taken by the client, to its end.
    pub(crate) fn keep(&self, lease: Lease, now: Instant) {
        // What is shared is kept already, by all who use it.
        let is_shared = matches!(lease.wire.stream, Stream::Upstream(_));
        if is_shared || lease.backend.is_gone() || !lease.wire.input.is_empty() {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        let kept = idle.entry(lease.offer.key(&lease.backend)).or_default();
        let limits = &self.limits;
        if kept.len() < limits.idle_per_endpoint_max && self.kept.get() < limits.idle_max {
            self.kept.set(self.kept.get() + 1);
            let (stream, backend) = (lease.wire.stream, lease.backend);
            kept.push(Idle { stream, backend, since: now });
        }
    }

    /// Closes what is old, dead, or leads to a withdrawn endpoint.
    pub(crate) fn sweep(&self, now: Instant) {
        let endpoint_idle = self.limits.endpoint_idle;
        let good = |idle: &Idle| {
            !idle.backend.is_gone()
                && now.saturating_duration_since(idle.since) < endpoint_idle
                && idle.stream.is_quiet(Ear::System)
        };
        let mut all = 0;
        self.idle.borrow_mut().retain(|_, kept| {
            kept.retain(good);
            all += kept.len();
            !kept.is_empty()
        });
        self.kept.set(all);
        self.trunks.sweep(now, endpoint_idle);
    }

    /// Whether nothing is kept.
    pub(crate) fn is_empty(&self) -> bool {
        self.idle.borrow().is_empty() && self.trunks.is_empty()
    }

    /// Closes everything that is idle.
    pub(crate) fn clear(&self) {
        self.idle.borrow_mut().clear();
        self.trunks.clear();
        self.kept.set(0);
    }
}

// === impl Spoken ===

impl Spoken {
    pub(crate) fn of(shared: &Shared) -> Self {
        let to_endpoints = shared.backend_tls.0.clone();
        let mut modern = ClientConfig::clone(&to_endpoints);
        modern.alpn_protocols = vec![HTTP2.to_vec(), b"http/1.1".to_vec()];
        let to_services = shared.services.as_ref().map(|services| services.tls.0.clone());
        let to_services = to_services.unwrap_or_else(|| to_endpoints.clone());
        Self { to_services, to_endpoints, to_modern_endpoints: Arc::new(modern) }
    }

    fn to(&self, backend: &Backend, offer: Offer) -> &Arc<ClientConfig> {
        match (backend.service(), offer) {
            (Some(_), _) => &self.to_services,
            (None, Offer::Nothing) => &self.to_endpoints,
            (None, Offer::Http2) => &self.to_modern_endpoints,
        }
    }
}

// === impl Offer ===

impl Offer {
    /// Under which connections of HTTP/1 are kept: one that was made without the offer says nothing of
    /// what the endpoint would have agreed to.
    fn key(self, backend: &Backend) -> u64 {
        backend.id << 1 | u64::from(self == Self::Http2)
    }
}

// === impl Lease ===

impl Lease {
    fn new(stream: Stream, backend: Arc<Backend>, offer: Offer) -> Self {
        let (head_end, effort) = (HeadEnd::default(), Effort::default());
        Self { wire: Wire::new(stream), backend, offer, head_end, effort }
    }
}

/// How to find out about a connection that has rested for so long before such a request.
fn ear(request: Shape, rested: Duration) -> Ear {
    if request.may_repeat() && rested < FRESH { Ear::News } else { Ear::System }
}

/// A connection to the first of a name's addresses that takes one.
async fn connect_to_any(addresses: &[IpAddr], port: u16) -> io::Result<TcpStream> {
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for ip in addresses {
        match TcpStream::connect(SocketAddr::new(*ip, port)).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// Speaks TLS to an endpoint, which must show the name that was registered, or its address if none
/// was.
async fn secure(
    tcp: TcpStream,
    config: Arc<ClientConfig>,
    name: &str,
    backend: &Backend,
) -> Result<Secured, Trouble> {
    let name = match (name, backend.host()) {
        ("", None) => ServerName::from(backend.addr().ip()),
        ("", Some(name)) | (name, _) => ServerName::try_from(name.to_owned())
            .map_err(|_| Trouble::Tls(Distrust::Name, format!("`{name}` is no name")))?,
    };
    let tls = ClientConnection::new(config, name)
        .map_err(|error| Trouble::Tls(Distrust::of(&error), error.to_string()))?;
    let secured = Secured::new(tcp, tls);
    match poll_fn(|cx| secured.poll_handshake(cx)).await {
        Ok(()) => Ok(secured),
        Err(error) => Err(Trouble::of_reading(&error, false)),
    }
}

#[test]
fn the_system_is_asked_of_what_has_rested_and_before_what_cannot_be_sent_twice() {
    let shape = |is_idempotent, has_body| Shape { is_idempotent, has_body };
    let (short, long) = (Duration::from_millis(4), Duration::from_millis(6));
    for (request, rested, expected) in [
        (shape(true, false), short, Ear::News),
        (shape(true, false), long, Ear::System),
        (shape(false, false), short, Ear::System),
        (shape(true, true), short, Ear::System),
    ] {
        assert_eq!(ear(request, rested), expected, "{request:?} after {rested:?}");
    }
}
