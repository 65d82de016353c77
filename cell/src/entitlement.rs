//! What each instance has of the machine's cores while all want theirs: as much as its shares are of
//! all that were given out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The shares of an app with the full weight, and the fewest that a kernel takes.
const FULL: u64 = 1024;
const MIN: u64 = 2;

/// All shares that were given out.
#[derive(Debug)]
pub(crate) struct Entitlements {
    cores: usize,
    given: Arc<AtomicU64>,
}

/// An instance's own; they are given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    own: u64,
    given: Arc<AtomicU64>,
}

/// The shares of a container with this weight, from 1 to 100; 0 is the full weight.
pub(crate) fn shares(weight: u32) -> u64 {
    match u64::from(weight) {
        0 => FULL,
        weight => (FULL * weight / 100).max(MIN),
    }
}

// === impl Entitlements ===

impl Entitlements {
    /// None was given yet.
    pub(crate) fn of_this_machine() -> Self {
        Self::of(std::thread::available_parallelism().map_or(1, usize::from))
    }

    fn of(cores: usize) -> Self {
        Self { cores, given: Arc::default() }
    }

    /// Gives out so many.
    pub(crate) fn claim(&self, own: u64) -> Claim {
        self.given.fetch_add(own, Ordering::Relaxed);
        Claim { own, given: Arc::clone(&self.given) }
    }

    /// What so many of the shares that were given out are worth now, in percent of one core.
    pub(crate) fn percentage_of(&self, own: u64) -> f64 {
        let given = self.given.load(Ordering::Relaxed).max(own).max(1);
        100.0 * self.cores as f64 * own as f64 / given as f64
    }
}

// === impl Claim ===

impl Drop for Claim {
    fn drop(&mut self) {
        self.given.fetch_sub(self.own, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_go_with_the_weight_and_never_below_what_a_kernel_takes() {
        for (weight, expected) in [(0, 1024), (100, 1024), (50, 512), (1, 10)] {
            assert_eq!(shares(weight), expected, "{weight}");
        }
    }

    #[test]
    fn all_cores_belong_to_those_who_are_there_by_their_shares() {
        let cores = Entitlements::of(4);
        let _one = cores.claim(1024);
        assert_eq!(cores.percentage_of(1024), 400.0, "it is alone");
        let other = cores.claim(3 * 1024);
        assert_eq!((cores.percentage_of(1024), cores.percentage_of(3 * 1024)), (100.0, 300.0));
        drop(other);
        assert_eq!(cores.percentage_of(1024), 400.0);
        assert_eq!(cores.percentage_of(0), 0.0);
    }
}
