//! Tells readers what changed, in order, and those who missed something that they did.
//!
//! Readers share one bounded ring, so that a slow one costs nothing but its own events.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt as _;
use futures_util::stream;
use lattice_api::brain::{EventStream, SequencedEvent};
use lattice_model::Event;
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;

type Entry = (u64, Arc<Event>);

/// Where events are published and read. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Hub(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    log: Mutex<Log>,
    kept_max: usize,
}

#[derive(Debug)]
struct Log {
    last: u64,
    history: VecDeque<Entry>,
    live: broadcast::Sender<Entry>,
}

// === impl Hub ===

impl Hub {
    /// A hub that keeps this many events for readers that come back, and lets live readers fall as
    /// far behind.
    pub fn new(kept_max: usize) -> Self {
        let kept_max = kept_max.max(1);
        let (live, _) = broadcast::channel(kept_max);
        let log = Mutex::new(Log { last: 0, history: VecDeque::new(), live });
        Self(Arc::new(Shared { log, kept_max }))
    }

    /// Tells everyone.
    pub fn publish(&self, events: impl IntoIterator<Item = Event>) {
        let mut log = self.log();
        for event in events {
            log.last += 1;
            let entry = (log.last, Arc::new(event));
            if log.history.len() == self.0.kept_max {
                log.history.pop_front();
            }
            log.history.push_back(entry.clone());
            // An error means that nobody listens just now.
            let _ = log.live.send(entry);
        }
    }

    /// What changes from now on, or from after `after` on. A reader that asks for what is not kept
    /// any more, or that falls behind, is told to list everything again.
    pub fn subscribe(&self, after: Option<u64>) -> EventStream {
        let log = self.log();
        let live = BroadcastStream::new(log.live.subscribe()).map(|entry| match entry {
            Ok((sequence, event)) => SequencedEvent::Event { sequence, event },
            Err(_) => SequencedEvent::Resync,
        });
        let missed = match after {
            None => Vec::new(),
            Some(after) => log.since(after).unwrap_or_else(|| vec![SequencedEvent::Resync]),
        };
        stream::iter(missed).chain(live).map(Ok).boxed()
    }

    /// How many listen.
    pub fn readers(&self) -> usize {
        self.log().live.receiver_count()
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.0.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Log ===

impl Log {
    /// Everything after `after`; `None` when that is not known any more, or not yet.
    fn since(&self, after: u64) -> Option<Vec<SequencedEvent>> {
        let oldest = self.history.front().map_or(self.last + 1, |(sequence, _)| *sequence);
        if after > self.last || after + 1 < oldest {
            return None;
        }
        let newer = self.history.iter().filter(|(sequence, _)| *sequence > after);
        let event = |(sequence, event): &Entry| SequencedEvent::Event {
            sequence: *sequence,
            event: Arc::clone(event),
        };
        Some(newer.map(event).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{lrp, task_record};

    fn event(name: &str) -> Event {
        Event::TaskCreated(Box::new(task_record(name)))
    }

    async fn take(stream: &mut EventStream, count: usize) -> Vec<Option<u64>> {
        let mut seen = Vec::new();
        while seen.len() < count {
            seen.push(match stream.next().await.unwrap().unwrap() {
                SequencedEvent::Event { sequence, .. } => Some(sequence),
                SequencedEvent::Resync => None,
            });
        }
        seen
    }

    #[tokio::test]
    async fn a_reader_sees_what_changes_from_its_arrival_on_in_order() {
        let hub = Hub::new(8);
        hub.publish([event("before")]);
        let mut reader = hub.subscribe(None);
        hub.publish([event("a"), Event::DesiredLrpCreated(Box::new(lrp("b", 1, 1)))]);
        assert_eq!(take(&mut reader, 2).await, [Some(2), Some(3)]);
        assert_eq!(hub.readers(), 1);
        drop(reader);
        assert_eq!(hub.readers(), 0);
    }

    #[tokio::test]
    async fn a_reader_that_comes_back_gets_what_it_missed_or_is_told_to_list_again() {
        let hub = Hub::new(4);
        hub.publish((0..6).map(|n| event(&format!("t{n}"))));
        for (after, expected) in [
            (6, vec![Some(7)]),
            (4, vec![Some(5), Some(6), Some(7)]),
            (2, vec![Some(3), Some(4), Some(5), Some(6), Some(7)]),
            (1, vec![None, Some(7)]),
            (0, vec![None, Some(7)]),
            (99, vec![None, Some(7)]),
        ] {
            let hub = Hub::new(4);
            hub.publish((0..6).map(|n| event(&format!("t{n}"))));
            let mut reader = hub.subscribe(Some(after));
            hub.publish([event("next")]);
            assert_eq!(take(&mut reader, expected.len()).await, expected, "{after}");
        }
    }

    #[tokio::test]
    async fn a_slow_reader_loses_its_own_events_only_and_is_told() {
        let hub = Hub::new(4);
        let (mut slow, mut quick) = (hub.subscribe(None), hub.subscribe(None));
        for n in 1..=10 {
            hub.publish([event("x")]);
            assert_eq!(take(&mut quick, 1).await, [Some(n)]);
        }
        let seen = take(&mut slow, 5).await;
        assert_eq!(seen[0], None);
        assert_eq!(seen.last(), Some(&Some(10)));
        assert_eq!(seen.len(), 5);
    }

    #[tokio::test]
    async fn a_first_reader_may_resume_from_the_very_beginning() {
        let hub = Hub::new(4);
        hub.publish([event("a")]);
        assert_eq!(take(&mut hub.subscribe(Some(0)), 1).await, [Some(1)]);
    }
}
