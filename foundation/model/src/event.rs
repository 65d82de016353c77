//! What has changed, told after the commit that made it so.

use serde::{Deserialize, Serialize};

use crate::actual_lrp::{ActualLrp, InstanceKey, LrpKey};
use crate::desired_lrp::DesiredLrp;
use crate::task::Task;
use crate::time::Time;

/// One change of one record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// A desired LRP is new.
    DesiredLrpCreated(Box<DesiredLrp>),
    /// A desired LRP changed.
    DesiredLrpChanged {
        /// As it was.
        before: Box<DesiredLrp>,
        /// As it is.
        after: Box<DesiredLrp>,
    },
    /// A desired LRP is gone.
    DesiredLrpRemoved(Box<DesiredLrp>),
    /// An instance's record is new.
    ActualLrpCreated(Box<ActualLrp>),
    /// An instance's record changed.
    ActualLrpChanged {
        /// As it was.
        before: Box<ActualLrp>,
        /// As it is.
        after: Box<ActualLrp>,
    },
    /// An instance's record is gone.
    ActualLrpRemoved(Box<ActualLrp>),
    /// An instance ended by itself; told besides the change of its record.
    ActualLrpCrashed(Box<InstanceCrash>),
    /// A task is new.
    TaskCreated(Box<Task>),
    /// A task changed.
    TaskChanged {
        /// As it was.
        before: Box<Task>,
        /// As it is.
        after: Box<Task>,
    },
    /// A task is gone.
    TaskRemoved(Box<Task>),
}

/// The end of an instance that nobody asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceCrash {
    /// Which instance.
    pub key: LrpKey,
    /// Which incarnation, and where it was.
    pub instance: InstanceKey,
    /// Crashes in a row, this one included.
    pub crash_count: u32,
    /// Why it ended.
    pub reason: String,
    /// When.
    pub at: Time,
}
