//! Work that found no place: when it is tried again.

use super::*;

fn item(index: u32) -> Item {
    Item::Lrp(key("web", index))
}

#[test]
fn unplaced_work_is_tried_again_when_a_cell_joins() {
    let mut scene = Scene::new(&[]);
    let applied = scene.desire("web", 1);
    scene.ok(no_room(item(0), round_of(&applied)));
    assert_eq!(effects(&scene.pass(20, &[])), [""; 0]);
    scene.heartbeat("a");
    assert_eq!(effects(&scene.ok(Command::Expire)), ["auction web/0"]);
    assert_eq!(effects(&scene.ok(Command::Expire)), [""; 0], "once");
}

#[test]
fn unplaced_work_is_tried_again_when_an_instance_goes() {
    for how in ["remove", "crash"] {
        let mut scene = Scene::new(&["a"]);
        scene.desire("other", 1);
        scene.start("other", 0, "i", "a");
        scene.pass(2, &["a"]);
        let applied = scene.desire("web", 1);
        scene.ok(no_room(item(0), round_of(&applied)));
        scene.pass(2, &["a"]);
        assert_eq!(effects(&scene.ok(Command::Expire)), [""; 0]);
        let gone = match how {
            "remove" => Command::RemoveInstance(key("other", 0), instance("i", "a")),
            _ => Command::CrashLrp(key("other", 0), instance("i", "a"), "x".into()),
        };
        scene.ok(gone);
        assert_eq!(effects(&scene.ok(Command::Expire)), ["auction web/0"], "{how}");
    }
}

#[test]
fn capacity_that_was_not_quite_free_is_looked_at_again_a_moment_later() {
    let mut scene = Scene::new(&["a"]);
    scene.pass(2, &["a"]);
    let applied = scene.desire("web", 1);
    scene.ok(no_room(item(0), round_of(&applied)));
    scene.desire("other", 1);
    scene.start("other", 0, "i", "a");
    scene.ok(Command::RemoveInstance(key("other", 0), instance("i", "a")));
    let at_once = scene.ok(Command::Expire);
    assert_eq!(effects(&at_once), ["auction web/0"]);
    assert_eq!(effects(&scene.ok(no_room(item(0), round_of(&at_once)))), [""; 0]);
    assert_eq!(effects(&scene.pass(1, &["a"])), ["auction web/0"]);
}

#[test]
fn a_failure_that_is_older_than_the_newest_capacity_is_tried_again_at_once() {
    let mut scene = Scene::new(&["a"]);
    scene.pass(2, &["a"]);
    let applied = scene.desire("web", 1);
    scene.heartbeat("b");
    scene.ok(Command::Expire);
    let again = scene.ok(no_room(item(0), round_of(&applied)));
    assert_eq!(effects(&again), ["auction web/0"]);
    assert_eq!(effects(&scene.ok(no_room(item(0), round_of(&again)))), [""; 0], "and then waits");
}

#[test]
fn the_same_failure_again_is_no_news() {
    let mut scene = Scene::new(&["a"]);
    let applied = scene.desire("web", 1);
    let first = scene.ok(no_room(item(0), round_of(&applied)));
    assert_eq!((first.events.len(), first.writes.len()), (1, 1));
    assert!(scene.ok(no_room(item(0), round_of(&applied))).writes.is_empty());
}

#[test]
fn what_was_not_tried_is_queued_without_an_error() {
    let mut scene = Scene::new(&["a"]);
    scene.pass(2, &["a"]);
    scene.desire("web", 1);
    scene.ok(Command::DesireTask(Box::new(crate::testing::task_definition("t", 1))));
    let quiet = scene.ok(Command::DeferPlacement(vec![item(0), Item::Task(tg("t"))]));
    assert!(quiet.is_empty());
    assert_eq!(effects(&scene.pass(1, &["a"])), ["auction web/0", "auction t"]);
    let ActualState::Unclaimed { placement_error: None } = scene.board.actual_lrps(None)[0].state
    else {
        panic!("{:?}", scene.board.actual_lrps(None))
    };
}

#[test]
fn work_that_a_cell_took_and_forgot_is_auctioned_again_by_the_safety_net() {
    let mut scene = Scene::new(&["a"]);
    scene.desire("web", 1);
    scene.pass(30, &["a"]);
    assert_eq!(effects(&scene.ok(Command::Converge)), [""; 0]);
    scene.pass(1, &["a"]);
    assert_eq!(effects(&scene.ok(Command::Converge)), ["auction web/0"]);
    scene.claim("web", 0, "i", "a");
    scene.pass(60, &["a"]);
    assert_eq!(effects(&scene.ok(Command::Converge)), [""; 0]);
}

#[test]
fn after_a_restart_the_first_cell_gets_what_was_unplaced() {
    let mut scene = Scene::new(&["a"]);
    scene.desire("web", 1);
    scene.ok(Command::DesireTask(Box::new(crate::testing::task_definition("t", 1))));
    let records = Records {
        desired: vec![scene.board.desired_lrp(&pg("web")).unwrap().as_ref().clone()],
        actual: scene.board.actual_lrps(None),
        tasks: scene.board.tasks(None),
        ..Records::default()
    };
    scene.board = Board::load(records, Limits::default(), 2, scene.now);
    assert_eq!(effects(&scene.ok(Command::Expire)), [""; 0]);
    scene.heartbeat("a");
    assert_eq!(effects(&scene.ok(Command::Expire)), ["auction web/0", "auction t"]);
}

#[test]
fn a_cell_that_grew_is_tried_again() {
    let mut scene = Scene::new(&["a"]);
    scene.pass(2, &["a"]);
    let applied = scene.desire("web", 1);
    scene.ok(no_room(item(0), round_of(&applied)));
    scene.heartbeat("a");
    assert_eq!(effects(&scene.ok(Command::Expire)), [""; 0], "nothing new about it");
    let mut grown = presence("a", "z");
    grown.capacity.memory_mb += 1;
    scene.ok(Command::Heartbeat(Box::new(grown)));
    assert_eq!(effects(&scene.ok(Command::Expire)), ["auction web/0"]);
}
