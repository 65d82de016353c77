//! Who is at which address, and the routes that lead there.

use core::net::SocketAddr;
use std::hash::BuildHasher as _;
use std::sync::{Arc, Weak};

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::Announcement;
use crate::pool::{Backend, Route};

/// Every backend, found by its address.
#[derive(Debug, Default)]
pub(super) struct Residents {
    all: HashTable<Resident>,
    hashing: RandomState,
}

/// A backend, and the routes that lead to it.
#[derive(Debug)]
struct Resident {
    backend: Arc<Backend>,
    routes: Ways,
}

/// Routes to a backend, once for each endpoint of theirs that is it. Most have one.
#[derive(Debug)]
enum Ways {
    One(Weak<Route>),
    Some(Vec<Weak<Route>>),
}

// === impl Residents ===

impl Residents {
    /// The backend of an instance, the same one for all of its routes, for one route more. A new
    /// one is made with the number that is given.
    pub(super) fn enter(
        &mut self,
        told: &Announcement,
        route: &Arc<Route>,
        id: impl FnOnce() -> u64,
    ) -> Arc<Backend> {
        let way = Arc::downgrade(route);
        let hashing = &self.hashing;
        let rehash = |resident: &Resident| hashing.hash_one(resident.backend.addr());
        let hash = hashing.hash_one(told.addr);
        match self.all.entry(hash, |resident| resident.backend.is_of(told), rehash) {
            Entry::Occupied(mut known) => {
                let known = known.get_mut();
                known.routes.push(way);
                known.backend.clone()
            }
            Entry::Vacant(place) => {
                let backend = Arc::new(Backend::new(id(), told));
                place.insert(Resident { backend: backend.clone(), routes: Ways::One(way) });
                backend
            }
        }
    }

    /// Other instances at the address of one that has a guid, which are there no more.
    pub(super) fn before(&self, told: &Announcement) -> Vec<Arc<Backend>> {
        if told.instance_id.is_empty() {
            return Vec::new();
        }
        let strangers = self.at(told.addr).filter(|resident| {
            let id = resident.backend.instance_id();
            !id.is_empty() && *id != *told.instance_id
        });
        strangers.map(|resident| resident.backend.clone()).collect()
    }

    /// The routes that lead to a backend.
    pub(super) fn routes_to(&self, backend: &Backend) -> Vec<Arc<Route>> {
        let known = self.at(backend.addr()).find(|resident| resident.backend.id == backend.id);
        let routes = known.map_or(&[][..], |resident| resident.routes.all());
        routes.iter().filter_map(Weak::upgrade).collect()
    }

    /// Notes that a route leads to a backend no more. One without any is withdrawn.
    pub(super) fn leave(&mut self, backend: &Backend, route: &Arc<Route>) {
        let hash = self.hashing.hash_one(backend.addr());
        let is_it = |resident: &Resident| resident.backend.id == backend.id;
        let Ok(mut known) = self.all.find_entry(hash, is_it) else { return };
        if known.get_mut().routes.remove(route) {
            known.remove();
            backend.withdraw();
        }
    }

    fn at(&self, addr: SocketAddr) -> impl Iterator<Item = &Resident> {
        let there = self.all.iter_hash(self.hashing.hash_one(addr));
        there.filter(move |resident| resident.backend.addr() == addr)
    }
}

// === impl Ways ===

impl Ways {
    fn all(&self) -> &[Weak<Route>] {
        match self {
            Self::One(way) => std::slice::from_ref(way),
            Self::Some(ways) => ways,
        }
    }

    fn push(&mut self, way: Weak<Route>) {
        match self {
            Self::One(first) => *self = Self::Some(vec![std::mem::take(first), way]),
            Self::Some(ways) => ways.push(way),
        }
    }

    /// Removes one way; whether it was the last.
    fn remove(&mut self, route: &Arc<Route>) -> bool {
        let is_it = |way: &Weak<Route>| std::ptr::eq(way.as_ptr(), &**route);
        match self {
            Self::One(way) => is_it(way),
            Self::Some(ways) => {
                ways.iter().position(is_it).map(|at| ways.swap_remove(at));
                if let [_] = **ways
                    && let Some(last) = ways.pop()
                {
                    *self = Self::One(last);
                }
                false
            }
        }
    }
}
