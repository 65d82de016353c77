//! What is: one record per index (and presence) of a desired LRP.

use serde::{Deserialize, Serialize};

use crate::desired_lrp::ModificationTag;
use crate::id::{CellId, Domain, InstanceGuid, ProcessGuid};
use crate::time::Time;

/// The most bytes kept of a crash reason or placement error.
pub const REASON_BYTES_MAX: usize = 1_024;

/// Which instance of which LRP.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LrpKey {
    /// The desired LRP.
    pub process_guid: ProcessGuid,
    /// From 0.
    pub index: u32,
    /// The LRP's domain.
    pub domain: Domain,
}

/// Which incarnation, and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InstanceKey {
    /// The incarnation.
    pub instance_guid: InstanceGuid,
    /// The cell that holds it.
    pub cell_id: CellId,
}

/// A container port and the cell's port that leads to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortMapping {
    /// Inside.
    pub container_port: u16,
    /// Outside, on the cell's address.
    pub host_port: u16,
}

/// How an instance is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetInfo {
    /// The cell's address, where `host_port`s are.
    pub address: String,
    /// The instance's own address, reachable from its cell.
    pub instance_address: String,
    /// The port mappings.
    pub ports: Vec<PortMapping>,
    /// True while a readiness check fails: it runs, and gets no requests.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unready: bool,
}

/// Whose view of the index this record is; at most one record each.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Presence {
    /// The usual one.
    #[default]
    Ordinary,
    /// On a cell that is being emptied.
    Evacuating,
    /// On a cell that is not heard of.
    Suspect,
}

/// Where an instance stands; each state holds just what it can know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ActualState {
    /// Waits for a cell.
    Unclaimed {
        /// Why no cell was found at the last try.
        placement_error: Option<PlacementError>,
    },
    /// A cell is starting it.
    Claimed {
        /// Which incarnation, where.
        instance: InstanceKey,
    },
    /// Healthy.
    Running {
        /// Which incarnation, where.
        instance: InstanceKey,
        /// How it is reached.
        net: NetInfo,
    },
    /// Waits out its back-off.
    Crashed {
        /// Why it ended.
        reason: String,
    },
    /// Ended, and its restart policy leaves it so.
    Exited {
        /// Why it ended.
        reason: String,
    },
}

/// Why work was not placed: Diego's exact words, and the amounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementError {
    /// Diego's string (`insufficient resources: memory`); clients match it.
    pub reason: String,
    /// The amounts, for people (`needs 4096 MB; largest free 3072 MB on cell-2`).
    pub detail: String,
}

/// How an instance ended by itself. Text alone is an end in failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceEnd {
    /// Why, for people; becomes the crash reason.
    pub reason: String,
    /// True when its work ended well (every process with status 0); what
    /// [`RestartPolicy::OnFailure`](crate::desired_lrp::RestartPolicy::OnFailure) goes by.
    pub is_success: bool,
}

/// What a cell that is being emptied finds of one of its instances (section 2.11).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Evacuee {
    /// It is reserved, being made, or not healthy yet.
    Starting,
    /// It is healthy.
    Running(NetInfo),
    /// It was stopped.
    Stopped,
    /// It ended by itself.
    Crashed(InstanceEnd),
}

/// One instance's record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActualLrp {
    /// Which instance.
    pub key: LrpKey,
    /// Whose view.
    pub presence: Presence,
    /// Where it stands.
    pub state: ActualState,
    /// Since when it stands there.
    pub since: Time,
    /// Crashes in a row.
    pub crash_count: u32,
    /// Why it last crashed; kept over the restart, for people.
    pub crash_reason: String,
    /// Counts the updates.
    pub modification_tag: ModificationTag,
}

impl PlacementError {
    /// Both in one line: clients match the beginning, people read on.
    pub fn sentence(&self) -> String {
        if self.detail.is_empty() {
            self.reason.clone()
        } else {
            format!("{} ({})", self.reason, self.detail)
        }
    }
}

impl From<&str> for InstanceEnd {
    fn from(reason: &str) -> Self {
        reason.to_owned().into()
    }
}

impl From<String> for InstanceEnd {
    fn from(reason: String) -> Self {
        Self { reason, is_success: false }
    }
}

impl ActualLrp {
    /// The incarnation, where there is one.
    pub fn instance(&self) -> Option<&InstanceKey> {
        match &self.state {
            ActualState::Claimed { instance } | ActualState::Running { instance, .. } => {
                Some(instance)
            }
            ActualState::Unclaimed { .. }
            | ActualState::Crashed { .. }
            | ActualState::Exited { .. } => None,
        }
    }

    /// How it is reached, when it is running.
    pub fn net(&self) -> Option<&NetInfo> {
        match &self.state {
            ActualState::Running { net, .. } => Some(net),
            ActualState::Unclaimed { .. }
            | ActualState::Claimed { .. }
            | ActualState::Crashed { .. }
            | ActualState::Exited { .. } => None,
        }
    }
}

impl ActualState {
    /// The state's name on the Receptor API.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Unclaimed { .. } => "UNCLAIMED",
            Self::Claimed { .. } => "CLAIMED",
            Self::Running { .. } => "RUNNING",
            Self::Crashed { .. } => "CRASHED",
            Self::Exited { .. } => "EXITED",
        }
    }
}
