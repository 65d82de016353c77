//! What the tests of this crate share: small records with sensible defaults.

use std::sync::Arc;
use std::time::Duration;

use lattice_api::cell::{CellState, LrpSlot, LrpSlots, Rep, RepConnector};
use lattice_model::CheckDefinition;
use lattice_model::action::{Action, Run};
use lattice_model::cell::{CellLabels, RootfsProviders};
use lattice_model::desired_lrp::StopPolicy;
use lattice_model::desired_lrp::{ContainerLimits, LogTarget, RestartPolicy, UpdateStrategy};
use lattice_model::{
    CellId, CellPresence, ContainerSpec, DesiredLrp, Domain, InstanceGuid, InstanceKey, Limit,
    LrpKey, ModificationTag, ProcessGuid, Resources, Routes, Task, TaskDefinition, TaskGuid,
    TaskState, Time,
};

use crate::auction::{LrpAuction, Policy};
use crate::dispatch::Scout;

/// Finds no cell to ask.
pub(crate) fn scout() -> Scout {
    let (policy, timeout) = (Policy::default(), Duration::from_secs(1));
    Scout { reps: Arc::new(NoReps), policy, timeout }
}

pub(crate) fn domain() -> Domain {
    Domain::new("d").unwrap()
}

pub(crate) fn pg(guid: &str) -> ProcessGuid {
    ProcessGuid::new(guid).unwrap()
}

pub(crate) fn tg(guid: &str) -> TaskGuid {
    TaskGuid::new(guid).unwrap()
}

pub(crate) fn cell_id(id: &str) -> CellId {
    CellId::new(id).unwrap()
}

pub(crate) fn key(guid: &str, index: u32) -> LrpKey {
    LrpKey { process_guid: pg(guid), index, domain: domain() }
}

pub(crate) fn instance(guid: &str, cell: &str) -> InstanceKey {
    InstanceKey { instance_guid: InstanceGuid::new(guid).unwrap(), cell_id: cell_id(cell) }
}

pub(crate) const fn amounts(memory_mb: u64, disk_mb: u64, containers: u64) -> Resources {
    Resources { memory_mb, disk_mb, containers }
}

fn container(memory_mb: u64) -> ContainerSpec {
    ContainerSpec {
        name: "main".into(),
        rootfs: "docker:///lattice/app#1".into(),
        env: Vec::new(),
        setup: None,
        action: Action::Run(Run { path: "/app".into(), user: "u".into(), ..Run::default() }),
        monitor: None,
        checks: CheckDefinition::default(),
        stop: StopPolicy::default(),
        limits: ContainerLimits {
            memory_mb: Limit::from_wire(memory_mb),
            disk_mb: Limit::from_wire(memory_mb),
            ..ContainerLimits::default()
        },
        ports: vec![8080],
        privileged: false,
        sidecars: Vec::new(),
        mounts: Vec::new(),
    }
}

/// An LRP whose instances need as much disk as memory.
pub(crate) fn lrp(guid: &str, instances: u32, memory_mb: u64) -> DesiredLrp {
    DesiredLrp {
        process_guid: pg(guid),
        app: guid.into(),
        domain: domain(),
        instances,
        containers: vec![container(memory_mb)],
        restart_policy: RestartPolicy::Always,
        update_strategy: UpdateStrategy::Rolling,
        start_timeout_s: 0,
        routes: Routes::default(),
        log: LogTarget::default(),
        annotation: String::new(),
        placement_tags: Vec::new(),
        volume_drivers: Vec::new(),
        placement: lattice_model::Placement::default(),
        egress_rules: Vec::new(),
        modification_tag: ModificationTag::default(),
    }
}

pub(crate) fn lrp_auction(lrp: &DesiredLrp, index: u32) -> LrpAuction {
    LrpAuction { key: key(lrp.process_guid.as_str(), index), lrp: Arc::new(lrp.clone()) }
}

pub(crate) fn task_definition(guid: &str, memory_mb: u64) -> TaskDefinition {
    TaskDefinition {
        task_guid: tg(guid),
        domain: domain(),
        containers: vec![container(memory_mb)],
        log: LogTarget::default(),
        result_file: String::new(),
        completion_callback_url: String::new(),
        annotation: String::new(),
        placement_tags: Vec::new(),
        volume_drivers: Vec::new(),
        placement: lattice_model::Placement::default(),
        egress_rules: Vec::new(),
    }
}

pub(crate) fn task(guid: &str, memory_mb: u64) -> Arc<Task> {
    let definition = task_definition(guid, memory_mb);
    Arc::new(Task { definition, ..task_record(guid) })
}

pub(crate) fn task_record(guid: &str) -> Task {
    Task {
        definition: task_definition(guid, 1),
        state: TaskState::Pending,
        created_at: Time(0),
        updated_at: Time(0),
        rejections: 0,
        rejection_reason: String::new(),
        placement_detail: String::new(),
    }
}

/// A cell of 100 MB memory, 100 MB disk and 100 slots that takes every image.
pub(crate) fn presence(id: &str, zone: &str) -> CellPresence {
    CellPresence {
        cell_id: cell_id(id),
        rep_url: String::new(),
        zone: zone.into(),
        capacity: amounts(100, 100, 100),
        rootfs_providers: providers(&[("docker", &[])]),
        placement_tags: Vec::new(),
        optional_placement_tags: Vec::new(),
        volume_drivers: Vec::new(),
        labels: CellLabels::default(),
        fault: String::new(),
        warnings: Vec::new(),
    }
}

/// Scheme to the names it accepts.
pub(crate) fn providers(of: &[(&str, &[&str])]) -> RootfsProviders {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    of.iter().map(|(scheme, all)| ((*scheme).to_owned(), names(all))).collect()
}

/// What an operator says of a cell.
pub(crate) fn labels(of: &[(&str, &str)]) -> CellLabels {
    of.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Such a cell, holding these LRPs' indices.
pub(crate) fn cell_state(id: &str, zone: &str, holds: &[(&str, u32, u64)]) -> CellState {
    let presence = presence(id, zone);
    let slot = |(guid, index, memory): &(&str, u32, u64)| LrpSlot {
        key: key(guid, *index),
        app: (*guid).into(),
        resources: amounts(*memory, *memory, 1),
    };
    let lrps: LrpSlots = holds.iter().map(slot).collect();
    let available = lrps.iter().fold(presence.capacity, |left, slot| left.minus(&slot.resources));
    CellState { presence, available, lrps, tasks: Vec::new(), starting_count: 0, evacuating: false }
}

/// There is no way to any cell.
#[derive(Debug)]
pub(crate) struct NoReps;

impl RepConnector for NoReps {
    fn connect(&self, _: &CellPresence) -> Option<Arc<dyn Rep>> {
        None
    }
}
