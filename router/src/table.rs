//! The route table: host and context path to a pool of endpoints. Pure; one owner changes it, every
//! worker reads it without a lock.
//!
//! Two levels, so that a change costs what it changes: hosts are spread over small maps that are
//! copied when a route appears or disappears; a route's pool is swapped when an endpoint does; a
//! heartbeat writes one atomic. A lookup hashes the host once and copies nothing.

mod editor;
mod interner;
pub mod key;
mod residents;
mod site;

use core::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use hashbrown::HashTable;

use crate::config::Config;
use crate::pool::{Balance, Facts, HashBy, Route, Tag};
use crate::select::hash_of;
pub use editor::Editor;
use key::Name;
use site::{Hashing, Site};

/// How many maps the hosts are spread over.
const SHARDS: usize = 1024;
/// The longest text of an announcement that goes into a header.
const VALUE_BYTES_MAX: usize = 4096;

/// What workers read.
#[derive(Debug)]
pub struct Table {
    shards: Box<[ArcSwap<Shard>]>,
    wildcards: AtomicUsize,
    hashing: Hashing,
}

/// The hosts whose names have some hashes.
type Shard = HashTable<Site>;

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
    /// Where it takes connections; of one with a name, what stands for that in the table.
    pub addr: SocketAddr,
    /// Its name, where no address was told; it is looked up for each connection.
    pub name: Option<String>,
    /// The instance guid.
    pub instance_id: String,
    /// The instance's index.
    pub index: String,
    /// What it says of others as well.
    pub facts: Facts,
    /// How the route's requests are to be spread, where the registration says so.
    pub balance: Option<Balance>,
    /// What decides where that is [`Balance::Hash`].
    pub hash_by: Option<Arc<HashBy>>,
    /// Speaks TLS, with a certificate for this name; for its address where that is empty.
    pub tls: Option<String>,
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
        let nothing = Arc::<Shard>::default();
        let shards = (0..SHARDS).map(|_| ArcSwap::new(nothing.clone())).collect();
        Self { shards, wildcards: AtomicUsize::new(0), hashing: Hashing::default() }
    }
}

impl Table {
    /// The route for a lower-case host without port and a path without query.
    ///
    /// The exact host wins over wildcards, even without endpoints; among paths the longest that
    /// has endpoints wins, and if none has, the longest.
    pub fn find(&self, host: &str, path: &str) -> Option<Arc<Route>> {
        let name = Name::of(host);
        self.find_named(name, path).or_else(|| self.find_wildcard(name, path))
    }

    /// As [`Table::find`], but a wildcard does not serve it.
    pub fn find_exact(&self, host: &str, path: &str) -> Option<Arc<Route>> {
        self.find_named(Name::of(host), path)
    }

    fn find_wildcard(&self, name: Name<'_>, path: &str) -> Option<Arc<Route>> {
        if self.wildcards.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let above = std::iter::successors(name.wildcard_above(), |name| name.wildcard_above());
        above.into_iter().find_map(|wildcard| self.find_named(wildcard, path))
    }

    fn find_named(&self, name: Name<'_>, path: &str) -> Option<Arc<Route>> {
        self.at(name, |site| site.find(path, &self.hashing))?
    }

    /// Whether a host has any route.
    pub fn has_host(&self, host: &str) -> bool {
        self.at(Name::of(host), |_| ()).is_some()
    }

    /// Whether a host has routes for some of its paths only.
    pub fn has_paths(&self, host: &str) -> bool {
        self.at(Name::of(host), Site::has_paths).unwrap_or(false)
    }

    /// Every route, in the order of their uris.
    pub fn routes(&self) -> Vec<Arc<Route>> {
        let mut routes = self.all();
        routes.sort_by(|a, b| a.uri.cmp(&b.uri));
        routes
    }

    /// Every route, in no order.
    pub fn all(&self) -> Vec<Arc<Route>> {
        let mut routes: Vec<Arc<Route>> = Vec::new();
        for shard in &self.shards {
            routes.extend(shard.load().iter().flat_map(Site::routes).cloned());
        }
        routes
    }

    /// What is under a name, as far as it is asked for.
    fn at<T>(&self, name: Name<'_>, asked: impl FnOnce(&Site) -> T) -> Option<T> {
        let hash = self.hashing.of(name);
        let shard = self.shard(hash).load();
        shard.find(hash, |site| site.name() == name).map(asked)
    }

    fn shard(&self, hash: u64) -> &ArcSwap<Shard> {
        // Other bits than those that decide about the place in a shard.
        &self.shards[(hash >> 32) as usize % SHARDS]
    }
}

// === impl Announcement ===

impl Announcement {
    /// An announcement whose values fit into headers; `None` when they do not.
    pub fn new(addr: SocketAddr, app: &str, instance_id: &str, index: &str) -> Option<Self> {
        let fits = |text: &str| {
            text.len() <= VALUE_BYTES_MAX && text.bytes().all(|b| (b' '..=b'~').contains(&b))
        };
        if ![app, instance_id, index].into_iter().all(fits) {
            return None;
        }
        Some(Self {
            addr,
            name: None,
            instance_id: instance_id.to_owned(),
            index: index.to_owned(),
            facts: Facts { app: app.into(), ..Facts::default() },
            balance: None,
            hash_by: None,
            tls: None,
            tag: None,
            service: None,
        })
    }

    /// The same endpoint at a port of whatever address the name has when it is asked.
    pub fn at(self, name: &str, port: u16) -> Self {
        Self { addr: stand_in(name, port), name: Some(name.to_owned()), ..self }
    }

    /// Where it is, as lines show it.
    pub fn label(&self) -> String {
        match &self.name {
            Some(name) => format!("{name}:{}", self.addr.port()),
            None => self.addr.to_string(),
        }
    }

    /// An endpoint of an app called `app`.
    #[cfg(test)]
    pub(crate) fn for_test(addr: &str) -> Self {
        Self::new(addr.parse().unwrap(), "app", "", "0").unwrap()
    }
}

/// An address that leads nowhere (RFC 6666), another one for each name, so that the table knows
/// endpoints by their addresses only.
fn stand_in(name: &str, port: u16) -> SocketAddr {
    let hash = hash_of(name.as_bytes());
    SocketAddr::new(Ipv6Addr::from((0x100 << 112) | u128::from(hash)).into(), port)
}

#[cfg(test)]
mod tests;
