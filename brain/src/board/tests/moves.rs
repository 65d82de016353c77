//! Cells that are drained, and instances that are spread anew.

use lattice_model::DesiredLrp;
use lattice_model::cell::Draining;
use lattice_model::desired_lrp::UpdateStrategy;

use super::*;

fn drain(cell: &str, max_in_flight: u32) -> Command {
    Command::DrainCell(Draining { cell_id: cell_id(cell), max_in_flight })
}

/// `web` with so many instances, all running on `a`; `b` lives too.
fn running(instances: u32) -> Scene {
    let mut scene = Scene::new(&["a", "b"]);
    scene.desire("web", instances);
    (0..instances).for_each(|n| scene.start("web", n, &format!("i{n}"), "a"));
    scene.pass(2, &["a", "b"]);
    scene
}

fn replace(scene: &mut Scene, index: u32) {
    scene.claim("web", index, &format!("n{index}"), "b");
    scene.start("web", index, &format!("n{index}"), "b");
}

#[test]
fn a_drained_cells_instance_stays_up_until_its_replacement_runs() {
    let mut scene = running(1);
    assert_eq!(effects(&scene.ok(drain("a", 1))), ["auction web/0"]);
    assert_eq!(scene.rows("web"), ["0 UNCLAIMED", "0 evacuating RUNNING i0@a"]);
    assert_eq!(scene.board.leaves(&pg("web"), 0), Some(cell_id("a")));
    scene.claim("web", 0, "n0", "b");
    let seen: Vec<_> = scene.board.actual_lrps(None).iter().map(shown).collect();
    assert_eq!(seen, ["0 evacuating RUNNING i0@a"]);
    let started = scene.ok(Command::StartLrp(key("web", 0), instance("n0", "b"), net()));
    assert_eq!(effects(&started), [""; 0], "routers hear of the new one first");
    assert_eq!(scene.rows("web"), ["0 RUNNING n0@b"]);
    assert_eq!(effects(&scene.pass(1, &["a", "b"])), ["stop i0@a"]);
    assert_eq!(effects(&scene.pass(60, &["a", "b"])), [""; 0]);
}

#[test]
fn so_many_move_at_once_and_no_more() {
    let mut scene = running(5);
    let moving =
        |scene: &Scene| scene.rows("web").iter().filter(|row| row.contains("evacuating")).count();
    assert_eq!(effects(&scene.ok(drain("a", 2))), ["auction web/0", "auction web/1"]);
    scene.ok(Command::Converge);
    assert_eq!(moving(&scene), 2);
    scene.claim("web", 0, "n0", "b");
    assert_eq!(moving(&scene), 2);
    let next = scene.ok(Command::StartLrp(key("web", 0), instance("n0", "b"), net()));
    assert_eq!(effects(&next), ["auction web/2"]);
    assert_eq!(moving(&scene), 2);
    assert_eq!(effects(&scene.ok(drain("a", 3))), ["auction web/3"], "the bound was raised");
    for index in 1..5 {
        replace(&mut scene, index);
    }
    assert_eq!(moving(&scene), 0);
    assert!(scene.rows("web").iter().all(|row| row.contains("@b")));
}

#[test]
fn a_replacement_without_a_place_holds_up_nobody_and_is_not_stopped() {
    let mut scene = running(3);
    scene.ok(drain("a", 1));
    let next = scene.ok(no_room(Item::Lrp(key("web", 0)), u64::MAX));
    assert_eq!(effects(&next), ["auction web/1"]);
    scene.ok(no_room(Item::Lrp(key("web", 1)), u64::MAX));
    scene.ok(no_room(Item::Lrp(key("web", 2)), u64::MAX));
    let stays: Vec<_> = scene.board.actual_lrps(None).iter().map(shown).collect();
    assert_eq!(stays.len(), 3);
    assert!(stays.iter().all(|row| row.contains("evacuating RUNNING")), "{stays:?}");
    let errors = scene.board.rows().filter(|row| row.state.name() == "UNCLAIMED").count();
    assert_eq!(errors, 3);
    scene.pass(2, &["a", "b"]);
    scene.heartbeat("c");
    let retried = scene.ok(Command::Expire);
    assert_eq!(effects(&retried), ["auction web/0"], "one at a time even now");
}

#[test]
fn what_is_not_healthy_yet_starts_elsewhere_at_once() {
    let mut scene = Scene::new(&["a", "b"]);
    scene.desire("web", 2);
    scene.claim("web", 0, "i0", "a");
    scene.claim("web", 1, "i1", "a");
    let applied = scene.ok(drain("a", 1));
    let expected = ["auction web/0", "stop i0@a", "auction web/1", "stop i1@a"];
    assert_eq!(effects(&applied), expected);
    assert_eq!(scene.rows("web"), ["0 UNCLAIMED", "1 UNCLAIMED"]);
    scene.claim("web", 0, "late", "a");
    assert_eq!(scene.rows("web")[0], "0 UNCLAIMED", "what was on its way there comes back");
}

#[test]
fn an_undrained_cell_keeps_what_has_found_no_other() {
    let mut scene = running(3);
    scene.ok(drain("a", 2));
    scene.claim("web", 0, "n0", "b");
    let applied = scene.ok(Command::UndrainCell(cell_id("a")));
    assert_eq!(effects(&applied), [""; 0]);
    assert_eq!(
        scene.rows("web"),
        ["0 CLAIMED n0@b", "0 evacuating RUNNING i0@a", "1 RUNNING i1@a", "2 RUNNING i2@a"]
    );
    scene.start("web", 0, "n0", "b");
    assert_eq!(scene.rows("web")[0], "0 RUNNING n0@b");
    assert!(!scene.board.is_draining(&cell_id("a")));
}

#[test]
fn draining_outlives_the_brain() {
    let mut scene = running(2);
    scene.ok(drain("a", 1));
    let records = Records {
        desired: vec![scene.board.desired_lrp(&pg("web")).unwrap().as_ref().clone()],
        actual: scene.board.rows().cloned().collect(),
        domains: vec![(domain(), None)],
        draining: scene.board.draining().collect(),
        ..Records::default()
    };
    scene.board = Board::load(records, Limits::default(), 9, scene.now);
    assert!(scene.board.is_draining(&cell_id("a")));
    scene.heartbeat("a");
    scene.heartbeat("b");
    assert_eq!(effects(&scene.ok(Command::Expire)), ["auction web/0"]);
    let next = {
        scene.claim("web", 0, "n0", "b");
        scene.ok(Command::StartLrp(key("web", 0), instance("n0", "b"), net()))
    };
    assert_eq!(effects(&next), ["auction web/1"]);
}

#[test]
fn a_cell_that_is_not_there_is_not_drained_and_one_that_is_not_drained_not_undrained() {
    let mut scene = running(1);
    assert_eq!(
        scene.refused(drain("x", 1)),
        "CellNotFound: there is no cell 'x'; `ltc cells` lists those there are"
    );
    assert_eq!(
        scene.refused(Command::UndrainCell(cell_id("a"))),
        "CellNotFound: cell 'a' is not draining; `ltc cells` shows which are"
    );
}

#[test]
fn a_replacement_that_crashes_leaves_the_old_instance_up() {
    let mut scene = running(1);
    scene.ok(drain("a", 1));
    for n in 0..3 {
        scene.claim("web", 0, &format!("n{n}"), "b");
        scene.crash("web", 0, &format!("n{n}"), "b");
    }
    assert_eq!(scene.rows("web"), ["0 CRASHED", "0 evacuating RUNNING i0@a"]);
    assert_eq!(effects(&scene.pass(30, &["a", "b"])), ["auction web/0"]);
    replace(&mut scene, 0);
    assert_eq!(scene.rows("web"), ["0 RUNNING n0@b"]);
}

#[test]
fn an_old_instance_that_ends_before_its_replacement_runs_is_not_counted_as_a_crash() {
    let mut scene = running(1);
    scene.ok(drain("a", 1));
    scene.crash("web", 0, "i0", "a");
    assert_eq!(scene.rows("web"), ["0 UNCLAIMED"]);
    assert_eq!(scene.board.actual_lrps(None)[0].crash_count, 0);
}

#[test]
fn a_drained_cell_that_is_lost_gives_up_what_moved_and_what_did_not() {
    let mut scene = running(2);
    scene.ok(drain("a", 1));
    scene.pass(16, &["b"]);
    assert_eq!(scene.rows("web"), ["0 UNCLAIMED", "1 UNCLAIMED", "1 suspect RUNNING i1@a"]);
    scene.claim("web", 1, "n1", "b");
    assert_eq!(effects(&scene.heartbeat("a")), [""; 0], "what was begun elsewhere goes on");
    assert_eq!(
        scene.rows("web"),
        ["0 UNCLAIMED", "1 CLAIMED n1@b", "1 evacuating RUNNING i1@a"],
        "it is back and still drained"
    );
}

#[test]
fn what_is_removed_or_retired_in_the_middle_of_its_move_is_stopped_on_both_sides() {
    for command in [Command::RemoveLrp(pg("web")), Command::RetireLrp(pg("web"), 0)] {
        let mut scene = running(1);
        scene.ok(drain("a", 1));
        scene.claim("web", 0, "n0", "b");
        let mut stops = effects(&scene.ok(command.clone()));
        stops.sort();
        assert_eq!(stops, ["stop i0@a", "stop n0@b"], "{command:?}");
    }
}

#[test]
fn an_lrp_that_is_recreated_moves_one_instance_at_a_time() {
    let mut scene = Scene::new(&["a", "b"]);
    let lrp = DesiredLrp { update_strategy: UpdateStrategy::Recreate, ..lrp("web", 2, 10) };
    scene.ok(Command::DesireLrp(Box::new(lrp)));
    scene.start("web", 0, "i0", "a");
    scene.ok(drain("a", 4));
    assert_eq!(scene.rows("web")[0], "0 RUNNING i0@a", "the other does not run");
    scene.claim("web", 1, "i1", "b");
    let applied = scene.ok(Command::StartLrp(key("web", 1), instance("i1", "b"), net()));
    assert_eq!(effects(&applied), ["auction web/0"]);
}

#[test]
fn a_rebalance_moves_what_it_was_told_so_many_at_once() {
    let mut scene = running(3);
    let moves = |of: &[u32]| {
        let one = |n: &u32| (key("web", *n), instance(&format!("i{n}"), "a"));
        Command::Rebalance(of.iter().map(one).collect(), 1)
    };
    assert_eq!(effects(&scene.ok(moves(&[2, 0]))), ["auction web/2"]);
    assert_eq!(scene.board.moves_under_way().planned, 1);
    scene.claim("web", 2, "n2", "b");
    let next = scene.ok(Command::StartLrp(key("web", 2), instance("n2", "b"), net()));
    assert_eq!(effects(&next), ["auction web/0"]);
    replace(&mut scene, 0);
    assert_eq!(scene.rows("web"), ["0 RUNNING n0@b", "1 RUNNING i1@a", "2 RUNNING n2@b"]);
    assert_eq!(effects(&scene.ok(moves(&[0]))), [""; 0], "that incarnation is gone");
}

#[test]
fn a_rebalanced_instance_that_finds_no_place_stays_where_it_is() {
    let mut scene = running(1);
    let moves = vec![(key("web", 0), instance("i0", "a"))];
    let round = round_of(&scene.ok(Command::Rebalance(moves, 1)));
    scene.ok(no_room(Item::Lrp(key("web", 0)), round));
    assert_eq!(scene.rows("web"), ["0 RUNNING i0@a"]);
    scene.pass(40, &["a", "b"]);
    assert_eq!(effects(&scene.ok(Command::Converge)), [""; 0]);
}

#[test]
fn a_rebalance_that_another_brain_began_is_undone_too_where_there_is_no_place() {
    let mut scene = running(1);
    scene.ok(Command::Rebalance(vec![(key("web", 0), instance("i0", "a"))], 1));
    let records = Records {
        desired: vec![scene.board.desired_lrp(&pg("web")).unwrap().as_ref().clone()],
        actual: scene.board.rows().cloned().collect(),
        domains: vec![(domain(), None)],
        ..Records::default()
    };
    scene.board = Board::load(records, Limits::default(), 9, scene.now);
    scene.heartbeat("a");
    let round = round_of(&scene.ok(Command::Expire));
    scene.ok(no_room(Item::Lrp(key("web", 0)), round));
    assert_eq!(scene.rows("web"), ["0 RUNNING i0@a"]);
}
