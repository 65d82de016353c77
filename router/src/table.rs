//! The route table: host and context path to a pool of endpoints. Pure; one owner changes it, every
//! worker reads it without a lock.
//!
//! Two levels, so that a change costs what it changes: hosts are spread over small maps that are
//! copied when a route appears or disappears; a route's pool is swapped when an endpoint does; a
//! heartbeat writes one atomic.

pub mod key;

use core::net::SocketAddr;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use lattice_model::Time;

use crate::config::Config;
use crate::pool::{Backend, Balance, Endpoint, Facts, Route, Tag};
use key::Key;

/// How many maps the hosts are spread over.
const SHARDS: usize = 256;

/// What workers read.
#[derive(Debug)]
pub struct Table {
    shards: Box<[ArcSwap<Shard>]>,
    wildcards: AtomicUsize,
}

/// What the one owner changes it with.
#[derive(Debug)]
pub struct Editor {
    table: Arc<Table>,
    backends: HashMap<(SocketAddr, Arc<str>), Known>,
    /// The instance that an address was last announced for.
    tenants: HashMap<SocketAddr, Arc<str>>,
    next_backend: u64,
    routes: usize,
    rules: Rules,
    dice: u64,
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
    /// What it is told with each request: whole header lines.
    pub lines: Arc<[u8]>,
    /// When it is forgotten without a heartbeat.
    pub stale_after: Option<Duration>,
    /// The order of registrations.
    pub tag: Option<Tag>,
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

type Endpoints = Vec<Arc<Endpoint>>;

type Shard = HashMap<Arc<str>, Arc<Host>>;

/// A backend, and the routes that lead to it.
#[derive(Debug)]
struct Known {
    backend: Arc<Backend>,
    routes: Vec<Weak<Route>>,
}

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

// === impl Editor ===

impl Editor {
    /// The owner of a new, empty table. The seed decides where each route's round begins.
    pub fn new(rules: Rules, seed: u64) -> Self {
        Self {
            table: Arc::default(),
            backends: HashMap::new(),
            tenants: HashMap::new(),
            next_backend: 0,
            routes: 0,
            rules,
            dice: seed,
        }
    }

    /// The table that workers read.
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// How many routes there are.
    pub fn len(&self) -> usize {
        self.routes
    }

    /// Whether there is no route.
    pub fn is_empty(&self) -> bool {
        self.routes == 0
    }

    /// Notes that an endpoint serves a route. An address has one tenant: where another instance had
    /// it before, that one is forgotten, or its routes would lead to a stranger.
    pub fn register(&mut self, key: &Key, told: &Announcement, now: Time) -> Registered {
        let Some(route) = self.route(key).or_else(|| self.add_route(key, now)) else {
            return Registered::Full;
        };
        let pool = route.pool.load_full();
        let known = pool.iter().position(|endpoint| endpoint.backend.addr == told.addr);
        if known.is_some_and(|at| pool[at].outranks(told.tag.as_ref())) {
            return Registered::Outdated;
        }
        if let Some(balance) = told.balance {
            route.balance_by(balance);
        }
        self.move_in(told, &route, now);
        match known.map(|at| (at, &pool[at])) {
            Some((_, endpoint)) if endpoint.is_as_told(told) => {
                endpoint.seen(now);
                Registered::Refreshed
            }
            Some((at, _)) => {
                let mut endpoints = Vec::clone(&pool);
                endpoints[at] = Arc::new(Endpoint::new(self.backend(told, &route), told, now));
                let replaced = pool[at].clone();
                drop(pool);
                route.replace(endpoints, now);
                self.release(&route, [replaced]);
                Registered::Updated
            }
            None => {
                let mut endpoints = Vec::clone(&pool);
                endpoints.push(Arc::new(Endpoint::new(self.backend(told, &route), told, now)));
                route.replace(endpoints, now);
                Registered::Added
            }
        }
    }

    /// Notes that an endpoint serves a route no more; whether it did. The route stays, empty, until
    /// it is pruned.
    pub fn unregister(&mut self, key: &Key, told: &Announcement, now: Time) -> bool {
        let Some(route) = self.route(key) else { return false };
        let (gone, kept): (Vec<_>, Vec<_>) =
            route.pool.load().iter().cloned().partition(|endpoint| {
                endpoint.backend.addr == told.addr && !endpoint.outranks(told.tag.as_ref())
            });
        if gone.is_empty() {
            return false;
        }
        self.leave(&route, gone, kept, now);
        true
    }

    /// Takes every endpoint for heard of just now.
    pub fn refresh(&self, now: Time) {
        for route in self.table.routes() {
            route.pool.load().iter().for_each(|endpoint| endpoint.seen(now));
        }
    }

    /// Forgets endpoints without heartbeats (unless `keep_stale`), and routes that have been
    /// without endpoints for too long.
    pub fn prune(&mut self, now: Time, keep_stale: bool) -> Pruned {
        let mut pruned = Pruned::default();
        for route in self.table.routes() {
            let (stale, kept): (Vec<_>, Vec<_>) =
                route.pool.load().iter().cloned().partition(|e| !keep_stale && e.is_stale(now));
            if !stale.is_empty() {
                pruned.endpoints += stale.len();
                self.leave(&route, stale, kept, now);
            }
            if route.empty_for(now).is_some_and(|empty| empty >= self.rules.empty_route_kept) {
                pruned.routes += usize::from(self.remove_route(&route));
            }
        }
        pruned
    }

    /// Leaves those that are kept on a route; without any, the route goes too if it is to.
    fn leave(&mut self, route: &Arc<Route>, gone: Endpoints, kept: Endpoints, now: Time) {
        let is_over = kept.is_empty() && self.rules.empty_route_kept.is_zero();
        route.replace(kept, now);
        self.release(route, gone);
        if is_over {
            self.remove_route(route);
        }
    }

    fn route(&self, key: &Key) -> Option<Arc<Route>> {
        let shard = self.table.shard(&key.host).load();
        shard.get(key.host.as_str())?.routes.get(key.path.as_str()).cloned()
    }

    fn add_route(&mut self, key: &Key, now: Time) -> Option<Arc<Route>> {
        if self.routes >= self.rules.routes_max {
            return None;
        }
        self.routes += 1;
        let route = Arc::new(Route::new(key.uri().into(), self.throw(), now));
        route.balance_by(self.rules.balance);
        let shard = self.table.shard(&key.host);
        let mut hosts = Shard::clone(&shard.load());
        let host = hosts.get(key.host.as_str()).map(|host| host.with(key, route.clone()));
        if host.is_none() && key.host.starts_with("*.") {
            self.table.wildcards.fetch_add(1, Ordering::Relaxed);
        }
        let host = host.unwrap_or_else(|| Host::default().with(key, route.clone()));
        hosts.insert(key.host.as_str().into(), Arc::new(host));
        shard.store(Arc::new(hosts));
        Some(route)
    }

    /// Removes a route, if it is there.
    fn remove_route(&mut self, route: &Route) -> bool {
        let (name, path) = route.uri.split_once('/').unwrap_or((&route.uri, ""));
        let shard = self.table.shard(name);
        let mut hosts = Shard::clone(&shard.load());
        let Some(host) = hosts.get(name) else { return false };
        let mut host = Host::clone(host);
        if host.routes.remove(path).is_none() {
            return false;
        }
        self.routes -= 1;
        if host.routes.is_empty() {
            hosts.remove(name);
            if name.starts_with("*.") {
                self.table.wildcards.fetch_sub(1, Ordering::Relaxed);
            }
        } else {
            hosts.insert(name.into(), Arc::new(host));
        }
        shard.store(Arc::new(hosts));
        true
    }

    /// The backend of an instance, the same one for all of its routes, for one route more.
    fn backend(&mut self, told: &Announcement, route: &Arc<Route>) -> Arc<Backend> {
        let next_id = &mut self.next_backend;
        let known =
            self.backends.entry((told.addr, told.instance_id.clone())).or_insert_with(|| {
                *next_id += 1;
                let backend = Backend::new(*next_id, told.addr, told.instance_id.clone());
                Known { backend: Arc::new(backend), routes: Vec::new() }
            });
        known.routes.push(Arc::downgrade(route));
        known.backend.clone()
    }

    /// Notes who is at an address now; who was there before leaves all other routes.
    fn move_in(&mut self, told: &Announcement, route: &Arc<Route>, now: Time) {
        if told.instance_id.is_empty() {
            return;
        }
        let before = match self.tenants.get_mut(&told.addr) {
            Some(tenant) if *tenant == told.instance_id => return,
            Some(tenant) => std::mem::replace(tenant, told.instance_id.clone()),
            None => {
                self.tenants.insert(told.addr, told.instance_id.clone());
                return;
            }
        };
        let Some(known) = self.backends.get(&(told.addr, before)) else { return };
        let (gone, routes) = (known.backend.clone(), known.routes.clone());
        for other in routes.iter().filter_map(Weak::upgrade).filter(|o| !Arc::ptr_eq(o, route)) {
            let (left, kept): (Vec<_>, Vec<_>) =
                other.pool.load().iter().cloned().partition(|e| e.backend.id == gone.id);
            self.leave(&other, left, kept, now);
        }
    }

    /// Gives up the places of endpoints that left a route; a backend without any is withdrawn.
    fn release(&mut self, route: &Arc<Route>, left: impl IntoIterator<Item = Arc<Endpoint>>) {
        for endpoint in left {
            let backend = &endpoint.backend;
            let key = (backend.addr, backend.instance_id.clone());
            let Some(known) = self.backends.get_mut(&key) else { continue };
            let place = known.routes.iter().position(|r| std::ptr::eq(r.as_ptr(), &**route));
            place.map(|place| known.routes.swap_remove(place));
            if known.routes.is_empty() {
                backend.withdraw();
                self.backends.remove(&key);
                if self.tenants.get(&backend.addr) == Some(&backend.instance_id) {
                    self.tenants.remove(&backend.addr);
                }
            }
        }
    }

    /// The next number of a small generator (splitmix64).
    fn throw(&mut self) -> usize {
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.dice ^ (self.dice >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        usize::try_from(mixed >> 33).unwrap_or(0)
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
            lines: lines.into_bytes().into(),
            stale_after: None,
            tag: None,
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
