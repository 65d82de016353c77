//! The one task that owns the board. It takes the requests that have gathered, applies them,
//! commits what came of it, and only then answers, publishes and releases effects.

mod bbs;
mod handle;
mod narrate;
mod receptor;

use std::sync::Arc;
use std::time::Duration;

use lattice_api::brain::{BrainError, PRESENCE_TTL_S};
use lattice_daemon::clock::Clock;
use lattice_model::{ErrorName, Refusal, RegistryCredentials, Time};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::board::{Answer, Applied, Board, Command, Effect, Write};
use crate::config::{Config, Limits};
use crate::custom_domains::{Change, Holdings, Shelf};
use crate::dispatch::{Kept, Keyring, Outbox, Scout};
use crate::events::Hub;
use crate::store::{StoreError, Writer};

pub use handle::Handle;
pub(crate) use handle::{Patience, Standing};

/// The most requests in one commit, so that none waits for long.
const BATCH_MAX: usize = 512;

/// What is asked of the actor.
pub(crate) enum Request {
    /// Changes the board.
    Apply(Box<Command>, oneshot::Sender<Result<Answer, BrainError>>),
    /// Looks at the board; what is to be told is told after the commit that made what was seen.
    Read(Look),
    /// Keeps, or forgets, what is not the board's.
    Keep(Box<Secret>, oneshot::Sender<Result<Answer, BrainError>>),
}

/// What is kept beside the board, and shown to nobody who asks for lists.
#[derive(Debug, Clone)]
pub(crate) enum Secret {
    /// What a registry demands.
    Credentials(RegistryCredentials),
    /// That is not wanted of this registry any more.
    NoCredentials(String),
    /// Of hosts of people's own.
    Host(Change),
}

/// A look at the board, and how to tell what was seen.
pub(crate) type Look = Box<dyn FnOnce(&Board, Time) -> Release + Send>;

/// Answers a request, once it is known whether the commit came about.
pub(crate) type Release = Box<dyn FnOnce(Result<(), BrainError>) + Send>;

/// What the actor works with.
pub(crate) struct Parts {
    pub(crate) writer: Writer,
    pub(crate) hub: Hub,
    pub(crate) outbox: Outbox,
    pub(crate) keyring: Keyring,
    pub(crate) shelf: Shelf,
    pub(crate) scout: Scout,
    pub(crate) clock: Arc<dyn Clock>,
}

/// The owner of the board.
pub(crate) struct Actor {
    board: Board,
    parts: Parts,
    requests: mpsc::Receiver<Request>,
    limits: Limits,
    convergence_interval: Duration,
}

/// What one turn has gathered.
#[derive(Default)]
struct Turn {
    applied: Applied,
    releases: Vec<Release>,
    /// What will be kept of registries.
    registries: Option<Kept>,
    /// What will be kept of hosts of people's own.
    holdings: Option<Holdings>,
}

// === impl Actor ===

impl Actor {
    pub(crate) fn new(board: Board, parts: Parts, config: &Config) -> (Self, Handle) {
        let (sender, requests) = mpsc::channel(config.limits.commands_queued_max.max(1));
        let (hub, scout) = (parts.hub.clone(), parts.scout.clone());
        let shelf = parts.shelf.clone();
        let kept = (shelf, parts.keyring.clone());
        let handle = Handle::new(sender, (hub, scout), kept, Standing::of(config));
        let actor = Self {
            board,
            parts,
            requests,
            limits: config.limits.clone(),
            convergence_interval: config.timeouts.convergence_interval,
        };
        (actor, handle)
    }

    /// Serves until the end is near and the queue empty, or the store fails for good.
    pub(crate) async fn run(mut self, end: CancellationToken) {
        self.serve(end).await;
        self.parts.writer.end().await;
    }

    async fn serve(&mut self, end: CancellationToken) {
        // Cells get time to report before anything is concluded from their silence.
        let first = Instant::now() + Duration::from_secs(PRESENCE_TTL_S);
        let mut safety_net = interval_at(first, self.convergence_interval);
        safety_net.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let mut requests = Vec::new();
            let mut is_full_look = false;
            let mut is_ending = false;
            let until_due = self.until_due();
            tokio::select! {
                count = self.requests.recv_many(&mut requests, BATCH_MAX) => {
                    is_ending = count == 0;
                }
                () = sleep(until_due.unwrap_or_default()), if until_due.is_some() => {}
                _ = safety_net.tick() => is_full_look = true,
                () = end.cancelled() => {
                    self.requests.close();
                    is_ending = self.requests.recv_many(&mut requests, BATCH_MAX).await == 0;
                }
            }
            if let Err(cause) = self.turn(requests, is_full_look).await {
                error!(%cause, "the store cannot be read any more");
                return;
            }
            if is_ending {
                return;
            }
            // Whoever was just answered may ask again before the next batch is closed: two batches
            // that take turns would make everyone wait for two commits.
            tokio::task::yield_now().await;
        }
    }

    fn until_due(&self) -> Option<Duration> {
        Some(self.board.next_due()?.since(self.parts.clock.now()))
    }

    async fn turn(&mut self, requests: Vec<Request>, is_full_look: bool) -> Result<(), StoreError> {
        let now = self.parts.clock.now();
        let mut turn = Turn::default();
        for request in requests {
            self.take(request, now, &mut turn);
        }
        if is_full_look {
            self.apply_own(Command::Converge, now, &mut turn);
        }
        if self.board.next_due().is_some_and(|due| due <= now) {
            self.apply_own(Command::Expire, now, &mut turn);
        }
        self.finish(turn).await
    }

    fn take(&mut self, request: Request, now: Time, turn: &mut Turn) {
        match request {
            Request::Apply(command, reply) => {
                let result = match self.board.apply(*command, now) {
                    Ok(applied) => {
                        let answer = applied.answer;
                        turn.applied.absorb(applied);
                        Ok(answer)
                    }
                    Err(refusal) => Err(BrainError::Refused(refusal)),
                };
                turn.releases.push(Box::new(move |committed| {
                    // Whoever does not wait for the answer any more does not need it.
                    let _ = reply.send(committed.and(result));
                }));
            }
            Request::Read(look) => turn.releases.push(look(&self.board, now)),
            Request::Keep(secret, reply) => {
                let result = self.keep(*secret, now, turn).map_err(BrainError::Refused);
                turn.releases.push(Box::new(move |committed| {
                    let _ = reply.send(committed.and(result).map(|()| Answer::Done));
                }));
            }
        }
    }

    fn keep(&self, secret: Secret, now: Time, turn: &mut Turn) -> Result<(), Refusal> {
        match secret {
            Secret::Credentials(credentials) => {
                turn.applied.writes.push(Write::PutCredentials(credentials.clone()));
                let registry = credentials.registry.clone();
                self.registries_of(turn).insert(registry, credentials);
            }
            Secret::NoCredentials(registry) => {
                if self.registries_of(turn).remove(&registry).is_none() {
                    let message = format!("no credentials are kept for the registry '{registry}'");
                    return Err(Refusal::new(ErrorName::RegistryNotFound, message));
                }
                turn.applied.writes.push(Write::DeleteCredentials(registry));
            }
            Secret::Host(change) => {
                let holdings = turn.holdings.get_or_insert_with(|| self.parts.shelf.holdings());
                turn.applied.writes.extend(holdings.apply(change, now)?);
            }
        }
        Ok(())
    }

    fn registries_of<'turn>(&self, turn: &'turn mut Turn) -> &'turn mut Kept {
        turn.registries.get_or_insert_with(|| Kept::clone(&self.parts.keyring.kept()))
    }

    fn apply_own(&mut self, command: Command, now: Time, turn: &mut Turn) {
        match self.board.apply(command, now) {
            Ok(applied) => turn.applied.absorb(applied),
            Err(refusal) => error!(%refusal, "the board refused its own upkeep"),
        }
    }

    /// Commits, and then lets everyone know.
    async fn finish(&mut self, turn: Turn) -> Result<(), StoreError> {
        let Turn { applied, releases, registries, holdings } = turn;
        let Applied { events, writes, effects, .. } = applied;
        if !writes.is_empty()
            && let Err(cause) = self.parts.writer.commit(writes).await
        {
            error!(cause = %chain(&cause), "commit failed; reading the board from the store");
            let rebuilt = self.rebuild(&effects).await;
            for release in releases {
                release(Err(not_kept(&cause)));
            }
            return rebuilt;
        }
        if let Some(registries) = registries {
            self.parts.keyring.keep(registries);
        }
        if let Some(holdings) = holdings {
            self.parts.shelf.publish(holdings);
        }
        events.iter().for_each(narrate::narrate);
        self.parts.hub.publish(events);
        self.parts.outbox.put(effects);
        for release in releases {
            release(Ok(()));
        }
        Ok(())
    }

    async fn rebuild(&mut self, unreleased: &[Effect]) -> Result<(), StoreError> {
        let mut records = self.parts.writer.load().await?;
        records.credentials.clear();
        records.custom_domains.clear();
        records.enrolments.clear();
        records.acme_accounts.clear();
        let now = self.parts.clock.now();
        let seed = u64::from_be_bytes(rand::random());
        let mut board = Board::load(records, self.limits.clone(), seed, now);
        std::mem::swap(&mut self.board, &mut board);
        self.board.adopt_presences(board, unreleased);
        info!("board read from the store");
        Ok(())
    }
}

fn not_kept(cause: &StoreError) -> BrainError {
    let message = format!(
        "the store did not take the change, so nothing was changed: {}; check the disk of the \
         data directory, then try again",
        chain(cause)
    );
    BrainError::Refused(Refusal::new(ErrorName::UnknownError, message))
}

/// An error and what lies below it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(cause) = below {
        text = format!("{text}: {cause}");
        below = cause.source();
    }
    text
}

#[cfg(test)]
mod tests;
