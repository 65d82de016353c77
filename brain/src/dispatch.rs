//! The only caller of cells: holds auctions over what has gathered, hands out the work, and
//! delivers orders to stop.
//!
//! No cell waits for another. An auction waits for those that have not answered only so long as
//! the `roster` says; a cell that owes an answer gets no work until it gives one, but what it was
//! last known to hold still counts for the balance of the zones.

mod keyring;
mod orders;
mod outbox;
mod roster;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join_all};
use lattice_api::cell::{CellError, LrpWork, Refused, RepConnector, TaskWork, Work, WorkItem};
use lattice_model::actual_lrp::PlacementError;
use lattice_model::{CellId, CellPresence, InstanceGuid, LrpKey};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::actor::{Handle, Patience};
use crate::auction::{Failure, Item, Outcome, Policy};
use crate::board::{Board, Command, FailedPlacement};
use crate::moves;

pub use keyring::Keyring;
use outbox::Gathered;
pub use outbox::Outbox;
use roster::{Grace, Heard, News, Roster, Seen};

/// When a cell that got work did not answer.
const NO_ANSWER: &str = "unable to communicate to compatible cells";

/// Calls cells.
pub(crate) struct Dispatcher {
    pub(crate) handle: Handle,
    pub(crate) outbox: Outbox,
    pub(crate) keyring: Keyring,
    pub(crate) reps: Arc<dyn RepConnector>,
    pub(crate) policy: Policy,
    pub(crate) timeout: Duration,
}

// === impl Dispatcher ===

impl Dispatcher {
    /// Holds auctions until the end. Each is over what arrived while the last one was held.
    pub(crate) async fn hold_auctions(self: Arc<Self>, end: CancellationToken) {
        let mut roster = Roster::default();
        loop {
            let turn = async {
                tokio::select! {
                    () = self.outbox.has_auctions() => self.hold_auction(&mut roster).await,
                    // From a cell that was too late for its auction.
                    news = roster.next() => news,
                }
            };
            tokio::select! {
                () = end.cancelled() => return,
                news = turn => self.tell(news).await,
            }
        }
    }

    async fn hold_auction(self: &Arc<Self>, roster: &mut Roster) -> News {
        // Capacity that appears from here on may be missing in what the cells say.
        let round = self.handle.read(|board, _| board.capacity_round(), Patience::Wait).await;
        let presences = self.presences().await;
        roster.keep(&presences);
        let mut news = News::default();
        if roster.is_all_busy() {
            news.absorb(roster.next().await);
        }
        let asked = roster.idle();
        for cell in &asked {
            roster.ask(cell, self.ask(presences[cell].clone()));
        }
        news.absorb(roster.listen(&asked, Grace::AfterTheFirst).await);
        // Only now, so that what arrived meanwhile rides along.
        let mut gathered = self.still_wanted(self.outbox.take_auctions()).await;
        gathered.date_back_to(round.unwrap_or_default());
        if gathered.is_empty() {
            return news;
        }
        let Seen { states, is_complete } = roster.seen(&gathered.draining);
        let (batch, leaving, policy) = (gathered.batch(), gathered.leaving.clone(), self.policy);
        let decide = move || moves::hold_apart(states, &batch, &leaving, &policy);
        // It is work for the processor, and others wait for this thread.
        let Ok(mut outcome) = tokio::task::spawn_blocking(decide).await else {
            error!("the auction broke off; convergence asks for another");
            return news;
        };
        info!(
            placed = outcome.placed.len(),
            failed = outcome.failed.len(),
            deferred = outcome.deferred.len(),
            "auction held"
        );
        for failure in &mut outcome.failed {
            // One that was not asked may be the one that could.
            failure.is_impossible &= is_complete;
        }
        let told = self.hand_out(&gathered, &outcome, roster, &presences);
        news.absorb(roster.listen(&told, Grace::Now).await);
        self.report(&gathered, outcome).await;
        news
    }

    fn ask(self: &Arc<Self>, presence: CellPresence) -> BoxFuture<'static, Heard> {
        let this = Arc::clone(self);
        let asking = async move {
            let cell = presence.cell_id.clone();
            let state = match this.reps.connect(&presence) {
                Some(rep) => this.within(&cell, rep.state()).await,
                None => Err(no_way_to(&cell)),
            };
            let state = state.and_then(|state| {
                if state.presence.cell_id == cell {
                    return Ok(state);
                }
                let cause = format!("it says that it is {}", state.presence.cell_id);
                Err(CellError::Unhealthy { cell: cell.to_string(), cause })
            });
            Heard::State(cell, state.map(Box::new))
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
            gathered.lrps.retain(|key, _| board.is_unclaimed(key));
            gathered.tasks.retain(|guid, _| board.is_pending(guid));
            gathered.draining = board.draining().map(|draining| draining.cell_id).collect();
            // What leaves a drained cell cannot go back anyway.
            let leaves = |key: &LrpKey| {
                let left = board
                    .leaves(&key.process_guid, key.index)
                    .filter(|cell| !board.is_draining(cell))?;
                Some((key.clone(), left))
            };
            gathered.leaving = gathered.lrps.keys().filter_map(leaves).collect();
            gathered
        };
        self.handle.read(look, Patience::Wait).await.unwrap_or_default()
    }

    /// Gives each cell its work, all at once; returns who got any.
    fn hand_out(
        self: &Arc<Self>,
        gathered: &Gathered,
        outcome: &Outcome,
        roster: &mut Roster,
        presences: &BTreeMap<CellId, CellPresence>,
    ) -> Vec<CellId> {
        let mut works: BTreeMap<CellId, Work> = BTreeMap::new();
        for (item, cell) in &outcome.placed {
            let work = works.entry(cell.clone()).or_default();
            self.add(work, gathered, item);
        }
        let cells = works.keys().cloned().collect();
        for (cell, work) in works {
            let presence = presences.get(&cell).cloned();
            let giving = Arc::clone(self).give(cell.clone(), presence, work.clone(), gathered);
            roster.give(&cell, &work, giving);
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
        let rounds = rounds(&work, gathered);
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

    fn add(&self, work: &mut Work, gathered: &Gathered, item: &Item) {
        match item {
            Item::Lrp(key) => {
                let Some((lrp, _)) = gathered.lrps.get(key) else { return };
                let guid = uuid::Uuid::new_v4().to_string();
                let instance_guid = InstanceGuid::new(guid).expect("a UUID is a guid");
                work.lrps.push(LrpWork {
                    key: key.clone(),
                    instance_guid,
                    lrp: Arc::clone(lrp),
                    credentials: self.keyring.for_images(&lrp.containers),
                });
            }
            Item::Task(guid) => {
                let Some((task, _)) = gathered.tasks.get(guid) else { return };
                work.tasks.push(TaskWork {
                    task: Arc::clone(task),
                    credentials: self.keyring.for_images(&task.definition.containers),
                });
            }
        }
    }

    /// What was not taken, and why.
    async fn perform(
        &self,
        cell: &CellId,
        presence: Option<CellPresence>,
        work: Work,
    ) -> Vec<Refused> {
        let items = items(&work);
        let answer = match presence.and_then(|presence| self.reps.connect(&presence)) {
            Some(rep) => self.within(cell, rep.perform(work)).await,
            None => Err(no_way_to(cell)),
        };
        match answer {
            Ok(refused) => refused.into_iter().map(|one| with_reason(one, cell)).collect(),
            Err(cause) => {
                warn!(%cell, %cause, items = items.len(), "work not handed out");
                // It may have taken some of it all the same; its claims will then stand.
                let reason = format!("{NO_ANSWER}: {cause}");
                items.into_iter().map(|item| Refused { item, reason: reason.clone() }).collect()
            }
        }
    }

    /// Tells the board what the auction did not place.
    async fn report(&self, gathered: &Gathered, outcome: Outcome) {
        let failed = outcome.failed.into_iter().map(|Failure { item, error, is_impossible }| {
            let round = gathered.round_of(&item);
            FailedPlacement { item, error, is_impossible, round }
        });
        self.apply_all(failed.map(Command::FailPlacement)).await;
        if !outcome.deferred.is_empty() {
            self.apply_all([Command::DeferPlacement(outcome.deferred)]).await;
        }
    }

    /// Tells the board what cells did not take; another may, so that is found out soon.
    async fn tell(&self, news: News) {
        let items: Vec<Item> = news.refused.iter().map(|(one, _)| item_of(&one.item)).collect();
        if items.is_empty() && !news.is_capacity_back {
            return;
        }
        let failed = news.refused.into_iter().map(|(Refused { item, reason }, round)| {
            let (reason, detail) = match reason.split_once(": ") {
                Some((reason, detail)) if reason == NO_ANSWER => (reason.into(), detail.into()),
                _ => (reason, String::new()),
            };
            let error = PlacementError { reason, detail };
            FailedPlacement { item: item_of(&item), error, is_impossible: false, round }
        });
        self.apply_all(failed.map(Command::FailPlacement)).await;
        self.apply_all([Command::DeferPlacement(items)]).await;
    }

    async fn apply_all(&self, commands: impl IntoIterator<Item = Command>) {
        let told = commands.into_iter().map(|command| async move {
            if let Err(refusal) = self.handle.apply(command, Patience::Wait).await {
                // It was claimed, removed or cancelled meanwhile.
                debug!(%refusal, "placement is no longer awaited");
            }
        });
        join_all(told).await;
    }

    async fn within<T>(
        &self,
        cell: &CellId,
        call: impl Future<Output = Result<T, CellError>>,
    ) -> Result<T, CellError> {
        match timeout(self.timeout, call).await {
            Ok(answer) => answer,
            Err(_) => {
                let cause = format!("no answer within {} s", self.timeout.as_secs());
                Err(CellError::Unreachable { cell: cell.to_string(), cause })
            }
        }
    }
}

fn items(work: &Work) -> Vec<WorkItem> {
    let lrps = work.lrps.iter().map(|work| WorkItem::Lrp(work.key.clone()));
    let task = |work: &TaskWork| WorkItem::Task(work.task.definition.task_guid.clone());
    lrps.chain(work.tasks.iter().map(task)).collect()
}

/// The round that each item of the work was sent out with.
fn rounds(work: &Work, gathered: &Gathered) -> BTreeMap<Item, u64> {
    let all = items(work).into_iter().map(|item| item_of(&item));
    all.map(|item| (item.clone(), gathered.round_of(&item))).collect()
}

fn item_of(item: &WorkItem) -> Item {
    match item {
        WorkItem::Lrp(key) => Item::Lrp(key.clone()),
        WorkItem::Task(guid) => Item::Task(guid.clone()),
    }
}

/// A refusal always has a reason.
fn with_reason(mut refused: Refused, cell: &CellId) -> Refused {
    if refused.reason.trim().is_empty() {
        refused.reason = format!("cell {cell} refused the work and gave no reason");
    }
    refused
}

fn no_way_to(cell: &CellId) -> CellError {
    let cause = "no way to it is known".to_owned();
    CellError::Unreachable { cell: cell.to_string(), cause }
}
