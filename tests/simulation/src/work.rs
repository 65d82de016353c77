//! The apps and tasks that people want, and what a cell reads in them.

use lattice_api::brain::bodies::{desired_lrp, parse_json, task};
use lattice_model::desired_lrp::RestartPolicy;
use lattice_model::{
    CellId, CellPresence, DesiredLrp, Domain, Limit, ProcessGuid, TaskDefinition, TaskGuid,
};

use crate::script::{CellSpec, Ending};

/// The result of a task that ends well.
pub(crate) const RESULT: &str = "done";
/// The failure of a task that ends badly.
pub(crate) const FAILURE: &str = "Exited with status 1";
/// The failure of one that cannot be started.
pub(crate) const NO_IMAGE: &str = "no such image";

/// What is wanted, but for its name and numbers: read once.
#[derive(Debug)]
pub(crate) struct Templates {
    lrp: DesiredLrp,
    task: TaskDefinition,
}

// === impl Templates ===

impl Templates {
    pub(crate) fn new() -> Self {
        let lrp = br#"{"process_guid": "app", "domain": "simulated", "instances": 1,
            "rootfs": "docker:///app", "action": {"run": {"path": "/app", "user": "root"}}}"#;
        let task_body = br#"{"task_guid": "task", "domain": "simulated",
            "rootfs": "docker:///task", "action": {"run": {"path": "/task", "user": "root"}}}"#;
        let json = |body: &[u8]| parse_json(body).expect("it is JSON");
        Self {
            lrp: desired_lrp::parse_create(&json(lrp)).expect("it is valid"),
            task: task::parse_create(&json(task_body)).expect("it is valid"),
        }
    }

    pub(crate) fn lrp(&self, app: u64, instances: u32, memory_mb: u64) -> DesiredLrp {
        let mut lrp = DesiredLrp {
            process_guid: app_guid(app),
            app: app_guid(app).as_str().into(),
            instances,
            ..self.lrp.clone()
        };
        for container in &mut lrp.containers {
            container.limits.memory_mb = Limit::from_wire(memory_mb);
            container.limits.disk_mb = Limit::from_wire(memory_mb);
        }
        lrp
    }

    pub(crate) fn left_as_it_ended(&self, lrp: DesiredLrp) -> DesiredLrp {
        DesiredLrp { restart_policy: RestartPolicy::Never, ..lrp }
    }

    /// `runs_ms` and `ends` are for the cell, which reads them in the annotation.
    pub(crate) fn task(
        &self,
        task: u64,
        memory_mb: u64,
        runs_ms: u64,
        ends: Ending,
    ) -> TaskDefinition {
        let mut definition = TaskDefinition {
            task_guid: task_guid(task),
            annotation: format!("{runs_ms} {}", ends.name()),
            ..self.task.clone()
        };
        for container in &mut definition.containers {
            container.limits.memory_mb = Limit::from_wire(memory_mb);
            container.limits.disk_mb = Limit::from_wire(memory_mb);
        }
        definition
    }

    pub(crate) const fn domain(&self) -> &Domain {
        &self.lrp.domain
    }
}

pub(crate) fn app_guid(app: u64) -> ProcessGuid {
    ProcessGuid::new(format!("app-{app}")).expect("a number is a guid")
}

pub(crate) fn task_guid(task: u64) -> TaskGuid {
    TaskGuid::new(format!("task-{task}")).expect("a number is a guid")
}

pub(crate) fn cell_id(cell: usize) -> CellId {
    CellId::new(format!("cell-{cell:03}")).expect("a number is an id")
}

/// What a cell says of itself.
pub(crate) fn presence(cell: usize, spec: &CellSpec) -> CellPresence {
    CellPresence {
        cell_id: cell_id(cell),
        rep_url: String::new(),
        zone: format!("z{}", spec.zone),
        capacity: lattice_model::Resources {
            memory_mb: spec.memory_mb,
            disk_mb: spec.memory_mb,
            containers: spec.containers,
        },
        rootfs_providers: [("docker".to_owned(), Vec::new())].into_iter().collect(),
        placement_tags: Vec::new(),
        optional_placement_tags: Vec::new(),
        volume_drivers: Vec::new(),
        labels: lattice_model::cell::CellLabels::default(),
        fault: String::new(),
        warnings: Vec::new(),
    }
}

/// How long a task runs, in milliseconds.
pub(crate) fn runs_ms_of(task: &TaskDefinition) -> u64 {
    let words = task.annotation.split_once(' ');
    words.and_then(|(ms, _)| ms.parse().ok()).unwrap_or(0)
}

/// How a task ends.
pub(crate) fn ending_of(task: &TaskDefinition) -> Ending {
    let words = task.annotation.split_once(' ');
    words.and_then(|(_, name)| Ending::named(name)).unwrap_or(Ending::Succeeds)
}
