//! A whole brain behind its API: a store on disk, and one cell that starts what it is given.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use async_trait::async_trait;
use lattice_api::brain::{Bbs as _, BrainError, Receptor as _, ReceptorClient, Target, routes};
use lattice_api::cell::{CellError, CellState, LrpSlot, Refused, Rep, RepConnector, Work};
use lattice_brain::http::{HttpConfig, serve};
use lattice_brain::{Config, Handle};
use lattice_daemon::clock::Clock;
use lattice_daemon::tasks::Tasks;
use lattice_model::actual_lrp::{InstanceKey, LrpKey};
use lattice_model::task::TaskOutcome;
use lattice_model::{
    ActualLrp, CellId, CellPresence, Domain, ErrorName, NetInfo, Resources, TaskGuid, Time,
};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::DOMAIN;

pub(crate) struct Platform {
    pub(crate) brain: Handle,
    pub(crate) client: ReceptorClient,
    pub(crate) cell: CellId,
    clock: Arc<ManualClock>,
    tasks: Tasks,
    _dir: tempfile::TempDir,
}

/// A clock that a test moves.
struct ManualClock(AtomicI64);

impl Clock for ManualClock {
    fn now(&self) -> Time {
        Time(self.0.load(Ordering::SeqCst))
    }
}

/// Runs every instance at once, and leaves tasks to the test.
#[derive(Default)]
struct Cell {
    brain: OnceLock<Handle>,
    held: Mutex<Vec<LrpSlot>>,
}

impl Cell {
    fn brain(&self) -> Handle {
        self.brain.get().expect("work comes after the start").clone()
    }
}

fn presence() -> CellPresence {
    CellPresence {
        cell_id: CellId::new("cell-1").unwrap(),
        rep_url: String::new(),
        zone: "z1".into(),
        capacity: Resources { memory_mb: 1024, disk_mb: 1024, containers: 100 },
        rootfs_providers: [("docker".to_owned(), vec![])].into_iter().collect(),
        placement_tags: vec![],
        optional_placement_tags: vec![],
        volume_drivers: vec![],
        labels: [("disk".to_owned(), "ssd".to_owned())].into_iter().collect(),
        fault: String::new(),
        warnings: Vec::new(),
    }
}

#[async_trait]
impl Rep for Cell {
    async fn state(&self) -> Result<CellState, CellError> {
        let presence = presence();
        let lrps = self.held.lock().unwrap().clone();
        let left = |left: Resources, slot: &LrpSlot| left.minus(&slot.resources);
        let available = lrps.iter().fold(presence.capacity, left);
        let (tasks, evacuating) = (Vec::new(), false);
        Ok(CellState {
            presence,
            available,
            lrps: lrps.into(),
            tasks,
            starting_count: 0,
            evacuating,
        })
    }

    async fn perform(&self, work: Work) -> Result<Vec<Refused>, CellError> {
        let brain = self.brain();
        for lrp in work.lrps {
            let (app, resources) = (lrp.lrp.app.clone(), lrp.lrp.resources());
            let slot = LrpSlot { key: lrp.key.clone(), app, resources };
            self.held.lock().unwrap().push(slot);
            let brain = brain.clone();
            tokio::spawn(async move {
                let instance_guid = lrp.instance_guid;
                let instance = InstanceKey { instance_guid, cell_id: presence().cell_id };
                let net = NetInfo { address: "10.0.0.1".into(), ..NetInfo::default() };
                brain.claim_lrp(&lrp.key, &instance).await.unwrap();
                brain.start_lrp(&lrp.key, &instance, net).await.unwrap();
            });
        }
        Ok(Vec::new())
    }

    async fn stop_lrp(&self, key: &LrpKey, instance: &InstanceKey) -> Result<(), CellError> {
        self.held.lock().unwrap().retain(|slot| slot.key != *key);
        let (brain, key, instance) = (self.brain(), key.clone(), instance.clone());
        tokio::spawn(async move { brain.remove_instance(&key, &instance).await });
        Ok(())
    }

    async fn cancel_task(&self, _: &TaskGuid) -> Result<(), CellError> {
        Ok(())
    }
}

struct OneCell(Weak<Cell>);

impl RepConnector for OneCell {
    fn connect(&self, _: &CellPresence) -> Option<Arc<dyn Rep>> {
        self.0.upgrade().map(|cell| cell as Arc<dyn Rep>)
    }
}

impl Platform {
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (cell, tasks) = (Arc::new(Cell::default()), Tasks::default());
        let clock = Arc::new(ManualClock(AtomicI64::new(Time::from_secs(1_000).0)));
        let reps = Arc::new(OneCell(Arc::downgrade(&cell)));
        let (config, time) = (Config::new(dir.path()), Arc::clone(&clock));
        let brain = lattice_brain::start(config, reps, time, &tasks).await.unwrap();
        cell.brain.set(brain.clone()).unwrap();
        // It lives as long as the brain's tasks.
        tasks.spawn("cell", {
            let end = tasks.shutdown().clone();
            async move {
                end.cancelled().await;
                drop(cell);
            }
        });
        let http = HttpConfig::on_loopback(None, DOMAIN);
        let address = serve(http, Arc::new(brain.clone()), &tasks).await.unwrap();
        let target = Target { base_url: format!("http://{address}"), credentials: None };
        let client = ReceptorClient::new(&target).unwrap();
        brain.heartbeat(presence()).await.unwrap();
        client.upsert_domain(Domain::new("lattice").unwrap(), None).await.unwrap();
        Self { brain, client, cell: presence().cell_id, clock, tasks, _dir: dir }
    }

    /// POSTs a desired LRP as it is.
    pub(crate) async fn desire(&self, body: &Value) -> Result<(), BrainError> {
        self.client.submit(routes::DESIRED_LRPS, body.to_string().as_bytes()).await
    }

    /// POSTs a task as it is.
    pub(crate) async fn desire_task(&self, body: &Value) -> Result<(), BrainError> {
        self.client.submit(routes::TASKS, body.to_string().as_bytes()).await
    }

    /// The cell runs the task to this end.
    pub(crate) async fn run_task(&self, guid: &TaskGuid, outcome: TaskOutcome) {
        assert!(self.brain.start_task(guid, &self.cell).await.unwrap());
        self.brain.complete_task(guid, &self.cell, outcome).await.unwrap();
    }

    /// Time passes.
    pub(crate) fn pass(&self, time: Duration) {
        let ns = i64::try_from(time.as_nanos()).unwrap();
        self.clock.0.fetch_add(ns, Ordering::SeqCst);
    }

    /// Waits until the instances are as they should be.
    pub(crate) async fn until(
        &self,
        what: &str,
        level: impl Fn(&[ActualLrp]) -> bool,
    ) -> Vec<ActualLrp> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let rows = self.client.actual_lrps(None).await.unwrap();
            if level(&rows) {
                return rows;
            }
            assert!(Instant::now() < deadline, "{what}: {rows:#?}");
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until exactly so many instances run.
    pub(crate) async fn until_running(&self, count: usize) -> Vec<ActualLrp> {
        let all_run =
            |rows: &[ActualLrp]| rows.len() == count && rows.iter().all(|row| row.net().is_some());
        self.until(&format!("{count} run"), all_run).await
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        self.tasks.shutdown().cancel();
    }
}

/// A refusal's name and words.
#[track_caller]
pub(crate) fn refusal<T: std::fmt::Debug>(found: Result<T, BrainError>) -> (ErrorName, String) {
    match found {
        Err(BrainError::Refused(refusal)) => (refusal.name, refusal.message),
        other => panic!("not refused: {other:?}"),
    }
}
