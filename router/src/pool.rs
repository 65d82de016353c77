//! A route and the endpoints behind it. Membership changes by swapping the pool; what changes with
//! every heartbeat and request is an atomic.
//!
//! Hundreds of thousands of them stand in a table: what endpoints have in common is stored once,
//! and a text that nobody changes has no memory to grow into.

mod backend;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU32, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use lattice_model::{Labels, Time};

use crate::metrics::{Histogram, Requests};
use crate::services::Service;
use crate::table::Announcement;
pub use backend::Backend;

/// A host and path, and who serves it.
#[derive(Debug)]
pub struct Route {
    /// The normalised host and path.
    pub uri: Box<str>,
    /// Who serves it now.
    pub pool: ArcSwap<Pool>,
    hash_by: ArcSwapOption<HashBy>,
    service: ArcSwapOption<Service>,
    /// Since when nobody serves it; [`SERVED`] while somebody does.
    emptied_at: AtomicI64,
    turn: AtomicU32,
    host_bytes: u16,
    balance: AtomicU8,
}

/// The endpoints of a route.
pub type Pool = Box<[Arc<Endpoint>]>;

/// In the place of when a route lost its last endpoint, while it has one.
const SERVED: i64 = i64::MAX;

/// What decides for [`Balance::Hash`].
#[derive(Debug, Clone, PartialEq)]
pub struct HashBy {
    /// The header whose value decides; requests without it are spread as where nothing is said.
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
    /// What was said of it and of others alike.
    pub facts: Arc<Facts>,
    /// The instance's index as text.
    pub index: Arc<str>,
    /// The order of registrations, where the sender gives one.
    pub tag: Option<Box<Tag>>,
    /// How long its app's requests took, where that is asked for.
    pub latency: Option<Arc<AppLatency>>,
    last_seen: AtomicI64,
}

/// What endpoints hold together with others.
#[derive(Debug, Clone, Default)]
pub struct Common {
    /// What was said of them.
    pub facts: Arc<Facts>,
    /// The index as text.
    pub index: Arc<str>,
    /// How long their app's requests took, where that is asked for.
    pub latency: Option<Arc<AppLatency>>,
}

/// How long the requests of one app took, on all of its endpoints.
#[derive(Debug)]
pub struct AppLatency {
    /// What a registration's tags say of its `source_id`.
    pub source_id: Arc<str>,
    /// The times.
    pub latency: Histogram<Requests>,
}

/// What a registration says of an endpoint that it says of others as well.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Facts {
    /// The app's log id; empty for none.
    pub app: Arc<str>,
    /// As sent; `component` names who registered, `process_id` the app's process.
    pub tags: Labels,
    /// Where it stands.
    pub availability_zone: Box<str>,
    /// Which routers carry it.
    pub isolation_segment: Box<str>,
    /// Forgotten after this long without a heartbeat; `None` for never.
    pub stale_after: Option<Duration>,
    /// Who registered it, as a place among the components.
    pub component: u8,
    /// It speaks HTTP/2, too.
    pub speaks_http2: bool,
}

/// Orders the registrations of one endpoint: within one guid the higher index is the newer.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Tag {
    /// Which sequence.
    pub guid: String,
    /// The place in it.
    pub index: u64,
}

// === impl Route ===

impl Route {
    /// A route without endpoints, whose round begins at `turn`.
    pub fn new(uri: Box<str>, turn: u32, now: Time) -> Self {
        let host_bytes = uri.find('/').unwrap_or(uri.len());
        Self {
            host_bytes: u16::try_from(host_bytes).unwrap_or(u16::MAX),
            uri,
            pool: ArcSwap::default(),
            hash_by: ArcSwapOption::empty(),
            service: ArcSwapOption::empty(),
            emptied_at: AtomicI64::new(now.0),
            turn: AtomicU32::new(turn),
            balance: AtomicU8::default(),
        }
    }

    /// The next place in the round.
    pub fn next_turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed) as usize
    }

    /// So many places of the round were passed over beside the one that was taken, or not even that.
    pub fn goes_on_by(&self, places: i32) {
        if places != 0 {
            self.turn.fetch_add(places.cast_unsigned(), Ordering::Relaxed);
        }
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
        &self.uri[..usize::from(self.host_bytes)]
    }

    /// The context path, `/` when there is none.
    pub fn path(&self) -> &str {
        match &self.uri[usize::from(self.host_bytes)..] {
            "" => "/",
            path => path,
        }
    }

    /// Whether nobody serves it.
    pub fn is_empty(&self) -> bool {
        self.emptied_at.load(Ordering::Relaxed) != SERVED
    }

    /// Replaces the endpoints, noting when the last one went.
    pub fn replace(&self, endpoints: Pool, now: Time) {
        let was_empty = self.is_empty();
        match endpoints.is_empty() {
            true if was_empty => {}
            true => self.emptied_at.store(now.0, Ordering::Relaxed),
            false => self.emptied_at.store(SERVED, Ordering::Relaxed),
        }
        self.pool.store(Arc::new(endpoints));
    }

    /// How long it has had no endpoint, if it has none.
    pub fn empty_for(&self, now: Time) -> Option<Duration> {
        let emptied_at = self.emptied_at.load(Ordering::Relaxed);
        (emptied_at != SERVED).then(|| now.since(Time(emptied_at)))
    }
}

// === impl Common ===

impl Common {
    /// What is told of one endpoint, shared with no other.
    pub fn of(told: &Announcement) -> Self {
        let facts = Arc::new(told.facts.clone());
        Self { facts, index: told.index.as_str().into(), latency: None }
    }
}

// === impl Endpoint ===

impl Endpoint {
    /// An endpoint just heard of.
    pub fn new(backend: Arc<Backend>, common: Common, tag: Option<&Tag>, now: Time) -> Self {
        let Common { facts, index, latency } = common;
        let (tag, last_seen) = (tag.cloned().map(Box::new), AtomicI64::new(now.0));
        Self { backend, facts, index, tag, latency, last_seen }
    }

    /// Tells it about itself, as every request does.
    pub fn tell(&self, head: &mut Vec<u8>) {
        if self.backend.service().is_some() {
            return;
        }
        head.extend_from_slice(b"X-CF-ApplicationID: ");
        head.extend_from_slice(self.facts.app.as_bytes());
        head.extend_from_slice(b"\r\nX-CF-InstanceID: ");
        head.extend_from_slice(self.backend.shown().as_bytes());
        head.extend_from_slice(b"\r\nX-CF-InstanceIndex: ");
        head.extend_from_slice(self.index.as_bytes());
        head.extend_from_slice(b"\r\n");
    }

    /// The guid of its app's process; empty where it was not told.
    pub fn process(&self) -> &str {
        self.facts.tags.get("process_id").unwrap_or_default()
    }

    /// Notes a heartbeat.
    pub fn seen(&self, now: Time) {
        self.last_seen.store(now.0, Ordering::Relaxed);
    }

    /// Whether its heartbeats have been missing for too long. One that proves itself with every
    /// connection needs none.
    pub fn is_stale(&self, now: Time) -> bool {
        if self.backend.tls().is_some() {
            return false;
        }
        let unseen = now.since(Time(self.last_seen.load(Ordering::Relaxed)));
        self.facts.stale_after.is_some_and(|limit| unseen > limit)
    }

    /// Whether an announcement says nothing new about it.
    pub fn is_as_told(&self, told: &Announcement) -> bool {
        *self.facts == told.facts
            && *self.index == *told.index
            && self.backend.is_of(told)
            && self.tag.as_deref() == told.tag.as_ref()
    }

    /// Whether a message tagged `tag` is older than what is known.
    pub fn outranks(&self, tag: Option<&Tag>) -> bool {
        match (self.tag.as_deref(), tag) {
            (Some(known), Some(new)) => known.guid == new.guid && new.index < known.index,
            (Some(_) | None, None) | (None, Some(_)) => false,
        }
    }
}
