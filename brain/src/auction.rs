//! Decides which cell runs what (section 1). Pure and deterministic: the same cells and the same
//! batch give the same answer, in whatever order they came.
//!
//! The answer is that of a plain walk: for each item in its turn, score every cell. [`explain`] is
//! that walk for one item; [`hold`] finds the same cells by indexes. Cells that no item can tell
//! apart but by how full they are form a cohort, and the cells of a cohort stand in the order of
//! their scores, so that the best is known without asking the others.

mod answer;
mod apps;
mod cohort;
mod explain;
mod filter;
mod fleet;
mod order;
mod placement;
mod score;
mod shortage;
mod standings;

use std::borrow::Borrow;
use std::sync::Arc;

use lattice_api::cell::CellState;
use lattice_model::{DesiredLrp, LrpKey, Strategy, Task, TaskGuid};

pub use answer::{Failure, Outcome, Placements};
pub use explain::explain;
use fleet::Fleet;
use order::Queue;
use placement::Floor;

/// An instance that wants a place.
#[derive(Debug, Clone)]
pub struct LrpAuction {
    /// Which.
    pub key: LrpKey,
    /// What to run. Instances that share it are counted as one want.
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
    /// How cells are weighed for work that names no strategy of its own.
    pub strategy: Strategy,
    /// The dice of the random strategy.
    pub seed: u64,
}

// === impl Policy ===

impl Default for Policy {
    fn default() -> Self {
        Self {
            starting_weight: 0.25,
            first_fit_weight: 0.0,
            starting_max: 0,
            strategy: Strategy::Spread,
            seed: 0,
        }
    }
}

impl Policy {
    /// True when no more may be started for now.
    const fn is_reached_by(&self, starting: u64) -> bool {
        self.starting_max > 0 && starting >= self.starting_max
    }

    /// What the dice show for an item: always the same for the same seed.
    fn dice(&self, item: &Item) -> u64 {
        let (name, index) = match item {
            Item::Lrp(key) => (key.process_guid.as_str(), key.index),
            Item::Task(guid) => (guid.as_str(), 0),
        };
        let start = self.seed ^ u64::from(index).rotate_left(32);
        let mixed = name.bytes().fold(start, |all, byte| mix(all ^ u64::from(byte)));
        mix(mixed)
    }
}

/// Spreads every bit of a number over all of it (splitmix64's finish).
const fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// Holds one auction. Cells that are evacuating get nothing, but what they hold still counts for
/// the balance of the zones.
pub fn hold<C: Borrow<CellState>>(cells: &[C], batch: &Batch, policy: &Policy) -> Outcome {
    let queue = Queue::new(batch, policy);
    let fleet = Fleet::new(cells, &queue.apps);
    let mut outcome = Outcome::new(fleet.names(), queue.turns.len());
    let mut floor = Floor::new(&queue, fleet, policy);
    for turn in &queue.turns {
        if policy.is_reached_by(floor.starting()) {
            outcome.deferred.push(queue.item(*turn));
            continue;
        }
        let want = queue.want(*turn);
        match floor.place(want, || policy.dice(&queue.item(*turn))) {
            Ok(cell) => outcome.placed.push(queue.item(*turn), cell),
            Err((error, is_impossible)) => {
                outcome.failed.push(Failure { item: queue.item(*turn), error, is_impossible });
            }
        }
    }
    outcome
}

#[cfg(test)]
mod tests;
