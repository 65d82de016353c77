//! What the instances of one app use, as their cells have measured it just now. Ours. This is also
//! the body on the wire.

use lattice_model::CellId;
use serde::{Deserialize, Serialize};

use crate::cell::usage::InstanceUsage;

/// What one cell has measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CellUsage {
    /// The cell.
    pub cell_id: CellId,
    /// The app's instances there that have a container, by index; none when it did not say.
    pub instances: Vec<InstanceUsage>,
    /// Why it did not say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
}
