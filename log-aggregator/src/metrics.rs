//! All that the log-aggregator counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// Numbers that only grow; those under "now" go both ways.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Envelopes that came in.
    pub envelopes: Counter,
    /// Envelopes that were lost before they came in: the ingress was full.
    pub ingress_lost: Counter,
    /// Envelopes that one listener or another lost: its queue was full.
    pub listener_lost: Counter,
    /// Envelopes that were not kept because the limits leave no space for them.
    pub unkept: Counter,
    /// Apps whose lines were forgotten to make space for others.
    pub apps_evicted: Counter,
    /// Listeners that were given up because they took nothing, or did not answer pings.
    pub listeners_given_up: Counter,
    /// Connections that were turned away because too many were open.
    pub connections_refused: Counter,
    /// Listeners now.
    pub listeners: Counter,
    /// Apps with kept lines or measurements now.
    pub apps: Counter,
    /// Bytes kept now.
    pub bytes: Counter,
}

/// One number.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Its value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, to: usize) {
        self.0.store(to as u64, Ordering::Relaxed);
    }
}
