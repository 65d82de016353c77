//! A machine that runs containers.

use serde::{Deserialize, Serialize};

use crate::id::CellId;
use crate::resources::Resources;

pub use crate::packed::{Labels as CellLabels, RootfsProviders};

/// What a cell says of itself while it is alive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CellPresence {
    /// Its name.
    pub cell_id: CellId,
    /// Where its rep answers; empty when it is in this process.
    pub rep_url: String,
    /// Its zone; instances of an app are spread over zones first.
    pub zone: String,
    /// All it has.
    pub capacity: CellCapacity,
    /// Which root filesystems it can make.
    pub rootfs_providers: RootfsProviders,
    /// Work must ask for these.
    pub placement_tags: Vec<String>,
    /// Work may ask for these.
    pub optional_placement_tags: Vec<String>,
    /// Volume drivers it offers.
    pub volume_drivers: Vec<String>,
    /// What its operator says of it, for placement rules; cells from before this say nothing.
    #[serde(default, skip_serializing_if = "CellLabels::is_empty")]
    pub labels: CellLabels,
    /// What is wrong with it, so that it takes no new work; empty when nothing is, or for cells from
    /// before this.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub fault: String,
    /// What it cannot do for its instances that others can, for people; cells from before this say
    /// nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// A cell that gives away all it runs and gets nothing new, until it is told otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draining {
    /// Which cell.
    pub cell_id: CellId,
    /// How many of its instances may be on their way elsewhere at once.
    pub max_in_flight: u32,
}

/// All a cell has.
pub type CellCapacity = Resources;
