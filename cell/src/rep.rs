//! The cell's face towards the brain and the appliance: [`Handle`].

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt as _, future, stream};
use lattice_api::cell::images::{ImageStock, PrunedImages};
use lattice_api::cell::usage::InstanceUsage;
use lattice_api::cell::{CellError, CellState, Refused, Rep, Work};
use lattice_model::{CellPresence, InstanceKey, LrpKey, ProcessGuid, TaskGuid};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::actor::Message;
use crate::images::ImageError;
use crate::metrics;
use crate::ssh::wanted::WantedInstance;
use crate::tools::Tools;
use crate::work::{self, Order, WorkId};

/// What stopping everything may take beyond the apps' own grace: SIGKILL, removal, the telling.
const STOP_ALL_EXTRA: Duration = Duration::from_secs(4);
/// Of how many instances is measured at once what they use.
const MEASURED_AT_ONCE: usize = 64;
/// How long saying goodbye may take.
const DEPART_PATIENCE: Duration = Duration::from_secs(1);

/// A running cell. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    pub(crate) owner: mpsc::Sender<Message>,
    pub(crate) presence: CellPresence,
    pub(crate) departed: CancellationToken,
    pub(crate) tools: Arc<Tools>,
}

// === impl Handle ===

impl Handle {
    /// What the cell says of itself.
    pub fn presence(&self) -> &CellPresence {
        &self.presence
    }

    /// Stops everything in good order, all at once, and departs. Apps have `grace` between
    /// SIGTERM and SIGKILL. Returns within `grace` and 5 s; true when nothing is left running.
    pub async fn stop_all(&self, grace: Duration) -> bool {
        let (done, all_ended) = oneshot::channel();
        let stop = async {
            let _ = self.owner.send(Message::StopAll(grace, done)).await;
            all_ended.await.is_ok()
        };
        let is_clean = tokio::time::timeout(grace + STOP_ALL_EXTRA, stop).await.unwrap_or(false);
        if !is_clean {
            tracing::warn!("some instances did not end in time; the next start removes them");
        }
        self.departed.cancel();
        let goodbye = self.tools.seams.bbs.depart(&self.presence.cell_id);
        if !tokio::time::timeout(DEPART_PATIENCE, goodbye).await.is_ok_and(|gone| gone.is_ok()) {
            tracing::info!("the brain did not hear the goodbye; presence ends by itself");
        }
        is_clean
    }

    /// The instance that is wanted, once it has a container.
    pub(crate) async fn find(&self, wanted: WantedInstance) -> Option<work::Work> {
        self.ask(|answer| Message::Find(wanted, answer)).await.ok().flatten()
    }

    async fn usage_of(&self, work: &work::Work) -> Option<InstanceUsage> {
        let work::Work::Lrp { key, instance, .. } = work else { return None };
        let measured = metrics::measure(&self.tools, work).await?;
        let instance_guid = instance.instance_guid.clone();
        Some(InstanceUsage { index: key.index, instance_guid, measured })
    }

    async fn send(&self, message: Message) -> Result<(), CellError> {
        self.owner.send(message).await.map_err(|_| self.gone())
    }

    async fn ask<T>(
        &self,
        question: impl FnOnce(oneshot::Sender<T>) -> Message,
    ) -> Result<T, CellError> {
        let (answer, answered) = oneshot::channel();
        self.send(question(answer)).await?;
        answered.await.map_err(|_| self.gone())
    }

    fn failed(&self, error: &ImageError) -> CellError {
        CellError::Unhealthy { cell: self.presence.cell_id.to_string(), cause: error.to_string() }
    }

    fn gone(&self) -> CellError {
        CellError::Unreachable {
            cell: self.presence.cell_id.to_string(),
            cause: "it is shutting down".to_owned(),
        }
    }
}

#[async_trait]
impl Rep for Handle {
    async fn state(&self) -> Result<CellState, CellError> {
        let state = self.ask(Message::State).await?;
        let cell = self.presence.cell_id.to_string();
        state.map_err(|cause| CellError::Unhealthy { cell, cause })
    }

    async fn perform(&self, work: Work) -> Result<Vec<Refused>, CellError> {
        let lrps = work.lrps.into_iter().map(|lrp| Order::of_lrp(lrp, &self.presence.cell_id));
        let orders = lrps.chain(work.tasks.into_iter().map(Order::of_task)).collect();
        self.ask(|answer| Message::Perform(orders, answer)).await
    }

    async fn stop_lrp(&self, _key: &LrpKey, instance: &InstanceKey) -> Result<(), CellError> {
        self.send(Message::Stop(WorkId::Lrp(instance.instance_guid.clone()))).await
    }

    async fn cancel_task(&self, guid: &TaskGuid) -> Result<(), CellError> {
        self.send(Message::Stop(WorkId::Task(guid.clone()))).await
    }

    async fn images(&self) -> Result<ImageStock, CellError> {
        self.tools.seams.images.stock().await.map_err(|error| self.failed(&error))
    }

    async fn prune_images(&self) -> Result<PrunedImages, CellError> {
        self.tools.seams.images.prune().await.map_err(|error| self.failed(&error))
    }

    async fn usage(&self, of: &ProcessGuid) -> Result<Vec<InstanceUsage>, CellError> {
        let of = of.clone();
        let held = self.ask(|answer| Message::InstancesOf(of, answer)).await?;
        // Each takes a while, in which it only waits.
        let each = stream::iter(held).map(|work| async move { self.usage_of(&work).await });
        let measured = each.buffer_unordered(MEASURED_AT_ONCE);
        let mut measured: Vec<_> = measured.filter_map(future::ready).collect().await;
        measured.sort_by_key(|usage| usage.index);
        Ok(measured)
    }
}
