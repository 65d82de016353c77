//! The one owner of a table, and its changes. Pure.

use core::net::SocketAddr;
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use lattice_model::Time;

use super::key::Key;
use super::{Announcement, Host, Pruned, Registered, Rules, Shard, Table};
use crate::metrics::Latency;
use crate::pool::{AppLatency, Backend, Endpoint, Route};
use crate::services::Service;

/// What the one owner changes it with.
#[derive(Debug)]
pub struct Editor {
    table: Arc<Table>,
    backends: HashMap<BackendKey, Known>,
    /// The instance that an address was last announced for.
    tenants: HashMap<SocketAddr, BackendKey>,
    next_backend: u64,
    /// The services of all routes, by their URLs.
    services: HashMap<Arc<str>, Weak<Service>>,
    /// The apps that are measured, by their source ids.
    apps: HashMap<Arc<str>, Weak<AppLatency>>,
    routes: usize,
    rules: Rules,
    dice: u64,
}

/// A backend, and the routes that lead to it.
#[derive(Debug)]
struct Known {
    backend: Arc<Backend>,
    routes: Vec<Weak<Route>>,
}

/// Address, instance guid, and the name it must prove.
type BackendKey = (SocketAddr, Arc<str>, Option<Arc<str>>);
type Endpoints = Vec<Arc<Endpoint>>;

// === impl Editor ===

impl Editor {
    /// The owner of a new, empty table. The seed decides where each route's round begins.
    pub fn new(rules: Rules, seed: u64) -> Self {
        Self {
            table: Arc::default(),
            backends: HashMap::new(),
            tenants: HashMap::new(),
            next_backend: 0,
            services: HashMap::new(),
            apps: HashMap::new(),
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
            route.decide_by(told.hash_by.clone());
            route.balance_by(balance);
        }
        if !route.is_served_through(told.service.as_deref()) {
            route.serve_through(told.service.as_ref().map(|url| self.service(url, now)));
        }
        self.move_in(told, &route, now);
        match known.map(|at| (at, &pool[at])) {
            Some((_, endpoint)) if endpoint.is_as_told(told) => {
                endpoint.seen(now);
                Registered::Refreshed
            }
            Some((at, _)) => {
                let mut endpoints = Vec::clone(&pool);
                endpoints[at] = self.endpoint(told, &route, now);
                let replaced = pool[at].clone();
                drop(pool);
                route.replace(endpoints, now);
                self.release(&route, [replaced]);
                Registered::Updated
            }
            None => {
                let mut endpoints = Vec::clone(&pool);
                endpoints.push(self.endpoint(told, &route, now));
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

    fn endpoint(&mut self, told: &Announcement, route: &Arc<Route>, now: Time) -> Arc<Endpoint> {
        let latency = self.latency(told);
        Arc::new(Endpoint::new(self.backend(told, route), told, now).measured(latency))
    }

    /// Where an app's requests are measured, if they are, and it says which one it is.
    fn latency(&mut self, told: &Announcement) -> Option<Arc<AppLatency>> {
        let facts = told.facts.as_ref().filter(|_| self.rules.measures_apps)?;
        let name = facts.tags.get("source_id").filter(|name| !name.is_empty())?;
        if let Some(known) = self.apps.get(name.as_str()).and_then(Weak::upgrade) {
            return Some(known);
        }
        self.apps.retain(|_, app| app.strong_count() > 0);
        let source_id: Arc<str> = name.as_str().into();
        let latency = Latency::default();
        let made = Arc::new(AppLatency { source_id: source_id.clone(), latency });
        self.apps.insert(source_id, Arc::downgrade(&made));
        Some(made)
    }

    /// The backend of an instance, the same one for all of its routes, for one route more.
    fn backend(&mut self, told: &Announcement, route: &Arc<Route>) -> Arc<Backend> {
        let next_id = &mut self.next_backend;
        let known = self.backends.entry(told.backend_key()).or_insert_with(|| {
            *next_id += 1;
            let backend = Backend::new(*next_id, told);
            Known { backend: Arc::new(backend), routes: Vec::new() }
        });
        known.routes.push(Arc::downgrade(route));
        known.backend.clone()
    }

    /// The service of a URL, the same one for all routes.
    fn service(&mut self, url: &Arc<str>, now: Time) -> Arc<Service> {
        if let Some(service) = self.services.get(url).and_then(Weak::upgrade) {
            return service;
        }
        self.services.retain(|_, service| service.strong_count() > 0);
        self.next_backend += 1;
        let service = Arc::new(Service::new(self.next_backend, url.clone(), now));
        self.services.insert(url.clone(), Arc::downgrade(&service));
        service
    }

    /// Notes who is at an address now; who was there before leaves all other routes.
    fn move_in(&mut self, told: &Announcement, route: &Arc<Route>, now: Time) {
        if told.instance_id.is_empty() {
            return;
        }
        let before = match self.tenants.insert(told.addr, told.backend_key()) {
            Some(before) if before.1 != told.instance_id => before,
            Some(_) | None => return,
        };
        if let Some(known) = self.backends.get(&before) {
            let gone = known.backend.clone();
            self.evict_but(&gone, Some(route), now);
        }
    }

    /// Forgets an instance on all of its routes; on how many it was.
    pub fn evict(&mut self, gone: &Backend, now: Time) -> usize {
        self.evict_but(gone, None, now)
    }

    fn evict_but(&mut self, gone: &Backend, but: Option<&Arc<Route>>, now: Time) -> usize {
        let Some(known) = self.backends.get(&gone.key()) else { return 0 };
        let routes: Vec<_> = known.routes.iter().filter_map(Weak::upgrade).collect();
        let mut left_at = 0;
        for other in routes {
            if but.is_some_and(|but| Arc::ptr_eq(but, &other)) {
                continue;
            }
            let (left, kept): (Vec<_>, Vec<_>) =
                other.pool.load().iter().cloned().partition(|e| e.backend.id == gone.id);
            left_at += usize::from(!left.is_empty());
            self.leave(&other, left, kept, now);
        }
        left_at
    }

    /// Gives up the places of endpoints that left a route; a backend without any is withdrawn.
    fn release(&mut self, route: &Arc<Route>, left: impl IntoIterator<Item = Arc<Endpoint>>) {
        for endpoint in left {
            let backend = &endpoint.backend;
            let key = backend.key();
            let Some(known) = self.backends.get_mut(&key) else { continue };
            let place = known.routes.iter().position(|r| std::ptr::eq(r.as_ptr(), &**route));
            place.map(|place| known.routes.swap_remove(place));
            if known.routes.is_empty() {
                backend.withdraw();
                self.backends.remove(&key);
                if self.tenants.get(&backend.addr) == Some(&key) {
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
    fn backend_key(&self) -> BackendKey {
        (self.addr, self.instance_id.clone(), self.tls.clone())
    }
}

// === impl Backend ===

impl Backend {
    fn key(&self) -> BackendKey {
        (self.addr, self.instance_id.clone(), self.tls.clone())
    }
}
