//! What could not be removed: when it is tried again, and what people are told of it; pure.

use core::time::Duration;
use std::collections::BTreeMap;

use crate::runtime::ContainerId;

/// How many times the first pause the longest is.
const GROWTH_MAX: u32 = 64;
/// Of how many people are told one by one.
const TOLD_MAX: usize = 8;

/// What could not be removed yet.
#[derive(Debug)]
pub struct Stuck {
    first_pause: Duration,
    found: BTreeMap<ContainerId, Failure>,
}

#[derive(Debug, Default)]
struct Failure {
    count: u32,
    why: String,
}

// === impl Stuck ===

impl Stuck {
    /// Nothing is; what will be is tried again after this pause, and then after one twice as long.
    pub fn new(first_pause: Duration) -> Self {
        Self { first_pause, found: BTreeMap::new() }
    }

    /// It could not be removed; returns when to try again.
    pub fn failed(&mut self, id: &ContainerId, why: &str) -> Duration {
        let failure = self.found.entry(id.clone()).or_default();
        let growth = 2_u32.saturating_pow(failure.count).min(GROWTH_MAX);
        *failure = Failure { count: failure.count.saturating_add(1), why: why.to_owned() };
        self.first_pause.saturating_mul(growth)
    }

    /// Nothing is left of it.
    pub fn removed(&mut self, id: &ContainerId) {
        self.found.remove(id);
    }

    /// What people are told.
    pub fn warnings(&self) -> Vec<String> {
        let tell = |(id, failure): (&ContainerId, &Failure)| {
            let why = &failure.why;
            format!("container {id} cannot be removed: {why}; that is tried again by itself")
        };
        let mut told: Vec<String> = self.found.iter().take(TOLD_MAX).map(tell).collect();
        if let more @ 1.. = self.found.len().saturating_sub(TOLD_MAX) {
            told.push(format!("{more} more containers cannot be removed either"));
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> ContainerId {
        ContainerId::new(name)
    }

    #[test]
    fn what_stays_is_tried_ever_more_seldom_and_never_given_up() {
        let mut stuck = Stuck::new(Duration::from_secs(1));
        let pauses: Vec<u64> = (0..9).map(|_| stuck.failed(&id("a"), "busy").as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 64, 64]);
        assert_eq!(stuck.failed(&id("b"), "busy"), Duration::from_secs(1), "each by itself");
        stuck.removed(&id("a"));
        assert_eq!(stuck.failed(&id("a"), "busy"), Duration::from_secs(1), "it is another one");
    }

    #[test]
    fn people_are_told_of_each_with_the_last_reason_and_of_many_how_many() {
        let mut stuck = Stuck::new(Duration::from_secs(1));
        stuck.failed(&id("a"), "no such thing");
        stuck.failed(&id("a"), "device is busy");
        let told = "container a cannot be removed: device is busy; that is tried again by itself";
        assert_eq!(stuck.warnings(), [told]);
        for n in 0..10 {
            stuck.failed(&id(&format!("b{n}")), "device is busy");
        }
        let warnings = stuck.warnings();
        assert_eq!(warnings.len(), TOLD_MAX + 1);
        assert_eq!(warnings[TOLD_MAX], "3 more containers cannot be removed either");
        stuck.removed(&id("a"));
        assert!(!stuck.warnings().contains(&told.to_owned()));
    }
}
