//! The only caller of cells: holds auctions over what has gathered, hands out the work, and
//! delivers orders to stop.

mod keyring;
mod outbox;
mod scout;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream;
use lattice_api::cell::{LrpWork, Refused, TaskWork, Work, WorkItem};
use lattice_model::actual_lrp::PlacementError;
use lattice_model::{CellId, CellPresence, InstanceGuid};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::actor::{Handle, Patience};
use crate::auction::{self, Failure, Item, Outcome};
use crate::board::{Command, FailedPlacement};

pub use keyring::Keyring;
pub use outbox::Outbox;
use outbox::{Gathered, Order};
pub use scout::Scout;
use scout::no_way_to;

/// Orders under way at once.
const ORDERS_PARALLEL: usize = 64;
/// When a cell that got work did not answer.
const NO_ANSWER: &str = "unable to communicate to compatible cells";

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
        loop {
            tokio::select! {
                () = end.cancelled() => return,
                () = self.outbox.has_auctions() => {}
            }
            tokio::select! {
                () = end.cancelled() => return,
                () = self.hold_auction() => {}
            }
        }
    }

    /// Delivers orders until the end.
    pub(crate) async fn deliver_orders(self: Arc<Self>, end: CancellationToken) {
        loop {
            tokio::select! {
                () = end.cancelled() => return,
                () = self.outbox.has_orders() => {}
            }
            let orders = self.outbox.take_orders();
            let presences = self.presences().await;
            let deliveries = orders.into_iter().map(|order| {
                let presence = presences.get(order.cell()).cloned();
                self.deliver(order, presence)
            });
            let deliveries = stream::iter(deliveries).buffer_unordered(ORDERS_PARALLEL);
            tokio::select! {
                () = end.cancelled() => return,
                () = deliveries.for_each(|()| std::future::ready(())) => {}
            }
        }
    }

    async fn hold_auction(&self) {
        // Capacity that appears from here on may be missing in what the cells say.
        let round = self.handle.read(|board, _| board.capacity_round(), Patience::Wait).await;
        let states = self.scout.states(self.presences().await.into_values()).await;
        // Only now, so that what arrived meanwhile rides along.
        let mut gathered = self.still_wanted(self.outbox.take_auctions()).await;
        gathered.date_back_to(round.unwrap_or_default());
        if gathered.is_empty() {
            return;
        }
        let outcome = auction::hold(&states, &gathered.batch(), &self.scout.policy);
        info!(
            placed = outcome.placed.len(),
            failed = outcome.failed.len(),
            deferred = outcome.deferred.len(),
            "auction held"
        );
        let refused = self.hand_out(&gathered, &outcome).await;
        self.report(&gathered, outcome, refused).await;
    }

    async fn presences(&self) -> BTreeMap<CellId, CellPresence> {
        // An error means that the brain is stopping.
        let cells = self.handle.read(|board, _| board.cells(), Patience::Wait).await;
        let named = |presence: CellPresence| (presence.cell_id.clone(), presence);
        cells.unwrap_or_default().into_iter().map(named).collect()
    }

    async fn still_wanted(&self, mut gathered: Gathered) -> Gathered {
        let look = move |board: &crate::board::Board, _| {
            gathered.lrps.retain(|key, _| board.is_unclaimed(key));
            gathered.tasks.retain(|guid, _| board.is_pending(guid));
            gathered
        };
        self.handle.read(look, Patience::Wait).await.unwrap_or_default()
    }

    /// Gives each cell its work; all cells at once. Returns what was not taken, and why.
    async fn hand_out(&self, gathered: &Gathered, outcome: &Outcome) -> Vec<Refused> {
        let presences = self.presences().await;
        let mut works: BTreeMap<CellId, Work> = BTreeMap::new();
        for (item, cell) in &outcome.placed {
            let work = works.entry(cell.clone()).or_default();
            self.add(work, gathered, item);
        }
        let handed = works.into_iter().map(|(cell, work)| {
            let presence = presences.get(&cell);
            self.perform(cell, presence, work)
        });
        join_all(handed).await.into_iter().flatten().collect()
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

    async fn perform(
        &self,
        cell: CellId,
        presence: Option<&CellPresence>,
        work: Work,
    ) -> Vec<Refused> {
        let items = items(&work);
        let answer = match presence.and_then(|presence| self.scout.reps.connect(presence)) {
            Some(rep) => self.scout.within(&cell, rep.perform(work)).await,
            None => Err(no_way_to(&cell)),
        };
        match answer {
            Ok(refused) => refused.into_iter().map(|one| with_reason(one, &cell)).collect(),
            Err(cause) => {
                warn!(%cell, %cause, items = items.len(), "work not handed out");
                // It may have taken some of it all the same; its claims will then stand.
                let reason = format!("{NO_ANSWER}: {cause}");
                items.into_iter().map(|item| Refused { item, reason: reason.clone() }).collect()
            }
        }
    }

    async fn report(&self, gathered: &Gathered, outcome: Outcome, refused: Vec<Refused>) {
        let refusals = refused.into_iter().map(|Refused { item, reason }| {
            let item = match item {
                WorkItem::Lrp(key) => Item::Lrp(key),
                WorkItem::Task(guid) => Item::Task(guid),
            };
            let (reason, detail) = match reason.split_once(": ") {
                Some((reason, detail)) if reason == NO_ANSWER => (reason.into(), detail.into()),
                _ => (reason, String::new()),
            };
            Failure { item, error: PlacementError { reason, detail }, is_impossible: false }
        });
        let failures = outcome.failed.into_iter().chain(refusals);
        let failures = failures.map(|Failure { item, error, is_impossible }| {
            let round = gathered.round_of(&item);
            Command::FailPlacement(FailedPlacement { item, error, is_impossible, round })
        });
        let deferred =
            (!outcome.deferred.is_empty()).then_some(Command::DeferPlacement(outcome.deferred));
        let told = failures.chain(deferred).map(|command| async move {
            if let Err(refusal) = self.handle.apply(command, Patience::Wait).await {
                // It was claimed, removed or cancelled meanwhile.
                debug!(%refusal, "placement is no longer awaited");
            }
        });
        join_all(told).await;
    }

    async fn deliver(&self, order: Order, presence: Option<CellPresence>) {
        let cell = order.cell().clone();
        let Some(rep) = presence.and_then(|presence| self.scout.reps.connect(&presence)) else {
            warn!(%cell, "order not delivered: the cell is not there");
            return;
        };
        let delivered = match &order {
            Order::Stop(key, instance) => {
                self.scout.within(&cell, rep.stop_lrp(key, instance)).await
            }
            Order::Cancel(guid, _) => self.scout.within(&cell, rep.cancel_task(guid)).await,
        };
        if let Err(cause) = delivered {
            warn!(%cell, %cause, "order not delivered");
        }
    }
}

fn items(work: &Work) -> Vec<WorkItem> {
    let lrps = work.lrps.iter().map(|work| WorkItem::Lrp(work.key.clone()));
    let task = |work: &TaskWork| WorkItem::Task(work.task.definition.task_guid.clone());
    lrps.chain(work.tasks.iter().map(task)).collect()
}

/// A refusal always has a reason.
fn with_reason(mut refused: Refused, cell: &CellId) -> Refused {
    if refused.reason.trim().is_empty() {
        refused.reason = format!("cell {cell} refused the work and gave no reason");
    }
    refused
}
