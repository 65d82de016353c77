//! One piece of work on a cell: an LRP's instance or a task, and what is asked of it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lattice_api::brain::CellView;
use lattice_api::cell::{LrpWork, TaskWork, WorkItem};
use lattice_model::action::EnvVar;
use lattice_model::desired_lrp::{ContainerSpec, LogTarget};
use lattice_model::task::TaskOutcome;
use lattice_model::{
    CellId, DesiredLrp, EgressRule, InstanceGuid, InstanceKey, LrpKey, RegistryCredentials,
    Resources, Task, TaskGuid, TaskState, Time,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::environment;
use crate::instance::Kind;
use crate::instance::harmony::{
    Container, Cure, ROW_SETTLES, lrp_cure, lrp_row, task_cure, task_row,
};
use crate::pod::Pod;
use crate::runtime::ContainerId;

/// Names a piece of work on its cell.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WorkId {
    /// One incarnation of an LRP's instance.
    Lrp(InstanceGuid),
    /// A task.
    Task(TaskGuid),
}

/// A piece of work. Cheap to clone.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Work {
    /// An LRP's instance.
    Lrp {
        /// Which.
        key: LrpKey,
        /// Which incarnation, here.
        instance: InstanceKey,
        /// What to run.
        lrp: Arc<DesiredLrp>,
    },
    /// A task.
    Task(Arc<Task>),
}

/// Something that a view names on its cell, and that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing<'a> {
    /// An LRP's instance.
    Lrp(&'a LrpKey, &'a InstanceKey),
    /// A task.
    Task(&'a TaskGuid),
}

/// Work and what is needed once, to begin it.
#[derive(Debug, Clone)]
pub struct Order {
    /// What to run.
    pub work: Work,
    /// For pulling its image.
    pub credentials: Vec<RegistryCredentials>,
}

impl fmt::Display for WorkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lrp(guid) => write!(f, "instance {guid}"),
            Self::Task(guid) => write!(f, "task {guid}"),
        }
    }
}

// === impl Order ===

impl Order {
    /// From the brain's order for an instance.
    pub fn of_lrp(work: LrpWork, cell_id: &CellId) -> Self {
        let instance = InstanceKey { instance_guid: work.instance_guid, cell_id: cell_id.clone() };
        let credentials = work.credentials;
        Self { work: Work::Lrp { key: work.key, instance, lrp: work.lrp }, credentials }
    }

    /// From the brain's order for a task.
    pub fn of_task(work: TaskWork) -> Self {
        Self { work: Work::Task(work.task), credentials: work.credentials }
    }
}

// === impl Work ===

impl Work {
    /// Its name here.
    pub fn id(&self) -> WorkId {
        match self {
            Self::Lrp { instance, .. } => WorkId::Lrp(instance.instance_guid.clone()),
            Self::Task(task) => WorkId::Task(task.definition.task_guid.clone()),
        }
    }

    /// Its name in an answer to the brain.
    pub fn item(&self) -> WorkItem {
        match self {
            Self::Lrp { key, .. } => WorkItem::Lrp(key.clone()),
            Self::Task(task) => WorkItem::Task(task.definition.task_guid.clone()),
        }
    }

    /// What kind it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Lrp { .. } => Kind::Lrp,
            Self::Task(_) => Kind::Task,
        }
    }

    /// What its container needs, given what the brain holds about this cell.
    pub fn cure(&self, container: Container, view: &CellView) -> Cure {
        match self {
            Self::Lrp { key, instance, .. } => lrp_cure(container, lrp_row(view, key, instance)),
            Self::Task(task) => task_cure(container, task_row(view, &task.definition.task_guid)),
        }
    }

    /// Its containers, the main one first.
    pub fn containers(&self) -> &[ContainerSpec] {
        match self {
            Self::Lrp { lrp, .. } => &lrp.containers,
            Self::Task(task) => &task.definition.containers,
        }
    }

    /// What it reserves.
    pub fn resources(&self) -> Resources {
        match self {
            Self::Lrp { lrp, .. } => lrp.resources(),
            Self::Task(task) => task.definition.resources(),
        }
    }

    /// What it is made of.
    pub fn pod(&self) -> Pod<'_> {
        Pod::of(&self.container_id(), self.containers())
    }

    /// How long its processes have to end when they are asked to, where it says so: as long as the
    /// slowest of its containers.
    pub fn stop_grace(&self) -> Option<Duration> {
        let graces = self.containers().iter().filter_map(|container| container.stop.grace_ms);
        graces.max().map(Duration::from_millis)
    }

    /// What it may reach besides what the cell's network allows everyone.
    pub fn egress_rules(&self) -> &[EgressRule] {
        match self {
            Self::Lrp { lrp, .. } => &lrp.egress_rules,
            Self::Task(task) => &task.definition.egress_rules,
        }
    }

    /// Where its logs and metrics go.
    pub fn log(&self) -> &LogTarget {
        match self {
            Self::Lrp { lrp, .. } => &lrp.log,
            Self::Task(task) => &task.definition.log,
        }
    }

    /// Which of its siblings it is, in logs and metrics; a task is 0.
    pub fn index(&self) -> u32 {
        match self {
            Self::Lrp { key, .. } => key.index,
            Self::Task(_) => 0,
        }
    }

    /// What it is told of itself.
    pub fn identity(&self) -> Vec<EnvVar> {
        match self {
            Self::Lrp { key, instance, .. } => {
                environment::identity(instance.instance_guid.as_str(), key.index)
            }
            Self::Task(_) => Vec::new(),
        }
    }

    /// The main container's guid, made short enough for a cgroup and a host name: what people
    /// recognise, and a hash of `process_guid-instance_guid` or of the task's guid.
    pub fn container_id(&self) -> ContainerId {
        let (name, guid) = match self {
            Self::Lrp { key, instance, .. } => {
                let name = key.process_guid.as_str();
                (name, format!("{name}-{}", instance.instance_guid))
            }
            Self::Task(task) => {
                let name = task.definition.task_guid.as_str();
                (name, name.to_owned())
            }
        };
        ContainerId::new(&format!("{}-{}", recognisable(name), short_hash(&guid)))
    }
}

// === impl Missing ===

impl<'a> Missing<'a> {
    /// What the view names on this cell and `is_here` does not know. Records that are younger than
    /// what the cell knew when it asked for the view, or may be so, are left out; those of an
    /// earlier life of the cell, which began at `started`, are not.
    pub fn of(
        view: &'a CellView,
        cell: &CellId,
        (started, asked_at): (Time, Time),
        is_here: impl Fn(&WorkId) -> bool,
    ) -> Vec<Self> {
        let is_settled = |since: Time| since < started || since + ROW_SETTLES <= asked_at;
        let lrps = view.lrps.iter().filter(|(row, _)| is_settled(row.since));
        let lrps = lrps.filter_map(|(row, _)| Some((&row.key, row.instance()?)));
        let lrps = lrps.filter(|(_, instance)| {
            instance.cell_id == *cell && !is_here(&WorkId::Lrp(instance.instance_guid.clone()))
        });
        let tasks = view.tasks.iter().filter(|task| is_settled(task.updated_at)).filter(
            |task| matches!(&task.state, TaskState::Running { cell_id } if cell_id == cell),
        );
        let tasks = tasks.map(|task| &task.definition.task_guid);
        let tasks = tasks.filter(|guid| !is_here(&WorkId::Task((*guid).clone())));
        lrps.map(|(key, instance)| Self::Lrp(key, instance)).chain(tasks.map(Self::Task)).collect()
    }

    /// How a task has ended that its cell knows nothing of.
    pub fn outcome() -> TaskOutcome {
        TaskOutcome {
            failed: true,
            failure_reason: "task container does not exist".to_owned(),
            result: String::new(),
        }
    }
}

fn recognisable(name: &str) -> String {
    let lower = name.to_ascii_lowercase().replace('_', "-");
    let short: String = lower.trim_start_matches('-').chars().take(24).collect();
    if short.is_empty() { "x".to_owned() } else { short }
}

fn short_hash(guid: &str) -> String {
    hex::encode(&Sha256::digest(guid.as_bytes())[..8])
}

#[cfg(test)]
mod tests {
    use crate::testing;

    #[test]
    fn a_container_id_is_recognisable_valid_and_its_own() {
        let id = |process: &str, instance: &str| {
            testing::order(process, 0, instance).work.container_id().as_str().to_owned()
        };
        assert!(id("web", "ig-1").starts_with("web-"));
        assert_ne!(id("web", "ig-1"), id("web", "ig-2"));
        assert_ne!(id("a", "b-c"), id("a-b", "d"));
        for name in ["UPPER_case", "___", &"x".repeat(200)] {
            let id = id(name, "ig");
            assert!(id.len() <= 63, "{id}");
            assert!(id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
            assert!(!id.starts_with('-') && !id.ends_with('-'), "{id}");
        }
    }
}
