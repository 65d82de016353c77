//! Decides which cell runs what (section 1). Pure and deterministic: the same cells and the same
//! batch give the same answer, in whatever order they came.

mod filter;
mod order;
mod placement;
mod score;

use std::sync::Arc;

use lattice_api::cell::CellState;
use lattice_model::actual_lrp::PlacementError;
use lattice_model::{CellId, DesiredLrp, LrpKey, Resources, Task, TaskGuid};

use placement::Floor;

/// An instance that wants a place.
#[derive(Debug, Clone)]
pub struct LrpAuction {
    /// Which.
    pub key: LrpKey,
    /// What to run.
    pub lrp: Arc<DesiredLrp>,
}

/// A task that wants a place.
#[derive(Debug, Clone)]
pub struct TaskAuction {
    /// What to run.
    pub task: Arc<Task>,
}

/// Everything that arrived since the last auction.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Instances; the first of two with one key counts.
    pub lrps: Vec<LrpAuction>,
    /// Tasks; the first of two with one guid counts.
    pub tasks: Vec<TaskAuction>,
}

/// Names an item of the batch.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Item {
    /// An instance.
    Lrp(LrpKey),
    /// A task.
    Task(TaskGuid),
}

/// How cells are weighed against each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// What each instance that is starting on a cell adds to its score; 0.25 makes four of them
    /// outweigh a full cell.
    pub starting_weight: f64,
    /// What each rank of a cell within its zone adds to its score; 0 spreads, more fills the first
    /// cells first.
    pub first_fit_weight: f64,
    /// How many instances may be starting at once on all cells; 0 is no bound.
    pub starting_max: u64,
}

/// What the auction decided.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// Items and their cells, in the order of their placement.
    pub placed: Vec<(Item, CellId)>,
    /// Items that found no place.
    pub failed: Vec<Failure>,
    /// Items that were not tried, since too much is starting.
    pub deferred: Vec<Item>,
}

/// Why an item found no place.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// Which.
    pub item: Item,
    /// Diego's words and the amounts.
    pub error: PlacementError,
    /// True when the present cells could not take it even if they were empty.
    pub is_impossible: bool,
}

/// What a placement asks of a cell.
#[derive(Debug, Clone)]
struct Demand {
    item: Item,
    need: Resources,
    constraint: filter::Constraint,
    /// The app whose instances are to be apart; tasks have none.
    app: Option<String>,
}

// === impl Policy ===

impl Default for Policy {
    fn default() -> Self {
        Self { starting_weight: 0.25, first_fit_weight: 0.0, starting_max: 0 }
    }
}

/// Holds one auction. Cells that are evacuating get nothing, but what they hold still counts for
/// the balance of the zones.
pub fn hold(cells: Vec<CellState>, batch: Batch, policy: &Policy) -> Outcome {
    let mut floor = Floor::new(cells, *policy);
    let mut outcome = Outcome::default();
    for demand in order::queue(batch) {
        if floor.is_saturated() {
            outcome.deferred.push(demand.item);
            continue;
        }
        match floor.place(&demand) {
            Ok(cell) => outcome.placed.push((demand.item, cell)),
            Err((error, is_impossible)) => {
                outcome.failed.push(Failure { item: demand.item, error, is_impossible });
            }
        }
    }
    outcome
}

#[cfg(test)]
mod tests;
