//! The brain as a whole, with cells that are small programs: they take work, claim, start and stop.

mod cells;
mod failures;
mod moves;
mod stories;

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

use lattice_api::brain::{Bbs, Receptor};
use lattice_daemon::tasks::Tasks;
use lattice_model::ActualLrp;

use super::*;
use crate::store::fake::InMemory;
use crate::testing::{cell_id, domain, lrp, pg};

use cells::{FakeCell, Fleet};

/// How long a level may take to be reached.
const PATIENCE: Duration = Duration::from_secs(20);

/// A clock that a test moves.
#[derive(Debug)]
struct ManualClock(AtomicI64);

impl ManualClock {
    fn advance(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_nanos()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Time {
        Time(self.0.load(Ordering::SeqCst))
    }
}

/// A brain, its store and its cells.
struct World {
    brain: Handle,
    store: InMemory,
    clock: Arc<ManualClock>,
    fleet: Fleet,
    tasks: Tasks,
}

impl World {
    /// A brain with these cells, each with 1000 MB and 1000 slots.
    async fn new(cells: &[&str]) -> Self {
        let clock = Arc::new(ManualClock(AtomicI64::new(Time::from_secs(1_000).0)));
        let world = Self::on(InMemory::default(), clock, Fleet::default()).await;
        world.brain.upsert_domain(domain(), None).await.unwrap();
        for cell in cells {
            world.join(cell).await;
        }
        world
    }

    async fn on(store: InMemory, clock: Arc<ManualClock>, fleet: Fleet) -> Self {
        let tasks = Tasks::default();
        let config = Config {
            own_registry: Some(RegistryCredentials {
                registry: "registry.test".into(),
                username: "u".into(),
                password: "own".into(),
            }),
            ..Config::new("/nonexistent")
        };
        let reps = Arc::new(fleet.clone());
        let time: Arc<dyn Clock> = Arc::clone(&clock) as _;
        let brain = crate::start_with(config, store.clone(), reps, time, &tasks).await.unwrap();
        fleet.attach(&brain);
        Self { brain, store, clock, fleet, tasks }
    }

    /// The brain stops and another starts on what its store kept.
    async fn restart_brain(self) -> Self {
        assert!(self.tasks.end(PATIENCE).await, "every task ends");
        Self::on(self.store, self.clock, self.fleet).await
    }

    async fn join(&self, cell: &str) -> Arc<FakeCell> {
        let cell = self.fleet.add(cell, 1_000);
        self.brain.heartbeat(cell.presence()).await.unwrap();
        cell
    }

    /// Time passes while all cells that are up stay alive.
    async fn pass(&self, secs: u64) {
        for _ in 0..secs {
            self.clock.advance(Duration::from_secs(1));
            for cell in self.fleet.up() {
                self.brain.heartbeat(cell.presence()).await.unwrap();
            }
            self.brain.domains().await.unwrap();
        }
    }

    async fn rows(&self) -> Vec<ActualLrp> {
        self.brain.actual_lrps(None).await.unwrap()
    }

    /// Waits until the records are as they should be.
    #[track_caller]
    fn until(
        &self,
        what: &'static str,
        level: impl Fn(&[ActualLrp]) -> bool + Send + Sync,
    ) -> impl Future<Output = Vec<ActualLrp>> {
        let deadline = Instant::now() + PATIENCE;
        async move {
            loop {
                let rows = self.rows().await;
                if level(&rows) {
                    return rows;
                }
                assert!(Instant::now() < deadline, "{what}: {rows:#?}");
                sleep(Duration::from_millis(5)).await;
            }
        }
    }

    async fn until_running(&self, count: usize) -> Vec<ActualLrp> {
        let all_run = move |rows: &[ActualLrp]| {
            rows.len() == count && rows.iter().all(|row| row.net().is_some())
        };
        self.until("all run", all_run).await
    }
}

fn on_cell(rows: &[ActualLrp], cell: &str) -> usize {
    let is_there = |row: &&ActualLrp| row.instance().is_some_and(|i| i.cell_id == cell_id(cell));
    rows.iter().filter(is_there).count()
}
