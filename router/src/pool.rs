//! A route and the endpoints behind it. Membership changes by swapping the pool; what changes with
//! every heartbeat and request is an atomic.

use core::net::SocketAddr;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use lattice_model::Time;

use crate::metrics::Latency;
use crate::services::Service;

/// A host and path, and who serves it.
#[derive(Debug)]
pub struct Route {
    /// The normalised host and path.
    pub uri: Arc<str>,
    /// Who serves it now.
    pub pool: ArcSwap<Vec<Arc<Endpoint>>>,
    turn: AtomicUsize,
    emptied_at: AtomicI64,
    balance: AtomicU8,
    hash_by: ArcSwapOption<HashBy>,
    service: ArcSwapOption<Service>,
}

/// What decides for [`Balance::Hash`].
#[derive(Debug, Clone, PartialEq)]
pub struct HashBy {
    /// The header whose value decides; without it requests go round.
    pub header: String,
    /// How many times the average an endpoint may have under way; 0 for any number.
    pub factor: f64,
}

/// How requests are spread over a route's endpoints.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Balance {
    /// One after the other.
    #[default]
    RoundRobin,
    /// To the one with the fewest requests under way.
    LeastConnection,
    /// To the one that goes best with a header's value; only a registration can ask for it.
    #[serde(skip_deserializing)]
    Hash,
}

/// One instance as one route sees it.
#[derive(Debug)]
pub struct Endpoint {
    /// Where requests go; shared by all routes of the instance.
    pub backend: Arc<Backend>,
    /// The app's log id; empty for none.
    pub app: Arc<str>,
    /// The instance's index as text.
    pub index: Arc<str>,
    /// The guid of the app's process, where it was told.
    pub process: Arc<str>,
    /// Who registered it, as a place among the components.
    pub component: u8,
    /// What else was said of it, if anything was.
    pub facts: Option<Arc<Facts>>,
    /// What the endpoint is told about itself with each request: whole header lines.
    pub told: Arc<[u8]>,
    /// The order of registrations, where the sender gives one.
    pub tag: Option<Tag>,
    /// Forgotten after this long without a heartbeat; `None` for never.
    pub stale_after: Option<Duration>,
    /// How long its app's requests took, where that is asked for.
    pub latency: Option<Arc<AppLatency>>,
    last_seen: AtomicI64,
}

/// How long the requests of one app took, on all of its endpoints.
#[derive(Debug)]
pub struct AppLatency {
    /// What a registration's tags say of its `source_id`.
    pub source_id: Arc<str>,
    /// The times.
    pub latency: Latency,
}

/// What a registration says of an endpoint beside where it is and whose. Most say nothing of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// As sent; `component` names who registered.
    pub tags: BTreeMap<String, String>,
    /// Where it stands.
    pub availability_zone: String,
    /// Which routers carry it.
    pub isolation_segment: String,
    /// It speaks HTTP/2, too.
    pub speaks_http2: bool,
}

/// An address that takes connections on behalf of one instance. A new instance at an old address
/// is another backend, so that no connection outlives its instance.
#[derive(Debug)]
pub struct Backend {
    /// Never used twice; connections are pooled under it.
    pub id: u64,
    /// The address; of a route service only the port.
    pub addr: SocketAddr,
    /// The name of a route service, whose address is looked up for each connection.
    pub service: Option<Arc<str>>,
    /// The address as text, for logs.
    pub label: Arc<str>,
    /// The instance guid; may be empty.
    pub instance_id: Arc<str>,
    /// Speaks TLS, with a certificate for this name; for its address where that is empty.
    pub tls: Option<Arc<str>>,
    /// Requests whose answer has not begun.
    pub in_flight: AtomicU32,
    failed_until: AtomicI64,
    gone: AtomicBool,
}

/// Orders the registrations of one endpoint: within one guid the higher index is the newer.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(default)]
#[derive(Default)]
pub struct Tag {
    /// Which sequence.
    pub guid: String,
    /// The place in it.
    pub index: u64,
}

// === impl Route ===

impl Route {
    /// A route without endpoints, whose round begins at `turn`.
    pub fn new(uri: Arc<str>, turn: usize, now: Time) -> Self {
        Self {
            uri,
            pool: ArcSwap::default(),
            turn: AtomicUsize::new(turn),
            emptied_at: AtomicI64::new(now.0),
            balance: AtomicU8::default(),
            hash_by: ArcSwapOption::empty(),
            service: ArcSwapOption::empty(),
        }
    }

    /// The next place in the round.
    pub fn next_turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    /// How requests are spread; the last registration to say so wins.
    pub fn balance(&self) -> Balance {
        match self.balance.load(Ordering::Relaxed) {
            0 => Balance::RoundRobin,
            1 => Balance::LeastConnection,
            _ => Balance::Hash,
        }
    }

    /// Notes how requests are to be spread.
    pub fn balance_by(&self, balance: Balance) {
        self.balance.store(balance as u8, Ordering::Relaxed);
    }

    /// What decides for [`Balance::Hash`].
    pub fn hash_by(&self) -> Option<Arc<HashBy>> {
        self.hash_by.load_full()
    }

    /// Notes what decides.
    pub fn decide_by(&self, hash_by: Option<Arc<HashBy>>) {
        if self.hash_by.load().as_deref() != hash_by.as_deref() {
            self.hash_by.store(hash_by);
        }
    }

    /// What its requests pass first.
    pub fn service(&self) -> Option<Arc<Service>> {
        self.service.load_full()
    }

    /// Whether requests pass this service first, or none.
    pub fn is_served_through(&self, url: Option<&str>) -> bool {
        self.service.load().as_ref().map(|service| &*service.url) == url
    }

    /// Notes what they pass first; the last registration says it.
    pub fn serve_through(&self, service: Option<Arc<Service>>) {
        self.service.store(service);
    }

    /// The host, without context path.
    pub fn host(&self) -> &str {
        self.uri.split('/').next().unwrap_or_default()
    }

    /// Whether nobody serves it.
    pub fn is_empty(&self) -> bool {
        self.pool.load().is_empty()
    }

    /// Replaces the endpoints, noting when the last one went.
    pub fn replace(&self, endpoints: Vec<Arc<Endpoint>>, now: Time) {
        if endpoints.is_empty() && !self.is_empty() {
            self.emptied_at.store(now.0, Ordering::Relaxed);
        }
        self.pool.store(Arc::new(endpoints));
    }

    /// How long it has had no endpoint, if it has none.
    pub fn empty_for(&self, now: Time) -> Option<Duration> {
        self.is_empty().then(|| now.since(Time(self.emptied_at.load(Ordering::Relaxed))))
    }

    /// The context path, `/` when there is none.
    pub fn path(&self) -> &str {
        self.uri.find('/').map_or("/", |slash| &self.uri[slash..])
    }
}

// === impl Endpoint ===

impl Endpoint {
    /// An endpoint just heard of.
    pub fn new(backend: Arc<Backend>, told: &crate::table::Announcement, now: Time) -> Self {
        Self {
            backend,
            app: told.app.clone(),
            index: told.index.clone(),
            process: told.process.clone(),
            component: told.component,
            facts: told.facts.clone(),
            told: told.lines.clone(),
            tag: told.tag.clone(),
            stale_after: told.stale_after,
            latency: None,
            last_seen: AtomicI64::new(now.0),
        }
    }

    /// The same, measured with all others of its app.
    #[must_use]
    pub fn measured(self, latency: Option<Arc<AppLatency>>) -> Self {
        Self { latency, ..self }
    }

    /// Notes a heartbeat.
    pub fn seen(&self, now: Time) {
        self.last_seen.store(now.0, Ordering::Relaxed);
    }

    /// Whether its heartbeats have been missing for too long. One that proves itself with every
    /// connection needs none.
    pub fn is_stale(&self, now: Time) -> bool {
        if self.backend.tls.is_some() {
            return false;
        }
        let unseen = now.since(Time(self.last_seen.load(Ordering::Relaxed)));
        self.stale_after.is_some_and(|limit| unseen > limit)
    }

    /// Whether an announcement says nothing new about it.
    pub fn is_as_told(&self, told: &crate::table::Announcement) -> bool {
        self.app == told.app
            && self.index == told.index
            && self.process == told.process
            && self.facts == told.facts
            && self.backend.instance_id == told.instance_id
            && self.backend.tls == told.tls
            && self.stale_after == told.stale_after
            && self.tag == told.tag
    }

    /// Whether a message tagged `tag` is older than what is known.
    pub fn outranks(&self, tag: Option<&Tag>) -> bool {
        match (&self.tag, tag) {
            (Some(known), Some(new)) => known.guid == new.guid && new.index < known.index,
            (Some(_) | None, None) | (None, Some(_)) => false,
        }
    }
}

// === impl Backend ===

impl Backend {
    /// A backend with a number of its own.
    pub fn new(id: u64, told: &crate::table::Announcement) -> Self {
        Self {
            id,
            addr: told.addr,
            service: None,
            label: told.addr.to_string().into(),
            instance_id: told.instance_id.clone(),
            tls: told.tls.clone(),
            in_flight: AtomicU32::new(0),
            failed_until: AtomicI64::new(0),
            gone: AtomicBool::new(false),
        }
    }

    /// A route service of this name. Lines show no address of it, as gorouter's do.
    pub fn of_service(id: u64, told: &crate::table::Announcement, name: Arc<str>) -> Self {
        Self { service: Some(name), label: "".into(), ..Self::new(id, told) }
    }

    /// Requests whose answer has not begun.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Passes it over until then.
    pub fn mark_failed(&self, until: Time) {
        self.failed_until.store(until.0, Ordering::Relaxed);
    }

    /// Forgets a failure.
    pub fn clear_failure(&self) {
        self.failed_until.store(0, Ordering::Relaxed);
    }

    /// Whether it failed a short while ago.
    pub fn is_failed(&self, now: Time) -> bool {
        self.failed_until.load(Ordering::Relaxed) > now.0
    }

    /// Notes that no route leads here any more.
    pub fn withdraw(&self) {
        self.gone.store(true, Ordering::Relaxed);
    }

    /// Whether no route leads here any more; its connections are closed then.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }
}
