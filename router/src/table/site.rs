//! What is under one host name: a route for all of it, or routes for some of its paths.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::key::{self, Name};
use crate::pool::Route;

/// The routes of one host name.
#[derive(Debug, Clone)]
pub(super) enum Site {
    /// One for all of it and no other, as most have it.
    Whole(Arc<Route>),
    /// Some that differ in their paths.
    Parts(Arc<Parts>),
}

/// Routes that differ in their paths.
#[derive(Debug)]
pub(super) struct Parts {
    host: Box<str>,
    routes: HashTable<Arc<Route>>,
    /// How many segments the longest path has.
    depth_max: usize,
}

/// How names and paths are hashed: otherwise in each process, because people choose them.
#[derive(Debug, Default)]
pub(super) struct Hashing(RandomState);

// === impl Hashing ===

impl Hashing {
    /// The hash of a host's name.
    pub(super) fn of(&self, name: Name<'_>) -> u64 {
        self.0.hash_one(name)
    }

    fn of_path(&self, path: &str) -> u64 {
        self.0.hash_one(path)
    }
}

// === impl Site ===

impl Site {
    /// The site of a host's routes; `None` without any.
    pub(super) fn of(routes: Vec<Arc<Route>>, hashing: &Hashing) -> Option<Self> {
        match &*routes {
            [] => None,
            [only] if context_of(only).is_empty() => Some(Self::Whole(only.clone())),
            [first, ..] => Some(Self::Parts(Arc::new(Parts::of(first.host(), &routes, hashing)))),
        }
    }

    pub(super) fn name(&self) -> Name<'_> {
        match self {
            Self::Whole(route) => Name::of(&route.uri),
            Self::Parts(parts) => Name::of(&parts.host),
        }
    }

    /// The route for a path: the longest that has endpoints, and if none has, the longest.
    pub(super) fn find(&self, path: &str, hashing: &Hashing) -> Option<Arc<Route>> {
        match self {
            Self::Whole(route) => Some(route.clone()),
            Self::Parts(parts) => parts.find(path, hashing),
        }
    }

    /// The route of a context path.
    pub(super) fn route(&self, context: &str, hashing: &Hashing) -> Option<&Arc<Route>> {
        match self {
            Self::Whole(route) => context.is_empty().then_some(route),
            Self::Parts(parts) => parts.get(context, hashing),
        }
    }

    pub(super) fn routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        let (whole, parts) = match self {
            Self::Whole(route) => (Some(route), None),
            Self::Parts(parts) => (None, Some(&parts.routes)),
        };
        whole.into_iter().chain(parts.into_iter().flatten())
    }

    /// Whether some routes are for some paths only.
    pub(super) fn has_paths(&self) -> bool {
        self.routes().any(|route| !context_of(route).is_empty())
    }
}

// === impl Parts ===

impl Parts {
    fn of(host: &str, routes: &[Arc<Route>], hashing: &Hashing) -> Self {
        let mut table = HashTable::with_capacity(routes.len());
        let mut depth_max = 0;
        for route in routes {
            let context = context_of(route);
            depth_max = depth_max.max(key::depth_of(context));
            let hash = |route: &Arc<Route>| hashing.of_path(context_of(route));
            table.insert_unique(hashing.of_path(context), route.clone(), hash);
        }
        Self { host: host.into(), routes: table, depth_max }
    }

    fn get(&self, context: &str, hashing: &Hashing) -> Option<&Arc<Route>> {
        self.routes.find(hashing.of_path(context), |route| context_of(route) == context)
    }

    fn find(&self, path: &str, hashing: &Hashing) -> Option<Arc<Route>> {
        let path = key::lower(key::head_of(path, self.depth_max));
        let mut prefix: &str = &path;
        let mut empty = None;
        loop {
            match self.get(prefix, hashing) {
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
}

/// The context path of a route without its outer slashes, as keys have it.
fn context_of(route: &Route) -> &str {
    &route.path()[1..]
}
