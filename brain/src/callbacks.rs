//! Tells the owners of tasks how they ended (B.6): each gets the whole task, as the Receptor writes
//! it. Who answers has been told, whatever the answer, unless it says that it is unavailable for
//! now. Nothing of the answer is read but its status, and no redirect is followed.

mod queue;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use lattice_api::brain::bodies::TaskResponse;
use lattice_model::{Task, TaskGuid, TaskState};
use reqwest::{Client, StatusCode, Url, redirect};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::actor::{Handle, Patience};
use crate::board::Command;
use crate::dispatch::Outbox;

pub use queue::QueueLimits;
use queue::{Host, Queue};

/// How often an owner that is unavailable is tried before convergence's turn comes.
const TRIES_MAX: u32 = 3;

/// Tells owners.
pub(crate) struct Callbacks {
    handle: Handle,
    outbox: Outbox,
    client: Client,
    limits: QueueLimits,
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
        limits: QueueLimits,
    ) -> Result<Self, reqwest::Error> {
        let client =
            Client::builder().timeout(timeout).redirect(redirect::Policy::none()).build()?;
        Ok(Self { handle, outbox, client, limits })
    }

    /// Tells owners until the end; those being told then are told again by the next life.
    pub(crate) async fn run(self, end: CancellationToken) {
        let this = Arc::new(self);
        let mut queue = Queue::new(this.limits);
        let mut under_way = JoinSet::new();
        let mut places = HashMap::new();
        let mut is_held_up = false;
        loop {
            while let Some((host, guid)) = queue.next() {
                let (this, of) = (Arc::clone(&this), guid.clone());
                let place = under_way.spawn(async move { this.tell(&of).await }).id();
                places.insert(place, (host, guid));
            }
            this.say_whether_held_up(queue.waiting(), &mut is_held_up);
            tokio::select! {
                () = end.cancelled() => return,
                () = this.outbox.has_notices() => {
                    for guid in this.outbox.take_notices() {
                        if let Some(host) = this.host_of(&guid).await {
                            queue.push(host, guid);
                        }
                    }
                }
                Some(told) = under_way.join_next_with_id() => {
                    let place = told.map_or_else(|panic| panic.id(), |(place, ())| place);
                    if let Some((host, guid)) = places.remove(&place) {
                        queue.done(host, guid);
                    }
                }
            }
        }
    }

    fn say_whether_held_up(&self, waiting: usize, is_held_up: &mut bool) {
        if waiting > 0 && !*is_held_up {
            let QueueLimits { total_max, per_host_max } = self.limits;
            warn!(waiting, total_max, per_host_max, "owners of tasks wait to be told");
        }
        *is_held_up = waiting > 0;
    }

    /// Where the task's owner is told; none when there is no such task any more.
    async fn host_of(&self, guid: &TaskGuid) -> Option<Host> {
        let guid = guid.clone();
        let read = self.handle.read(move |board, _| board.task(&guid), Patience::Wait);
        let url = read.await.ok()?.ok()?.definition.completion_callback_url;
        let url = Url::parse(&url).ok()?;
        Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?))
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
