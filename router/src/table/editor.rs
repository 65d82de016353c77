//! The one owner of a table, and its changes. Pure.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use lattice_model::Time;

use super::interner::{ByName, Interner};
use super::key::{Key, Name};
use super::residents::Residents;
use super::site::Site;
use super::{Announcement, Pruned, Registered, Rules, Shard, Table};
use crate::metrics::Histogram;
use crate::pool::{AppLatency, Backend, Common, Endpoint, Facts, Pool, Route};
use crate::services::Service;

/// What the one owner changes it with.
#[derive(Debug)]
pub struct Editor {
    table: Arc<Table>,
    residents: Residents,
    next_backend: u64,
    facts: Interner<Facts>,
    indexes: Interner<str>,
    /// The services of all routes, by their URLs.
    services: ByName<Service>,
    /// The apps that are measured, by their source ids.
    apps: ByName<AppLatency>,
    routes: usize,
    rules: Rules,
    dice: u64,
}

// === impl Editor ===

impl Editor {
    /// The owner of a new, empty table. The seed decides where each route's round begins.
    pub fn new(rules: Rules, seed: u64) -> Self {
        Self {
            table: Arc::default(),
            residents: Residents::default(),
            next_backend: 0,
            facts: Interner::default(),
            indexes: Interner::default(),
            services: ByName::default(),
            apps: ByName::default(),
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
        let known = pool.iter().find(|endpoint| endpoint.backend.addr() == told.addr);
        if known.is_some_and(|endpoint| endpoint.outranks(told.tag.as_ref())) {
            return Registered::Outdated;
        }
        self.rule(&route, told, now);
        if let Some(endpoint) = known
            && endpoint.is_as_told(told)
        {
            endpoint.seen(now);
            return Registered::Refreshed;
        }
        for before in self.residents.before(told) {
            self.evict_but(&before, Some(&route), now);
        }
        let told = self.endpoint(told, &route, now);
        let Some(replaced) = known else {
            route.replace(pool.iter().cloned().chain([told]).collect(), now);
            return Registered::Added;
        };
        let is_it = |endpoint: &Arc<Endpoint>| Arc::ptr_eq(endpoint, replaced);
        let kept =
            |endpoint: &Arc<Endpoint>| if is_it(endpoint) { &told } else { endpoint }.clone();
        route.replace(pool.iter().map(kept).collect(), now);
        self.residents.leave(&replaced.backend, &route);
        Registered::Updated
    }

    /// Notes what a registration says of the whole route.
    fn rule(&mut self, route: &Route, told: &Announcement, now: Time) {
        if let Some(balance) = told.balance {
            route.decide_by(told.hash_by.clone());
            route.balance_by(balance);
        }
        if !route.is_served_through(told.service.as_deref()) {
            route.serve_through(told.service.as_ref().map(|url| self.service(url, now)));
        }
    }

    /// Notes that an endpoint serves a route no more; whether it did. The route stays, empty, until
    /// it is pruned.
    pub fn unregister(&mut self, key: &Key, told: &Announcement, now: Time) -> bool {
        let Some(route) = self.route(key) else { return false };
        let is_meant = |endpoint: &Endpoint| {
            endpoint.backend.addr() == told.addr && !endpoint.outranks(told.tag.as_ref())
        };
        self.leave(&route, is_meant, now) > 0
    }

    /// Takes every endpoint for heard of just now.
    pub fn refresh(&self, now: Time) {
        for route in self.table.all() {
            route.pool.load().iter().for_each(|endpoint| endpoint.seen(now));
        }
    }

    /// Forgets endpoints without heartbeats, and routes that have been without endpoints for too
    /// long; with `keep_stale` neither.
    pub fn prune(&mut self, now: Time, keep_stale: bool) -> Pruned {
        let mut pruned = Pruned::default();
        if keep_stale {
            return pruned;
        }
        for route in self.table.all() {
            pruned.endpoints += self.leave(&route, |e| e.is_stale(now), now);
            if route.empty_for(now).is_some_and(|empty| empty >= self.rules.empty_route_kept) {
                pruned.routes += usize::from(self.remove_route(&route));
            }
        }
        pruned
    }

    /// Takes endpoints from a route; how many. Without any, the route goes too if it is to.
    fn leave(&mut self, route: &Arc<Route>, goes: impl Fn(&Endpoint) -> bool, now: Time) -> usize {
        let pool = route.pool.load_full();
        let gone = || pool.iter().filter(|endpoint| goes(endpoint));
        let gone_count = gone().count();
        if gone_count == 0 {
            return 0;
        }
        let kept: Pool = pool.iter().filter(|endpoint| !goes(endpoint)).cloned().collect();
        let is_over = kept.is_empty() && self.rules.empty_route_kept.is_zero();
        route.replace(kept, now);
        gone().for_each(|endpoint| self.residents.leave(&endpoint.backend, route));
        if is_over {
            self.remove_route(route);
        }
        gone_count
    }

    fn route(&self, key: &Key) -> Option<Arc<Route>> {
        let found = |site: &Site| site.route(&key.path, &self.table.hashing).cloned();
        self.table.at(Name::of(&key.host), found)?
    }

    fn add_route(&mut self, key: &Key, now: Time) -> Option<Arc<Route>> {
        if self.routes >= self.rules.routes_max {
            return None;
        }
        self.routes += 1;
        let route = Arc::new(Route::new(key.uri().into(), self.throw(), now));
        route.balance_by(self.rules.balance);
        self.change_site(Name::of(&key.host), |routes| routes.push(route.clone()));
        Some(route)
    }

    /// Removes a route, if it is there.
    fn remove_route(&mut self, route: &Arc<Route>) -> bool {
        let is_it = |other: &Arc<Route>| Arc::ptr_eq(other, route);
        let is_there = |site: &Site| site.routes().any(is_it);
        if !self.table.at(Name::of(route.host()), is_there).unwrap_or(false) {
            return false;
        }
        self.routes -= 1;
        self.change_site(Name::of(route.host()), |routes| routes.retain(|other| !is_it(other)));
        true
    }

    /// Changes the routes of a host.
    fn change_site(&self, name: Name<'_>, change: impl FnOnce(&mut Vec<Arc<Route>>)) {
        let (table, hash) = (&self.table, self.table.hashing.of(name));
        let shard = table.shard(hash);
        let mut sites = Shard::clone(&shard.load());
        let before = sites.find_entry(hash, |site| site.name() == name);
        let before = before.ok().map(|known| known.remove().0);
        let mut routes = before.iter().flat_map(Site::routes).cloned().collect();
        change(&mut routes);
        let after = Site::of(routes, &table.hashing);
        match (&before, &after) {
            (None, Some(_)) if name.is_wildcard() => {
                table.wildcards.fetch_add(1, Ordering::Relaxed)
            }
            (Some(_), None) if name.is_wildcard() => {
                table.wildcards.fetch_sub(1, Ordering::Relaxed)
            }
            (Some(_) | None, _) => 0,
        };
        if let Some(after) = after {
            sites.insert_unique(hash, after, |site| table.hashing.of(site.name()));
        }
        shard.store(Arc::new(sites));
    }

    fn endpoint(&mut self, told: &Announcement, route: &Arc<Route>, now: Time) -> Arc<Endpoint> {
        let next = &mut self.next_backend;
        let backend = self.residents.enter(told, route, || {
            *next += 1;
            *next
        });
        let common = Common {
            facts: self.facts.get(&told.facts),
            index: self.indexes.get(&told.index),
            latency: self.latency(&told.facts),
        };
        Arc::new(Endpoint::new(backend, common, told.tag.as_ref(), now))
    }

    /// Where an app's requests are measured, if they are, and it says which one it is.
    fn latency(&mut self, facts: &Facts) -> Option<Arc<AppLatency>> {
        let name = facts.tags.get("source_id").filter(|_| self.rules.measures_apps)?;
        let make = |source_id| AppLatency { source_id, latency: Histogram::default() };
        (!name.is_empty()).then(|| self.apps.get(name, make))
    }

    /// The service of a URL, the same one for all routes.
    fn service(&mut self, url: &str, now: Time) -> Arc<Service> {
        let next = &mut self.next_backend;
        self.services.get(url, |url| {
            *next += 1;
            Service::new(*next, url, now)
        })
    }

    /// Forgets an instance on all of its routes; on how many it was.
    pub fn evict(&mut self, gone: &Backend, now: Time) -> usize {
        self.evict_but(gone, None, now)
    }

    fn evict_but(&mut self, gone: &Backend, but: Option<&Arc<Route>>, now: Time) -> usize {
        let mut left_at = 0;
        for route in self.residents.routes_to(gone) {
            if but.is_some_and(|but| Arc::ptr_eq(but, &route)) {
                continue;
            }
            left_at += usize::from(self.leave(&route, |e| e.backend.id == gone.id, now) > 0);
        }
        left_at
    }

    /// The next number of a small generator (splitmix64).
    fn throw(&mut self) -> u32 {
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.dice ^ (self.dice >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        u32::try_from(mixed >> 33).unwrap_or(0)
    }
}
