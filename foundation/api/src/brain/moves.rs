//! Moves of healthy instances between cells: what is asked, what is planned, and how far it is.
//! Ours. These are also the bodies on the wire.

use lattice_model::{CellId, ProcessGuid};
use serde::{Deserialize, Serialize};

/// How many instances move at once unless that is said.
pub const IN_FLIGHT_DEFAULT: u32 = 4;
/// How many instances may move at once at most.
pub const IN_FLIGHT_MAX: u32 = 1_000;
/// How many moves a rebalance makes unless that is said.
pub const MOVES_DEFAULT: u32 = 50;
/// How many moves a rebalance may make at most.
pub const MOVES_MAX: u32 = 10_000;

/// How a cell is to be drained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DrainRequest {
    /// How many of its instances may be on their way elsewhere at once; from 1 to
    /// [`IN_FLIGHT_MAX`].
    pub max_in_flight: u32,
    /// True when only the plan is wanted.
    pub dry_run: bool,
}

/// How instances are to be spread anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RebalanceRequest {
    /// How many instances may be on their way at once; from 1 to [`IN_FLIGHT_MAX`].
    pub max_in_flight: u32,
    /// How many moves to make in all; from 1 to [`MOVES_MAX`].
    pub max_moves: u32,
    /// True when only the plan is wanted.
    pub dry_run: bool,
}

/// What would move if nothing else happened; where to is settled anew when each one's turn comes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovePlan {
    /// In the order in which they begin.
    pub moves: Vec<PlannedMove>,
}

/// One instance's planned move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedMove {
    /// The LRP.
    pub process_guid: ProcessGuid,
    /// From 0.
    pub index: u32,
    /// What it reserves, in MiB.
    pub memory_mb: u64,
    /// The cell it leaves.
    pub from: CellId,
    /// The cell that would take it; absent when none would, and it stays up where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<CellId>,
    /// Why no cell would, with amounts.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub placement_error: String,
}

/// What moves now, and what is yet to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moves {
    /// Cells that are drained, by id.
    pub draining: Vec<DrainingCell>,
    /// Instances that are on their way, by LRP and index.
    pub moves: Vec<MoveUnderWay>,
    /// How many moves a rebalance has left to begin.
    pub planned: usize,
}

/// A cell that is drained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainingCell {
    /// Its name.
    pub cell_id: CellId,
    /// How many of its instances may be on their way elsewhere at once.
    pub max_in_flight: u32,
    /// Instances that it still runs.
    pub instances_left: usize,
    /// Tasks that it still runs; they run to their end.
    pub tasks_left: usize,
}

/// An instance that stays up while its replacement is placed and started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveUnderWay {
    /// The LRP.
    pub process_guid: ProcessGuid,
    /// From 0.
    pub index: u32,
    /// The cell it leaves.
    pub from: CellId,
    /// The cell that starts the replacement, once one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<CellId>,
    /// The replacement's state, as the Receptor API names it.
    pub state: String,
    /// Why the replacement has no place yet, with amounts, or why it does not run.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub placement_error: String,
}

impl Default for DrainRequest {
    fn default() -> Self {
        Self { max_in_flight: IN_FLIGHT_DEFAULT, dry_run: false }
    }
}

impl Default for RebalanceRequest {
    fn default() -> Self {
        Self { max_in_flight: IN_FLIGHT_DEFAULT, max_moves: MOVES_DEFAULT, dry_run: false }
    }
}
