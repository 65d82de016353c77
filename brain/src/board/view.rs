//! What readers see of the board.

use std::sync::Arc;

use lattice_api::brain::{CellView, InstanceProgress};
use lattice_api::cell::{CellState, LrpSlot, LrpSlots};
use lattice_model::{
    ActualLrp, ActualState, CellId, CellPresence, DesiredLrp, Domain, LrpKey, Presence,
    ProcessGuid, Refusal, Task, TaskGuid, TaskState, Time,
};

use super::command::RowId;
use super::desired::no_such_lrp;
use super::tasks::no_such_task;
use super::{Board, Process};
use crate::moves::{Movable, Survey};

impl Board {
    /// One desired LRP.
    pub fn desired_lrp(&self, guid: &ProcessGuid) -> Result<Arc<DesiredLrp>, Refusal> {
        self.desired(guid).cloned().ok_or_else(|| no_such_lrp(guid))
    }

    /// All desired LRPs, or those of a domain, by guid.
    pub fn desired_lrps(&self, domain: Option<&Domain>) -> Vec<Arc<DesiredLrp>> {
        let all = self.processes.values().filter_map(|process| process.desired.as_ref());
        all.filter(|lrp| domain.is_none_or(|domain| lrp.domain == *domain)).cloned().collect()
    }

    /// One record per index, of all LRPs or of a domain.
    pub fn actual_lrps(&self, domain: Option<&Domain>) -> Vec<ActualLrp> {
        self.shared_actual_lrps(domain).iter().map(|row| row.as_ref().clone()).collect()
    }

    /// The same, for a caller who copies them elsewhere: the board is not held up by a long list.
    pub fn shared_actual_lrps(&self, domain: Option<&Domain>) -> Vec<Arc<ActualLrp>> {
        let all = self.processes.values().flat_map(resolved);
        all.filter(|row| domain.is_none_or(|domain| row.key.domain == *domain)).cloned().collect()
    }

    /// One record per index of one LRP.
    pub fn actual_lrps_of(&self, guid: &ProcessGuid) -> Vec<ActualLrp> {
        let rows = self.processes.get(guid).into_iter().flat_map(resolved);
        rows.map(|row| row.as_ref().clone()).collect()
    }

    /// Every record, of each presence.
    pub fn rows(&self) -> impl Iterator<Item = &ActualLrp> {
        self.processes.values().flat_map(|process| process.rows.values()).map(AsRef::as_ref)
    }

    /// How far instances that are on their way have come.
    pub fn progress_of(&self, guid: &ProcessGuid) -> Vec<InstanceProgress> {
        let range = (guid.clone(), 0)..=(guid.clone(), u32::MAX);
        self.progress.range(range).map(|(_, progress)| progress.clone()).collect()
    }

    /// One task.
    pub fn task(&self, guid: &TaskGuid) -> Result<Task, Refusal> {
        self.tasks.get(guid).map(|task| task.as_ref().clone()).ok_or_else(|| no_such_task(guid))
    }

    /// All tasks, or those of a domain, by guid.
    pub fn tasks(&self, domain: Option<&Domain>) -> Vec<Task> {
        let all = self.tasks.values().map(AsRef::as_ref);
        all.filter(|task: &&Task| domain.is_none_or(|d| task.definition.domain == *d))
            .cloned()
            .collect()
    }

    /// Counts the occasions on which capacity appeared.
    pub const fn capacity_round(&self) -> u64 {
        self.capacity_round
    }

    /// Live cells by id.
    pub fn cells(&self) -> Vec<CellPresence> {
        self.cells.values().filter_map(|seen| seen.presence.clone()).collect()
    }

    /// Fresh domains.
    pub fn domains(&self, now: Time) -> Vec<Domain> {
        self.domains.keys().filter(|domain| self.is_fresh(domain, now)).cloned().collect()
    }

    /// True for an instance that waits for a cell.
    pub fn is_unclaimed(&self, key: &LrpKey) -> bool {
        let row = self.row(&RowId::new(key, Presence::Ordinary));
        row.is_some_and(|row| matches!(row.state, ActualState::Unclaimed { .. }))
    }

    /// True for a task that waits for a cell.
    pub fn is_pending(&self, guid: &TaskGuid) -> bool {
        self.tasks.get(guid).is_some_and(|task| matches!(task.state, TaskState::Pending))
    }

    /// The live cells with what is reserved on them, and the instances that could leave them.
    pub fn survey(&self) -> Survey {
        let live = self.cells.values().filter_map(|seen| seen.presence.as_ref());
        Survey {
            cells: live.map(|presence| Arc::new(self.cell_state(presence))).collect(),
            movable: self.processes.values().flat_map(|process| self.movable(process)).collect(),
        }
    }

    fn cell_state(&self, presence: &CellPresence) -> CellState {
        let rows = self.rows_on.get(&presence.cell_id).into_iter().flatten();
        let rows: Vec<_> = rows.filter_map(|id| self.row(id)).collect();
        let slot = |row: &&Arc<ActualLrp>| {
            let lrp = self.desired(&row.key.process_guid)?;
            let (app, resources) = (lrp.app.clone(), lrp.resources());
            Some(LrpSlot { key: row.key.clone(), app, resources })
        };
        let lrps: LrpSlots = rows.iter().filter_map(slot).collect();
        let tasks: Vec<TaskGuid> =
            self.tasks_on.get(&presence.cell_id).into_iter().flatten().cloned().collect();
        let needs = tasks.iter().filter_map(|guid| self.tasks.get(guid));
        let needs = needs.map(|task| task.definition.resources());
        let needs = needs.chain(lrps.iter().map(|slot| slot.resources));
        CellState {
            presence: presence.clone(),
            available: needs.fold(presence.capacity, |left, need| left.minus(&need)),
            starting_count: rows.iter().filter(|row| row.net().is_none()).count() as u64,
            evacuating: self.is_draining(&presence.cell_id),
            lrps,
            tasks,
        }
    }

    fn movable<'a>(&'a self, process: &'a Process) -> impl Iterator<Item = Movable> + 'a {
        let running = process.rows.values().filter(|row| row.presence == Presence::Ordinary);
        running.filter_map(|row| {
            let instance = row.net().and_then(|_| row.instance())?;
            let is_free = self.is_live(&instance.cell_id)
                && self.is_free_to_go(&RowId::of(row), instance)
                && self.may_move(&row.key.process_guid, row.key.index);
            let lrp = Arc::clone(process.desired.as_ref().filter(|_| is_free)?);
            Some(Movable { key: row.key.clone(), instance: instance.clone(), lrp })
        })
    }

    /// All that concerns one cell.
    pub fn view(&self, cell: &CellId) -> CellView {
        let ids = self.rows_on.get(cell).into_iter().flatten();
        let rows = ids.filter_map(|id| self.row(id));
        let with_lrp = |row: &Arc<ActualLrp>| {
            (row.as_ref().clone(), self.desired(&row.key.process_guid).cloned())
        };
        let tasks = self.tasks_on.get(cell).into_iter().flatten();
        CellView {
            lrps: rows.map(with_lrp).collect(),
            tasks: tasks.filter_map(|guid| self.task(guid).ok()).collect(),
        }
    }
}

/// One record per index: another stands in for the ordinary one until that runs (section 2.11).
fn resolved(process: &Process) -> impl Iterator<Item = &Arc<ActualLrp>> {
    process.rows.iter().filter_map(|((index, presence), row)| {
        let ordinary = process.row(*index, Presence::Ordinary);
        let stand_in = process
            .row(*index, Presence::Evacuating)
            .or_else(|| process.row(*index, Presence::Suspect));
        let shown = match (ordinary, stand_in) {
            (Some(ordinary), Some(stand_in)) => match ordinary.state {
                ActualState::Unclaimed { .. } | ActualState::Claimed { .. } => stand_in,
                ActualState::Running { .. }
                | ActualState::Crashed { .. }
                | ActualState::Exited { .. } => ordinary,
            },
            (Some(only), None) | (None, Some(only)) => only,
            (None, None) => return None,
        };
        (shown.presence == *presence).then_some(row)
    })
}
