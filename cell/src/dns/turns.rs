//! How much may be under way for one instance, and for all.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Questions and connections under way for one instance; more are refused.
const PER_INSTANCE_MAX: usize = 32;
/// The same for all of them.
const ALL_MAX: usize = 256;

/// Who has how much under way.
#[derive(Debug, Clone, Default)]
pub(super) struct Turns(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A question or connection that is under way; its end makes room for another.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Turns,
    of: IpAddr,
}

// === impl Turns ===

impl Turns {
    /// One more, unless there are enough.
    pub(super) fn take(&self, of: IpAddr) -> Option<Turn> {
        let mut under_way = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = under_way.values().sum();
        let own = under_way.get(&of).copied().unwrap_or(0);
        if all >= ALL_MAX || own >= PER_INSTANCE_MAX {
            return None;
        }
        under_way.insert(of, own + 1);
        Some(Turn { turns: self.clone(), of })
    }
}

// === impl Turn ===

impl Drop for Turn {
    fn drop(&mut self) {
        let mut under_way = self.turns.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = under_way.get(&self.of).map_or(0, |own| own.saturating_sub(1));
        if left == 0 {
            under_way.remove(&self.of);
        } else {
            under_way.insert(self.of, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_instance_cannot_take_every_turn() {
        let turns = Turns::default();
        let address = |n: u8| IpAddr::from([10, 0, 0, n]);
        let greedy: Vec<Turn> = std::iter::from_fn(|| turns.take(address(1))).collect();
        assert_eq!(greedy.len(), PER_INSTANCE_MAX);
        let other = turns.take(address(2)).expect("others have theirs");
        drop(greedy);
        assert!(turns.take(address(1)).is_some());
        drop(other);
        assert!(turns.0.lock().unwrap().is_empty(), "who asks no more is forgotten");
    }

    #[test]
    fn all_together_have_a_limit() {
        let turns = Turns::default();
        let everyone = (0..=255).flat_map(|n| (0..PER_INSTANCE_MAX).map(move |_| n));
        let taken: Vec<Turn> =
            everyone.filter_map(|n| turns.take(IpAddr::from([10, 0, 0, n]))).collect();
        assert_eq!(taken.len(), ALL_MAX);
    }
}
