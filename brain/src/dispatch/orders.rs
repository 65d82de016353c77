//! Orders to stop and to cancel: each cell gets its own, one batch after the other, and none waits
//! for another's.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::stream::{self, FuturesUnordered};
use futures_util::{StreamExt as _, TryStreamExt as _};
use lattice_api::cell::{CellError, Rep};
use lattice_model::{CellId, CellPresence};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::outbox::Order;
use super::{Dispatcher, no_way_to};

/// Orders to one cell under way at once.
const ORDERS_PARALLEL: usize = 16;

impl Dispatcher {
    /// Delivers orders until the end.
    pub(crate) async fn deliver_orders(self: Arc<Self>, end: CancellationToken) {
        let mut busy: BTreeSet<CellId> = BTreeSet::new();
        let mut deliveries = FuturesUnordered::new();
        loop {
            tokio::select! {
                () = end.cancelled() => return,
                () = self.outbox.has_orders() => {}
                Some(cell) = deliveries.next() => {
                    busy.remove(&cell);
                }
            }
            let orders = self.outbox.take_orders(&busy);
            if orders.is_empty() {
                continue;
            }
            let mut presences = self.presences().await;
            for (cell, orders) in orders {
                let presence = presences.remove(&cell);
                busy.insert(cell.clone());
                deliveries.push(self.deliver(cell, presence, orders));
            }
        }
    }

    /// Delivers these in any order. When one fails the rest is left: the cell is out of reach, and
    /// convergence asks again.
    async fn deliver(
        &self,
        cell: CellId,
        presence: Option<CellPresence>,
        orders: Vec<Order>,
    ) -> CellId {
        let count = orders.len();
        let delivered = match presence.and_then(|presence| self.reps.connect(&presence)) {
            Some(rep) => {
                let all = stream::iter(orders.into_iter().map(Ok));
                let each = |order| self.deliver_one(&cell, &*rep, order);
                all.try_for_each_concurrent(ORDERS_PARALLEL, each).await
            }
            None => Err(no_way_to(&cell)),
        };
        if let Err(cause) = delivered {
            warn!(%cell, %cause, orders = count, "orders not delivered");
        }
        cell
    }

    async fn deliver_one(
        &self,
        cell: &CellId,
        rep: &dyn Rep,
        order: Order,
    ) -> Result<(), CellError> {
        match &order {
            Order::Stop(key, instance) => self.within(cell, rep.stop_lrp(key, instance)).await,
            Order::Cancel(guid) => self.within(cell, rep.cancel_task(guid)).await,
        }
    }
}
