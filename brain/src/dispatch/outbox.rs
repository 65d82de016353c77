//! What the board wants done, until it is taken. Each item is held once, so that it is never larger
//! than the board itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lattice_model::{CellId, InstanceGuid, InstanceKey, LrpKey, TaskGuid};
use tokio::sync::Notify;

use super::gathered::Gathered;
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
                    held.gathered.add_lrp(key, lrp, round);
                    self.0.auctions.notify_one();
                }
                Effect::AuctionTask { task, round } => {
                    held.gathered.add_task(task, round);
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
        assert_eq!(gathered.items().count(), 3);
        assert!(outbox.take_auctions().is_empty());
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
