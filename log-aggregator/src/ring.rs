//! The recent lines and newest measurements of every app, within bounds. Pure.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use lattice_daemon::queue::Weight as _;
use lattice_model::envelope::{ContainerMetric, Message};
use lattice_model::{Envelope, Time};

use crate::config::Limits;

/// All apps' rings.
#[derive(Debug)]
pub struct Rings {
    limits: Limits,
    apps: HashMap<Arc<str>, Ring>,
    /// The apps by when they last wrote, the most silent one first.
    by_use: BTreeMap<u64, Arc<str>>,
    uses: u64,
    bytes: usize,
}

/// One app's.
#[derive(Debug, Default)]
struct Ring {
    lines: VecDeque<Envelope>,
    metrics: BTreeMap<i32, Measured>,
    bytes: usize,
    last_use: u64,
}

#[derive(Debug)]
struct Measured {
    arrived: Time,
    envelope: Envelope,
}

/// What keeping an envelope has cost others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Apps that were forgotten to make space.
    pub apps_evicted: u64,
    /// The envelope itself could not be kept.
    pub is_unkept: bool,
}

// === impl Rings ===

impl Rings {
    /// Empty rings.
    pub fn new(limits: Limits) -> Self {
        Self { limits, apps: HashMap::new(), by_use: BTreeMap::new(), uses: 0, bytes: 0 }
    }

    /// Keeps an envelope, and forgets what no longer fits.
    pub fn keep(&mut self, envelope: Envelope, now: Time) -> Cost {
        let app_id = Arc::clone(&envelope.source_id);
        let ring = self.apps.entry(Arc::clone(&app_id)).or_default();
        let bytes_before = ring.bytes;
        let is_kept = match envelope.message {
            Message::Log(_) => ring.keep_line(envelope, &self.limits),
            Message::ContainerMetric(metric) => {
                ring.keep_metric(envelope, metric, now, &self.limits)
            }
        };
        self.bytes = self.bytes - bytes_before + ring.bytes;
        if ring.is_empty() {
            self.forget(&app_id);
        } else {
            self.touch(&app_id);
        }
        Cost { apps_evicted: self.make_space(), is_unkept: !is_kept }
    }

    /// The app's latest lines, at most so many, oldest first.
    pub fn recent(&self, app_id: &str, count: usize) -> Vec<Envelope> {
        let Some(ring) = self.apps.get(app_id) else { return Vec::new() };
        let skipped = ring.lines.len().saturating_sub(count);
        ring.lines.iter().skip(skipped).cloned().collect()
    }

    /// The newest measurement of each of the app's instances, by index, without the outdated.
    pub fn metrics(&self, app_id: &str, now: Time) -> Vec<Envelope> {
        let Some(ring) = self.apps.get(app_id) else { return Vec::new() };
        let ttl = self.limits.metric_ttl;
        let fresh = ring.metrics.values().filter(|measured| now.since(measured.arrived) < ttl);
        fresh.map(|measured| measured.envelope.clone()).collect()
    }

    /// How many apps are known.
    pub fn apps(&self) -> usize {
        self.apps.len()
    }

    /// How many bytes are kept.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn touch(&mut self, app_id: &Arc<str>) {
        let Some(ring) = self.apps.get_mut(app_id) else { return };
        if ring.last_use == self.uses && self.uses > 0 {
            return;
        }
        self.by_use.remove(&ring.last_use);
        self.uses += 1;
        ring.last_use = self.uses;
        self.by_use.insert(self.uses, Arc::clone(app_id));
    }

    fn make_space(&mut self) -> u64 {
        let mut evicted = 0;
        while self.apps.len() > self.limits.apps || self.bytes > self.limits.bytes {
            let Some((_, app_id)) = self.by_use.first_key_value() else { break };
            let app_id = Arc::clone(app_id);
            self.forget(&app_id);
            evicted += 1;
        }
        evicted
    }

    fn forget(&mut self, app_id: &str) {
        if let Some(ring) = self.apps.remove(app_id) {
            self.bytes -= ring.bytes;
            self.by_use.remove(&ring.last_use);
        }
    }
}

// === impl Ring ===

impl Ring {
    fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.metrics.is_empty()
    }

    fn keep_line(&mut self, line: Envelope, limits: &Limits) -> bool {
        self.bytes += line.bytes();
        self.lines.push_back(line);
        while self.lines.len() > limits.lines_per_app || self.bytes > limits.bytes_per_app {
            let Some(oldest) = self.lines.pop_front() else { break };
            self.bytes -= oldest.bytes();
        }
        !self.lines.is_empty()
    }

    fn keep_metric(
        &mut self,
        envelope: Envelope,
        metric: ContainerMetric,
        now: Time,
        limits: &Limits,
    ) -> bool {
        let index = metric.instance_index;
        if !self.metrics.contains_key(&index) && self.metrics.len() >= limits.instances_per_app {
            self.forget_outdated(now, limits);
            if self.metrics.len() >= limits.instances_per_app {
                return false;
            }
        }
        self.bytes += envelope.bytes();
        if let Some(older) = self.metrics.insert(index, Measured { arrived: now, envelope }) {
            self.bytes -= older.envelope.bytes();
        }
        true
    }

    fn forget_outdated(&mut self, now: Time, limits: &Limits) {
        let bytes = &mut self.bytes;
        self.metrics.retain(|_, measured| {
            let is_fresh = now.since(measured.arrived) < limits.metric_ttl;
            if !is_fresh {
                *bytes -= measured.envelope.bytes();
            }
            is_fresh
        });
    }
}

#[cfg(test)]
mod tests;
