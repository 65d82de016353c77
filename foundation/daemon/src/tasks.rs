//! Named tasks and their common end.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, error, info_span};

/// Spawns named tasks that end together. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    shutdown: CancellationToken,
    tracker: TaskTracker,
}

impl Tasks {
    /// Tells when to end.
    pub fn shutdown(&self) -> &CancellationToken {
        &self.shutdown
    }

    /// Runs a task that must live as long as the server; its end before shutdown is a fault that
    /// shuts everything down, so that nothing runs on half alive.
    pub fn critical<F>(&self, name: &'static str, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let shutdown = self.shutdown.clone();
        let guard = shutdown.clone().drop_guard();
        let task = async move {
            let _guard = guard;
            future.await;
            if !shutdown.is_cancelled() {
                error!(task = name, "critical task ended; shutting down");
            }
        };
        self.tracker.spawn(task.instrument(info_span!("task", name)));
    }

    /// Runs a task that may end when its work is done; shutdown waits for it.
    pub fn spawn<F>(&self, name: &'static str, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tracker.spawn(future.instrument(info_span!("task", name)));
    }

    /// Asks all tasks to end and waits; false when some had not ended in time.
    pub async fn end(&self, patience: Duration) -> bool {
        self.shutdown.cancel();
        self.tracker.close();
        tokio::time::timeout(patience, self.tracker.wait()).await.is_ok()
    }
}
