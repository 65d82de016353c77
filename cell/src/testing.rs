//! A cell without Linux, for tests: small stateful stand-ins behind every seam.

mod bbs;
mod gate;
mod seams;

use std::sync::Arc;
use std::time::Duration;

use lattice_api::cell::{LrpWork, TaskWork, Work as Ordered};
use lattice_daemon::bus::{Bus, InProcessBus};
use lattice_daemon::clock::{Clock, SystemClock};
use lattice_daemon::tasks::Tasks;
use lattice_model::CheckDefinition;
use lattice_model::action::Run;
use lattice_model::desired_lrp::StopPolicy;
use lattice_model::desired_lrp::{
    ContainerLimits, ContainerSpec, LogTarget, RestartPolicy, UpdateStrategy,
};
use lattice_model::{
    Action, CellId, DesiredLrp, Domain, EgressRule, InstanceGuid, InstanceKey, Limit, LrpKey,
    ModificationTag, ProcessGuid, Resources, Routes, Task, TaskDefinition, TaskGuid, TaskState,
    Time,
};
use tokio::net::TcpListener;

pub(crate) use self::bbs::FakeBbs;
pub(crate) use self::gate::Gate;
pub(crate) use self::seams::{FakeFiles, FakeImages, FakeLogs, FakeNetwork, FakeRuntime, Script};
use crate::config::Config;
use crate::rep::Handle;
use crate::runtime::ContainerId;
use crate::tools::Seams;
use crate::work::{Order, Work};

pub(crate) const CELL: &str = "cell-1";

/// Everything around one cell.
pub(crate) struct Bed {
    pub(crate) bbs: Arc<FakeBbs>,
    pub(crate) bus: Arc<InProcessBus>,
    pub(crate) logs: Arc<FakeLogs>,
    pub(crate) runtime: Arc<FakeRuntime>,
    pub(crate) images: Arc<FakeImages>,
    pub(crate) network: Arc<FakeNetwork>,
    pub(crate) files: Arc<FakeFiles>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) config: Config,
    pub(crate) tasks: Tasks,
    _dir: tempfile::TempDir,
}

// === impl Bed ===

impl Bed {
    pub(crate) fn new() -> Self {
        lattice_daemon::install_crypto();
        let dir = tempfile::tempdir().unwrap();
        let address = "192.0.2.1".parse().unwrap();
        let mut config = Config::new(CellId::new(CELL).unwrap(), dir.path().join("cell"), address);
        config.capacity = Some(Resources { memory_mb: 1024, disk_mb: 1024, containers: 10 });
        config.stop_grace = Duration::from_millis(300);
        Self {
            bbs: Arc::default(),
            bus: Arc::default(),
            logs: Arc::default(),
            runtime: Arc::default(),
            images: Arc::default(),
            network: Arc::default(),
            files: Arc::default(),
            clock: Arc::new(SystemClock),
            config,
            tasks: Tasks::default(),
            _dir: dir,
        }
    }

    pub(crate) fn seams(&self) -> Seams {
        Seams {
            bbs: Arc::clone(&self.bbs) as _,
            bus: Arc::clone(&self.bus) as Arc<dyn Bus>,
            logs: Arc::clone(&self.logs) as _,
            clock: Arc::clone(&self.clock),
            runtime: Arc::clone(&self.runtime) as _,
            images: Arc::clone(&self.images) as _,
            network: Arc::clone(&self.network) as _,
            files: Arc::clone(&self.files) as _,
        }
    }

    /// Ends the cell that was started, as its process would, and makes room for the next on the same
    /// machine.
    pub(crate) async fn succeed(&mut self) {
        let tasks = std::mem::take(&mut self.tasks);
        assert!(tasks.end(Duration::from_secs(10)).await, "the cell's tasks end");
    }

    pub(crate) async fn start(&self) -> Handle {
        crate::start(self.config.clone(), self.seams(), &self.tasks).await.unwrap()
    }
}

/// Polls until it is so; fails after a minute.
pub(crate) async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..6_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not within a minute: {what}");
}

/// A port on loopback that nobody listens on.
pub(crate) async fn closed_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    listener.local_addr().unwrap().port()
}

pub(crate) fn run(path: &str) -> Action {
    Action::Run(Run { path: path.into(), user: "me".into(), ..Run::default() })
}

pub(crate) fn healthcheck(port: u16) -> Action {
    let args = ["-timeout", "1s", "-port", &port.to_string()].map(str::to_owned).to_vec();
    Action::Run(Run { path: "/tmp/healthcheck".into(), args, ..Run::default() })
}

pub(crate) fn container_spec(action: Action) -> ContainerSpec {
    ContainerSpec {
        name: "main".into(),
        rootfs: "docker://reg.test/app#v1".into(),
        env: vec![],
        setup: None,
        action,
        monitor: None,
        checks: CheckDefinition::default(),
        stop: StopPolicy::default(),
        limits: ContainerLimits {
            memory_mb: Limit::AtMost(100),
            disk_mb: Limit::AtMost(10),
            ..ContainerLimits::default()
        },
        ports: vec![8080],
        privileged: false,
        sidecars: Vec::new(),
        mounts: Vec::new(),
    }
}

/// One rule, to the documentation's network.
pub(crate) fn egress_rules() -> Vec<EgressRule> {
    let rule = serde_json::json!({"protocol": "all", "destinations": ["192.0.2.0/24"]});
    vec![serde_json::from_value(rule).unwrap()]
}

pub(crate) fn log_target(guid: &str) -> LogTarget {
    LogTarget { log_guid: guid.into(), log_source: "APP".into(), ..LogTarget::default() }
}

pub(crate) fn lrp(guid: &str) -> DesiredLrp {
    DesiredLrp {
        process_guid: ProcessGuid::new(guid).unwrap(),
        app: guid.into(),
        domain: Domain::new("d").unwrap(),
        instances: 1,
        containers: vec![container_spec(run("/app"))],
        restart_policy: RestartPolicy::Always,
        update_strategy: UpdateStrategy::Rolling,
        start_timeout_s: 0,
        routes: Routes::default(),
        log: log_target(guid),
        annotation: String::new(),
        placement_tags: vec![],
        volume_drivers: vec![],
        placement: lattice_model::Placement::default(),
        egress_rules: vec![],
        modification_tag: ModificationTag { epoch: "e".into(), index: 0 },
    }
}

pub(crate) fn task(guid: &str, action: Action) -> Task {
    let definition = TaskDefinition {
        task_guid: TaskGuid::new(guid).unwrap(),
        domain: Domain::new("d").unwrap(),
        containers: vec![container_spec(action)],
        log: log_target(guid),
        result_file: String::new(),
        completion_callback_url: String::new(),
        annotation: String::new(),
        placement_tags: vec![],
        volume_drivers: vec![],
        placement: lattice_model::Placement::default(),
        egress_rules: vec![],
    };
    Task {
        definition,
        state: TaskState::Pending,
        created_at: Time::default(),
        updated_at: Time::default(),
        rejections: 0,
        rejection_reason: String::new(),
        placement_detail: String::new(),
    }
}

pub(crate) fn key(guid: &str, index: u32) -> LrpKey {
    let domain = Domain::new("d").unwrap();
    LrpKey { process_guid: ProcessGuid::new(guid).unwrap(), index, domain }
}

pub(crate) fn instance_key(guid: &str) -> InstanceKey {
    let instance_guid = InstanceGuid::new(guid).unwrap();
    InstanceKey { instance_guid, cell_id: CellId::new(CELL).unwrap() }
}

pub(crate) fn order(process: &str, index: u32, instance: &str) -> Order {
    let lrp = Arc::new(lrp(process));
    let work = Work::Lrp { key: key(process, index), instance: instance_key(instance), lrp };
    Order { work, credentials: vec![] }
}

pub(crate) fn edit(order: &mut Order, change: impl FnOnce(&mut DesiredLrp)) {
    if let Work::Lrp { lrp, .. } = &mut order.work {
        change(Arc::make_mut(lrp));
    }
}

/// The brain's order to run index 0 of an LRP as this incarnation.
pub(crate) fn lrp_work(lrp: &DesiredLrp, instance: &str) -> Ordered {
    let work = LrpWork {
        key: key(lrp.process_guid.as_str(), 0),
        instance_guid: InstanceGuid::new(instance).unwrap(),
        lrp: Arc::new(lrp.clone()),
        credentials: vec![],
    };
    Ordered { lrps: vec![work], tasks: vec![] }
}

pub(crate) fn task_work(task: &Task) -> Ordered {
    let work = TaskWork { task: Arc::new(task.clone()), credentials: vec![] };
    Ordered { lrps: vec![], tasks: vec![work] }
}

pub(crate) fn container_of(lrp: &DesiredLrp, instance: &str) -> ContainerId {
    order(lrp.process_guid.as_str(), 0, instance).work.container_id()
}
