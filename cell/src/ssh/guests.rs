//! How many people are in each container: what holds it has connections for so many, and some it
//! needs for the cell itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::runtime::ContainerId;

/// The most that people do in one container at once, in processes.
pub(super) const GUESTS_MAX: usize = 64;

/// Those of all containers. Clones are the same ones.
#[derive(Debug, Clone, Default)]
pub(super) struct Guests {
    counts: Arc<Mutex<BTreeMap<ContainerId, usize>>>,
}

/// A place in a container; whoever drops it leaves.
#[derive(Debug)]
pub(super) struct Ticket {
    guests: Guests,
    container: ContainerId,
}

// === impl Guests ===

impl Guests {
    /// A place for one more, if there is one.
    pub(super) fn admit(&self, container: &ContainerId) -> Option<Ticket> {
        let mut counts = self.counts();
        let count = counts.entry(container.clone()).or_default();
        if *count >= GUESTS_MAX {
            return None;
        }
        *count += 1;
        Some(Ticket { guests: self.clone(), container: container.clone() })
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<ContainerId, usize>> {
        // A number is whole whatever else panicked.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Ticket ===

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut counts = self.guests.counts();
        let Some(count) = counts.get_mut(&self.container) else { return };
        *count -= 1;
        if *count == 0 {
            counts.remove(&self.container);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_container_has_places_for_so_many_and_whoever_leaves_makes_one() {
        let guests = Guests::default();
        let (a, b) = (ContainerId::new("a"), ContainerId::new("b"));
        let mut tickets: Vec<Ticket> = std::iter::from_fn(|| guests.admit(&a)).collect();
        assert_eq!(tickets.len(), GUESTS_MAX);
        let other = guests.admit(&b).expect("another container has its own places");
        tickets.pop();
        tickets.extend(guests.admit(&a));
        assert_eq!(tickets.len(), GUESTS_MAX);
        assert!(guests.admit(&a).is_none());
        drop((tickets, other));
        assert!(guests.counts().is_empty(), "nothing is remembered of who left");
    }
}
