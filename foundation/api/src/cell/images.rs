//! What a cell keeps of images, and what it lets go. Ours. These are also the bodies on the wire.

use lattice_model::Time;
use serde::{Deserialize, Serialize};

/// The images that a cell keeps unpacked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageStock {
    /// By name.
    pub images: Vec<KeptImage>,
    /// What all layers take of the disk, in bytes; each is there once, however many images have it.
    pub layers_bytes: u64,
    /// What their disk has left, in bytes.
    pub disk_free_bytes: u64,
    /// What their disk has in all, in bytes.
    pub disk_total_bytes: u64,
}

/// One image on a cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptImage {
    /// `REGISTRY/REPOSITORY:TAG`, or `@DIGEST`.
    pub name: String,
    /// What the name meant when it was last asked for: the manifest's digest.
    pub digest: String,
    /// What its layers take, in bytes; layers that it shares with others are counted too.
    pub bytes: u64,
    /// How many layers it has.
    pub layers: usize,
    /// True while a container stands on it, or one is being made.
    pub in_use: bool,
    /// When a container last began to use it, or stopped.
    pub last_used: Time,
}

/// What a cell has removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrunedImages {
    /// The images that are not whole any more, by name; they are pulled anew when they are wanted.
    pub images: Vec<String>,
    /// How many layers went.
    pub layers: usize,
    /// What they took of the disk, in bytes.
    pub bytes: u64,
}
