//! How running work is asked to end.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// Asks work to end, and says how long it may take. Cheap to clone; children end with their
/// parent, not the other way round.
#[derive(Debug, Clone)]
pub struct Cancel {
    token: CancellationToken,
    grace: Arc<Mutex<Duration>>,
}

// === impl Cancel ===

impl Cancel {
    /// Nothing is asked yet.
    pub fn new(grace: Duration) -> Self {
        Self { token: CancellationToken::new(), grace: Arc::new(Mutex::new(grace)) }
    }

    /// Ends with this one, and may be ended alone.
    pub fn child(&self) -> Self {
        Self { token: self.token.child_token(), grace: Arc::clone(&self.grace) }
    }

    /// Asks.
    pub fn cancel(&self) {
        self.token.cancel();
    }

    /// Agrees on another grace.
    pub fn set_grace(&self, grace: Duration) {
        *self.grace.lock().expect("no holder panics") = grace;
    }

    /// True when it was asked.
    pub fn is_cancelled(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Waits until it is asked.
    pub async fn cancelled(&self) {
        self.token.cancelled().await;
    }

    /// How long work may take to end.
    pub fn grace(&self) -> Duration {
        *self.grace.lock().expect("no holder panics")
    }
}
