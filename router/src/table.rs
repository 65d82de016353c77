//! The route table: host and context path to a pool of endpoints. Pure; one owner changes it, every
//! worker reads it without a lock.
//!
//! Two levels, so that a change costs what it changes: hosts are spread over small maps that are
//! copied when a route appears or disappears; a route's pool is swapped when an endpoint does; a
//! heartbeat writes one atomic.

mod editor;
pub mod key;

use core::net::SocketAddr;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::config::Config;
use crate::pool::{Balance, Facts, HashBy, Route, Tag};
pub use editor::Editor;
use key::Key;

/// How many maps the hosts are spread over.
const SHARDS: usize = 256;

/// What workers read.
#[derive(Debug)]
pub struct Table {
    shards: Box<[ArcSwap<Shard>]>,
    wildcards: AtomicUsize,
}

/// What holds for every route of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// The most routes (host and path).
    pub routes_max: usize,
    /// A route without endpoints stays for this long; zero: it goes with its last endpoint.
    pub empty_route_kept: Duration,
    /// How requests are spread where no registration says it.
    pub balance: Balance,
    /// The requests of each app are measured.
    pub measures_apps: bool,
}

/// What a registration says about one endpoint.
#[derive(Debug, Clone)]
pub struct Announcement {
    /// Where it takes connections.
    pub addr: SocketAddr,
    /// The app's log id.
    pub app: Arc<str>,
    /// The instance guid.
    pub instance_id: Arc<str>,
    /// The instance's index.
    pub index: Arc<str>,
    /// The guid of the app's process; may be empty.
    pub process: Arc<str>,
    /// Who registers it, as a place among the components.
    pub component: u8,
    /// What else was said of it, if anything was.
    pub facts: Option<Arc<Facts>>,
    /// How the route's requests are to be spread, where the registration says so.
    pub balance: Option<Balance>,
    /// What decides where that is [`Balance::Hash`].
    pub hash_by: Option<Arc<HashBy>>,
    /// Speaks TLS, with a certificate for this name; for its address where that is empty.
    pub tls: Option<Arc<str>>,
    /// What it is told with each request: whole header lines.
    pub lines: Arc<[u8]>,
    /// When it is forgotten without a heartbeat.
    pub stale_after: Option<Duration>,
    /// The order of registrations.
    pub tag: Option<Tag>,
    /// The URL of the service that the route's requests pass first.
    pub service: Option<Arc<str>>,
}

/// What a registration did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registered {
    /// An endpoint is new on this route.
    Added,
    /// A known endpoint tells something new.
    Updated,
    /// A heartbeat.
    Refreshed,
    /// Older than what is known; ignored.
    Outdated,
    /// The table is full; ignored.
    Full,
}

/// What pruning did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Endpoints forgotten.
    pub endpoints: usize,
    /// Routes forgotten.
    pub routes: usize,
}

type Shard = HashMap<Arc<str>, Arc<Host>>;

/// The routes of one host name.
#[derive(Debug, Clone, Default)]
struct Host {
    routes: HashMap<Box<str>, Arc<Route>>,
    depth_max: usize,
}

// === impl Rules ===

impl Rules {
    /// As a router is told.
    pub fn of(config: &Config) -> Self {
        Self {
            routes_max: config.freshness.routes_max,
            empty_route_kept: config.freshness.empty_route_kept,
            balance: config.balance,
            measures_apps: config.measures_apps,
        }
    }
}

// === impl Table ===

impl Default for Table {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| ArcSwap::default()).collect();
        Self { shards, wildcards: AtomicUsize::new(0) }
    }
}

impl Table {
    /// The route for a lower-case host without port and a path without query.
    ///
    /// The exact host wins over wildcards, even without endpoints; among paths the longest that
    /// has endpoints wins, and if none has, the longest.
    pub fn find(&self, host: &str, path: &str) -> Option<Arc<Route>> {
        self.find_exact(host, path).or_else(|| self.find_wildcard(host, path))
    }

    /// As [`Table::find`], but a wildcard does not serve it.
    pub fn find_exact(&self, host: &str, path: &str) -> Option<Arc<Route>> {
        self.shard(host).load().get(host)?.find(path)
    }

    fn find_wildcard(&self, host: &str, path: &str) -> Option<Arc<Route>> {
        if self.wildcards.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut above = key::wildcard_above(host);
        while let Some(wildcard) = above {
            if let Some(route) = self.find_exact(&wildcard, path) {
                return Some(route);
            }
            above = key::wildcard_above(&wildcard);
        }
        None
    }

    /// Whether a host has any route.
    pub fn has_host(&self, host: &str) -> bool {
        self.shard(host).load().contains_key(host)
    }

    /// Whether a host has routes for some of its paths only.
    pub fn has_paths(&self, host: &str) -> bool {
        let shard = self.shard(host).load();
        shard.get(host).is_some_and(|host| host.routes.keys().any(|path| !path.is_empty()))
    }

    /// Every route, in the order of their uris.
    pub fn routes(&self) -> Vec<Arc<Route>> {
        let mut routes: Vec<Arc<Route>> = Vec::new();
        for shard in &self.shards {
            routes.extend(shard.load().values().flat_map(|host| host.routes.values().cloned()));
        }
        routes.sort_by(|a, b| a.uri.cmp(&b.uri));
        routes
    }

    fn shard(&self, host: &str) -> &ArcSwap<Shard> {
        let hash =
            host.bytes().fold(0x811c_9dc5_u32, |h, b| (h ^ u32::from(b)).wrapping_mul(0x0100_0193));
        &self.shards[hash as usize % SHARDS]
    }
}

// === impl Host ===

impl Host {
    fn find(&self, path: &str) -> Option<Arc<Route>> {
        let path = key::lower(key::head_of(path, self.depth_max));
        let mut prefix: &str = &path;
        let mut empty = None;
        loop {
            match self.routes.get(prefix) {
                Some(route) if !route.is_empty() => return Some(route.clone()),
                Some(route) if empty.is_none() => empty = Some(route.clone()),
                Some(_) | None => {}
            }
            if prefix.is_empty() {
                return empty;
            }
            prefix = prefix.rfind('/').map_or("", |slash| &prefix[..slash]);
        }
    }

    fn with(&self, key: &Key, route: Arc<Route>) -> Self {
        let mut host = self.clone();
        host.depth_max = host.depth_max.max(key.depth());
        host.routes.insert(key.path.as_str().into(), route);
        host
    }
}

// === impl Announcement ===

impl Announcement {
    /// An announcement whose values fit into headers; `None` when they do not.
    pub fn new(addr: SocketAddr, app: &str, instance_id: &str, index: &str) -> Option<Self> {
        let label = addr.to_string();
        let shown = if instance_id.is_empty() { &label } else { instance_id };
        let is_printable = |text: &str| text.bytes().all(|b| (b' '..=b'~').contains(&b));
        if ![app, instance_id, index].into_iter().all(is_printable) {
            return None;
        }
        let lines = format!(
            "X-CF-ApplicationID: {app}\r\nX-CF-InstanceID: {shown}\r\n\
             X-CF-InstanceIndex: {index}\r\n"
        );
        Some(Self {
            addr,
            app: app.into(),
            instance_id: instance_id.into(),
            index: index.into(),
            process: "".into(),
            component: 0,
            facts: None,
            balance: None,
            hash_by: None,
            tls: None,
            lines: lines.into_bytes().into(),
            stale_after: None,
            tag: None,
            service: None,
        })
    }

    /// An endpoint of an app called `app`.
    #[cfg(test)]
    pub(crate) fn for_test(addr: &str) -> Self {
        Self::new(addr.parse().unwrap(), "app", "", "0").unwrap()
    }
}

#[cfg(test)]
mod tests;
