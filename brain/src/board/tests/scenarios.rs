//! What happens to an LRP over time, from its owner's side.

use lattice_model::{DesiredLrpUpdate, Event};

use super::*;

fn scale(instances: u32) -> Command {
    let update = DesiredLrpUpdate { instances: Some(instances), ..DesiredLrpUpdate::default() };
    Command::UpdateLrp(pg("web"), update)
}

fn crash_times(scene: &mut Scene, index: u32, times: u32) {
    for n in 0..times {
        let ig = format!("i{index}-{n}");
        scene.claim("web", index, &ig, "a");
        scene.start("web", index, &ig, "a");
        scene.crash("web", index, &ig, "a");
    }
}

/// The names of the records' events, with the state that the record has afterwards (or had, when it went).
fn told(applied: &Applied) -> Vec<String> {
    let one = |event: &Event| match event {
        Event::ActualLrpCreated(row) => Some(format!("created {}", row.state.name())),
        Event::ActualLrpChanged { after, .. } => Some(format!("changed {}", after.state.name())),
        Event::ActualLrpRemoved(row) => {
            let incarnation = row.instance().map(|i| format!(" {}", i.instance_guid));
            Some(format!("removed {}{}", row.state.name(), incarnation.unwrap_or_default()))
        }
        _ => None,
    };
    applied.events.iter().filter_map(one).collect()
}

#[test]
fn an_instance_that_is_unclaimed_is_told_as_an_end_and_a_beginning() {
    let mut scene = Scene::new(&["a", "b"]);
    scene.desire("web", 1);
    scene.claim("web", 0, "i", "a");
    let crashed = scene.crash("web", 0, "i", "a");
    assert_eq!(told(&crashed), ["created UNCLAIMED", "removed CLAIMED i"]);
    let unplaced = scene.ok(no_room(Item::Lrp(key("web", 0)), u64::MAX));
    assert_eq!(told(&unplaced), ["changed UNCLAIMED"], "no incarnation went");
    crash_times(&mut scene, 0, 2);
    let restarted = scene.pass(30, &["a", "b"]);
    assert_eq!(told(&restarted), ["created UNCLAIMED", "removed CRASHED"]);
    scene.start("web", 0, "j", "a");
    let last = scene.crash("web", 0, "j", "a");
    assert_eq!(told(&last), ["changed CRASHED"]);
}

#[test]
fn scaling_to_nothing_or_removing_forgets_a_crashed_instance() {
    for command in [scale(0), Command::RemoveLrp(pg("web"))] {
        let mut scene = Scene::new(&["a"]);
        scene.desire("web", 1);
        crash_times(&mut scene, 0, 3);
        assert_eq!(scene.rows("web"), ["0 CRASHED"]);
        scene.ok(command.clone());
        assert_eq!(scene.rows("web"), [""; 0], "{command:?}");
        assert_eq!(effects(&scene.pass(60, &["a"])), [""; 0]);
    }
}

#[test]
fn an_lrp_that_is_removed_while_it_is_claimed_leaves_nothing() {
    let mut scene = Scene::new(&["a"]);
    scene.desire("web", 1);
    scene.claim("web", 0, "i", "a");
    assert_eq!(effects(&scene.ok(Command::RemoveLrp(pg("web")))), ["stop i@a"]);
    scene.ok(Command::RemoveInstance(key("web", 0), instance("i", "a")));
    assert_eq!(scene.rows("web"), [""; 0]);
}

#[test]
fn the_only_cell_goes_and_comes_back_empty() {
    let mut scene = Scene::new(&["a"]);
    scene.desire("web", 2);
    scene.start("web", 0, "i0", "a");
    scene.start("web", 1, "i1", "a");
    scene.pass(16, &[]);
    let suspects = scene.rows("web").iter().filter(|row| row.contains("suspect")).count();
    assert_eq!(suspects, 2);
    scene.heartbeat("a");
    for n in 0..2 {
        let (key, gone) = (key("web", n), instance(&format!("i{n}"), "a"));
        assert_eq!(
            effects(&scene.ok(Command::RemoveInstance(key, gone))),
            [format!("auction web/{n}")]
        );
        scene.start("web", n, &format!("new{n}"), "a");
    }
    assert_eq!(scene.rows("web"), ["0 RUNNING new0@a", "1 RUNNING new1@a"]);
}

#[test]
fn indices_crash_and_wait_apart() {
    let mut scene = Scene::new(&["a"]);
    scene.desire("web", 2);
    scene.start("web", 1, "steady", "a");
    crash_times(&mut scene, 0, 3);
    assert_eq!(scene.rows("web"), ["0 CRASHED", "1 RUNNING steady@a"]);
    assert_eq!(effects(&scene.pass(29, &["a"])), [""; 0]);
    assert_eq!(effects(&scene.pass(1, &["a"])), ["auction web/0"]);
    scene.start("web", 0, "again", "a");
    scene.crash("web", 0, "again", "a");
    let counts: Vec<_> = scene.board.actual_lrps(None).iter().map(|row| row.crash_count).collect();
    assert_eq!(counts, [4, 0]);
}

#[test]
fn each_restart_is_another_incarnation_and_counts_the_record_up() {
    let mut scene = Scene::new(&["a"]);
    scene.desire("web", 1);
    let mut last = 0;
    for n in 1..=2 {
        crash_times(&mut scene, 0, 1);
        let row = scene.board.actual_lrps(None).remove(0);
        assert!(row.modification_tag.index > last);
        assert_eq!((row.crash_count, row.instance()), (n, None));
        last = row.modification_tag.index;
    }
}

#[test]
fn after_a_restart_of_the_brain_a_suspect_stays_one_until_its_cell_reports() {
    let mut scene = Scene::new(&["a", "b"]);
    scene.desire("web", 1);
    scene.start("web", 0, "i1", "a");
    scene.pass(16, &["b"]);
    scene.claim("web", 0, "i2", "b");
    let records = Records {
        desired: vec![scene.board.desired_lrp(&pg("web")).unwrap().as_ref().clone()],
        actual: scene.board.rows().cloned().collect(),
        domains: vec![(domain(), None)],
        ..Records::default()
    };
    scene.board = Board::load(records, Limits::default(), 2, scene.now);
    let rows = ["0 CLAIMED i2@b", "0 suspect RUNNING i1@a"];
    assert!(scene.ok(Command::Converge).is_empty());
    scene.pass(20, &["b"]);
    assert_eq!(scene.rows("web"), rows, "its cell is gone for good");
    scene.heartbeat("a");
    assert_eq!(scene.rows("web"), ["0 RUNNING i1@a"]);
}

#[test]
fn what_is_to_stop_is_remembered_when_its_cell_is_lost_meanwhile() {
    let mut scene = Scene::new(&["a", "b"]);
    scene.desire("web", 1);
    scene.start("web", 0, "i", "a");
    scene.ok(Command::RetireLrp(pg("web"), 0));
    scene.pass(16, &["b"]);
    assert_eq!(scene.rows("web"), ["0 UNCLAIMED", "0 suspect RUNNING i@a"]);
    let back = scene.heartbeat("a");
    assert!(effects(&back).contains(&"stop i@a".to_owned()), "{:?}", effects(&back));
}

#[test]
fn tasks_are_looked_at_when_they_are_due_without_any_tick() {
    let mut scene = Scene::new(&["a"]);
    scene.ok(Command::DesireTask(Box::new(crate::testing::task_definition("t", 1))));
    scene.pass(1_799, &["a"]);
    assert_eq!(scene.board.task(&tg("t")).unwrap().state.name(), "PENDING");
    scene.pass(1, &["a"]);
    assert_eq!(scene.board.task(&tg("t")).unwrap().state.name(), "COMPLETED");
    scene.pass(119, &["a"]);
    assert!(scene.board.task(&tg("t")).is_ok());
    scene.pass(1, &["a"]);
    assert!(scene.board.task(&tg("t")).is_err(), "nobody took note of it");
}
