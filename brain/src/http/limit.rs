//! Bounds on what is under way at once. Reaching one is said aloud: in the log, with the amounts,
//! and to whom it concerns.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tracing::warn;

/// The log is told at most so often that a limit is reached.
const SAID_EVERY: Duration = Duration::from_secs(10);

/// So many may be under way at once. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Limit(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    what: &'static str,
    max: usize,
    room: Arc<Semaphore>,
    unsaid: Mutex<Unsaid>,
}

#[derive(Debug, Default)]
struct Unsaid {
    times: u64,
    said_at: Option<Instant>,
}

// === impl Limit ===

impl Limit {
    /// At most `max` of these (`requests in flight`).
    pub(crate) fn new(what: &'static str, max: usize) -> Self {
        let room = Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS)));
        Self(Arc::new(Shared { what, max, room, unsaid: Mutex::default() }))
    }

    /// Enters when there is room; the place is given back with the permit. Else the words for who
    /// has to stay outside.
    pub(crate) fn enter(&self) -> Result<OwnedSemaphorePermit, String> {
        Arc::clone(&self.0.room).try_acquire_owned().map_err(|_| {
            self.say();
            let Shared { what, max, .. } = self.0.as_ref();
            format!("there are {max} {what}, which is the most; try again in a moment")
        })
    }

    /// Waits until there is room.
    pub(crate) async fn wait(&self) -> OwnedSemaphorePermit {
        if let Ok(permit) = Arc::clone(&self.0.room).try_acquire_owned() {
            return permit;
        }
        self.say();
        let room = Arc::clone(&self.0.room).acquire_owned();
        room.await.expect("the semaphore is never closed")
    }

    fn say(&self) {
        let mut unsaid = self.0.unsaid.lock().unwrap_or_else(PoisonError::into_inner);
        unsaid.times += 1;
        if unsaid.said_at.is_none_or(|at| at.elapsed() >= SAID_EVERY) {
            let Unsaid { times, .. } =
                std::mem::replace(&mut *unsaid, Unsaid { times: 0, said_at: Some(Instant::now()) });
            warn!(limit = self.0.what, max = self.0.max, times, "a limit is reached");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_finds_no_room_is_told_the_amount_and_room_comes_back() {
        let limit = Limit::new("doors", 1);
        let inside = limit.enter().unwrap();
        let words = "there are 1 doors, which is the most; try again in a moment";
        assert_eq!(limit.enter().map(drop), Err(words.to_owned()));
        let waiting = tokio::spawn({
            let limit = limit.clone();
            async move { limit.wait().await }
        });
        drop(inside);
        let inside = waiting.await.unwrap();
        assert!(limit.enter().is_err());
        drop(inside);
        assert!(limit.enter().is_ok());
    }
}
