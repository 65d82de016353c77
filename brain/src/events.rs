//! Tells readers what changed, in order, and those who missed something that they did.
//!
//! There is one history, bounded by count and bytes, and each reader is but a place in it. So a
//! slow one costs nothing, and loses nothing but its own place.

mod weight;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt as _;
use futures_util::stream;
use lattice_api::brain::{EventId, EventStream, Lost, SequencedEvent};
use lattice_model::Event;
use tokio::sync::watch;

/// A reader takes at most so many at once out of the history.
const TAKEN_MAX: usize = 16;

/// Where events are published and read. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Hub(Arc<Shared>);

/// Bounds of the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryLimits {
    /// The most events.
    pub events_max: usize,
    /// The most bytes, by estimate; the last event is kept whatever its size.
    pub bytes_max: usize,
}

#[derive(Debug)]
struct Shared {
    log: Arc<Mutex<Log>>,
    last: watch::Sender<u64>,
}

/// What has been told in this life of the brain.
#[derive(Debug)]
struct Log {
    limits: HistoryLimits,
    life: u64,
    last: u64,
    bytes: usize,
    history: VecDeque<Entry>,
}

#[derive(Debug)]
struct Entry {
    event: Arc<Event>,
    bytes: usize,
}

/// One reader: what it has been told, and what it is about to be.
struct Reader {
    log: Arc<Mutex<Log>>,
    last: watch::Receiver<u64>,
    told: u64,
    ready: VecDeque<SequencedEvent>,
}

// === impl Hub ===

impl Hub {
    /// A hub for this life of the brain.
    pub fn new(life: u64, limits: HistoryLimits) -> Self {
        let log = Log { limits, life, last: 0, bytes: 0, history: VecDeque::new() };
        Self(Arc::new(Shared { log: Arc::new(Mutex::new(log)), last: watch::Sender::new(0) }))
    }

    /// Tells everyone.
    pub fn publish(&self, events: impl IntoIterator<Item = Event>) {
        let mut log = locked(&self.0.log);
        for event in events {
            log.push(event);
        }
        self.0.last.send_replace(log.last);
    }

    /// What changes from now on, or from after `after` on; begins with a mark. A reader that asks
    /// for what is not kept, or that falls behind, is told to list everything again.
    pub fn subscribe(&self, after: Option<EventId>) -> EventStream {
        let log = locked(&self.0.log);
        let told = after.map_or(Ok(log.last), |after| log.place_of(after));
        let first = match told {
            Ok(told) => SequencedEvent::Mark(log.id(told)),
            Err(why) => SequencedEvent::Resync { id: log.id(log.last), why },
        };
        let reader = Reader {
            log: Arc::clone(&self.0.log),
            last: self.0.last.subscribe(),
            told: told.unwrap_or(log.last),
            ready: [first].into(),
        };
        stream::unfold(reader, Reader::next).map(Ok).fuse().boxed()
    }

    /// How many listen.
    pub fn readers(&self) -> usize {
        self.0.last.receiver_count()
    }
}

fn locked(log: &Mutex<Log>) -> MutexGuard<'_, Log> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Log ===

impl Log {
    fn push(&mut self, event: Event) {
        let bytes = weight::of(&event);
        self.last += 1;
        self.bytes += bytes;
        self.history.push_back(Entry { event: Arc::new(event), bytes });
        let HistoryLimits { events_max, bytes_max } = self.limits;
        while self.history.len() > 1
            && (self.history.len() > events_max || self.bytes > bytes_max)
            && let Some(oldest) = self.history.pop_front()
        {
            self.bytes -= oldest.bytes;
        }
    }

    fn id(&self, sequence: u64) -> EventId {
        EventId { life: self.life, sequence }
    }

    /// The newest event that is not kept any more.
    fn forgotten(&self) -> u64 {
        self.last - self.history.len() as u64
    }

    /// Where a reader stands that has been told everything up to `after`.
    fn place_of(&self, after: EventId) -> Result<u64, Lost> {
        if after.life != self.life || after.sequence > self.last {
            Err(Lost::OtherLife)
        } else if after.sequence < self.forgotten() {
            Err(Lost::HistoryGone)
        } else {
            Ok(after.sequence)
        }
    }

    /// Some of what came after `told`.
    fn after(&self, told: u64) -> VecDeque<SequencedEvent> {
        let forgotten = self.forgotten();
        let Some(skipped) = told.checked_sub(forgotten) else {
            return [SequencedEvent::Resync { id: self.id(self.last), why: Lost::TooSlow }].into();
        };
        let entries = (told + 1..).zip(self.history.iter().skip(skipped as usize));
        let event = |(sequence, entry): (u64, &Entry)| SequencedEvent::Event {
            id: self.id(sequence),
            event: Arc::clone(&entry.event),
        };
        entries.take(TAKEN_MAX).map(event).collect()
    }
}

// === impl Reader ===

impl Reader {
    /// The next item; none when the brain has ended and all of it was told.
    async fn next(mut self) -> Option<(SequencedEvent, Self)> {
        if self.ready.is_empty() {
            let told = self.told;
            self.last.wait_for(|last| *last > told).await.ok()?;
            self.ready = locked(&self.log).after(told);
        }
        let item = self.ready.pop_front()?;
        self.told = item.id().sequence;
        Some((item, self))
    }
}

#[cfg(test)]
mod tests;
