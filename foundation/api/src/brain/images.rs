//! What all cells keep of images. Ours. These are also the bodies on the wire.

use lattice_model::CellId;
use serde::{Deserialize, Serialize};

use crate::cell::images::{ImageStock, PrunedImages};

/// What one cell keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CellImages {
    /// The cell.
    pub cell_id: CellId,
    /// What it keeps; nothing when it did not say.
    #[serde(flatten)]
    pub stock: ImageStock,
    /// Why it did not say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
}

/// What one cell has removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CellPruned {
    /// The cell.
    pub cell_id: CellId,
    /// What it has removed; nothing when it did not say.
    #[serde(flatten)]
    pub pruned: PrunedImages,
    /// Why it did not say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
}
