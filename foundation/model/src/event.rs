//! What has changed, told after the commit that made it so.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::actual_lrp::{ActualLrp, InstanceKey, LrpKey};
use crate::desired_lrp::DesiredLrp;
use crate::task::Task;
use crate::time::Time;

/// One change of one record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// A desired LRP is new.
    DesiredLrpCreated(Arc<DesiredLrp>),
    /// A desired LRP changed.
    DesiredLrpChanged {
        /// As it was.
        before: Arc<DesiredLrp>,
        /// As it is.
        after: Arc<DesiredLrp>,
    },
    /// A desired LRP is gone.
    DesiredLrpRemoved(Arc<DesiredLrp>),
    /// An instance's record is new.
    ActualLrpCreated(Arc<ActualLrp>),
    /// An instance's record changed.
    ActualLrpChanged {
        /// As it was.
        before: Arc<ActualLrp>,
        /// As it is.
        after: Arc<ActualLrp>,
    },
    /// An instance's record is gone.
    ActualLrpRemoved(Arc<ActualLrp>),
    /// An instance ended by itself; told besides the change of its record.
    ActualLrpCrashed(Box<InstanceCrash>),
    /// A task is new.
    TaskCreated(Arc<Task>),
    /// A task changed.
    TaskChanged {
        /// As it was.
        before: Arc<Task>,
        /// As it is.
        after: Arc<Task>,
    },
    /// A task is gone.
    TaskRemoved(Arc<Task>),
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
