//! The handle as cells see it.

use async_trait::async_trait;
use futures_util::StreamExt as _;
use lattice_api::brain::{
    Bbs, BrainError, CellView, EventStream, InstanceProgress, SequencedEvent,
};
use lattice_model::actual_lrp::{Evacuee, InstanceEnd, InstanceKey, LrpKey, NetInfo};
use lattice_model::task::TaskOutcome;
use lattice_model::{ActualLrp, CellId, CellPresence, Event, Task, TaskGuid, TaskState};

use super::handle::{Handle, Patience};
use crate::board::{Answer, Command};

impl Handle {
    async fn tell(&self, command: Command) -> Result<(), BrainError> {
        self.apply(command, Patience::Wait).await.map(|_| ())
    }
}

#[async_trait]
impl Bbs for Handle {
    async fn heartbeat(&self, presence: CellPresence) -> Result<(), BrainError> {
        self.tell(Command::Heartbeat(Box::new(presence))).await
    }

    async fn depart(&self, cell: &CellId) -> Result<(), BrainError> {
        self.tell(Command::Depart(cell.clone())).await
    }

    async fn claim_lrp(&self, key: &LrpKey, instance: &InstanceKey) -> Result<(), BrainError> {
        self.tell(Command::ClaimLrp(key.clone(), instance.clone())).await
    }

    async fn start_lrp(
        &self,
        key: &LrpKey,
        instance: &InstanceKey,
        net: NetInfo,
    ) -> Result<(), BrainError> {
        self.tell(Command::StartLrp(key.clone(), instance.clone(), net)).await
    }

    async fn crash_lrp(
        &self,
        key: &LrpKey,
        instance: &InstanceKey,
        end: InstanceEnd,
    ) -> Result<(), BrainError> {
        self.tell(Command::CrashLrp(key.clone(), instance.clone(), end)).await
    }

    async fn evacuate_lrp(
        &self,
        key: &LrpKey,
        instance: &InstanceKey,
        evacuee: Evacuee,
    ) -> Result<bool, BrainError> {
        let command = Command::EvacuateLrp(key.clone(), instance.clone(), evacuee);
        Ok(self.apply(command, Patience::Wait).await? == Answer::Keep(true))
    }

    async fn remove_instance(
        &self,
        key: &LrpKey,
        instance: &InstanceKey,
    ) -> Result<(), BrainError> {
        self.tell(Command::RemoveInstance(key.clone(), instance.clone())).await
    }

    async fn start_task(&self, guid: &TaskGuid, cell: &CellId) -> Result<bool, BrainError> {
        let command = Command::StartTask(guid.clone(), cell.clone());
        Ok(self.apply(command, Patience::Wait).await? == Answer::MayStart(true))
    }

    async fn complete_task(
        &self,
        guid: &TaskGuid,
        cell: &CellId,
        outcome: TaskOutcome,
    ) -> Result<(), BrainError> {
        self.tell(Command::CompleteTask(guid.clone(), cell.clone(), outcome)).await
    }

    async fn reject_task(
        &self,
        guid: &TaskGuid,
        cell: &CellId,
        reason: String,
    ) -> Result<(), BrainError> {
        self.tell(Command::RejectTask(guid.clone(), cell.clone(), reason)).await
    }

    async fn report_progress(&self, key: &LrpKey, progress: InstanceProgress) {
        // The next report says more than one that found no room in the queue.
        let _ = self.apply(Command::ReportProgress(key.clone(), progress), Patience::Refuse).await;
    }

    async fn view(&self, cell: &CellId) -> Result<CellView, BrainError> {
        let cell = cell.clone();
        self.read(move |board, _| board.view(&cell), Patience::Wait).await
    }

    async fn subscribe(&self, cell: &CellId) -> Result<EventStream, BrainError> {
        let cell = cell.clone();
        let events = self.hub.subscribe(None);
        let concerning = events.filter(move |event| {
            std::future::ready(match event {
                Ok(SequencedEvent::Event { event, .. }) => concerns(event, &cell),
                Ok(SequencedEvent::Mark(_)) => false,
                Ok(SequencedEvent::Resync { .. }) | Err(_) => true,
            })
        });
        Ok(concerning.boxed())
    }
}

/// True for changes of instances and tasks that are, or were, on the cell (but for what it has
/// itself reported and is a record's change besides); and for those of desired
/// LRPs, whose instances the cell alone knows for certain.
fn concerns(event: &Event, cell: &CellId) -> bool {
    let names = |row: &ActualLrp| row.instance().is_some_and(|i| i.cell_id == *cell);
    let runs = |task: &Task| match &task.state {
        TaskState::Running { cell_id } => cell_id == cell,
        TaskState::Pending | TaskState::Completed(_) | TaskState::Resolving(_) => false,
    };
    match event {
        Event::DesiredLrpCreated(_) => false,
        Event::DesiredLrpChanged { .. } | Event::DesiredLrpRemoved(_) => true,
        Event::ActualLrpCreated(row) | Event::ActualLrpRemoved(row) => names(row),
        Event::ActualLrpChanged { before, after } => names(before) || names(after),
        Event::ActualLrpCrashed(_) => false,
        Event::TaskCreated(task) | Event::TaskRemoved(task) => runs(task),
        Event::TaskChanged { before, after } => runs(before) || runs(after),
    }
}
