//! Events (B.8): a name and a body.

use std::sync::Arc;

use lattice_model::id::IdError;
use lattice_model::{
    ActualLrp, CellId, DesiredLrp, Domain, ErrorName, Event, InstanceCrash, InstanceGuid,
    InstanceKey, LrpKey, ProcessGuid, Refusal, Task, Time,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ActualLrpResponse, DesiredLrpResponse, TaskResponse, desired_lrp, task};

/// Tells a reader that history is lost to it: it must list everything again. Ours.
pub const RESYNC: &str = "resync";

/// An event's body as the Receptor writes it.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum EventBody<'a> {
    /// A desired LRP that is new or gone.
    DesiredLrp {
        /// The record.
        desired_lrp: Box<DesiredLrpResponse<'a>>,
    },
    /// A desired LRP that changed.
    DesiredLrpChanged {
        /// As it was.
        desired_lrp_before: Box<DesiredLrpResponse<'a>>,
        /// As it is.
        desired_lrp_after: Box<DesiredLrpResponse<'a>>,
    },
    /// An instance's record that is new or gone.
    ActualLrp {
        /// The record.
        actual_lrp: Box<ActualLrpResponse>,
    },
    /// An instance's record that changed.
    ActualLrpChanged {
        /// As it was.
        actual_lrp_before: Box<ActualLrpResponse>,
        /// As it is.
        actual_lrp_after: Box<ActualLrpResponse>,
    },
    /// An instance that ended by itself. Diego's; the original had none.
    Crash(CrashBody),
    /// A task that is new or gone. Ours.
    Task {
        /// The record.
        task: Box<TaskResponse<'a>>,
    },
    /// A task that changed. Ours.
    TaskChanged {
        /// As it was.
        task_before: Box<TaskResponse<'a>>,
        /// As it is.
        task_after: Box<TaskResponse<'a>>,
    },
}

/// The end of an instance as it is told on the stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CrashBody {
    process_guid: String,
    index: u32,
    domain: String,
    instance_guid: String,
    cell_id: String,
    crash_count: u32,
    crash_reason: String,
    since: i64,
}

/// The event's name on the stream.
pub const fn name(event: &Event) -> &'static str {
    match event {
        Event::DesiredLrpCreated(_) => "desired_lrp_created",
        Event::DesiredLrpChanged { .. } => "desired_lrp_changed",
        Event::DesiredLrpRemoved(_) => "desired_lrp_removed",
        Event::ActualLrpCreated(_) => "actual_lrp_created",
        Event::ActualLrpChanged { .. } => "actual_lrp_changed",
        Event::ActualLrpRemoved(_) => "actual_lrp_removed",
        Event::ActualLrpCrashed(_) => "actual_lrp_crashed",
        Event::TaskCreated(_) => "task_created",
        Event::TaskChanged { .. } => "task_changed",
        Event::TaskRemoved(_) => "task_removed",
    }
}

/// True for what is told only to those who ask for it.
pub const fn is_of_task(event: &Event) -> bool {
    matches!(event, Event::TaskCreated(_) | Event::TaskChanged { .. } | Event::TaskRemoved(_))
}

// === impl EventBody ===

impl<'a> From<&'a Event> for EventBody<'a> {
    fn from(event: &'a Event) -> Self {
        match event {
            Event::DesiredLrpCreated(lrp) | Event::DesiredLrpRemoved(lrp) => {
                Self::DesiredLrp { desired_lrp: Box::new(lrp.as_ref().into()) }
            }
            Event::DesiredLrpChanged { before, after } => Self::DesiredLrpChanged {
                desired_lrp_before: Box::new(before.as_ref().into()),
                desired_lrp_after: Box::new(after.as_ref().into()),
            },
            Event::ActualLrpCreated(lrp) | Event::ActualLrpRemoved(lrp) => {
                Self::ActualLrp { actual_lrp: Box::new(lrp.as_ref().into()) }
            }
            Event::ActualLrpChanged { before, after } => Self::ActualLrpChanged {
                actual_lrp_before: Box::new(before.as_ref().into()),
                actual_lrp_after: Box::new(after.as_ref().into()),
            },
            Event::ActualLrpCrashed(crash) => Self::Crash(crash.as_ref().into()),
            Event::TaskCreated(task) | Event::TaskRemoved(task) => {
                Self::Task { task: Box::new(task.as_ref().into()) }
            }
            Event::TaskChanged { before, after } => Self::TaskChanged {
                task_before: Box::new(before.as_ref().into()),
                task_after: Box::new(after.as_ref().into()),
            },
        }
    }
}

// === impl CrashBody ===

impl From<&InstanceCrash> for CrashBody {
    fn from(crash: &InstanceCrash) -> Self {
        Self {
            process_guid: crash.key.process_guid.as_str().to_owned(),
            index: crash.key.index,
            domain: crash.key.domain.as_str().to_owned(),
            instance_guid: crash.instance.instance_guid.as_str().to_owned(),
            cell_id: crash.instance.cell_id.as_str().to_owned(),
            crash_count: crash.crash_count,
            crash_reason: crash.reason.clone(),
            since: crash.at.0,
        }
    }
}

impl TryFrom<CrashBody> for InstanceCrash {
    type Error = IdError;

    fn try_from(body: CrashBody) -> Result<Self, IdError> {
        let process_guid = ProcessGuid::new(&body.process_guid)?;
        Ok(Self {
            key: LrpKey { process_guid, index: body.index, domain: Domain::new(&body.domain)? },
            instance: InstanceKey {
                instance_guid: InstanceGuid::new(&body.instance_guid)?,
                cell_id: CellId::new(&body.cell_id)?,
            },
            crash_count: body.crash_count,
            reason: body.crash_reason,
            at: Time(body.since),
        })
    }
}

/// Reads an event from its name and body; `None` for a name that is not known.
pub fn parse(name: &str, body: &Value) -> Result<Option<Event>, Refusal> {
    let desired = |field: &str| -> Result<Arc<DesiredLrp>, Refusal> {
        desired_lrp::parse_response(&body[field]).map(Arc::new)
    };
    let actual =
        |field: &str| -> Result<Arc<ActualLrp>, Refusal> { actual_lrp(&body[field]).map(Arc::new) };
    let task = |field: &str| -> Result<Arc<Task>, Refusal> {
        task::parse_response(&body[field]).map(Arc::new)
    };
    Ok(Some(match name {
        "desired_lrp_created" => Event::DesiredLrpCreated(desired("desired_lrp")?),
        "desired_lrp_removed" => Event::DesiredLrpRemoved(desired("desired_lrp")?),
        "desired_lrp_changed" => Event::DesiredLrpChanged {
            before: desired("desired_lrp_before")?,
            after: desired("desired_lrp_after")?,
        },
        "actual_lrp_created" => Event::ActualLrpCreated(actual("actual_lrp")?),
        "actual_lrp_removed" => Event::ActualLrpRemoved(actual("actual_lrp")?),
        "actual_lrp_changed" => Event::ActualLrpChanged {
            before: actual("actual_lrp_before")?,
            after: actual("actual_lrp_after")?,
        },
        "actual_lrp_crashed" => Event::ActualLrpCrashed(Box::new(crash(body)?)),
        "task_created" => Event::TaskCreated(task("task")?),
        "task_removed" => Event::TaskRemoved(task("task")?),
        "task_changed" => {
            Event::TaskChanged { before: task("task_before")?, after: task("task_after")? }
        }
        _ => return Ok(None),
    }))
}

fn actual_lrp(value: &Value) -> Result<ActualLrp, Refusal> {
    let body = ActualLrpResponse::deserialize(value).map_err(odd)?;
    ActualLrp::try_from(body).map_err(odd)
}

fn crash(value: &Value) -> Result<InstanceCrash, Refusal> {
    let body = CrashBody::deserialize(value).map_err(odd)?;
    InstanceCrash::try_from(body).map_err(odd)
}

fn odd(what: impl std::fmt::Display) -> Refusal {
    Refusal::new(ErrorName::InvalidResponse, what.to_string())
}
