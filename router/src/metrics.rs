//! Everything the router counts.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::table::{Pruned, Registered};

/// What the owner of the table counts.
#[derive(Debug, Default)]
pub struct Registrations {
    /// Endpoints added to a route.
    pub added: AtomicU64,
    /// Endpoints that told something new.
    pub updated: AtomicU64,
    /// Heartbeats.
    pub refreshed: AtomicU64,
    /// Endpoints removed on request.
    pub removed: AtomicU64,
    /// Endpoints forgotten for want of heartbeats.
    pub pruned: AtomicU64,
    /// Messages or uris that were ignored.
    pub ignored: AtomicU64,
    /// Routes in the table.
    pub routes: AtomicU64,
}

/// What one worker counts; each has its own, so that no two cores write to one line.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Traffic {
    /// Requests taken.
    pub requests: AtomicU64,
    /// Requests answered by the router itself.
    pub answered_here: AtomicU64,
    /// Requests whose framing was refused before they were read.
    pub refused: AtomicU64,
    /// Attempts after the first.
    pub retries: AtomicU64,
    /// Clients that left before their answer was complete.
    pub cancelled: AtomicU64,
    /// Connections that were upgraded.
    pub upgrades: AtomicU64,
    /// Connections opened to endpoints.
    pub dials: AtomicU64,
    /// Access lines that found the log's queue full.
    pub lines_lost: AtomicU64,
    /// Client connections open now, upgraded ones included.
    pub connections: AtomicU64,
}

/// Sums of all that is counted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Totals {
    /// Routes in the table.
    pub routes: u64,
    /// Registrations and uris ignored.
    pub registrations_ignored: u64,
    /// Endpoints forgotten for want of heartbeats.
    pub endpoints_pruned: u64,
    /// Requests taken.
    pub requests: u64,
    /// Requests answered by the router itself.
    pub answered_here: u64,
    /// Requests whose framing was refused before they were read.
    pub refused: u64,
    /// Attempts after the first.
    pub retries: u64,
    /// Clients that left before their answer was complete.
    pub cancelled: u64,
    /// Connections that were upgraded.
    pub upgrades: u64,
    /// Connections opened to endpoints.
    pub dials: u64,
    /// Access lines lost.
    pub lines_lost: u64,
    /// Client connections open now.
    pub connections: u64,
}

/// Adds one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

// === impl Registrations ===

impl Registrations {
    pub(crate) fn registered(&self, what: Registered) {
        count(match what {
            Registered::Added => &self.added,
            Registered::Updated => &self.updated,
            Registered::Refreshed => &self.refreshed,
            Registered::Outdated | Registered::Full => return,
        });
    }

    pub(crate) fn unregistered(&self) {
        count(&self.removed);
    }

    pub(crate) fn ignored(&self) {
        count(&self.ignored);
    }

    pub(crate) fn pruned(&self, pruned: Pruned, routes: usize) {
        self.pruned.fetch_add(pruned.endpoints as u64, Ordering::Relaxed);
        self.routes_now(routes);
    }

    pub(crate) fn routes_now(&self, routes: usize) {
        self.routes.store(routes as u64, Ordering::Relaxed);
    }
}

// === impl Totals ===

impl Totals {
    /// Adds everything up.
    pub fn sum<'t>(
        registrations: &Registrations,
        workers: impl Iterator<Item = &'t Traffic>,
    ) -> Self {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut totals = Self {
            routes: read(&registrations.routes),
            registrations_ignored: read(&registrations.ignored),
            endpoints_pruned: read(&registrations.pruned),
            ..Self::default()
        };
        for worker in workers {
            totals.requests += read(&worker.requests);
            totals.answered_here += read(&worker.answered_here);
            totals.refused += read(&worker.refused);
            totals.retries += read(&worker.retries);
            totals.cancelled += read(&worker.cancelled);
            totals.upgrades += read(&worker.upgrades);
            totals.dials += read(&worker.dials);
            totals.lines_lost += read(&worker.lines_lost);
            totals.connections += read(&worker.connections);
        }
        totals
    }
}
