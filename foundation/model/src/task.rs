//! Work that runs once to its end.

use serde::{Deserialize, Serialize};

use crate::desired_lrp::{ContainerSpec, LogTarget, reserved};
use crate::egress::EgressRule;
use crate::id::{CellId, Domain, TaskGuid};
use crate::placement::Placement;
use crate::resources::Resources;
use crate::time::Time;

/// The largest result file, in bytes (Receptor API B.6).
pub const RESULT_BYTES_MAX: usize = 10_240;

/// A task as its owner wants it; immutable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskDefinition {
    /// Its name.
    pub task_guid: TaskGuid,
    /// The domain it belongs to.
    pub domain: Domain,
    /// Its containers, the first being the main one; the Receptor API has one.
    pub containers: Vec<ContainerSpec>,
    /// Where its logs and metrics go.
    pub log: LogTarget,
    /// A file in the container whose content is the result; empty means none.
    pub result_file: String,
    /// Told of completion; empty means nobody.
    pub completion_callback_url: String,
    /// The owner's own words.
    pub annotation: String,
    /// Cells must carry these tags.
    pub placement_tags: Vec<String>,
    /// Cells must offer these volume drivers.
    pub volume_drivers: Vec<String>,
    /// What else is asked of cells; records from before this have none.
    #[serde(default, skip_serializing_if = "Placement::is_default")]
    pub placement: Placement,
    /// What it may reach, besides what its cell's network policy allows everyone.
    pub egress_rules: Vec<EgressRule>,
}

/// A task and how far it has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// What is wanted.
    pub definition: TaskDefinition,
    /// Where it stands.
    pub state: TaskState,
    /// When it was accepted.
    pub created_at: Time,
    /// When its state last changed.
    pub updated_at: Time,
    /// How often it could not be placed.
    pub rejections: u32,
    /// Why it could not be placed at the last try.
    pub rejection_reason: String,
    /// The amounts behind that reason; records from before this have none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub placement_detail: String,
}

/// Where a task stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskState {
    /// Waits for a cell.
    Pending,
    /// On a cell.
    Running {
        /// Where.
        cell_id: CellId,
    },
    /// Ended; its owner has not been told.
    Completed(TaskOutcome),
    /// Its owner is being told.
    Resolving(TaskOutcome),
}

/// How a task ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskOutcome {
    /// True when it did not succeed.
    pub failed: bool,
    /// Why, when it failed.
    pub failure_reason: String,
    /// The result file's content, when it succeeded.
    pub result: String,
}

impl TaskDefinition {
    /// The main container.
    pub fn main(&self) -> &ContainerSpec {
        self.containers.first().expect("validation admits no task without a container")
    }

    /// What it reserves on a cell.
    pub fn resources(&self) -> Resources {
        reserved(&self.containers)
    }
}

impl TaskState {
    /// The state's name on the Receptor API.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Running { .. } => "RUNNING",
            Self::Completed(_) => "COMPLETED",
            Self::Resolving(_) => "RESOLVING",
        }
    }
}
