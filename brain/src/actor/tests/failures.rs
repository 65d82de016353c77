use lattice_api::brain::{InstanceProgress, SequencedEvent};
use lattice_model::{ActualState, ErrorName};

use super::*;
use crate::dispatch::Keyring;
use crate::testing::{key, task_definition, tg};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_store_does_not_keep_has_not_happened() {
    let world = World::new(&["a"]).await;
    world.brain.desire_lrp(lrp("before", 1, 10)).await.unwrap();
    world.until_running(1).await;
    let mut events = world.brain.events(None).await.unwrap();
    world.store.fail_next(1);
    let error = world.brain.desire_lrp(lrp("lost", 1, 10)).await.unwrap_err();
    let BrainError::Refused(refusal) = error else { panic!("{error}") };
    assert_eq!(refusal.name, ErrorName::UnknownError);
    assert!(refusal.message.contains("the store did not take the change"), "{refusal}");
    let guids: Vec<_> = world.brain.desired_lrps(None).await.unwrap();
    assert_eq!(guids.len(), 1, "only what was kept");
    assert_eq!(world.brain.cells().await.unwrap().len(), 1, "cells are still known");
    world.brain.desire_lrp(lrp("after", 1, 10)).await.unwrap();
    world.until_running(2).await;
    let mark = futures_util::StreamExt::next(&mut events).await.unwrap().unwrap();
    assert!(matches!(mark, SequencedEvent::Mark(_)), "{mark:?}");
    let first = futures_util::StreamExt::next(&mut events).await.unwrap().unwrap();
    let first = format!("{first:?}");
    assert!(first.contains("after") && !first.contains("lost"), "nobody was told: {first}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cells_refusal_keeps_its_reason_and_never_lacks_one() {
    let world = World::new(&["a"]).await;
    for (guid, said, expected) in [
        ("x", "no disk for layers", "no disk for layers"),
        ("y", "", "cell a refused the work and gave no reason"),
    ] {
        *world.fleet.get("a").refusal.lock().unwrap() = Some(said.to_owned());
        world.brain.desire_lrp(lrp(guid, 1, 10)).await.unwrap();
        let has_reason = |rows: &[ActualLrp]| {
            let row = rows.iter().find(|row| row.key == key(guid, 0)).unwrap();
            match &row.state {
                ActualState::Unclaimed { placement_error: Some(e) } => e.reason == expected,
                _ => false,
            }
        };
        world.until("the reason", has_reason).await;
    }
    *world.fleet.get("a").refusal.lock().unwrap() = None;
    world.join("b").await;
    world.until_running(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cell_that_does_not_answer_is_left_out_and_said_so_when_there_is_no_other() {
    let world = World::new(&["a"]).await;
    world.fleet.get("a").set_up(false);
    world.brain.desire_lrp(lrp("web", 1, 10)).await.unwrap();
    let unreachable = |rows: &[ActualLrp]| match &rows[0].state {
        ActualState::Unclaimed { placement_error: Some(e) } => {
            e.reason == "unable to communicate to compatible cells"
        }
        _ => false,
    };
    world.until("the reason", unreachable).await;
    world.join("b").await;
    let rows = world.until_running(1).await;
    assert_eq!(on_cell(&rows, "b"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retiring_restarts_an_instance_at_once() {
    let world = World::new(&["a"]).await;
    world.brain.desire_lrp(lrp("web", 1, 10)).await.unwrap();
    let before = world.until_running(1).await.remove(0);
    world.brain.retire(&pg("web"), 0).await.unwrap();
    let is_new = |rows: &[ActualLrp]| {
        rows.len() == 1 && rows[0].net().is_some() && rows[0].instance() != before.instance()
    };
    world.until("another incarnation", is_new).await;
    assert!(world.brain.retire(&pg("web"), 7).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_is_told_while_an_instance_starts() {
    use lattice_api::brain::ProgressStep;
    let world = World::new(&["a"]).await;
    world.fleet.get("a").is_slow.store(true, Ordering::SeqCst);
    world.brain.desire_lrp(lrp("web", 1, 10)).await.unwrap();
    world.until("claimed", |rows| rows[0].state.name() == "CLAIMED").await;
    let step = ProgressStep::Pulling { bytes_done: 5, bytes_total: 10 };
    let progress = InstanceProgress { index: 0, cell_id: cell_id("a"), step };
    world.brain.report_progress(&key("web", 0), progress.clone()).await;
    assert_eq!(world.brain.progress_of(&pg("web")).await.unwrap(), [progress]);
    let commits = world.store.commits();
    world.brain.heartbeat(world.fleet.get("a").presence()).await.unwrap();
    assert_eq!(world.store.commits(), commits, "nothing durable about either");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_task_has_ended_whatever_its_cell_says() {
    let world = World::new(&[]).await;
    world.brain.desire_task(task_definition("t", 10)).await.unwrap();
    world.brain.cancel_task(&tg("t")).await.unwrap();
    world.join("a").await;
    let task = world.brain.task(&tg("t")).await.unwrap();
    assert_eq!(task.state.name(), "COMPLETED");
    assert!(world.brain.start_task(&tg("t"), &cell_id("a")).await.is_err());
}

#[tokio::test]
async fn more_requests_than_the_queue_holds_are_refused_with_the_amount() {
    let (sender, _kept) = mpsc::channel(1);
    let handle = Handle::new(
        sender,
        (Hub::new(1, crate::config::Limits::default().events), crate::testing::scout()),
        (crate::custom_domains::Shelf::new(Vec::new(), Vec::new(), Vec::new()), Keyring::default()),
        Default::default(),
    );
    let waiting = tokio::spawn({
        let handle = handle.clone();
        async move { handle.cells().await }
    });
    tokio::task::yield_now().await;
    let error = handle.cells().await.unwrap_err();
    let expected = "TooManyRequests: 1 requests wait already, which is the most; try again later";
    assert_eq!(error.to_string(), expected);
    waiting.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_brain_that_has_ended_says_so() {
    let world = World::new(&["a"]).await;
    assert!(world.tasks.end(PATIENCE).await);
    let error = world.brain.cells().await.unwrap_err();
    assert!(matches!(error, BrainError::Unreachable { .. }), "{error}");
    let error = world.brain.depart(&cell_id("a")).await.unwrap_err();
    assert!(error.to_string().contains("it is stopping"), "{error}");
}

#[tokio::test]
async fn the_real_store_is_made_in_the_data_directory_and_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().join("deep/data");
    for expected in [0, 1] {
        let tasks = Tasks::default();
        let clock = Arc::new(lattice_daemon::clock::SystemClock);
        let reps = Arc::new(Fleet::default());
        let config = Config::new(&data_dir);
        let brain = crate::start(config, reps, clock, &tasks).await.unwrap();
        assert_eq!(brain.desired_lrps(None).await.unwrap().len(), expected);
        if expected == 0 {
            brain.desire_lrp(lrp("web", 1, 10)).await.unwrap();
        }
        assert!(tasks.end(PATIENCE).await);
        drop(brain);
    }
}
