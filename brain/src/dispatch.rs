//! The only caller of cells: holds auctions over what has gathered, hands out the work, and
//! delivers orders to stop.
//!
//! No cell waits for another. An auction waits for those that have not answered only so long as
//! the `roster` says; a cell that owes an answer gets no work until it gives one, but what it was
//! last known to hold still counts for the balance of the zones.

mod calls;
pub mod gathered;
mod keyring;
mod orders;
mod outbox;
pub mod roster;
mod scout;

use std::collections::{BTreeMap, BTreeSet};
use std::mem::discriminant;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join_all};
use lattice_api::cell::{Refused, Work};
use lattice_model::{CellId, CellPresence, InstanceGuid};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::actor::{Handle, Patience};
use crate::auction::Outcome;
use crate::board::{Board, Command};
use calls::Calls;
use gathered::{Gathered, item_of, items, returns, unanswered};
use roster::{Grace, Heard, News, Seen};
use scout::no_way_to;

pub(crate) use keyring::Kept;
pub use keyring::Keyring;
pub use outbox::Outbox;
pub use scout::Scout;

/// Calls cells.
pub(crate) struct Dispatcher {
    pub(crate) handle: Handle,
    pub(crate) outbox: Outbox,
    pub(crate) keyring: Keyring,
    pub(crate) scout: Scout,
}

// === impl Dispatcher ===

impl Dispatcher {
    /// Holds auctions until the end. Each is over what arrived while the last one was held.
    pub(crate) async fn hold_auctions(self: Arc<Self>, end: CancellationToken) {
        let mut calls = Calls::new();
        loop {
            let turn = async {
                tokio::select! {
                    () = self.outbox.has_auctions() => self.hold_auction(&mut calls).await,
                    // From a cell that was too late for its auction.
                    news = calls.next() => news,
                }
            };
            tokio::select! {
                () = end.cancelled() => return,
                news = turn => self.apply_all(returns(news.refused, news.is_capacity_back)).await,
            }
        }
    }

    async fn hold_auction(self: &Arc<Self>, calls: &mut Calls) -> News {
        // Capacity that appears from here on may be missing in what the cells say.
        let round = self.handle.read(|board, _| board.capacity_round(), Patience::Wait).await;
        let presences = self.presences().await;
        calls.roster.keep(&presences.keys().cloned().collect());
        let mut news = News::default();
        if calls.roster.is_all_busy() {
            news.absorb(calls.next().await);
        }
        let asked = calls.roster.idle();
        for cell in &asked {
            calls.ask(cell, self.ask(presences[cell].clone()));
        }
        news.absorb(calls.listen(asked, Grace::AfterTheFirst).await);
        // Only now, so that what arrived meanwhile rides along.
        let mut gathered = self.still_wanted(self.outbox.take_auctions()).await;
        gathered.date_back_to(round.unwrap_or_default());
        if gathered.is_empty() {
            return news;
        }
        let now = calls.now();
        let Seen { states, is_complete } = calls.roster.seen(gathered.draining(), now);
        let gathered = Arc::new(gathered);
        let (batch, policy) = (Arc::clone(&gathered), self.scout.policy);
        let decide = move || batch.hold(states, is_complete, &policy);
        // It is work for the processor, and others wait for this thread.
        let Ok(outcome) = tokio::task::spawn_blocking(decide).await else {
            error!("the auction broke off; convergence asks for another");
            return news;
        };
        info!(
            placed = outcome.placed.len(),
            failed = outcome.failed.len(),
            deferred = outcome.deferred.len(),
            "auction held"
        );
        let told = self.hand_out(&gathered, &outcome, calls, &presences);
        news.absorb(calls.listen(told, Grace::Now).await);
        self.apply_all(gathered.reports(outcome)).await;
        news
    }

    fn ask(self: &Arc<Self>, presence: CellPresence) -> BoxFuture<'static, Heard> {
        let scout = self.scout.clone();
        let asking = async move {
            let state = scout.state(&presence).await;
            let state =
                state.inspect_err(|cause| warn!(%cause, "a cell is left out of the auction"));
            Heard::State(presence.cell_id, state.ok().map(Box::new))
        };
        asking.boxed()
    }

    async fn presences(&self) -> BTreeMap<CellId, CellPresence> {
        // An error means that the brain is stopping.
        let cells = self.handle.read(|board, _| board.cells(), Patience::Wait).await;
        let named = |presence: CellPresence| (presence.cell_id.clone(), presence);
        cells.unwrap_or_default().into_iter().map(named).collect()
    }

    async fn still_wanted(&self, mut gathered: Gathered) -> Gathered {
        let look = move |board: &Board, _| {
            gathered.keep_wanted(board);
            gathered
        };
        self.handle.read(look, Patience::Wait).await.unwrap_or_default()
    }

    /// Gives each cell its work, all at once; returns who got any.
    fn hand_out(
        self: &Arc<Self>,
        gathered: &Gathered,
        outcome: &Outcome,
        calls: &mut Calls,
        presences: &BTreeMap<CellId, CellPresence>,
    ) -> BTreeSet<CellId> {
        let name = || {
            let guid = uuid::Uuid::new_v4().to_string();
            InstanceGuid::new(guid).expect("a UUID is a guid")
        };
        let works = gathered.works(outcome, name, |containers| self.keyring.for_images(containers));
        let cells = works.keys().cloned().collect();
        for (cell, work) in works {
            let presence = presences.get(&cell).cloned();
            let giving = Arc::clone(self).give(cell.clone(), presence, work.clone(), gathered);
            calls.give(&cell, &work, giving);
        }
        cells
    }

    fn give(
        self: Arc<Self>,
        cell: CellId,
        presence: Option<CellPresence>,
        work: Work,
        gathered: &Gathered,
    ) -> BoxFuture<'static, Heard> {
        let rounds = gathered.rounds(&work);
        let giving = async move {
            let refused = self.perform(&cell, presence, work).await;
            let dated = |one: Refused| {
                let round = rounds.get(&item_of(&one.item)).copied();
                (one, round.unwrap_or_default())
            };
            Heard::Performed(cell, refused.into_iter().map(dated).collect())
        };
        giving.boxed()
    }

    /// What was not taken, and why.
    async fn perform(
        &self,
        cell: &CellId,
        presence: Option<CellPresence>,
        work: Work,
    ) -> Vec<Refused> {
        let items = items(&work);
        let answer = match presence.and_then(|presence| self.scout.reps.connect(&presence)) {
            Some(rep) => self.scout.within(cell, rep.perform(work)).await,
            None => Err(no_way_to(cell)),
        };
        match answer {
            Ok(refused) => refused.into_iter().map(|one| with_reason(one, cell)).collect(),
            Err(cause) => {
                warn!(%cell, %cause, items = items.len(), "work not handed out");
                unanswered(items, &cause.to_string())
            }
        }
    }

    /// One kind of command after the other; those of a kind all at once.
    async fn apply_all(&self, commands: Vec<Command>) {
        let is_kin = |a: &Command, b: &Command| discriminant(a) == discriminant(b);
        for kin in commands.chunk_by(is_kin) {
            let told = kin.iter().cloned().map(|command| async move {
                if let Err(refusal) = self.handle.apply(command, Patience::Wait).await {
                    // It was claimed, removed or cancelled meanwhile.
                    debug!(%refusal, "placement is no longer awaited");
                }
            });
            join_all(told).await;
        }
    }
}

/// A refusal always has a reason.
fn with_reason(mut refused: Refused, cell: &CellId) -> Refused {
    if refused.reason.trim().is_empty() {
        refused.reason = format!("cell {cell} refused the work and gave no reason");
    }
    refused
}
