//! Scenarios of Diego's suites that need no container, played from wish to end; tests/scenarios.md
//! says which.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a broken fixture is a failed test")]

use std::time::Duration;

use lattice_brain::auction::Policy;
use lattice_model::{ActualLrp, ProcessGuid, TaskGuid, TaskState, Time};
use lattice_simulation::{Sabotage, World};

const ONE_CELL: &str = "cell zone=0 memory=1000 containers=10\n";
const TWO_CELLS: &str =
    "cell zone=0 memory=1000 containers=10\ncell zone=1 memory=1000 containers=10\n";

struct Scene(World);

impl Scene {
    /// Cells, and what happens in milliseconds; the cells are there after three seconds.
    fn new(cells: &str, happenings: &[&str]) -> Self {
        let lines: String = happenings.iter().map(|line| format!("at {line}\n")).collect();
        let script = format!("seed 3\n{cells}{lines}").parse().unwrap();
        Self(World::new(script, Policy::default(), Sabotage::Nothing))
    }

    /// Moves on to so many seconds after the beginning.
    fn at(&mut self, seconds: i64) -> &mut Self {
        self.0.run_until(Time::from_secs(1_000_000 + seconds)).unwrap();
        self
    }

    fn records(&self, app: u64) -> Vec<&ActualLrp> {
        let guid = ProcessGuid::new(format!("app-{app}")).unwrap();
        self.0.board().rows().filter(|row| row.key.process_guid == guid).collect()
    }

    /// Index, presence unless it is the usual one, and state.
    fn rows(&self, app: u64) -> Vec<String> {
        let text = |row: &&ActualLrp| {
            let presence = format!("{:?} ", row.presence).replace("Ordinary ", "");
            format!("{} {presence}{}", row.key.index, row.state.name())
        };
        self.records(app).iter().map(text).collect()
    }

    fn instances(&self, app: u64) -> Vec<String> {
        let instances = self.records(app).into_iter().filter_map(|row| row.instance());
        instances.map(|instance| instance.instance_guid.to_string()).collect()
    }

    fn placement_error(&self, app: u64) -> String {
        format!("{:?}", self.records(app)[0].state)
    }

    /// How the task stands: its state, and how it ended.
    fn task(&self, task: u64) -> String {
        let guid = TaskGuid::new(format!("task-{task}")).unwrap();
        match self.0.board().task(&guid) {
            Err(_) => "gone".to_owned(),
            Ok(task) => match task.state {
                TaskState::Pending | TaskState::Running { .. } => task.state.name().to_owned(),
                TaskState::Completed(how) | TaskState::Resolving(how) if how.failed => {
                    format!("failed: {}", how.failure_reason)
                }
                TaskState::Completed(how) | TaskState::Resolving(how) => how.result,
            },
        }
    }
}

#[test]
fn two_crashes_are_restarted_at_once_and_the_third_waits_half_a_minute() {
    let mut scene = Scene::new(
        ONE_CELL,
        &[
            "4000 desire app=1 instances=1 memory=64 restarts=yes",
            "8000 crash app=1 index=0",
            "12000 crash app=1 index=0",
            "16000 crash app=1 index=0",
        ],
    );
    for (seconds, state, crashes) in [
        (7, "0 RUNNING", 0),
        (11, "0 RUNNING", 1),
        (15, "0 RUNNING", 2),
        (18, "0 CRASHED", 3),
        (44, "0 CRASHED", 3),
        (50, "0 RUNNING", 3),
    ] {
        assert_eq!(scene.at(seconds).rows(1), [state], "{seconds}");
        assert_eq!(scene.records(1)[0].crash_count, crashes, "{seconds}");
    }
}

/// Two apps that wait out their back-off at 18 s.
const CRASHED: [&str; 8] = [
    "4000 desire app=1 instances=1 memory=64 restarts=yes",
    "4000 desire app=2 instances=1 memory=64 restarts=yes",
    "8000 crash app=1 index=0",
    "8000 crash app=2 index=0",
    "12000 crash app=1 index=0",
    "12000 crash app=2 index=0",
    "16000 crash app=1 index=0",
    "16000 crash app=2 index=0",
];

#[test]
fn a_crashed_instance_goes_at_once_with_its_index_or_its_lrp() {
    let more = ["20000 scale app=1 instances=0", "20000 remove app=2"];
    let mut scene = Scene::new(ONE_CELL, &[&CRASHED[..], &more].concat());
    assert_eq!(scene.at(19).rows(1), ["0 CRASHED"]);
    assert_eq!(scene.rows(2), ["0 CRASHED"]);
    assert_eq!(scene.at(21).rows(1), [""; 0]);
    assert_eq!(scene.rows(2), [""; 0]);
}

#[test]
fn a_crashed_instance_that_is_retired_starts_anew_at_once() {
    let more = ["20000 retire app=1 index=0"];
    let mut scene = Scene::new(ONE_CELL, &[&CRASHED[..], &more].concat());
    assert_eq!(scene.at(24).rows(1), ["0 RUNNING"]);
    assert_eq!(scene.records(1)[0].crash_count, 0);
    assert_eq!(scene.rows(2), ["0 CRASHED"], "the other one waits");
}

#[test]
fn an_app_is_scaled_up_down_and_to_nothing_and_back() {
    let mut scene = Scene::new(
        TWO_CELLS,
        &[
            "4000 desire app=1 instances=1 memory=64 restarts=yes",
            "10000 scale app=1 instances=2",
            "20000 scale app=1 instances=1",
            "30000 scale app=1 instances=0",
            "40000 scale app=1 instances=3",
        ],
    );
    assert_eq!(scene.at(9).rows(1), ["0 RUNNING"]);
    let first = scene.instances(1);
    assert_eq!(scene.at(19).rows(1), ["0 RUNNING", "1 RUNNING"]);
    assert_eq!(scene.at(29).rows(1), ["0 RUNNING"]);
    assert_eq!(scene.instances(1), first, "the first was left alone");
    assert_eq!(scene.at(39).rows(1), [""; 0]);
    assert_eq!(scene.at(49).rows(1), ["0 RUNNING", "1 RUNNING", "2 RUNNING"]);
}

#[test]
fn an_lrp_that_is_removed_while_it_starts_leaves_nothing() {
    let mut scene = Scene::new(
        ONE_CELL,
        &["4000 desire app=1 instances=5 memory=64 restarts=yes", "4060 remove app=1"],
    );
    assert!(scene.at(4).rows(1).is_empty());
    scene.0.run_for(Duration::from_millis(55)).unwrap();
    assert!(scene.rows(1).contains(&"0 CLAIMED".to_owned()), "{:?}", scene.rows(1));
    assert_eq!(scene.at(15).rows(1), [""; 0]);
    assert_eq!(scene.0.differences(), [""; 0]);
}

#[test]
fn an_instance_that_is_retired_is_another_one_in_no_time() {
    let mut scene = Scene::new(
        ONE_CELL,
        &["4000 desire app=1 instances=1 memory=64 restarts=yes", "8000 retire app=1 index=0"],
    );
    let before = scene.at(7).instances(1);
    assert_eq!(scene.at(15).rows(1), ["0 RUNNING"]);
    assert_ne!(scene.instances(1), before);
}

#[test]
fn what_is_too_large_says_so_and_the_rest_runs() {
    let mut scene = Scene::new(
        ONE_CELL,
        &[
            "4000 desire app=1 instances=1 memory=2000 restarts=yes",
            "4000 desire app=2 instances=1 memory=64 restarts=yes",
            "4000 task task=1 memory=2000 runs=1 ends=well owner=no",
            "4000 task task=2 memory=2000 runs=1 ends=well owner=yes",
        ],
    );
    assert_eq!(scene.at(6).rows(1), ["0 UNCLAIMED"]);
    let error = scene.placement_error(1);
    assert!(error.contains("\"insufficient resources: disk, memory\""), "{error}");
    assert_eq!(scene.at(8).rows(2), ["0 RUNNING"]);
    assert_eq!(scene.task(1), "failed: insufficient resources: disk, memory");
    scene.0.run().unwrap();
    assert_eq!(scene.task(2), "gone", "its owner was told");
}

#[test]
fn work_that_finds_its_cell_full_runs_when_room_appears() {
    let mut scene = Scene::new(
        ONE_CELL,
        &[
            "4000 desire app=1 instances=1 memory=800 restarts=yes",
            "8000 desire app=2 instances=1 memory=800 restarts=yes",
            "20000 remove app=1",
        ],
    );
    assert_eq!(scene.at(10).rows(2), ["0 UNCLAIMED"]);
    let error = scene.placement_error(2);
    assert!(error.contains("200 MB on cell-000"), "{error}");
    assert_eq!(scene.at(27).rows(2), ["0 RUNNING"]);
}

#[test]
fn tasks_end_as_they_should() {
    let mut scene = Scene::new(
        ONE_CELL,
        &[
            "4000 task task=1 memory=64 runs=2000 ends=well owner=no",
            "4000 task task=2 memory=64 runs=2000 ends=badly owner=no",
            "4000 task task=3 memory=64 runs=90000 ends=well owner=no",
            "4000 task task=4 memory=64 runs=2000 ends=well owner=yes",
            "4000 task task=5 memory=64 runs=1 ends=never-starts owner=no",
            "8500 cancel task=3",
            "9000 task task=1 memory=64 runs=90000 ends=badly owner=no",
        ],
    );
    assert_eq!(scene.at(8).task(3), "RUNNING");
    assert_eq!(scene.at(10).task(3), "failed: task was cancelled");
    assert_eq!(scene.task(1), "done", "a guid is taken once");
    assert_eq!(scene.task(2), "failed: Exited with status 1");
    assert_eq!(scene.task(5), "PENDING");
    assert_eq!(scene.at(60).task(5), "PENDING");
    assert_eq!(scene.at(110).task(5), "failed: no such image", "after the fourth try");
    assert_eq!(scene.task(4), "gone", "its owner was told");
    assert_eq!(scene.at(140).task(1), "gone", "nobody asked for two minutes");
}

#[test]
fn the_only_cell_is_killed_and_what_it_ran_starts_anew_when_it_is_back() {
    let mut scene = Scene::new(
        ONE_CELL,
        &[
            "4000 desire app=1 instances=2 memory=64 restarts=yes",
            "10000 kill-cell cell=0 for=30000 containers=lost",
        ],
    );
    let before = scene.at(9).instances(1);
    assert_eq!(scene.rows(1), ["0 RUNNING", "1 RUNNING"]);
    let suspected = ["0 UNCLAIMED", "0 Suspect RUNNING", "1 UNCLAIMED", "1 Suspect RUNNING"];
    assert_eq!(scene.at(30).rows(1), suspected);
    assert_eq!(scene.at(48).rows(1), ["0 RUNNING", "1 RUNNING"]);
    assert!(scene.instances(1).iter().all(|instance| !before.contains(instance)));
}

#[test]
fn what_a_lost_cell_ran_runs_on_another_within_seconds() {
    let mut scene = Scene::new(
        TWO_CELLS,
        &[
            "4000 desire app=1 instances=4 memory=64 restarts=yes",
            "4000 task task=1 memory=64 runs=90000 ends=well owner=no",
            "4000 task task=2 memory=64 runs=90000 ends=well owner=no",
            "10000 kill-cell cell=0 for=90000 containers=lost",
        ],
    );
    assert_eq!(scene.at(9).rows(1).len(), 4);
    assert_eq!(scene.at(28).rows(1), ["0 RUNNING", "1 RUNNING", "2 RUNNING", "3 RUNNING"]);
    let cells = scene.records(1).into_iter().filter_map(|row| row.instance());
    assert!(cells.map(|instance| instance.cell_id.as_str()).all(|cell| cell == "cell-001"));
    let mut tasks = [scene.task(1), scene.task(2)];
    tasks.sort();
    assert_eq!(tasks, ["RUNNING", "failed: cell disappeared before completion"]);
}

#[test]
fn what_is_wanted_before_there_is_a_cell_runs_when_one_comes() {
    let mut scene = Scene::new(
        ONE_CELL,
        &[
            "3500 kill-cell cell=0 for=60000 containers=lost",
            "30000 desire app=1 instances=2 memory=64 restarts=yes",
            "30000 task task=1 memory=64 runs=500 ends=well owner=no",
        ],
    );
    assert_eq!(scene.at(60).rows(1), ["0 UNCLAIMED", "1 UNCLAIMED"]);
    let error = scene.placement_error(1);
    assert!(error.contains("unable to communicate to compatible cells"), "{error}");
    assert_eq!(scene.task(1), "PENDING");
    assert_eq!(scene.at(67).rows(1), ["0 RUNNING", "1 RUNNING"]);
    assert_eq!(scene.at(70).task(1), "done");
}

#[test]
fn a_brain_that_is_killed_stops_nothing_and_finds_everything_again() {
    let mut scene = Scene::new(
        TWO_CELLS,
        &[
            "4000 desire app=1 instances=4 memory=64 restarts=yes",
            "10000 kill-brain for=60000 commit=lost",
        ],
    );
    let before = scene.at(9).instances(1);
    assert_eq!(scene.at(100).rows(1), ["0 RUNNING", "1 RUNNING", "2 RUNNING", "3 RUNNING"]);
    assert_eq!(scene.instances(1), before);
}

#[test]
fn a_drained_cell_gives_its_instance_away_without_an_outage() {
    let mut scene = Scene::new(
        TWO_CELLS,
        &[
            "4000 desire app=1 instances=1 memory=64 restarts=yes",
            "10000 drain cell=0 for=20000 at-once=1",
            "40000 drain cell=1 for=20000 at-once=1",
        ],
    );
    let mut seen = std::collections::BTreeSet::new();
    scene.at(9);
    while scene.0.now() < Time::from_secs(1_000_065) {
        scene.0.run_for(Duration::from_millis(20)).unwrap();
        let is_running = |row: &&ActualLrp| row.state.name() == "RUNNING";
        let running: Vec<_> = scene.records(1).into_iter().filter(is_running).cloned().collect();
        assert!(!running.is_empty(), "it is up at every moment: {:?}", scene.rows(1));
        let cells = running.iter().filter_map(|row| row.instance());
        seen.extend(cells.map(|instance| instance.cell_id.to_string()));
    }
    assert_eq!(seen.len(), 2, "it has moved");
    assert_eq!(scene.rows(1), ["0 RUNNING"]);
    assert_eq!(scene.0.differences(), [""; 0]);
}
