//! Who is told next: so many owners at once, so many of one host, and every host in its turn. Pure.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use lattice_model::TaskGuid;

/// Where an owner is told, `HOST:PORT`.
pub(super) type Host = String;

/// How many are told at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLimits {
    /// In all.
    pub total_max: usize,
    /// On one host, so that a slow one holds up its own only.
    pub per_host_max: usize,
}

/// Tasks whose owners wait to be told, and those that are being told.
#[derive(Debug)]
pub(super) struct Queue {
    limits: QueueLimits,
    hosts: BTreeMap<Host, Line>,
    /// Hosts with somebody waiting and room, each once, in turn.
    ready: VecDeque<Host>,
    waiting: BTreeSet<TaskGuid>,
    /// True for those that are to be told of again.
    under_way: BTreeMap<TaskGuid, bool>,
}

#[derive(Debug, Default)]
struct Line {
    waiting: VecDeque<TaskGuid>,
    under_way: usize,
}

// === impl Queue ===

impl Queue {
    pub(super) fn new(limits: QueueLimits) -> Self {
        let (hosts, ready) = (BTreeMap::new(), VecDeque::new());
        Self { limits, hosts, ready, waiting: BTreeSet::new(), under_way: BTreeMap::new() }
    }

    /// Takes a task in, unless it waits already; one that is being told of comes again afterwards.
    pub(super) fn push(&mut self, host: Host, guid: TaskGuid) {
        if let Some(again) = self.under_way.get_mut(&guid) {
            *again = true;
            return;
        }
        if !self.waiting.insert(guid.clone()) {
            return;
        }
        let line = self.hosts.entry(host.clone()).or_default();
        line.waiting.push_back(guid);
        if line.waiting.len() == 1 && line.under_way < self.limits.per_host_max {
            self.ready.push_back(host);
        }
    }

    /// The next to be told, when there is room; it stays under way until it is [`Self::done`].
    pub(super) fn next(&mut self) -> Option<(Host, TaskGuid)> {
        if self.under_way.len() >= self.limits.total_max {
            return None;
        }
        let host = self.ready.pop_front()?;
        let line = self.hosts.get_mut(&host)?;
        let guid = line.waiting.pop_front()?;
        line.under_way += 1;
        self.waiting.remove(&guid);
        self.under_way.insert(guid.clone(), false);
        if !line.waiting.is_empty() && line.under_way < self.limits.per_host_max {
            self.ready.push_back(host.clone());
        }
        Some((host, guid))
    }

    /// The owner has been told, or cannot be.
    pub(super) fn done(&mut self, host: Host, guid: TaskGuid) {
        let again = self.under_way.remove(&guid);
        self.leave(host.clone());
        if again == Some(true) {
            self.push(host, guid);
        }
    }

    fn leave(&mut self, host: Host) {
        let Some(line) = self.hosts.get_mut(&host) else { return };
        let was_full = line.under_way >= self.limits.per_host_max;
        line.under_way = line.under_way.saturating_sub(1);
        if line.waiting.is_empty() && line.under_way == 0 {
            self.hosts.remove(&host);
        } else if !line.waiting.is_empty() && was_full {
            self.ready.push_back(host);
        }
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::tg;

    const LIMITS: QueueLimits = QueueLimits { total_max: 3, per_host_max: 2 };

    fn queue(items: &[(&str, &str)]) -> Queue {
        let mut queue = Queue::new(LIMITS);
        items.iter().for_each(|(host, guid)| queue.push((*host).to_owned(), tg(guid)));
        queue
    }

    fn taken(queue: &mut Queue) -> Vec<String> {
        std::iter::from_fn(|| queue.next()).map(|(_, guid)| guid.to_string()).collect()
    }

    #[test]
    fn a_host_with_many_owners_leaves_room_for_the_others() {
        let mut queue = queue(&[("a", "1"), ("a", "2"), ("a", "3"), ("b", "4"), ("c", "5")]);
        assert_eq!(taken(&mut queue), ["1", "4", "5"], "in turn, three at once");
        assert_eq!(queue.waiting(), 2);
        queue.done("b".to_owned(), tg("4"));
        queue.done("c".to_owned(), tg("5"));
        assert_eq!(taken(&mut queue), ["2"], "two of one host");
        queue.done("a".to_owned(), tg("1"));
        assert_eq!(taken(&mut queue), ["3"]);
        assert_eq!(queue.waiting(), 0);
    }

    #[test]
    fn nobody_is_told_twice_at_once() {
        let mut queue = queue(&[("a", "1"), ("a", "1")]);
        assert_eq!(taken(&mut queue), ["1"]);
        queue.push("a".to_owned(), tg("1"));
        assert_eq!(taken(&mut queue), [""; 0]);
        queue.done("a".to_owned(), tg("1"));
        assert_eq!(taken(&mut queue), ["1"], "but again afterwards");
        queue.done("a".to_owned(), tg("1"));
        assert_eq!(taken(&mut queue), [""; 0]);
    }

    proptest! {
        #[test]
        fn everyone_is_told_once_and_no_bound_is_passed(
            steps in prop::collection::vec((any::<bool>(), 0..4_u8), 1..200),
        ) {
            let (mut queue, mut under_way) = (Queue::new(LIMITS), VecDeque::new());
            let (mut pushed, mut told) = (0, 0);
            let take = |queue: &mut Queue, under_way: &mut VecDeque<(Host, TaskGuid)>| {
                while let Some(next) = queue.next() {
                    under_way.push_back(next);
                }
                assert!(under_way.len() <= LIMITS.total_max);
                for (host, _) in &*under_way {
                    let same = under_way.iter().filter(|(other, _)| other == host).count();
                    assert!(same <= LIMITS.per_host_max);
                }
            };
            for (is_new, host) in steps {
                if is_new {
                    queue.push(host.to_string(), tg(&format!("t{pushed}")));
                    pushed += 1;
                } else if let Some((host, guid)) = under_way.pop_front() {
                    queue.done(host, guid);
                    told += 1;
                }
                take(&mut queue, &mut under_way);
            }
            while let Some((host, guid)) = under_way.pop_front() {
                queue.done(host, guid);
                told += 1;
                take(&mut queue, &mut under_way);
            }
            prop_assert_eq!(told, pushed);
            prop_assert!(queue.hosts.is_empty() && queue.ready.is_empty());
        }
    }
}
