//! The connections in HTTP/2, which are kept while they are used.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;

use crate::http2::{Trunk, Upstream};
use crate::pool::Backend;

/// The connections, by backend.
#[derive(Debug, Default)]
pub(super) struct Trunks(RefCell<HashMap<u64, Kept, FixedState>>);

#[derive(Debug)]
struct Kept {
    backend: Arc<Backend>,
    trunks: Vec<Rc<Trunk>>,
}

// === impl Trunks ===

impl Trunks {
    /// A stream on the first connection that takes another one and has rested for no longer than
    /// `rest`.
    pub(super) fn stream(&self, backend: &Backend, rest: Duration) -> Option<Upstream> {
        let kept = self.0.borrow();
        kept.get(&backend.id)?.trunks.iter().find_map(|trunk| trunk.stream(rest))
    }

    /// Keeps a connection for the requests to come, unless the endpoint has so many; that one ends
    /// with its request.
    pub(super) fn keep(&self, backend: &Arc<Backend>, trunk: Rc<Trunk>, max: usize) {
        let mut kept = self.0.borrow_mut();
        let new = || Kept { backend: backend.clone(), trunks: Vec::new() };
        let trunks = &mut kept.entry(backend.id).or_insert_with(new).trunks;
        if trunks.len() < max {
            trunks.push(trunk);
        }
    }

    /// How many are kept.
    pub(super) fn count(&self) -> usize {
        self.0.borrow().values().map(|kept| kept.trunks.len()).sum()
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
