//! What a cell's instances use, measured when it is asked. Ours. These are also the bodies on the
//! wire.

use lattice_model::{InstanceGuid, Time};
use serde::{Deserialize, Serialize};

/// What one instance uses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceUsage {
    /// The instance's index.
    pub index: u32,
    /// The incarnation.
    pub instance_guid: InstanceGuid,
    /// All its containers together.
    #[serde(flatten)]
    pub measured: Measurement,
}

/// What was measured of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// When.
    pub measured_at: Time,
    /// Percent of one core, over the while before that.
    pub cpu_percentage: f64,
    /// Percent of one core that it has at least, while all others of its cell want theirs.
    pub cpu_entitlement_percentage: f64,
    /// Memory in use, without what the kernel could drop at once.
    pub memory_bytes: u64,
    /// The memory limit, 0 for none.
    pub memory_bytes_quota: u64,
    /// What it has written.
    pub disk_bytes: u64,
    /// The disk limit, 0 for none.
    pub disk_bytes_quota: u64,
    /// What came to it by network since it is there, everything that is carried counted.
    pub received_bytes: u64,
    /// What it sent.
    pub sent_bytes: u64,
    /// How long it has been there, in nanoseconds.
    pub age_ns: u64,
}
