//! The cell's face towards the brain: Diego's rep.

pub mod images;
mod slots;
pub mod usage;

use std::sync::Arc;

use async_trait::async_trait;
use lattice_model::actual_lrp::{InstanceKey, LrpKey};
use lattice_model::{
    CellPresence, DesiredLrp, InstanceGuid, ProcessGuid, RegistryCredentials, Resources, Task,
    TaskGuid,
};
use serde::{Deserialize, Serialize};

use images::{ImageStock, PrunedImages};
pub use slots::{AppMark, LrpSlot, LrpSlots};
use usage::InstanceUsage;

/// Why a cell did not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CellError {
    /// No answer came.
    #[error("cannot reach cell {cell}: {cause}")]
    Unreachable {
        /// Which cell.
        cell: String,
        /// What went wrong below.
        cause: String,
    },
    /// The cell is not fit for work.
    #[error("cell {cell} is unhealthy: {cause}")]
    Unhealthy {
        /// Which cell.
        cell: String,
        /// What is wrong with it.
        cause: String,
    },
}

/// What the brain asks of a cell.
#[async_trait]
pub trait Rep: Send + Sync {
    /// What the cell has left and holds.
    async fn state(&self) -> Result<CellState, CellError>;
    /// Takes work by reserving for it; what it cannot take is in the answer, with reasons.
    async fn perform(&self, work: Work) -> Result<Vec<Refused>, CellError>;
    /// Stops an instance in good order; returns before it is done.
    async fn stop_lrp(&self, key: &LrpKey, instance: &InstanceKey) -> Result<(), CellError>;
    /// Ends a task; returns before it is done.
    async fn cancel_task(&self, guid: &TaskGuid) -> Result<(), CellError>;
    /// The images it keeps; a cell that fetches none keeps none.
    async fn images(&self) -> Result<ImageStock, CellError> {
        Ok(ImageStock::default())
    }
    /// Removes every image that no container uses.
    async fn prune_images(&self) -> Result<PrunedImages, CellError> {
        Ok(PrunedImages::default())
    }
    /// Measures what the LRP's instances here use, now; a cell that cannot measure tells of none.
    async fn usage(&self, _of: &ProcessGuid) -> Result<Vec<InstanceUsage>, CellError> {
        Ok(Vec::new())
    }
}

/// Finds the rep of a cell from its presence: a handle in this process, or a client.
pub trait RepConnector: Send + Sync {
    /// The rep of that cell.
    fn connect(&self, presence: &CellPresence) -> Option<Arc<dyn Rep>>;
}

/// A cell as the auction sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CellState {
    /// What it says of itself.
    pub presence: CellPresence,
    /// What is not reserved.
    pub available: Resources,
    /// Instances it holds.
    pub lrps: LrpSlots,
    /// Tasks it holds.
    pub tasks: Vec<TaskGuid>,
    /// How many of all these are not running yet.
    pub starting_count: u64,
    /// True when it takes no new work.
    pub evacuating: bool,
}

/// Work for one cell.
#[derive(Debug, Clone, Default)]
pub struct Work {
    /// Instances to run.
    pub lrps: Vec<LrpWork>,
    /// Tasks to run.
    pub tasks: Vec<TaskWork>,
}

/// One instance to run.
#[derive(Debug, Clone)]
pub struct LrpWork {
    /// Which.
    pub key: LrpKey,
    /// The incarnation's guid, made by the brain.
    pub instance_guid: InstanceGuid,
    /// What to run.
    pub lrp: Arc<DesiredLrp>,
    /// For pulling its images; one for each registry that needs it.
    pub credentials: Vec<RegistryCredentials>,
}

/// One task to run.
#[derive(Debug, Clone)]
pub struct TaskWork {
    /// What to run.
    pub task: Arc<Task>,
    /// For pulling its images; one for each registry that needs it.
    pub credentials: Vec<RegistryCredentials>,
}

/// Work a cell did not take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Which.
    pub item: WorkItem,
    /// Why; becomes the placement error.
    pub reason: String,
}

/// Names an item of [`Work`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum WorkItem {
    /// An instance.
    Lrp(LrpKey),
    /// A task.
    Task(TaskGuid),
}
