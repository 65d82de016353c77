//! The brain's two faces: [`Receptor`] for people and tools, [`Bbs`] for cells.

pub mod bodies;
pub mod client;
mod event_id;
pub mod explanation;
pub mod images;
pub mod moves;
pub mod routes;
pub mod usage;

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use lattice_model::actual_lrp::{Evacuee, InstanceEnd, InstanceKey, LrpKey, NetInfo};
use lattice_model::task::TaskOutcome;
use lattice_model::{
    ActualLrp, CellId, CellPresence, CustomDomain, CustomDomainStatus, DesiredLrp,
    DesiredLrpUpdate, Domain, Event, ProcessGuid, Refusal, RegistryAccount, RegistryCredentials,
    Task, TaskDefinition, TaskGuid,
};
use serde::{Deserialize, Serialize};

pub use client::{ReceptorClient, Target};
pub use event_id::{EventId, NotAnEventId};
pub use explanation::Explanation;
use images::{CellImages, CellPruned};
use moves::{DrainRequest, MovePlan, Moves, RebalanceRequest};
use usage::CellUsage;

/// Why a call to the brain did not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BrainError {
    /// The brain understood and said no.
    #[error("{0}")]
    Refused(Refusal),
    /// Credentials are missing or wrong.
    #[error("the receptor did not accept the credentials")]
    Unauthorized,
    /// No answer came.
    #[error("cannot reach the receptor at {url}: {cause}")]
    Unreachable {
        /// What was asked.
        url: String,
        /// What went wrong below.
        cause: String,
    },
    /// The answer is not one a receptor gives.
    #[error("unexpected answer from {url}: {what}")]
    BadAnswer {
        /// What was asked.
        url: String,
        /// What was odd about it.
        what: String,
    },
}

impl From<Refusal> for BrainError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// The Receptor API's operations, `/v1` (Receptor API B.1). A success of a writing call means
/// that the write survives `kill -9` and power loss.
#[async_trait]
pub trait Receptor: Send + Sync {
    /// Wants a new LRP. Its `modification_tag` is the brain's to make.
    async fn desire_lrp(&self, lrp: DesiredLrp) -> Result<(), BrainError>;
    /// Changes the mutable parts.
    async fn update_lrp(
        &self,
        guid: &ProcessGuid,
        update: DesiredLrpUpdate,
    ) -> Result<(), BrainError>;
    /// Wants an LRP no more.
    async fn remove_lrp(&self, guid: &ProcessGuid) -> Result<(), BrainError>;
    /// One desired LRP.
    async fn desired_lrp(&self, guid: &ProcessGuid) -> Result<Arc<DesiredLrp>, BrainError>;
    /// All desired LRPs, or those of a domain, by guid.
    async fn desired_lrps(
        &self,
        domain: Option<&Domain>,
    ) -> Result<Vec<Arc<DesiredLrp>>, BrainError>;

    /// One record per index (an evacuating or suspect one only where it stands in for the
    /// ordinary one), by guid and index; of all LRPs or of a domain.
    async fn actual_lrps(&self, domain: Option<&Domain>) -> Result<Vec<ActualLrp>, BrainError>;
    /// The same of one LRP; empty when there is none.
    async fn actual_lrps_of(&self, guid: &ProcessGuid) -> Result<Vec<ActualLrp>, BrainError>;
    /// Stops one instance; it starts anew when still wanted.
    async fn retire(&self, guid: &ProcessGuid, index: u32) -> Result<(), BrainError>;
    /// How far instances that are not running yet have come; nothing durable.
    async fn progress_of(&self, guid: &ProcessGuid) -> Result<Vec<InstanceProgress>, BrainError>;
    /// What its instances use, as their cells measure it now; by cell. Ours.
    async fn usage_of(&self, guid: &ProcessGuid) -> Result<Vec<CellUsage>, BrainError>;

    /// Where the auction would put one instance if it were placed now, and what it thinks of every
    /// cell; nothing is placed. Ours.
    async fn explain(&self, guid: &ProcessGuid, index: u32) -> Result<Explanation, BrainError>;

    /// Wants a task.
    async fn desire_task(&self, task: TaskDefinition) -> Result<(), BrainError>;
    /// One task.
    async fn task(&self, guid: &TaskGuid) -> Result<Task, BrainError>;
    /// All tasks, or those of a domain, by guid.
    async fn tasks(&self, domain: Option<&Domain>) -> Result<Vec<Task>, BrainError>;
    /// Ends a task that has not ended.
    async fn cancel_task(&self, guid: &TaskGuid) -> Result<(), BrainError>;
    /// Forgets a task that has ended.
    async fn delete_task(&self, guid: &TaskGuid) -> Result<(), BrainError>;

    /// Live cells by id.
    async fn cells(&self) -> Result<Vec<CellPresence>, BrainError>;
    /// Gives everything a cell runs away, and nothing to it, until it is undrained; or, when that
    /// is all that is wanted, says what would move.
    async fn drain_cell(&self, cell: &CellId, how: DrainRequest) -> Result<MovePlan, BrainError>;
    /// Makes a cell as any other again; what has found no other place stays.
    async fn undrain_cell(&self, cell: &CellId) -> Result<(), BrainError>;
    /// Spreads instances anew, once; or says what would move.
    async fn rebalance(&self, how: RebalanceRequest) -> Result<MovePlan, BrainError>;
    /// What moves now.
    async fn moves(&self) -> Result<Moves, BrainError>;
    /// The images that live cells keep, by cell.
    async fn images(&self) -> Result<Vec<CellImages>, BrainError>;
    /// Has every live cell remove the images that no instance uses.
    async fn prune_images(&self) -> Result<Vec<CellPruned>, BrainError>;
    /// Vouches for a domain for so many seconds; `None` is for ever.
    async fn upsert_domain(&self, domain: Domain, ttl_s: Option<u64>) -> Result<(), BrainError>;
    /// Fresh domains.
    async fn domains(&self) -> Result<Vec<Domain>, BrainError>;
    /// What runs there.
    async fn version(&self) -> Result<Version, BrainError>;
    /// Keeps what cells need to pull from a registry; replaces what was kept for it.
    async fn put_registry_credentials(&self, c: RegistryCredentials) -> Result<(), BrainError>;
    /// For which registries something is kept, and whose it is, by registry; no passwords.
    async fn registry_accounts(&self) -> Result<Vec<RegistryAccount>, BrainError>;
    /// Forgets what is kept for a registry.
    async fn remove_registry_credentials(&self, registry: &str) -> Result<(), BrainError>;
    /// Keeps a certificate for a host; replaces what was kept for it.
    async fn put_custom_domain(
        &self,
        domain: CustomDomain,
    ) -> Result<CustomDomainStatus, BrainError>;
    /// Has an authority asked for a host's certificate, at once and in time to renew it; what was
    /// kept for the host is shown until it comes.
    async fn order_certificate(&self, host: &str) -> Result<CustomDomainStatus, BrainError>;
    /// What is kept, by host; no keys.
    async fn custom_domains(&self) -> Result<Vec<CustomDomainStatus>, BrainError>;
    /// Forgets a host's certificate.
    async fn remove_custom_domain(&self, host: &str) -> Result<(), BrainError>;
    /// What changes from now on, or, where history reaches, from after `after` on.
    async fn events(&self, after: Option<EventId>) -> Result<EventStream, BrainError>;
}

/// Events in the order of their commits.
pub type EventStream = BoxStream<'static, Result<SequencedEvent, BrainError>>;

/// One change and its place in the order.
#[derive(Debug, Clone, PartialEq)]
pub enum SequencedEvent {
    /// A change.
    Event {
        /// Its place.
        id: EventId,
        /// What changed.
        event: Arc<Event>,
    },
    /// Nothing has happened; everything up to here has been told.
    Mark(EventId),
    /// Some changes are lost to this reader: it must list everything again.
    Resync {
        /// From here on everything is told again.
        id: EventId,
        /// Why they are lost.
        why: Lost,
    },
}

/// Why changes are lost to a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// It comes back too late.
    HistoryGone,
    /// What it comes back with is of another life of the brain, or of none.
    OtherLife,
    /// It takes events more slowly than they come.
    TooSlow,
}

impl SequencedEvent {
    /// Where a reader stands that has been told this.
    pub const fn id(&self) -> EventId {
        match self {
            Self::Event { id, .. } | Self::Mark(id) | Self::Resync { id, .. } => *id,
        }
    }
}

impl Lost {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::HistoryGone, Self::OtherLife, Self::TooSlow];

    /// Its name on the stream.
    pub const fn name(self) -> &'static str {
        match self {
            Self::HistoryGone => "history_gone",
            Self::OtherLife => "other_life",
            Self::TooSlow => "too_slow",
        }
    }

    /// For people.
    pub const fn message(self) -> &'static str {
        match self {
            Self::HistoryGone => {
                "events after that id are not kept any more; list everything again"
            }
            Self::OtherLife => {
                "that id is of another life of the brain, or of none; list everything again"
            }
            Self::TooSlow => "events came faster than they were taken; list everything again",
        }
    }
}

/// How far an instance has come on its way to running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceProgress {
    /// The instance's index.
    pub index: u32,
    /// The cell that works on it.
    pub cell_id: CellId,
    /// What is being done.
    pub step: ProgressStep,
}

/// What a cell is doing for an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum ProgressStep {
    /// Fetching the image.
    Pulling {
        /// Bytes that have arrived.
        bytes_done: u64,
        /// Bytes in all; 0 while unknown.
        bytes_total: u64,
    },
    /// Making the container.
    Creating,
    /// Running; waiting for the first healthy check.
    Starting,
}

/// What `/v1/version` tells.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Version {
    /// The product's version.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub lattice_release: String,
    /// The receptor's version.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub receptor: String,
    /// The version of `ltc` that fits.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ltc: String,
}

/// What cells tell the brain and ask of it. The cell is the authority for what runs.
#[async_trait]
pub trait Bbs: Send + Sync {
    /// Says that the cell is alive; to be repeated well within [`PRESENCE_TTL_S`].
    async fn heartbeat(&self, presence: CellPresence) -> Result<(), BrainError>;
    /// Says that the cell goes in good order: its presence ends now.
    async fn depart(&self, cell: &CellId) -> Result<(), BrainError>;
    /// The cell has a container for the instance and will start it.
    async fn claim_lrp(&self, key: &LrpKey, instance: &InstanceKey) -> Result<(), BrainError>;
    /// The instance is healthy. Refused when another incarnation runs: stop this one.
    async fn start_lrp(
        &self,
        key: &LrpKey,
        instance: &InstanceKey,
        net: NetInfo,
    ) -> Result<(), BrainError>;
    /// The instance ended by itself.
    async fn crash_lrp(
        &self,
        key: &LrpKey,
        instance: &InstanceKey,
        end: InstanceEnd,
    ) -> Result<(), BrainError>;
    /// The instance was stopped, as was asked.
    async fn remove_instance(&self, key: &LrpKey, instance: &InstanceKey)
    -> Result<(), BrainError>;
    /// The cell is being emptied and holds this instance (section 2.11); to be repeated until
    /// nothing is held. True when the cell is to keep it up for now.
    async fn evacuate_lrp(
        &self,
        key: &LrpKey,
        instance: &InstanceKey,
        evacuee: Evacuee,
    ) -> Result<bool, BrainError>;
    /// May the cell run the task? True exactly once.
    async fn start_task(&self, guid: &TaskGuid, cell: &CellId) -> Result<bool, BrainError>;
    /// The task ended.
    async fn complete_task(
        &self,
        guid: &TaskGuid,
        cell: &CellId,
        outcome: TaskOutcome,
    ) -> Result<(), BrainError>;
    /// The task could not be started here, by no fault of its own.
    async fn reject_task(
        &self,
        guid: &TaskGuid,
        cell: &CellId,
        reason: String,
    ) -> Result<(), BrainError>;
    /// How far an instance has come; nothing durable.
    async fn report_progress(&self, key: &LrpKey, progress: InstanceProgress);
    /// All the brain holds about this cell, and everything that concerns what the cell names.
    async fn view(&self, cell: &CellId) -> Result<CellView, BrainError>;
    /// Changes from now on; subscribe first, then ask for the view.
    async fn subscribe(&self, cell: &CellId) -> Result<EventStream, BrainError>;
}

/// A cell not heard of for so long is lost.
pub const PRESENCE_TTL_S: u64 = 15;

/// All the brain holds about one cell.
#[derive(Debug, Clone, Default)]
pub struct CellView {
    /// Records that name the cell, each with its LRP where that is still desired.
    pub lrps: Vec<(ActualLrp, Option<Arc<DesiredLrp>>)>,
    /// Tasks that run on the cell.
    pub tasks: Vec<Task>,
}
