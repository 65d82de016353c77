//! How others reach the actor.

use std::sync::Arc;

use lattice_api::brain::{BrainError, Version};
use lattice_model::{ErrorName, Refusal, Time};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};

use super::{Release, Request, Secret};
use crate::board::{Answer, Board, Command};
use crate::config::Config;
use crate::custom_domains::{CustomDomains, Shelf};
use crate::dispatch::{Keyring, Scout};
use crate::events::Hub;

/// The brain, for people ([`lattice_api::brain::Receptor`]) and for cells
/// ([`lattice_api::brain::Bbs`]). Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    requests: mpsc::Sender<Request>,
    pub(super) hub: Hub,
    pub(super) scout: Scout,
    pub(crate) shelf: Shelf,
    pub(super) keyring: Keyring,
    pub(super) standing: Arc<Standing>,
}

/// What never changes while a brain runs, and is told.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    pub(super) version: Version,
    pub(super) platform_hosts: Vec<String>,
    pub(super) serves_https: bool,
    pub(super) orders_certificates: bool,
}

/// What happens to a request when the queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// It is refused: people and tools.
    Refuse,
    /// It waits: cells and the brain's own tasks, of which there are few.
    Wait,
}

// === impl Standing ===

impl Standing {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            version: config.version.clone(),
            platform_hosts: config.platform_hosts.clone(),
            serves_https: config.serves_https,
            orders_certificates: config.orders_certificates,
        }
    }
}

// === impl Handle ===

impl Handle {
    pub(super) fn new(
        requests: mpsc::Sender<Request>,
        (hub, scout): (Hub, Scout),
        (shelf, keyring): (Shelf, Keyring),
        standing: Standing,
    ) -> Self {
        Self { requests, hub, scout, shelf, keyring, standing: Arc::new(standing) }
    }

    /// The certificates for hosts of people's own, now and as they change.
    pub fn follow_custom_domains(&self) -> watch::Receiver<CustomDomains> {
        self.shelf.follow()
    }

    pub(crate) async fn apply(
        &self,
        command: Command,
        patience: Patience,
    ) -> Result<Answer, BrainError> {
        let (reply, answer) = oneshot::channel();
        self.send(Request::Apply(Box::new(command), reply), patience).await?;
        answer.await.map_err(|_| stopping())?
    }

    pub(crate) async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Board, Time) -> T + Send + 'static,
        patience: Patience,
    ) -> Result<T, BrainError> {
        let (reply, answer) = oneshot::channel();
        let look = move |board: &Board, now: Time| -> Release {
            let seen = look(board, now);
            Box::new(move |committed| {
                let _ = reply.send(committed.map(|()| seen));
            })
        };
        self.send(Request::Read(Box::new(look)), patience).await?;
        answer.await.map_err(|_| stopping())?
    }

    pub(crate) async fn keep(&self, secret: Secret, patience: Patience) -> Result<(), BrainError> {
        let (reply, answer) = oneshot::channel();
        self.send(Request::Keep(Box::new(secret), reply), patience).await?;
        answer.await.map_err(|_| stopping())?.map(|_| ())
    }

    async fn send(&self, request: Request, patience: Patience) -> Result<(), BrainError> {
        match patience {
            Patience::Wait => self.requests.send(request).await.map_err(|_| stopping()),
            Patience::Refuse => self.requests.try_send(request).map_err(|error| match error {
                TrySendError::Closed(_) => stopping(),
                TrySendError::Full(_) => self.full(),
            }),
        }
    }

    fn full(&self) -> BrainError {
        let max = self.requests.max_capacity();
        let message = format!("{max} requests wait already, which is the most; try again later");
        BrainError::Refused(Refusal::new(ErrorName::TooManyRequests, message))
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

fn stopping() -> BrainError {
    let (url, cause) = ("the brain in this process".to_owned(), "it is stopping".to_owned());
    BrainError::Unreachable { url, cause }
}
