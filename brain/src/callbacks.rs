//! Tells the owners of tasks how they ended (B.6): each gets the whole task, as the Receptor writes
//! it. Who answers has been told, whatever the answer, unless it says that it is unavailable for
//! now.

use std::sync::Arc;
use std::time::Duration;

use lattice_api::brain::bodies::TaskResponse;
use lattice_daemon::tasks::Tasks;
use lattice_model::{Task, TaskGuid, TaskState};
use reqwest::{Client, StatusCode, redirect};
use tokio::sync::Semaphore;
use tracing::{debug, warn};

use crate::actor::{Handle, Patience};
use crate::board::Command;
use crate::dispatch::Outbox;

/// Owners being told at once.
const PARALLEL_MAX: usize = 32;
/// How often an owner that is unavailable is tried before convergence's turn comes.
const TRIES_MAX: u32 = 3;

/// Tells owners.
pub(crate) struct Callbacks {
    handle: Handle,
    outbox: Outbox,
    client: Client,
}

/// What came of one try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Try {
    Delivered,
    Unavailable,
    Failed,
}

// === impl Callbacks ===

impl Callbacks {
    pub(crate) fn new(
        handle: Handle,
        outbox: Outbox,
        timeout: Duration,
    ) -> Result<Self, reqwest::Error> {
        let client =
            Client::builder().timeout(timeout).redirect(redirect::Policy::none()).build()?;
        Ok(Self { handle, outbox, client })
    }

    /// Tells owners until the end.
    pub(crate) async fn run(self, tasks: Tasks) {
        let this = Arc::new(self);
        let room = Arc::new(Semaphore::new(PARALLEL_MAX));
        let end = tasks.shutdown().clone();
        loop {
            tokio::select! {
                () = end.cancelled() => return,
                () = this.outbox.has_notices() => {}
            }
            for guid in this.outbox.take_notices() {
                let permit = tokio::select! {
                    () = end.cancelled() => return,
                    permit = Arc::clone(&room).acquire_owned() => permit,
                };
                let (this, end) = (Arc::clone(&this), end.clone());
                tasks.spawn("brain-callback", async move {
                    let _permit = permit;
                    tokio::select! {
                        () = end.cancelled() => {}
                        () = this.tell(&guid) => {}
                    }
                });
            }
        }
    }

    async fn tell(&self, guid: &TaskGuid) {
        let resolve = Command::ResolveTask(guid.clone());
        if let Err(refusal) = self.handle.apply(resolve, Patience::Wait).await {
            debug!(%guid, %refusal, "nobody waits for the news of this task");
            return;
        }
        let id = guid.clone();
        let task = self.handle.read(move |board, _| board.task(&id), Patience::Wait).await;
        let Ok(Ok(task)) = task else { return };
        if self.deliver(&task).await {
            let delete = Command::DeleteTask(guid.clone());
            if let Err(refusal) = self.handle.apply(delete, Patience::Wait).await {
                debug!(%guid, %refusal, "task already deleted");
            }
        }
    }

    /// True when the owner has been told.
    async fn deliver(&self, task: &Task) -> bool {
        if !matches!(task.state, TaskState::Resolving(_)) {
            return false;
        }
        let (definition, notice) = (&task.definition, TaskResponse::from(task));
        for _ in 0..TRIES_MAX {
            match self.try_once(&definition.completion_callback_url, &notice).await {
                Try::Delivered => return true,
                Try::Failed => break,
                Try::Unavailable => {}
            }
        }
        warn!(guid = %definition.task_guid, "the owner of a task could not be told of its end");
        false
    }

    async fn try_once(&self, url: &str, notice: &TaskResponse<'_>) -> Try {
        match self.client.post(url).json(notice).send().await {
            Ok(answer) => match answer.status() {
                StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => Try::Unavailable,
                _ => Try::Delivered,
            },
            Err(cause) if cause.is_timeout() => Try::Unavailable,
            Err(_) => Try::Failed,
        }
    }
}

#[cfg(test)]
mod tests;
