//! What wants a place, and what an auction makes of it: work for cells, and word to the board of
//! what came to nothing. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lattice_api::cell::{CellState, LrpWork, Refused, TaskWork, Work, WorkItem};
use lattice_model::actual_lrp::PlacementError;
use lattice_model::desired_lrp::ContainerSpec;
use lattice_model::{
    CellId, DesiredLrp, InstanceGuid, LrpKey, RegistryCredentials, Resources, Task, TaskGuid,
};

use crate::auction::{Batch, Failure, Item, LrpAuction, Outcome, Policy, TaskAuction};
use crate::board::{Board, Command, FailedPlacement};
use crate::moves;

/// When a cell that got work did not answer.
const NO_ANSWER: &str = "unable to communicate to compatible cells";

/// What wants a place, and the capacity round it was sent out with.
#[derive(Debug, Clone, Default)]
pub struct Gathered {
    lrps: BTreeMap<LrpKey, (Arc<DesiredLrp>, u64)>,
    tasks: BTreeMap<TaskGuid, (Arc<Task>, u64)>,
    /// Instances that stay up on a cell until these run; that is where they must not go.
    leaving: BTreeMap<LrpKey, CellId>,
    /// Cells that get nothing.
    draining: BTreeSet<CellId>,
}

/// Work that a cell did not take, and the round it was sent out with.
pub type Returned = (Refused, u64);

// === impl Gathered ===

impl Gathered {
    /// Adds an instance, in place of an earlier order for it.
    pub fn add_lrp(&mut self, key: LrpKey, lrp: Arc<DesiredLrp>, round: u64) {
        self.lrps.insert(key, (lrp, round));
    }

    /// Adds a task, in place of an earlier order for it.
    pub fn add_task(&mut self, task: Arc<Task>, round: u64) {
        self.tasks.insert(task.definition.task_guid.clone(), (task, round));
    }

    /// True when nothing wants a place.
    pub fn is_empty(&self) -> bool {
        self.lrps.is_empty() && self.tasks.is_empty()
    }

    /// Drops what the board does not want placed any more, and notes where the rest must not go.
    pub fn keep_wanted(&mut self, board: &Board) {
        self.lrps.retain(|key, _| board.is_unclaimed(key));
        self.tasks.retain(|guid, _| board.is_pending(guid));
        self.draining = board.draining().map(|draining| draining.cell_id).collect();
        let leaves = |key: &LrpKey| {
            let left = board.leaves(&key.process_guid, key.index)?;
            // What leaves a drained cell cannot go back anyway.
            (!board.is_draining(&left)).then(|| (key.clone(), left))
        };
        self.leaving = self.lrps.keys().filter_map(leaves).collect();
    }

    /// The cells that get nothing.
    pub fn draining(&self) -> &BTreeSet<CellId> {
        &self.draining
    }

    /// Makes all of it as old as what is known of the cells, where it is younger: a failure then
    /// counts as stale when capacity has appeared since.
    pub fn date_back_to(&mut self, round: u64) {
        let lrps = self.lrps.values_mut().map(|(_, of)| of);
        lrps.chain(self.tasks.values_mut().map(|(_, of)| of)).for_each(|of| *of = round.min(*of));
    }

    /// The names of all of it.
    pub fn items(&self) -> impl Iterator<Item = Item> {
        let lrps = self.lrps.keys().cloned().map(Item::Lrp);
        lrps.chain(self.tasks.keys().cloned().map(Item::Task))
    }

    /// What one item would reserve; nothing for one that is not here.
    pub fn need_of(&self, item: &Item) -> Resources {
        let need = match item {
            Item::Lrp(key) => self.lrps.get(key).map(|(lrp, _)| lrp.resources()),
            Item::Task(guid) => self.tasks.get(guid).map(|(task, _)| task.definition.resources()),
        };
        need.unwrap_or_default()
    }

    /// Holds the auction over these cells. What failed is impossible only when `is_complete`: one
    /// that was not asked may be the one that could.
    pub fn hold(&self, cells: Vec<Arc<CellState>>, is_complete: bool, policy: &Policy) -> Outcome {
        let mut outcome = moves::hold_apart(cells, &self.batch(), &self.leaving, policy);
        for failure in &mut outcome.failed {
            failure.is_impossible &= is_complete;
        }
        outcome
    }

    /// The work of each cell: incarnations get the guids that `name` makes, and each item what
    /// `credentials` says that its images need.
    pub fn works(
        &self,
        outcome: &Outcome,
        mut name: impl FnMut() -> InstanceGuid,
        credentials: impl Fn(&[ContainerSpec]) -> Vec<RegistryCredentials>,
    ) -> BTreeMap<CellId, Work> {
        let mut works: BTreeMap<CellId, Work> = BTreeMap::new();
        for (item, cell) in outcome.placed.iter() {
            let work = works.entry(cell.clone()).or_default();
            match item {
                Item::Lrp(key) => work.lrps.extend(self.lrps.get(key).map(|(lrp, _)| LrpWork {
                    key: key.clone(),
                    instance_guid: name(),
                    lrp: Arc::clone(lrp),
                    credentials: credentials(&lrp.containers),
                })),
                Item::Task(guid) => work.tasks.extend(self.tasks.get(guid).map(|(task, _)| {
                    let credentials = credentials(&task.definition.containers);
                    TaskWork { task: Arc::clone(task), credentials }
                })),
            }
        }
        works
    }

    /// The round that each item of the work was sent out with.
    pub fn rounds(&self, work: &Work) -> BTreeMap<Item, u64> {
        let all = items(work).into_iter().map(|item| item_of(&item));
        all.map(|item| (item.clone(), self.round_of(&item))).collect()
    }

    /// Tells the board what the auction did not place.
    pub fn reports(&self, outcome: Outcome) -> Vec<Command> {
        let failed = outcome.failed.into_iter().map(|Failure { item, error, is_impossible }| {
            let round = self.round_of(&item);
            FailedPlacement { item, error, is_impossible, round }
        });
        let deferred = Some(outcome.deferred).filter(|items| !items.is_empty());
        let deferred = deferred.map(Command::DeferPlacement);
        failed.map(Command::FailPlacement).chain(deferred).collect()
    }

    fn batch(&self) -> Batch {
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

    fn round_of(&self, item: &Item) -> u64 {
        let round = match item {
            Item::Lrp(key) => self.lrps.get(key).map(|(_, round)| *round),
            Item::Task(guid) => self.tasks.get(guid).map(|(_, round)| *round),
        };
        round.unwrap_or_default()
    }
}

/// The names of what is in the work.
pub fn items(work: &Work) -> Vec<WorkItem> {
    let lrps = work.lrps.iter().map(|work| WorkItem::Lrp(work.key.clone()));
    let task = |work: &TaskWork| WorkItem::Task(work.task.definition.task_guid.clone());
    lrps.chain(work.tasks.iter().map(task)).collect()
}

/// The name by which the auction knows an item.
pub fn item_of(item: &WorkItem) -> Item {
    match item {
        WorkItem::Lrp(key) => Item::Lrp(key.clone()),
        WorkItem::Task(guid) => Item::Task(guid.clone()),
    }
}

/// All of what was given to a cell that did not answer, for this cause. It may have taken some of
/// it all the same; its claims will then stand.
pub fn unanswered(items: Vec<WorkItem>, cause: &str) -> Vec<Refused> {
    let reason = format!("{NO_ANSWER}: {cause}");
    items.into_iter().map(|item| Refused { item, reason: reason.clone() }).collect()
}

/// Tells the board what cells did not take, or that a cell is back that an auction was held
/// without; another cell may take it, so that is found out soon.
pub fn returns(refused: Vec<Returned>, is_capacity_back: bool) -> Vec<Command> {
    if refused.is_empty() && !is_capacity_back {
        return Vec::new();
    }
    let items: Vec<Item> = refused.iter().map(|(one, _)| item_of(&one.item)).collect();
    let failed = refused.into_iter().map(|(Refused { item, reason }, round)| {
        let (reason, detail) = match reason.split_once(": ") {
            Some((reason, detail)) if reason == NO_ANSWER => (reason.into(), detail.into()),
            _ => (reason, String::new()),
        };
        let error = PlacementError { reason, detail };
        FailedPlacement { item: item_of(&item), error, is_impossible: false, round }
    });
    failed.map(Command::FailPlacement).chain([Command::DeferPlacement(items)]).collect()
}

#[cfg(test)]
mod tests;
