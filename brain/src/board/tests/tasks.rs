//! Table 2.6.

use lattice_model::task::TaskOutcome;
use lattice_model::{TaskDefinition, TaskState};

use super::*;
use crate::testing::task_definition;

fn done() -> TaskOutcome {
    TaskOutcome { result: "42".into(), ..TaskOutcome::default() }
}

/// A task `t` that is pending, running on `a`, completed or resolving.
fn scene_with(state: &str) -> Scene {
    let mut scene = Scene::new(&["a", "b"]);
    scene.pass(2, &["a", "b"]);
    scene.ok(Command::DesireTask(Box::new(definition())));
    if state != "PENDING" {
        scene.ok(Command::StartTask(tg("t"), cell_id("a")));
    }
    if state == "COMPLETED" || state == "RESOLVING" {
        scene.ok(Command::CompleteTask(tg("t"), cell_id("a"), done()));
    }
    if state == "RESOLVING" {
        scene.ok(Command::ResolveTask(tg("t")));
    }
    scene.pass(2, &["a", "b"]);
    assert_eq!(task(&scene).state.name(), state);
    scene
}

fn definition() -> TaskDefinition {
    TaskDefinition { completion_callback_url: "http://owner/".into(), ..task_definition("t", 10) }
}

fn task(scene: &Scene) -> Task {
    scene.board.task(&tg("t")).unwrap()
}

fn outcome(scene: &Scene) -> TaskOutcome {
    match task(scene).state {
        TaskState::Completed(outcome) | TaskState::Resolving(outcome) => outcome,
        other => panic!("{other:?}"),
    }
}

fn failed_placement(is_impossible: bool, round: u64) -> Command {
    let error = PlacementError { reason: "insufficient resources".into(), detail: "much".into() };
    let item = Item::Task(tg("t"));
    Command::FailPlacement(FailedPlacement { item, error, is_impossible, round })
}

#[test]
fn every_transition_of_a_task_is_as_the_table_says() {
    let t = || tg("t");
    let start = |cell| Command::StartTask(t(), cell_id(cell));
    let complete = |cell| Command::CompleteTask(t(), cell_id(cell), done());
    let reject = |cell| Command::RejectTask(t(), cell_id(cell), "no luck".into());
    let deletable = "TaskNotDeletable: This task has not been completed. \
                     Please retry when it is completed.";
    let cannot =
        |from: &str, to: &str| Err(format!("UnknownError: Cannot transition from {from} to {to}"));
    let refused = |text: &str| Err(text.to_owned());
    for (state, command, expected) in [
        ("PENDING", start("a"), Ok("RUNNING")),
        ("RUNNING", start("a"), Ok("RUNNING")),
        ("RUNNING", start("b"), refused("ResourceConflict: cannot start task")),
        ("COMPLETED", start("a"), refused("ResourceConflict: cannot start task")),
        ("PENDING", Command::CancelTask(t()), Ok("COMPLETED")),
        ("RUNNING", Command::CancelTask(t()), Ok("COMPLETED")),
        ("COMPLETED", Command::CancelTask(t()), cannot("Completed", "Completed")),
        ("RESOLVING", Command::CancelTask(t()), cannot("Resolving", "Completed")),
        ("PENDING", complete("a"), cannot("Pending", "Completed")),
        ("RUNNING", complete("a"), Ok("COMPLETED")),
        ("RUNNING", complete("b"), refused("ResourceConflict: task runs on another cell")),
        ("COMPLETED", complete("a"), cannot("Completed", "Completed")),
        ("PENDING", reject("a"), Ok("PENDING")),
        ("RUNNING", reject("a"), Ok("PENDING")),
        ("RUNNING", reject("b"), refused("ResourceConflict: task runs on another cell")),
        ("COMPLETED", reject("a"), cannot("Completed", "Pending")),
        ("RESOLVING", reject("a"), cannot("Resolving", "Pending")),
        ("PENDING", Command::ResolveTask(t()), cannot("Pending", "Resolving")),
        ("RUNNING", Command::ResolveTask(t()), cannot("Running", "Resolving")),
        ("COMPLETED", Command::ResolveTask(t()), Ok("RESOLVING")),
        ("RESOLVING", Command::ResolveTask(t()), cannot("Resolving", "Resolving")),
        ("PENDING", Command::DeleteTask(t()), refused(deletable)),
        ("RUNNING", Command::DeleteTask(t()), refused(deletable)),
        ("COMPLETED", Command::DeleteTask(t()), Ok("gone")),
        ("RESOLVING", Command::DeleteTask(t()), Ok("gone")),
        ("RUNNING", failed_placement(false, 0), refused("ResourceConflict: cannot reject task")),
        ("RUNNING", failed_placement(true, 0), refused("ResourceConflict: cannot reject task")),
        (
            "PENDING",
            Command::DesireTask(Box::new(definition())),
            refused("TaskGuidAlreadyExists: task already exists"),
        ),
    ] {
        let mut scene = scene_with(state);
        let what = format!("{state} {command:?}");
        match expected {
            Ok(name) => {
                scene.ok(command);
                let found = scene.board.task(&tg("t"));
                assert_eq!(found.map_or("gone", |task| task.state.name()), name, "{what}");
            }
            Err(message) => assert_eq!(scene.refused(command), message, "{what}"),
        }
    }
}

#[test]
fn an_unknown_task_is_not_found_whatever_is_asked_of_it() {
    let t = || tg("x");
    for command in [
        Command::StartTask(t(), cell_id("a")),
        Command::CancelTask(t()),
        Command::CompleteTask(t(), cell_id("a"), done()),
        Command::RejectTask(t(), cell_id("a"), "x".into()),
        Command::ResolveTask(t()),
        Command::DeleteTask(t()),
    ] {
        let refusal = Scene::new(&[]).refused(command);
        assert_eq!(refusal, "TaskNotFound: task with guid 'x' not found");
    }
}

#[test]
fn exactly_one_start_may_run_the_task() {
    let mut scene = scene_with("PENDING");
    let answers: Vec<_> =
        (0..3).map(|_| scene.ok(Command::StartTask(tg("t"), cell_id("a"))).answer).collect();
    let yes = |may| Answer::MayStart(may);
    assert_eq!(answers, [yes(true), yes(false), yes(false)]);
}

#[test]
fn an_ended_task_keeps_its_outcome_frees_its_cell_and_its_owner_is_told() {
    let mut scene = scene_with("RUNNING");
    assert_eq!(scene.board.view(&cell_id("a")).tasks.len(), 1);
    let applied = scene.ok(Command::CompleteTask(tg("t"), cell_id("a"), done()));
    assert_eq!(effects(&applied), ["notify t"]);
    assert_eq!(outcome(&scene), done());
    assert!(scene.board.view(&cell_id("a")).tasks.is_empty());
    let mut quiet = Scene::new(&["a"]);
    quiet.ok(Command::DesireTask(Box::new(task_definition("t", 1))));
    assert_eq!(effects(&quiet.ok(Command::CancelTask(tg("t")))), [""; 0], "no owner to tell");
}

#[test]
fn cancelling_tells_the_cell_and_fails_the_task() {
    let mut scene = scene_with("RUNNING");
    let applied = scene.ok(Command::CancelTask(tg("t")));
    assert_eq!(effects(&applied), ["cancel t@a", "notify t"]);
    assert_eq!(outcome(&scene).failure_reason, "task was cancelled");
    assert!(outcome(&scene).failed);
}

#[test]
fn a_cell_may_reject_a_task_three_times_half_a_minute_apart() {
    let mut scene = scene_with("PENDING");
    for attempt in 1..=3 {
        scene.ok(Command::StartTask(tg("t"), cell_id("a")));
        scene.ok(Command::RejectTask(tg("t"), cell_id("a"), "no luck".into()));
        assert_eq!((task(&scene).rejections, task(&scene).state.name()), (attempt, "PENDING"));
        assert_eq!(effects(&scene.pass(29, &["a", "b"])), [""; 0]);
        assert_eq!(effects(&scene.pass(1, &["a", "b"])), ["auction t"]);
    }
    scene.ok(Command::RejectTask(tg("t"), cell_id("a"), "no luck".into()));
    assert_eq!(outcome(&scene).failure_reason, "no luck");
}

#[test]
fn full_cells_count_against_a_task_at_most_once_in_half_a_minute() {
    let mut scene = scene_with("PENDING");
    let mut counts = Vec::new();
    for _ in 0..100 {
        if scene.apply(failed_placement(false, u64::MAX)).is_err() {
            break;
        }
        counts.push(task(&scene).rejections);
        scene.pass(10, &["a", "b"]);
    }
    assert_eq!(counts, [1, 1, 1, 2, 2, 2, 3, 3, 3, 4]);
    assert_eq!(outcome(&scene).failure_reason, "insufficient resources");
    assert_eq!(scene.board.task(&tg("t")).unwrap().placement_detail, "much");
}

#[test]
fn a_task_that_found_the_cells_full_is_tried_again_when_capacity_appears() {
    let mut scene = scene_with("PENDING");
    scene.ok(failed_placement(false, u64::MAX));
    scene.pass(5, &["a", "b"]);
    scene.heartbeat("c");
    assert_eq!(effects(&scene.ok(Command::Expire)), ["auction t"]);
    let mut scene = scene_with("PENDING");
    let again = scene.ok(failed_placement(false, 0));
    assert_eq!(effects(&again), ["auction t"], "capacity appeared while it was auctioned");
}

#[test]
fn a_task_that_no_cell_could_ever_take_fails_at_once() {
    let mut scene = scene_with("PENDING");
    scene.ok(failed_placement(true, u64::MAX));
    assert_eq!(outcome(&scene).failure_reason, "insufficient resources");
    assert_eq!(scene.board.task(&tg("t")).unwrap().placement_detail, "much");
}

#[test]
fn a_task_fails_with_its_cell_and_when_it_never_finds_one() {
    let mut scene = scene_with("RUNNING");
    scene.pass(16, &["b"]);
    assert_eq!(outcome(&scene).failure_reason, "cell disappeared before completion");
    let mut scene = scene_with("PENDING");
    scene.pass(1_790, &[]);
    scene.ok(Command::Converge);
    assert_eq!(task(&scene).state.name(), "PENDING");
    scene.pass(10, &[]);
    scene.ok(Command::Converge);
    assert_eq!(outcome(&scene).failure_reason, "not started within time limit");
}

#[test]
fn an_owner_that_could_not_be_told_is_tried_again_until_the_task_is_forgotten() {
    let mut scene = scene_with("RESOLVING");
    scene.pass(31, &["a"]);
    let kicked = scene.ok(Command::Converge);
    assert_eq!(task(&scene).state.name(), "COMPLETED");
    assert_eq!(effects(&kicked), ["notify t"]);
    assert_eq!(effects(&scene.ok(Command::Converge)), ["notify t"]);
    scene.pass(90, &["a"]);
    scene.ok(Command::Converge);
    assert!(scene.board.task(&tg("t")).is_err());
}

#[test]
fn tasks_outlive_the_brain() {
    let mut scene = scene_with("RUNNING");
    let records = Records { tasks: scene.board.tasks(None), ..Records::default() };
    scene.board = Board::load(records, Limits::default(), 1, scene.now);
    assert_eq!(scene.board.view(&cell_id("a")).tasks.len(), 1);
    scene.pass(14, &[]);
    assert_eq!(task(&scene).state.name(), "RUNNING");
    scene.pass(1, &[]);
    assert_eq!(outcome(&scene).failure_reason, "cell disappeared before completion");
}

#[test]
fn tasks_are_listed_by_guid_and_domain() {
    let mut scene = Scene::new(&[]);
    for guid in ["b", "a"] {
        scene.ok(Command::DesireTask(Box::new(task_definition(guid, 1))));
    }
    let guids: Vec<_> = scene.board.tasks(Some(&domain())).into_iter().collect();
    let guids: Vec<_> = guids.iter().map(|task| task.definition.task_guid.as_str()).collect();
    assert_eq!(guids, ["a", "b"]);
    assert!(scene.board.tasks(Some(&Domain::new("x").unwrap())).is_empty());
}
