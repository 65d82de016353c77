//! Looks at everything: that what each part believes agrees, and in the end that it is what people
//! want.

use std::collections::BTreeSet;
use std::sync::Arc;

use lattice_brain::board::{Board, RowId};
use lattice_brain::config::Limits;
use lattice_brain::converge;
use lattice_cell::instance::State;
use lattice_cell::work::{Work, WorkId};
use lattice_model::{ActualLrp, ActualState, DesiredLrp, LrpKey, Presence, TaskState};

use super::World;
use crate::ledger::wants;

/// A larger board is too much to be read again so often.
const REPLAYED_ROWS_MAX: usize = 200;

impl World {
    /// What must hold at every moment, wherever anything is.
    pub(super) fn check(&mut self) {
        let mut faults = Vec::new();
        for cell in &self.cells {
            let (held, capacity) = (cell.held(), cell.presence.capacity);
            if !capacity.fits(&held) {
                faults.push(format!("{} holds {held:?} of {capacity:?}", cell.id()));
            }
        }
        if self.brain.is_up {
            self.check_mirror(&mut faults);
        }
        if self.brain.is_quiet() {
            self.check_store(&mut faults);
        }
        faults.into_iter().for_each(|what| self.ledger.fault(what));
    }

    /// The board is what its writes say.
    fn check_mirror(&self, faults: &mut Vec<String>) {
        let rows = self.brain.board.rows();
        let is_same = rows.eq(self.ledger.rows.values().map(AsRef::as_ref));
        if !is_same {
            faults.push("the board's records are not what its writes made them".to_owned());
        }
        let tasks = self.brain.board.tasks(None);
        if !tasks.iter().eq(self.ledger.tasks.values().map(AsRef::as_ref)) {
            faults.push("the board's tasks are not what its writes made them".to_owned());
        }
    }

    /// A brain that started now from the store would have the same board.
    fn check_store(&self, faults: &mut Vec<String>) {
        let (kept, board, now) = (&self.brain.kept, &self.brain.board, self.agenda.now);
        let is_same = |a: &Arc<ActualLrp>, b: &Arc<ActualLrp>| Arc::ptr_eq(a, b) || a == b;
        let mirror = &self.ledger.rows;
        let rows = kept.rows.len() == mirror.len()
            && kept.rows.iter().zip(mirror).all(|(a, b)| a.0 == b.0 && is_same(a.1, b.1));
        if !rows || kept.tasks != self.ledger.tasks {
            faults.push("the store's records are not the board's".to_owned());
        }
        if !kept.desired.values().eq(board.desired_lrps(None).iter()) {
            faults.push("the store's wishes are not the board's".to_owned());
        }
        if mirror.len() > REPLAYED_ROWS_MAX {
            return;
        }
        let replayed = Board::load(kept.records(), Limits::default(), 0, now);
        let sees = |board: &Board| -> Vec<String> {
            let view = |id| {
                let view = board.view(id);
                (view.lrps.len(), view.tasks.len())
            };
            self.cells.iter().map(|cell| format!("{:?}", view(cell.id()))).collect()
        };
        if !replayed.rows().eq(board.rows())
            || replayed.domains(now) != board.domains(now)
            || sees(&replayed) != sees(board)
        {
            faults.push("a board read from the store differs from the living one".to_owned());
        }
    }

    /// Every difference between what is wanted, what the board believes and what cells do; empty
    /// when the cluster is as it should be.
    pub fn differences(&self) -> Vec<String> {
        let mut found = Vec::new();
        if !self.brain.is_up {
            found.push("there is no brain".to_owned());
        }
        for lrp in self.brain.board.desired_lrps(None) {
            for index in 0..lrp.instances {
                let key = LrpKey {
                    process_guid: lrp.process_guid.clone(),
                    index,
                    domain: lrp.domain.clone(),
                };
                found.extend(self.difference_of(&lrp, &key));
            }
        }
        for row in self.brain.board.rows() {
            let is_in_place = row.presence == Presence::Ordinary || self.stays_up(row);
            if !is_in_place || !wants(&self.brain.board, &row.key) {
                found.push(format!("nobody wants {}", shown(row)));
            }
        }
        let ended = |state: &TaskState| match state {
            TaskState::Completed(_) => true,
            TaskState::Pending | TaskState::Running { .. } | TaskState::Resolving(_) => false,
        };
        for task in self.brain.board.tasks(None) {
            let owner = &task.definition.completion_callback_url;
            if !ended(&task.state) || !owner.is_empty() {
                found.push(format!("{} is {}", task.definition.task_guid, task.state.name()));
            }
        }
        found.extend(self.unwanted_work());
        found
    }

    fn difference_of(&self, lrp: &DesiredLrp, key: &LrpKey) -> Option<String> {
        let row = self.ledger.rows.get(&RowId::new(key, Presence::Ordinary));
        let Some(row) = row else { return Some(format!("{key:?} has no record")) };
        match &row.state {
            ActualState::Running { instance, .. } => {
                let id = WorkId::Lrp(instance.instance_guid.clone());
                let cell = &self.cells[self.brain.number_of(&instance.cell_id)?];
                let slot = cell.slots.get(&id);
                let is_running = slot.is_some_and(|slot| {
                    let is_running = matches!(slot.instance.state(), State::Running { .. });
                    is_running && !slot.instance.is_stopping()
                });
                (!is_running).then(|| format!("{} and is not there", shown(row)))
            }
            ActualState::Unclaimed { placement_error: Some(_) } => {
                let need = lrp.resources();
                let leaving = self.ledger.rows.get(&RowId::new(key, Presence::Evacuating));
                let left = leaving.and_then(|row| row.instance()).map(|it| &it.cell_id);
                let fits = self.cells.iter().find(|cell| {
                    let is_free = cell.presence.capacity.minus(&cell.held()).fits(&need);
                    cell.is_up && left != Some(cell.id()) && is_free
                });
                fits.map(|cell| format!("{} and fits on {}", shown(row), cell.id()))
            }
            ActualState::Crashed { .. } => {
                let is_waiting = converge::restart_due(row).is_none_or(|due| due > self.agenda.now);
                (!is_waiting).then(|| shown(row))
            }
            ActualState::Exited { .. } => None,
            ActualState::Unclaimed { placement_error: None } | ActualState::Claimed { .. } => {
                Some(shown(row))
            }
        }
    }

    /// True for an instance that leaves its cell and found no other: it runs on until it does.
    fn stays_up(&self, row: &ActualLrp) -> bool {
        let replacement = self.ledger.rows.get(&RowId::new(&row.key, Presence::Ordinary));
        let is_placeless = replacement.is_some_and(|row| {
            matches!(row.state, ActualState::Unclaimed { placement_error: Some(_) })
        });
        row.presence == Presence::Evacuating && row.net().is_some() && is_placeless
    }

    /// What cells do that no record names.
    fn unwanted_work(&self) -> Vec<String> {
        let rows = self.ledger.rows.values();
        let named: BTreeSet<_> = rows.filter_map(|row| row.instance()).collect();
        let is_wanted = |work: &Work| match work {
            Work::Lrp { instance, .. } => named.contains(instance),
            Work::Task(task) => {
                let task = self.ledger.tasks.get(&task.definition.task_guid);
                task.is_some_and(|task| matches!(task.state, TaskState::Running { .. }))
            }
        };
        let mut found = Vec::new();
        for cell in &self.cells {
            let works = cell.slots.values().filter(|slot| !is_wanted(&slot.work));
            found.extend(works.map(|slot| {
                format!("{} still has {} {:?}", cell.id(), slot.work.id(), slot.instance.state())
            }));
            found.extend(cell.leftovers.iter().map(|id| format!("{} left {id}", cell.id())));
        }
        found
    }
}

fn shown(row: &ActualLrp) -> String {
    let LrpKey { process_guid, index, .. } = &row.key;
    format!("{process_guid}/{index} {:?} {:?} since {:?}", row.presence, row.state, row.since)
}
