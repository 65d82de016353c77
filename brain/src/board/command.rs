//! What the board is told, and what comes of it.

use std::sync::Arc;

use lattice_api::brain::InstanceProgress;
use lattice_model::actual_lrp::{Evacuee, InstanceEnd, PlacementError};
use lattice_model::cell::Draining;
use lattice_model::task::TaskOutcome;
use lattice_model::{
    ActualLrp, CellId, CellPresence, DesiredLrp, DesiredLrpUpdate, Domain, Event, InstanceKey,
    LrpKey, NetInfo, Presence, ProcessGuid, Task, TaskDefinition, TaskGuid, Time,
};
use serde::{Deserialize, Serialize};

use crate::auction::Item;
use crate::custom_domains::{AcmeAccount, Enrolment};

/// One order to the board. Those of people come from the Receptor API, those of cells from the
/// BBS side, those of the auction and the callbacks from inside.
#[derive(Debug, Clone)]
pub enum Command {
    /// Wants a new LRP.
    DesireLrp(Box<DesiredLrp>),
    /// Changes the mutable parts of an LRP.
    UpdateLrp(ProcessGuid, DesiredLrpUpdate),
    /// Wants an LRP no more.
    RemoveLrp(ProcessGuid),
    /// Stops one instance; it starts anew when still wanted.
    RetireLrp(ProcessGuid, u32),
    /// A cell has a container for the instance.
    ClaimLrp(LrpKey, InstanceKey),
    /// The instance is healthy.
    StartLrp(LrpKey, InstanceKey, NetInfo),
    /// The instance ended by itself, like this.
    CrashLrp(LrpKey, InstanceKey, InstanceEnd),
    /// A cell that is being emptied finds its instance so.
    EvacuateLrp(LrpKey, InstanceKey, Evacuee),
    /// The instance was stopped, as was asked.
    RemoveInstance(LrpKey, InstanceKey),
    /// The auction found no place.
    FailPlacement(FailedPlacement),
    /// The auction did not try these, since too much is starting already, or a cell did not take
    /// them; or a cell is back for which any may wait.
    DeferPlacement(Vec<Item>),
    /// Wants a task.
    DesireTask(Box<TaskDefinition>),
    /// May this cell run the task?
    StartTask(TaskGuid, CellId),
    /// Ends a task that has not ended.
    CancelTask(TaskGuid),
    /// The task ended on this cell.
    CompleteTask(TaskGuid, CellId, TaskOutcome),
    /// The cell could not start the task, by no fault of its own.
    RejectTask(TaskGuid, CellId, String),
    /// The owner is about to be told of the task's end.
    ResolveTask(TaskGuid),
    /// Forgets a task that has ended.
    DeleteTask(TaskGuid),
    /// Vouches for a domain until then; `None` is for ever.
    UpsertDomain(Domain, Option<Time>),
    /// A cell says that it is alive.
    Heartbeat(Box<CellPresence>),
    /// A cell says that it goes.
    Depart(CellId),
    /// Gives everything on a cell away, and nothing to it.
    DrainCell(Draining),
    /// The cell is as any other again.
    UndrainCell(CellId),
    /// Moves these incarnations, so many at once.
    Rebalance(Vec<(LrpKey, InstanceKey)>, u32),
    /// How far an instance has come.
    ReportProgress(LrpKey, InstanceProgress),
    /// Acts on everything whose time has come.
    Expire,
    /// Looks at every record and mends what is not as it should be.
    Converge,
}

/// The auction's bad news about one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedPlacement {
    /// Which.
    pub item: Item,
    /// Why.
    pub error: PlacementError,
    /// True when no amount of waiting for the present cells would help.
    pub is_impossible: bool,
    /// The capacity round the item was sent out with; see [`Effect::AuctionLrp`].
    pub round: u64,
}

/// What a command brought about. All of it is released only after `writes` are committed.
#[derive(Debug, Default)]
pub struct Applied {
    /// When.
    pub at: Time,
    /// What the caller is told beyond "done".
    pub answer: Answer,
    /// To be published, in this order.
    pub events: Vec<Event>,
    /// To be committed, in this order.
    pub writes: Vec<Write>,
    /// To be done elsewhere.
    pub effects: Vec<Effect>,
}

/// What a caller is told of a command that was not refused.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It is done.
    #[default]
    Done,
    /// Whether the cell may run the task.
    MayStart(bool),
    /// Whether the cell is to keep the instance up for now.
    Keep(bool),
}

/// One change of the durable state; an exact record, so that committing twice does no harm.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// Keeps a desired LRP.
    PutDesired(Arc<DesiredLrp>),
    /// Forgets one.
    DeleteDesired(ProcessGuid),
    /// Keeps an instance's record.
    PutActual(Arc<ActualLrp>),
    /// Forgets one.
    DeleteActual(RowId),
    /// Keeps a task.
    PutTask(Arc<Task>),
    /// Forgets one.
    DeleteTask(TaskGuid),
    /// Keeps a domain until then; `None` is for ever.
    PutDomain(Domain, Option<Time>),
    /// Forgets one.
    DeleteDomain(Domain),
    /// Keeps that a cell is drained.
    PutDraining(Draining),
    /// Forgets it.
    DeleteDraining(CellId),
    /// Keeps what a registry demands.
    PutCredentials(lattice_model::RegistryCredentials),
    /// Forgets what is kept for a registry.
    DeleteCredentials(String),
    /// Keeps a certificate for a host.
    PutCustomDomain(lattice_model::CustomDomain),
    /// Forgets a host's.
    DeleteCustomDomain(String),
    /// Keeps that an authority is asked for a host's, and how far that is.
    PutEnrolment(Enrolment),
    /// Forgets it.
    DeleteEnrolment(String),
    /// Keeps who we are to an authority.
    PutAcmeAccount(AcmeAccount),
}

/// What is to be done outside the board.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Find a cell for the instance.
    AuctionLrp {
        /// Which.
        key: LrpKey,
        /// What to run.
        lrp: Arc<DesiredLrp>,
        /// Counts the occasions on which capacity appeared. A failure that comes back with an
        /// older round than the board's is tried again at once.
        round: u64,
    },
    /// Find a cell for the task.
    AuctionTask {
        /// What to run.
        task: Arc<Task>,
        /// As in [`Effect::AuctionLrp`].
        round: u64,
    },
    /// Tell the cell to stop the instance.
    StopInstance {
        /// Which.
        key: LrpKey,
        /// Which incarnation, where.
        instance: InstanceKey,
    },
    /// Tell the cell to end the task.
    CancelTask {
        /// Which.
        guid: TaskGuid,
        /// Where.
        cell_id: CellId,
    },
    /// Tell the task's owner how it ended.
    NotifyOwner(TaskGuid),
}

/// The primary key of an instance's record (section 2.2).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RowId {
    /// The desired LRP.
    pub guid: ProcessGuid,
    /// From 0.
    pub index: u32,
    /// Whose view.
    pub presence: Presence,
}

/// All that is durable, as the store hands it over.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Records {
    /// Desired LRPs.
    pub desired: Vec<DesiredLrp>,
    /// Instances' records.
    pub actual: Vec<ActualLrp>,
    /// Tasks.
    pub tasks: Vec<Task>,
    /// Domains and until when they are fresh.
    pub domains: Vec<(Domain, Option<Time>)>,
    /// Cells that are drained.
    pub draining: Vec<Draining>,
    /// Registry credentials; not the board's.
    pub credentials: Vec<lattice_model::RegistryCredentials>,
    /// Certificates for hosts of people's own; not the board's.
    pub custom_domains: Vec<lattice_model::CustomDomain>,
    /// For which of them an authority is asked; not the board's.
    pub enrolments: Vec<Enrolment>,
    /// Who we are to authorities; not the board's.
    pub acme_accounts: Vec<AcmeAccount>,
}

// === impl Write ===

impl Write {
    /// Whether what it keeps, replaces or forgets is a key or a password.
    pub const fn is_secret(&self) -> bool {
        match self {
            Self::PutCredentials(_)
            | Self::DeleteCredentials(_)
            | Self::PutCustomDomain(_)
            | Self::DeleteCustomDomain(_)
            | Self::PutAcmeAccount(_) => true,
            Self::PutDesired(_)
            | Self::DeleteDesired(_)
            | Self::PutActual(_)
            | Self::DeleteActual(_)
            | Self::PutTask(_)
            | Self::DeleteTask(_)
            | Self::PutDomain(..)
            | Self::DeleteDomain(_)
            | Self::PutDraining(_)
            | Self::DeleteDraining(_)
            | Self::PutEnrolment(_)
            | Self::DeleteEnrolment(_) => false,
        }
    }
}

// === impl Applied ===

impl Applied {
    /// Adds what another command brought about behind this one's.
    pub fn absorb(&mut self, mut other: Self) {
        self.events.append(&mut other.events);
        self.writes.append(&mut other.writes);
        self.effects.append(&mut other.effects);
    }

    /// True when nothing came of it.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.writes.is_empty() && self.effects.is_empty()
    }
}

// === impl RowId ===

impl RowId {
    /// The key of this record.
    pub fn of(row: &ActualLrp) -> Self {
        Self::new(&row.key, row.presence)
    }

    /// The key of the record of `key` with this presence.
    pub fn new(key: &LrpKey, presence: Presence) -> Self {
        Self { guid: key.process_guid.clone(), index: key.index, presence }
    }

    /// The key of the usual record of an index.
    pub fn ordinary(guid: &ProcessGuid, index: u32) -> Self {
        Self { guid: guid.clone(), index, presence: Presence::Ordinary }
    }
}
