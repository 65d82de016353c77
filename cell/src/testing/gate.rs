//! Holds up whoever comes while it is shut, and counts those who are at it.

use std::sync::Mutex;

use tokio::sync::watch;

#[derive(Default)]
pub(crate) struct Gate {
    is_shut: watch::Sender<bool>,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    now: usize,
    most: usize,
}

/// Somebody who is at it until this is dropped.
struct Visit<'a>(&'a Gate);

impl Gate {
    pub(crate) fn shut(&self) {
        self.is_shut.send_replace(true);
    }

    pub(crate) fn open(&self) {
        self.is_shut.send_replace(false);
    }

    /// How many are at it.
    pub(crate) fn visitors(&self) -> usize {
        self.counts.lock().unwrap().now
    }

    /// How many have been at it at once.
    pub(crate) fn most(&self) -> usize {
        self.counts.lock().unwrap().most
    }

    /// Comes, waits until it is open, and goes.
    pub(crate) async fn pass(&self) {
        let _visit = self.enter();
        let mut is_shut = self.is_shut.subscribe();
        is_shut.wait_for(|is_shut| !is_shut).await.expect("this holds the sender");
    }

    fn enter(&self) -> Visit<'_> {
        let mut counts = self.counts.lock().unwrap();
        counts.now += 1;
        counts.most = counts.most.max(counts.now);
        Visit(self)
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        self.0.counts.lock().unwrap().now -= 1;
    }
}
