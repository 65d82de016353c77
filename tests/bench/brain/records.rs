//! What the brain holds: apps of ten, their instances running all over the cells.

use std::collections::BTreeMap;

use lattice_brain::board::Records;
use lattice_model::action::{Action, EnvVar, Run};
use lattice_model::desired_lrp::{
    ContainerLimits, LogTarget, RestartPolicy, StopPolicy, UpdateStrategy,
};
use lattice_model::{
    ActualLrp, ActualState, CellId, CheckDefinition, ContainerSpec, DesiredLrp, Domain,
    InstanceGuid, InstanceKey, Limit, LrpKey, ModificationTag, NetInfo, Placement, PortMapping,
    Presence, ProcessGuid, Routes, Time,
};

pub(crate) const INSTANCES_PER_APP: u32 = 10;
pub(crate) const INSTANCES_PER_CELL: u32 = 200;
pub(crate) const MEMORY_MB: u64 = 256;

/// How much there is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    /// Its name among the cases.
    pub(crate) case: &'static str,
    pub(crate) cells: u32,
}

impl Scale {
    pub(crate) const FULL: Self = Self { case: "250000-on-1250", cells: 1_250 };
    pub(crate) const SMOKE: Self = Self { case: "2000-on-10", cells: 10 };

    pub(crate) const fn instances(self) -> u32 {
        self.cells * INSTANCES_PER_CELL
    }

    pub(crate) const fn apps(self) -> u32 {
        self.instances() / INSTANCES_PER_APP
    }

    /// All that the store keeps; everything runs since `since`.
    pub(crate) fn records(self, since: Time) -> Records {
        Records {
            desired: (0..self.apps()).map(lrp).collect(),
            actual: (0..self.instances()).map(|n| self.running(n, since)).collect(),
            domains: vec![(domain(), None)],
            ..Records::default()
        }
    }

    fn running(self, n: u32, since: Time) -> ActualLrp {
        let (app, index) = (n / INSTANCES_PER_APP, n % INSTANCES_PER_APP);
        let cell = (app + index * (self.cells / INSTANCES_PER_APP)) % self.cells;
        let process_guid = ProcessGuid::new(format!("app-{app:06}")).unwrap();
        let instance = InstanceKey { instance_guid: instance_guid(n), cell_id: cell_id(cell) };
        ActualLrp {
            key: LrpKey { process_guid, index, domain: domain() },
            presence: Presence::Ordinary,
            state: ActualState::Running { instance, net: net(n) },
            since,
            crash_count: 0,
            crash_reason: String::new(),
            modification_tag: ModificationTag { epoch: uuid(n), index: 2 },
        }
    }
}

/// An app as people push them.
pub(crate) fn lrp(app: u32) -> DesiredLrp {
    let name = format!("app-{app:06}");
    let host = format!("{name}.lattice.example.com");
    let routes = serde_json::json!([{ "hostnames": [host], "port": 8080 }]);
    DesiredLrp {
        process_guid: ProcessGuid::new(&name).unwrap(),
        app: name.as_str().into(),
        domain: domain(),
        instances: INSTANCES_PER_APP,
        containers: vec![container()],
        restart_policy: RestartPolicy::Always,
        update_strategy: UpdateStrategy::Rolling,
        start_timeout_s: 60,
        routes: Routes(BTreeMap::from([(lattice_model::route::CF_ROUTER.to_owned(), routes)])),
        log: LogTarget {
            log_guid: name.clone(),
            log_source: "APP".into(),
            metrics_guid: name,
            bytes_per_s_max: None,
        },
        annotation: String::new(),
        placement_tags: Vec::new(),
        volume_drivers: Vec::new(),
        placement: Placement::default(),
        egress_rules: Vec::new(),
        modification_tag: ModificationTag { epoch: uuid(app), index: 0 },
    }
}

pub(crate) fn instance_guid(n: u32) -> InstanceGuid {
    InstanceGuid::new(uuid(n)).unwrap()
}

pub(crate) fn cell_id(cell: u32) -> CellId {
    CellId::new(format!("cell-{cell:04}")).unwrap()
}

/// Where an instance is reached.
pub(crate) fn net(n: u32) -> NetInfo {
    let [_, _, high, low] = n.to_be_bytes();
    let port = |container_port, host_port| PortMapping { container_port, host_port };
    NetInfo {
        address: format!("10.0.{high}.{low}"),
        instance_address: format!("10.255.{high}.{low}"),
        ports: vec![port(8080, 61_001), port(2222, 61_002)],
        unready: false,
    }
}

fn domain() -> Domain {
    Domain::new("lattice").unwrap()
}

fn container() -> ContainerSpec {
    let env = |n: u32| EnvVar { name: format!("SETTING_{n}"), value: format!("value {n}") };
    let run = |path: &str| {
        let args = vec!["-port".to_owned(), "8080".to_owned()];
        Action::Run(Run { path: path.into(), args, user: "vcap".into(), ..Run::default() })
    };
    ContainerSpec {
        name: "main".into(),
        rootfs: "docker:///lattice/app#latest".into(),
        env: (0..8).map(env).collect(),
        setup: None,
        action: run("/app"),
        monitor: Some(run("/healthcheck")),
        checks: CheckDefinition::default(),
        stop: StopPolicy::default(),
        limits: ContainerLimits {
            memory_mb: Limit::AtMost(MEMORY_MB),
            disk_mb: Limit::AtMost(MEMORY_MB),
            ..ContainerLimits::default()
        },
        ports: vec![8080],
        privileged: false,
        sidecars: Vec::new(),
        mounts: Vec::new(),
    }
}

fn uuid(n: u32) -> String {
    format!("{n:08x}-5bd1-4e95-9c2f-6d0a1f3b7e88")
}
