//! Why the auction would put an instance where it would; ours.

use lattice_model::{CellId, ProcessGuid, Resources, Strategy};
use serde::{Deserialize, Serialize};

/// What the auction would do with one instance if it were placed now, and what it thinks of every
/// cell. An instance that runs is thought away from its cell first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The LRP.
    pub process_guid: ProcessGuid,
    /// The instance.
    pub index: u32,
    /// The app whose instances are kept apart.
    pub app: String,
    /// How cells are weighed.
    pub strategy: Strategy,
    /// What the instance reserves.
    pub need: Resources,
    /// Where it is now, by what the cells say.
    pub runs_on: Option<CellId>,
    /// Where it would go; `None` when no cell can take it.
    pub chosen: Option<CellId>,
    /// Why there, in words; empty when nowhere.
    pub why: String,
    /// Why nowhere, in the words of the placement error; empty otherwise.
    pub placement_error: String,
    /// The amounts behind it.
    pub placement_detail: String,
    /// Every cell that answered, by id.
    pub cells: Vec<CellOpinion>,
}

/// What the auction thinks of one cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CellOpinion {
    /// The cell.
    pub cell_id: CellId,
    /// Its zone.
    pub zone: String,
    /// What is not reserved there.
    pub free: Resources,
    /// Instances of the app in the zone: the fewest first, before any score.
    pub instances_in_zone: u64,
    /// Instances of the app on the cell.
    pub instances_on_cell: u64,
    /// What it passes.
    pub filters: Filters,
    /// How good it is; `None` when it does not pass all filters.
    pub score: Option<Scores>,
}

/// True where a cell passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filters {
    /// It takes new work: it is not evacuating.
    pub accepting: bool,
    /// It can make the root filesystem.
    pub rootfs: bool,
    /// It offers the volume drivers.
    pub volume_drivers: bool,
    /// It has the placement tags, and requires no others.
    pub placement_tags: bool,
    /// It keeps the constraints on labels and on other apps.
    pub constraints: bool,
    /// It has enough free.
    pub resources: bool,
}

/// A score and its parts; lower is better, and 1.0 is a cell that is used up.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// The sum.
    pub total: f64,
    /// Instances of the same app there, 1000 each.
    pub same_app: f64,
    /// Instances that are starting there.
    pub starting: f64,
    /// The cell's rank in its zone.
    pub first_fit: f64,
    /// What would be used; under the random strategy, the dice.
    pub resources: f64,
    /// Affinities.
    pub affinity: f64,
}
