//! Cells (B.7).

use lattice_model::cell::{CellLabels, RootfsProviders};
use lattice_model::id::IdError;
use lattice_model::{CellCapacity, CellId, CellPresence};
use serde::{Deserialize, Serialize};

/// A cell as the Receptor writes it, in its order; what follows the providers is ours.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CellResponse {
    /// Its name.
    pub cell_id: String,
    /// Its zone.
    pub zone: String,
    /// All it has.
    pub capacity: CellCapacity,
    /// Which root filesystems it can make.
    pub rootfs_providers: RootfsProviders,
    /// Work must ask for these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub placement_tags: Vec<String>,
    /// Work may ask for these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub optional_placement_tags: Vec<String>,
    /// Volume drivers it offers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volume_drivers: Vec<String>,
    /// What its operator says of it.
    #[serde(skip_serializing_if = "CellLabels::is_empty")]
    pub labels: CellLabels,
    /// What is wrong with it, so that it takes no new work.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub fault: String,
    /// What it cannot do for its instances that others can.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// True for a cell that gives everything away and gets nothing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub draining: bool,
}

// === impl CellResponse ===

impl From<&CellPresence> for CellResponse {
    fn from(cell: &CellPresence) -> Self {
        Self {
            cell_id: cell.cell_id.as_str().to_owned(),
            zone: cell.zone.clone(),
            capacity: cell.capacity,
            rootfs_providers: cell.rootfs_providers.clone(),
            placement_tags: cell.placement_tags.clone(),
            optional_placement_tags: cell.optional_placement_tags.clone(),
            volume_drivers: cell.volume_drivers.clone(),
            labels: cell.labels.clone(),
            fault: cell.fault.clone(),
            warnings: cell.warnings.clone(),
            draining: false,
        }
    }
}

impl TryFrom<CellResponse> for CellPresence {
    type Error = IdError;

    /// Where the cell's rep answers is not told to people, and stays empty.
    fn try_from(body: CellResponse) -> Result<Self, IdError> {
        Ok(Self {
            cell_id: CellId::new(&body.cell_id)?,
            rep_url: String::new(),
            zone: body.zone,
            capacity: body.capacity,
            rootfs_providers: body.rootfs_providers,
            placement_tags: body.placement_tags,
            optional_placement_tags: body.optional_placement_tags,
            volume_drivers: body.volume_drivers,
            labels: body.labels,
            fault: body.fault,
            warnings: body.warnings,
        })
    }
}
