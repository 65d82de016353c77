//! Cells that are nothing but what the brain sees of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use lattice_api::brain::Bbs as _;
use lattice_api::cell::{CellError, CellState, LrpSlot, LrpWork, Refused, Rep, RepConnector, Work};
use lattice_brain::Handle;
use lattice_daemon::tasks::Tasks;
use lattice_model::{
    ActualLrp, AppName, CellId, CellPresence, InstanceKey, LrpKey, Resources, TaskGuid,
};

use super::records::{MEMORY_MB, Scale, cell_id};

const HEARTBEAT_EVERY: Duration = Duration::from_secs(5);
const ZONES: u32 = 3;
/// What instances are given for, as half as much again as runs there at first.
const SLOTS: u64 = 300;

/// All cells, and the work that the auction gave them and nobody has begun yet.
#[derive(Debug)]
pub(crate) struct Fleet {
    cells: BTreeMap<CellId, Arc<Cell>>,
    lost: Mutex<BTreeSet<CellId>>,
    given: Arc<Mutex<Vec<Given>>>,
}

/// One instance that a cell has reserved for.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    pub(crate) key: LrpKey,
    pub(crate) instance: InstanceKey,
    pub(crate) at: Instant,
}

#[derive(Debug)]
struct Cell {
    presence: CellPresence,
    slots: Mutex<Vec<LrpSlot>>,
    given: Arc<Mutex<Vec<Given>>>,
}

impl Fleet {
    pub(crate) fn new(scale: Scale) -> Self {
        let given = Arc::<Mutex<Vec<Given>>>::default();
        let cell = |n: u32| {
            let presence = presence(n);
            let id = presence.cell_id.clone();
            (id, Arc::new(Cell { presence, slots: Mutex::default(), given: Arc::clone(&given) }))
        };
        Self { cells: (0..scale.cells).map(cell).collect(), lost: Mutex::default(), given }
    }

    /// What the living say of themselves.
    pub(crate) fn presences(&self) -> Vec<CellPresence> {
        let lost = self.lost.lock().unwrap();
        let living = self.cells.iter().filter(|(id, _)| !lost.contains(*id));
        living.map(|(_, cell)| cell.presence.clone()).collect()
    }

    /// Puts instances where their records say that they are.
    pub(crate) fn hold(&self, rows: &[ActualLrp]) {
        for row in rows {
            let cell = &self.cells[&row.instance().unwrap().cell_id];
            cell.slots.lock().unwrap().push(slot(&row.key, &row.key.process_guid.as_str().into()));
        }
    }

    /// Takes what the auction has given so far.
    pub(crate) fn given(&self) -> MutexGuard<'_, Vec<Given>> {
        self.given.lock().unwrap()
    }

    /// The first `count` cells are not heard of any more; how many instances they hold.
    pub(crate) fn lose(&self, count: usize) -> usize {
        let ids: BTreeSet<CellId> = self.cells.keys().take(count).cloned().collect();
        let held = ids.iter().map(|id| self.cells[id].slots.lock().unwrap().len()).sum();
        *self.lost.lock().unwrap() = ids;
        held
    }
}

impl RepConnector for Fleet {
    fn connect(&self, presence: &CellPresence) -> Option<Arc<dyn Rep>> {
        let cell = self.cells.get(&presence.cell_id)?;
        (!self.lost.lock().unwrap().contains(&presence.cell_id)).then(|| Arc::clone(cell) as _)
    }
}

#[async_trait]
impl Rep for Cell {
    async fn state(&self) -> Result<CellState, CellError> {
        let lrps = self.slots.lock().unwrap().clone();
        let used = lrps.iter().fold(Resources::default(), |sum, slot| sum.plus(&slot.resources));
        Ok(CellState {
            presence: self.presence.clone(),
            available: self.presence.capacity.minus(&used),
            lrps: lrps.into(),
            tasks: Vec::new(),
            starting_count: 0,
            evacuating: false,
        })
    }

    async fn perform(&self, work: Work) -> Result<Vec<Refused>, CellError> {
        let mut slots = self.slots.lock().unwrap();
        slots.extend(work.lrps.iter().map(|work| slot(&work.key, &work.lrp.app)));
        let given = |work: LrpWork| {
            let cell_id = self.presence.cell_id.clone();
            let instance = InstanceKey { instance_guid: work.instance_guid, cell_id };
            Given { key: work.key, instance, at: Instant::now() }
        };
        self.given.lock().unwrap().extend(work.lrps.into_iter().map(given));
        Ok(Vec::new())
    }

    async fn stop_lrp(&self, _: &LrpKey, _: &InstanceKey) -> Result<(), CellError> {
        Ok(())
    }

    async fn cancel_task(&self, _: &TaskGuid) -> Result<(), CellError> {
        Ok(())
    }
}

/// Has the living say that they live, until the end.
pub(crate) async fn keep_alive(fleet: Arc<Fleet>, brain: Handle, tasks: Tasks) {
    let mut beats = tokio::time::interval(HEARTBEAT_EVERY);
    loop {
        tokio::select! {
            () = tasks.shutdown().cancelled() => return,
            _ = beats.tick() => {}
        }
        for presence in fleet.presences() {
            if brain.heartbeat(presence).await.is_err() {
                return;
            }
        }
    }
}

fn presence(n: u32) -> CellPresence {
    CellPresence {
        cell_id: cell_id(n),
        rep_url: String::new(),
        zone: format!("z{}", n % ZONES),
        capacity: amounts(SLOTS),
        rootfs_providers: [("docker".to_owned(), Vec::new())].into_iter().collect(),
        placement_tags: Vec::new(),
        optional_placement_tags: Vec::new(),
        volume_drivers: Vec::new(),
        labels: lattice_model::cell::CellLabels::default(),
        fault: String::new(),
        warnings: Vec::new(),
    }
}

const fn amounts(instances: u64) -> Resources {
    let amount = MEMORY_MB * instances;
    Resources { memory_mb: amount, disk_mb: amount, containers: instances }
}

fn slot(key: &LrpKey, app: &AppName) -> LrpSlot {
    LrpSlot { key: key.clone(), app: app.clone(), resources: amounts(1) }
}
