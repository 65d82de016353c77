//! What the board wants done, until it is taken. Each item is held once, so that it is never larger
//! than the board itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lattice_model::{CellId, DesiredLrp, InstanceGuid, InstanceKey, LrpKey, Task, TaskGuid};
use tokio::sync::Notify;

use crate::auction::{Batch, Item, LrpAuction, TaskAuction};
use crate::board::Effect;

/// Effects on their way. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Outbox(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    held: Mutex<Held>,
    auctions: Notify,
    orders: Notify,
    notices: Notify,
}

#[derive(Debug, Default)]
struct Held {
    gathered: Gathered,
    orders: BTreeMap<CellId, Orders>,
    notices: BTreeSet<TaskGuid>,
}

/// What one cell is to end.
#[derive(Debug, Default)]
struct Orders {
    stops: BTreeMap<InstanceGuid, (LrpKey, InstanceKey)>,
    cancels: BTreeSet<TaskGuid>,
}

/// What wants a place, and the capacity round it was sent out with.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    pub(crate) lrps: BTreeMap<LrpKey, (Arc<DesiredLrp>, u64)>,
    pub(crate) tasks: BTreeMap<TaskGuid, (Arc<Task>, u64)>,
    /// Instances that stay up on a cell until these run; that is where they must not go.
    pub(crate) leaving: BTreeMap<LrpKey, CellId>,
    /// Cells that get nothing.
    pub(crate) draining: BTreeSet<CellId>,
}

/// An order to a cell.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Stop the instance.
    Stop(LrpKey, InstanceKey),
    /// End the task.
    Cancel(TaskGuid),
}

// === impl Outbox ===

impl Outbox {
    pub(crate) fn put(&self, effects: Vec<Effect>) {
        if effects.is_empty() {
            return;
        }
        let mut held = self.held();
        for effect in effects {
            match effect {
                Effect::AuctionLrp { key, lrp, round } => {
                    held.gathered.lrps.insert(key, (lrp, round));
                    self.0.auctions.notify_one();
                }
                Effect::AuctionTask { task, round } => {
                    let guid = task.definition.task_guid.clone();
                    held.gathered.tasks.insert(guid, (task, round));
                    self.0.auctions.notify_one();
                }
                Effect::StopInstance { key, instance } => {
                    let orders = held.orders.entry(instance.cell_id.clone()).or_default();
                    orders.stops.insert(instance.instance_guid.clone(), (key, instance));
                    self.0.orders.notify_one();
                }
                Effect::CancelTask { guid, cell_id } => {
                    held.orders.entry(cell_id).or_default().cancels.insert(guid);
                    self.0.orders.notify_one();
                }
                Effect::NotifyOwner(guid) => {
                    held.notices.insert(guid);
                    self.0.notices.notify_one();
                }
            }
        }
    }

    pub(crate) async fn has_auctions(&self) {
        self.0.auctions.notified().await;
    }

    pub(crate) async fn has_orders(&self) {
        self.0.orders.notified().await;
    }

    pub(crate) async fn has_notices(&self) {
        self.0.notices.notified().await;
    }

    pub(crate) fn take_auctions(&self) -> Gathered {
        std::mem::take(&mut self.held().gathered)
    }

    /// The orders of all cells but these, which are busy with earlier ones.
    pub(crate) fn take_orders(&self, busy: &BTreeSet<CellId>) -> BTreeMap<CellId, Vec<Order>> {
        let mut held = self.held();
        let free = held.orders.extract_if(.., |cell, _| !busy.contains(cell));
        free.map(|(cell, orders)| (cell, orders.listed())).collect()
    }

    pub(crate) fn take_notices(&self) -> BTreeSet<TaskGuid> {
        std::mem::take(&mut self.held().notices)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Gathered ===

impl Gathered {
    pub(crate) fn is_empty(&self) -> bool {
        self.lrps.is_empty() && self.tasks.is_empty()
    }

    pub(crate) fn batch(&self) -> Batch {
        let lrp = |(key, (lrp, _)): (&LrpKey, &(Arc<DesiredLrp>, u64))| LrpAuction {
            key: key.clone(),
            lrp: Arc::clone(lrp),
        };
        let task = |(task, _): &(Arc<Task>, u64)| TaskAuction { task: Arc::clone(task) };
        Batch {
            lrps: self.lrps.iter().map(lrp).collect(),
            tasks: self.tasks.values().map(task).collect(),
        }
    }

    /// Makes all of it as old as what is known of the cells, where it is younger: a failure then
    /// counts as stale when capacity has appeared since.
    pub(crate) fn date_back_to(&mut self, round: u64) {
        let lrps = self.lrps.values_mut().map(|(_, of)| of);
        lrps.chain(self.tasks.values_mut().map(|(_, of)| of)).for_each(|of| *of = round.min(*of));
    }

    pub(crate) fn round_of(&self, item: &Item) -> u64 {
        let round = match item {
            Item::Lrp(key) => self.lrps.get(key).map(|(_, round)| *round),
            Item::Task(guid) => self.tasks.get(guid).map(|(_, round)| *round),
        };
        round.unwrap_or_default()
    }
}

// === impl Orders ===

impl Orders {
    fn listed(self) -> Vec<Order> {
        let stops = self.stops.into_values().map(|(key, instance)| Order::Stop(key, instance));
        stops.chain(self.cancels.into_iter().map(Order::Cancel)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{instance, key, lrp, task, tg};

    fn auction(guid: &str, round: u64) -> Effect {
        let lrp = Arc::new(lrp(guid, 1, 1));
        Effect::AuctionLrp { key: key(guid, 0), lrp, round }
    }

    #[tokio::test]
    async fn each_item_is_held_once_in_its_newest_form() {
        let outbox = Outbox::default();
        outbox.put(vec![auction("a", 1), auction("b", 1), auction("a", 2)]);
        outbox.put(vec![Effect::AuctionTask { task: task("t", 1), round: 3 }]);
        outbox.has_auctions().await;
        let gathered = outbox.take_auctions();
        assert_eq!((gathered.lrps.len(), gathered.tasks.len()), (2, 1));
        assert_eq!(gathered.round_of(&Item::Lrp(key("a", 0))), 2);
        assert_eq!(gathered.round_of(&Item::Task(tg("t"))), 3);
        assert_eq!(gathered.round_of(&Item::Task(tg("other"))), 0);
        assert!(outbox.take_auctions().is_empty());
    }

    #[test]
    fn what_came_after_the_cells_were_asked_is_as_old_as_their_answers() {
        let outbox = Outbox::default();
        outbox.put(vec![auction("old", 1), auction("young", 3)]);
        let mut gathered = outbox.take_auctions();
        gathered.date_back_to(2);
        assert_eq!(gathered.round_of(&Item::Lrp(key("old", 0))), 1);
        assert_eq!(gathered.round_of(&Item::Lrp(key("young", 0))), 2);
    }

    #[tokio::test]
    async fn orders_and_notices_go_their_own_ways() {
        let outbox = Outbox::default();
        let stop = || Effect::StopInstance { key: key("a", 0), instance: instance("i", "c") };
        let (guid, cell_id) = (tg("t"), crate::testing::cell_id("d"));
        let cancel = Effect::CancelTask { guid: guid.clone(), cell_id };
        outbox.put(vec![stop(), stop(), cancel, Effect::NotifyOwner(guid)]);
        outbox.has_orders().await;
        let busy = BTreeSet::from([crate::testing::cell_id("d")]);
        let orders = outbox.take_orders(&busy);
        assert_eq!(orders.keys().map(CellId::as_str).collect::<Vec<_>>(), ["c"]);
        assert_eq!(orders.values().flatten().count(), 1, "each is held once");
        let orders = outbox.take_orders(&BTreeSet::new());
        assert_eq!(orders.into_values().flatten().collect::<Vec<_>>(), [Order::Cancel(tg("t"))]);
        outbox.has_notices().await;
        assert_eq!(outbox.take_notices().len(), 1);
        assert!(outbox.take_orders(&BTreeSet::new()).is_empty());
    }
}
