//! A brain that remembers what it was told, and answers as the test wants.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use lattice_api::brain::{
    Bbs, BrainError, CellView, EventStream, InstanceProgress, ProgressStep, SequencedEvent,
};
use lattice_model::actual_lrp::{Evacuee, InstanceEnd};
use lattice_model::task::TaskOutcome;
use lattice_model::{
    CellId, CellPresence, ErrorName, InstanceKey, LrpKey, NetInfo, Refusal, TaskGuid,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;

/// Calls are remembered as `claim ig`, `start ig`, `crash ig: why`, `exit ig: why`, `remove ig`, ...
#[derive(Default)]
pub(crate) struct FakeBbs {
    calls: Mutex<Vec<String>>,
    /// Verbs that are refused.
    pub(crate) refuses: Mutex<BTreeSet<&'static str>>,
    /// Verbs that nothing is answered to.
    pub(crate) unheard: Mutex<BTreeSet<&'static str>>,
    /// True when nothing answers.
    pub(crate) is_silent: Mutex<bool>,
    pub(crate) view: Mutex<CellView>,
    /// As it was last told.
    pub(crate) presence: Mutex<Option<CellPresence>>,
    pub(crate) nets: Mutex<BTreeMap<String, NetInfo>>,
    listeners: Mutex<Vec<mpsc::UnboundedSender<SequencedEvent>>>,
}

impl FakeBbs {
    pub(crate) fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }

    pub(crate) fn has(&self, call: &str) -> bool {
        self.calls().iter().any(|known| known == call)
    }

    /// What people are told of the cell now.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let presence = self.presence.lock().unwrap();
        presence.iter().flat_map(|presence| presence.warnings.clone()).collect()
    }

    pub(crate) fn listeners(&self) -> usize {
        self.listeners.lock().unwrap().len()
    }

    pub(crate) fn publish(&self, event: SequencedEvent) {
        for listener in self.listeners.lock().unwrap().iter() {
            let _ = listener.send(event.clone());
        }
    }

    fn call(&self, verb: &str, rest: &str) -> Result<(), BrainError> {
        self.calls.lock().unwrap().push(format!("{verb} {rest}"));
        if *self.is_silent.lock().unwrap() || self.unheard.lock().unwrap().contains(verb) {
            return Err(BrainError::Unreachable { url: "brain".into(), cause: "silence".into() });
        }
        if self.refuses.lock().unwrap().contains(verb) {
            return Err(Refusal::new(ErrorName::ResourceConflict, "no").into());
        }
        Ok(())
    }
}

#[async_trait]
impl Bbs for FakeBbs {
    async fn heartbeat(&self, presence: CellPresence) -> Result<(), BrainError> {
        *self.presence.lock().unwrap() = Some(presence.clone());
        match presence.fault.as_str() {
            "" => self.call("heartbeat", presence.cell_id.as_str()),
            fault => self.call("heartbeat", &format!("{}: {fault}", presence.cell_id)),
        }
    }

    async fn depart(&self, cell: &CellId) -> Result<(), BrainError> {
        self.call("depart", cell.as_str())
    }

    async fn claim_lrp(&self, _: &LrpKey, instance: &InstanceKey) -> Result<(), BrainError> {
        self.call("claim", instance.instance_guid.as_str())
    }

    async fn start_lrp(
        &self,
        _: &LrpKey,
        instance: &InstanceKey,
        net: NetInfo,
    ) -> Result<(), BrainError> {
        let guid = instance.instance_guid.as_str();
        self.nets.lock().unwrap().insert(guid.to_owned(), net);
        self.call("start", guid)
    }

    async fn crash_lrp(
        &self,
        _: &LrpKey,
        instance: &InstanceKey,
        end: InstanceEnd,
    ) -> Result<(), BrainError> {
        let verb = if end.is_success { "exit" } else { "crash" };
        self.call(verb, &format!("{}: {}", instance.instance_guid, end.reason))
    }

    async fn evacuate_lrp(
        &self,
        _: &LrpKey,
        instance: &InstanceKey,
        _: Evacuee,
    ) -> Result<bool, BrainError> {
        self.call("evacuate", instance.instance_guid.as_str()).map(|()| false)
    }

    async fn remove_instance(&self, _: &LrpKey, instance: &InstanceKey) -> Result<(), BrainError> {
        self.call("remove", instance.instance_guid.as_str())
    }

    async fn start_task(&self, guid: &TaskGuid, _: &CellId) -> Result<bool, BrainError> {
        let first = !self.has(&format!("start-task {guid}"));
        self.call("start-task", guid.as_str()).map(|()| first)
    }

    async fn complete_task(
        &self,
        guid: &TaskGuid,
        _: &CellId,
        outcome: TaskOutcome,
    ) -> Result<(), BrainError> {
        let how = match outcome.failed {
            true => format!("failed: {}", outcome.failure_reason),
            false => format!("result: {}", outcome.result),
        };
        self.call("complete", &format!("{guid} {how}"))
    }

    async fn reject_task(
        &self,
        guid: &TaskGuid,
        _: &CellId,
        reason: String,
    ) -> Result<(), BrainError> {
        self.call("reject", &format!("{guid}: {reason}"))
    }

    async fn report_progress(&self, _: &LrpKey, progress: InstanceProgress) {
        let step = match progress.step {
            ProgressStep::Pulling { bytes_done, bytes_total } => {
                format!("pulling {bytes_done}/{bytes_total}")
            }
            ProgressStep::Creating => "creating".to_owned(),
            ProgressStep::Starting => "starting".to_owned(),
        };
        let _ = self.call("progress", &step);
    }

    async fn view(&self, _: &CellId) -> Result<CellView, BrainError> {
        self.call("view", "")?;
        Ok(self.view.lock().unwrap().clone())
    }

    async fn subscribe(&self, _: &CellId) -> Result<EventStream, BrainError> {
        self.call("subscribe", "")?;
        let (sender, receiver) = mpsc::unbounded_channel();
        self.listeners.lock().unwrap().push(sender);
        Ok(UnboundedReceiverStream::new(receiver).map(Ok).boxed())
    }
}
