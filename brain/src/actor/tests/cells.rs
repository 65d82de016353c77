//! Cells for tests: they reserve, claim, start, stop and report as the real ones do, at once.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use async_trait::async_trait;
use lattice_api::cell::images::{ImageStock, PrunedImages};
use lattice_api::cell::usage::{InstanceUsage, Measurement};
use lattice_api::cell::{
    CellError, CellState, LrpSlot, LrpWork, Refused, Rep, RepConnector, Work, WorkItem,
};
use lattice_model::{
    CellPresence, InstanceGuid, InstanceKey, LrpKey, NetInfo, ProcessGuid, Resources, TaskGuid,
};

use super::*;
use crate::testing::{amounts, presence};

/// All cells of a test. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Fleet(Arc<Mutex<BTreeMap<String, Arc<FakeCell>>>>, Arc<Mutex<Option<Handle>>>);

/// One cell.
pub(super) struct FakeCell {
    id: String,
    memory_mb: u64,
    is_up: AtomicBool,
    /// What it says to work; empty is yes.
    pub(super) refusal: Mutex<Option<String>>,
    /// True while instances stay claimed.
    pub(super) is_slow: AtomicBool,
    /// True when it takes calls and never answers.
    is_stalled: AtomicBool,
    containers: Mutex<BTreeMap<InstanceGuid, LrpSlot>>,
    /// Work that it was given.
    pub(super) works: Mutex<Vec<Work>>,
    brain: Arc<Mutex<Option<Handle>>>,
}

impl Fleet {
    pub(super) fn attach(&self, brain: &Handle) {
        *self.1.lock().unwrap() = Some(brain.clone());
    }

    pub(super) fn add(&self, id: &str, memory_mb: u64) -> Arc<FakeCell> {
        let cell = Arc::new(FakeCell {
            id: id.to_owned(),
            memory_mb,
            is_up: AtomicBool::new(true),
            refusal: Mutex::default(),
            is_slow: AtomicBool::new(false),
            is_stalled: AtomicBool::new(false),
            containers: Mutex::default(),
            works: Mutex::default(),
            brain: Arc::clone(&self.1),
        });
        self.0.lock().unwrap().insert(id.to_owned(), Arc::clone(&cell));
        cell
    }

    pub(super) fn get(&self, id: &str) -> Arc<FakeCell> {
        Arc::clone(&self.0.lock().unwrap()[id])
    }

    pub(super) fn up(&self) -> Vec<Arc<FakeCell>> {
        let all = self.0.lock().unwrap();
        all.values().filter(|cell| cell.is_up()).cloned().collect()
    }
}

impl RepConnector for Fleet {
    fn connect(&self, presence: &CellPresence) -> Option<Arc<dyn Rep>> {
        let cell = self.0.lock().unwrap().get(presence.cell_id.as_str())?.clone();
        Some(Arc::new(FakeRep(cell)))
    }
}

impl FakeCell {
    pub(super) fn presence(&self) -> CellPresence {
        CellPresence {
            capacity: amounts(self.memory_mb, 100_000, 1_000),
            ..presence(&self.id, "z")
        }
    }

    /// The cell's machine is unplugged, or plugged in again with its containers.
    pub(super) fn set_up(&self, is_up: bool) {
        self.is_up.store(is_up, Ordering::SeqCst);
    }

    pub(super) fn is_up(&self) -> bool {
        self.is_up.load(Ordering::SeqCst)
    }

    /// From now on it takes calls and never answers.
    pub(super) fn stall(&self) {
        self.is_stalled.store(true, Ordering::SeqCst);
    }

    /// What stayed claimed is healthy now.
    pub(super) async fn start_all(&self) {
        let held: Vec<_> = {
            let held = self.containers.lock().unwrap();
            held.iter().map(|(guid, slot)| (slot.key.clone(), guid.clone())).collect()
        };
        for (key, instance_guid) in held {
            let instance = InstanceKey { instance_guid, cell_id: cell_id(&self.id) };
            let net = NetInfo { address: self.id.clone(), ..NetInfo::default() };
            self.brain().start_lrp(&key, &instance, net).await.unwrap();
        }
    }

    /// The machine lost its containers.
    pub(super) fn wipe(&self) {
        self.containers.lock().unwrap().clear();
    }

    pub(super) fn holds(&self) -> usize {
        self.containers.lock().unwrap().len()
    }

    fn brain(&self) -> Handle {
        self.brain.lock().unwrap().clone().unwrap()
    }

    fn available(&self) -> Resources {
        let held = self.containers.lock().unwrap();
        held.values().fold(self.presence().capacity, |left, slot| left.minus(&slot.resources))
    }

    /// A container exits by itself.
    pub(super) async fn crash(&self, key: &LrpKey) {
        let found = {
            let mut held = self.containers.lock().unwrap();
            let guid = held.iter().find(|(_, slot)| slot.key == *key).map(|(guid, _)| guid.clone());
            guid.and_then(|guid| held.remove_entry(&guid))
        };
        let (instance_guid, _) = found.expect("it runs here");
        let instance = InstanceKey { instance_guid, cell_id: cell_id(&self.id) };
        let reason = "Exited with status 1".to_owned();
        self.brain().crash_lrp(key, &instance, reason.into()).await.unwrap();
    }

    /// What a cell does when it starts: rows that name it and have no container are removed.
    pub(super) async fn harmonise(&self) {
        let brain = self.brain();
        let view = brain.view(&cell_id(&self.id)).await.unwrap();
        for (row, _) in view.lrps {
            let instance = row.instance().unwrap();
            if !self.containers.lock().unwrap().contains_key(&instance.instance_guid) {
                brain.remove_instance(&row.key, instance).await.unwrap();
            }
        }
    }

    /// Reserves, and brings the instance up in the background.
    fn take(self: &Arc<Self>, work: LrpWork) -> Option<Refused> {
        let resources = work.lrp.resources();
        let item = WorkItem::Lrp(work.key.clone());
        if let Some(reason) = self.refusal.lock().unwrap().clone() {
            return Some(Refused { item, reason });
        }
        if !self.available().fits(&resources) {
            return Some(Refused { item, reason: "insufficient resources: memory".into() });
        }
        let instance =
            InstanceKey { instance_guid: work.instance_guid, cell_id: cell_id(&self.id) };
        let slot = LrpSlot { key: work.key.clone(), app: work.lrp.app.clone(), resources };
        self.containers.lock().unwrap().insert(instance.instance_guid.clone(), slot);
        let this = Arc::clone(self);
        tokio::spawn(async move { this.bring_up(work.key, instance).await });
        None
    }

    async fn bring_up(&self, key: LrpKey, instance: InstanceKey) {
        let brain = self.brain();
        if brain.claim_lrp(&key, &instance).await.is_err() {
            self.containers.lock().unwrap().remove(&instance.instance_guid);
            return;
        }
        if self.is_slow.load(Ordering::SeqCst) {
            return;
        }
        let net = NetInfo { address: self.id.clone(), ..NetInfo::default() };
        if brain.start_lrp(&key, &instance, net).await.is_err() {
            self.containers.lock().unwrap().remove(&instance.instance_guid);
        }
    }
}

struct FakeRep(Arc<FakeCell>);

impl FakeRep {
    async fn check(&self) -> Result<(), CellError> {
        if self.0.is_stalled.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if self.0.is_up() {
            return Ok(());
        }
        let cause = "connection refused".to_owned();
        Err(CellError::Unreachable { cell: self.0.id.clone(), cause })
    }
}

#[async_trait]
impl Rep for FakeRep {
    async fn state(&self) -> Result<CellState, CellError> {
        self.check().await?;
        Ok(CellState {
            presence: self.0.presence(),
            available: self.0.available(),
            lrps: self.0.containers.lock().unwrap().values().cloned().collect(),
            tasks: Vec::new(),
            starting_count: 0,
            evacuating: false,
        })
    }

    async fn perform(&self, work: Work) -> Result<Vec<Refused>, CellError> {
        self.check().await?;
        self.0.works.lock().unwrap().push(work.clone());
        let mut refused: Vec<_> =
            work.lrps.into_iter().filter_map(|lrp| self.0.take(lrp)).collect();
        if let Some(reason) = self.0.refusal.lock().unwrap().clone() {
            refused.extend(work.tasks.iter().map(|work| Refused {
                item: WorkItem::Task(work.task.definition.task_guid.clone()),
                reason: reason.clone(),
            }));
            return Ok(refused);
        }
        for task in work.tasks {
            let (brain, cell) = (self.0.brain(), cell_id(&self.0.id));
            tokio::spawn(async move {
                let guid = task.task.definition.task_guid.clone();
                if brain.start_task(&guid, &cell).await.unwrap() {
                    let outcome = lattice_model::task::TaskOutcome {
                        result: "42".into(),
                        ..Default::default()
                    };
                    // An error means that it was cancelled meanwhile.
                    let _ = brain.complete_task(&guid, &cell, outcome).await;
                }
            });
        }
        Ok(refused)
    }

    async fn stop_lrp(&self, key: &LrpKey, instance: &InstanceKey) -> Result<(), CellError> {
        self.check().await?;
        self.0.containers.lock().unwrap().remove(&instance.instance_guid);
        let (brain, key, instance) = (self.0.brain(), key.clone(), instance.clone());
        tokio::spawn(async move { brain.remove_instance(&key, &instance).await });
        Ok(())
    }

    async fn cancel_task(&self, _: &TaskGuid) -> Result<(), CellError> {
        self.check().await
    }

    async fn images(&self) -> Result<ImageStock, CellError> {
        self.check().await?;
        Ok(ImageStock { layers_bytes: self.0.memory_mb, ..ImageStock::default() })
    }

    /// As many as it holds, of whatever LRP.
    async fn usage(&self, _: &ProcessGuid) -> Result<Vec<InstanceUsage>, CellError> {
        self.check().await?;
        let measured = Measurement {
            measured_at: Time(1),
            cpu_percentage: 0.0,
            cpu_entitlement_percentage: 0.0,
            memory_bytes: self.0.memory_mb << 20,
            memory_bytes_quota: 0,
            disk_bytes: 0,
            disk_bytes_quota: 0,
            received_bytes: 0,
            sent_bytes: 0,
            age_ns: 0,
        };
        let containers = self.0.containers.lock().unwrap();
        let guids = containers.keys().cloned();
        Ok(guids.map(|instance_guid| InstanceUsage { index: 0, instance_guid, measured }).collect())
    }

    async fn prune_images(&self) -> Result<PrunedImages, CellError> {
        self.check().await?;
        Ok(PrunedImages { layers: 2, ..PrunedImages::default() })
    }
}
