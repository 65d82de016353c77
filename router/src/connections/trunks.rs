//! The connections in HTTP/2, which are kept while they are used.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Spread;
use crate::http2::{Trunk, Upstream};
use crate::pool::Backend;

/// The connections, by backend.
#[derive(Debug, Default)]
pub(super) struct Trunks(RefCell<HashMap<u64, Kept, BuildHasherDefault<Spread>>>);

#[derive(Debug)]
struct Kept {
    backend: Arc<Backend>,
    trunks: Vec<Rc<Trunk>>,
}

// === impl Trunks ===

impl Trunks {
    /// A stream on the first connection that takes another one.
    pub(super) fn stream(&self, backend: &Backend) -> Option<Upstream> {
        self.0.borrow().get(&backend.id)?.trunks.iter().find_map(Trunk::stream)
    }

    /// Keeps a connection for the requests to come.
    pub(super) fn keep(&self, backend: &Arc<Backend>, trunk: Rc<Trunk>) {
        let new = || Kept { backend: backend.clone(), trunks: Vec::new() };
        self.0.borrow_mut().entry(backend.id).or_insert_with(new).trunks.push(trunk);
    }

    /// Lets go of what is old, dead, or leads to a withdrawn endpoint.
    pub(super) fn sweep(&self, now: Instant, idle_max: Duration) {
        self.0.borrow_mut().retain(|_, kept| {
            kept.trunks.retain(|trunk| trunk.is_good(now, idle_max));
            !kept.trunks.is_empty() && !kept.backend.is_gone()
        });
    }

    /// Whether nothing is kept.
    pub(super) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// Lets go of all; what is under way ends by itself.
    pub(super) fn clear(&self) {
        self.0.borrow_mut().clear();
    }
}
