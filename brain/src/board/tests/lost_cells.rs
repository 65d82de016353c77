//! Cells that are lost and come back; the suspect table of 2.11.

use super::*;

const RUNNING_A: &str = "0 RUNNING i1@a";

/// `web/0` runs as i1 on a, which is then lost; b lives.
fn lost() -> Scene {
    let mut scene = Scene::new(&["a", "b"]);
    scene.desire("web", 1);
    scene.start("web", 0, "i1", "a");
    assert_eq!(scene.rows("web"), [RUNNING_A]);
    let applied = scene.pass(15, &["b"]);
    assert_eq!(effects(&applied), ["auction web/0"]);
    assert_eq!(scene.rows("web"), ["0 UNCLAIMED", "0 suspect RUNNING i1@a"]);
    scene
}

#[test]
fn a_cell_is_lost_when_its_presence_expires_and_not_before() {
    let mut scene = Scene::new(&["a", "b"]);
    scene.desire("web", 1);
    scene.start("web", 0, "i1", "a");
    scene.pass(14, &["b"]);
    assert_eq!(scene.rows("web"), [RUNNING_A]);
    assert_eq!(scene.board.cells().len(), 2);
    scene.pass(1, &["b"]);
    assert_eq!(scene.rows("web"), ["0 UNCLAIMED", "0 suspect RUNNING i1@a"]);
    assert_eq!(scene.board.cells().len(), 1);
}

#[test]
fn a_cell_that_departs_is_lost_at_once() {
    let mut scene = Scene::new(&["a"]);
    scene.desire("web", 1);
    scene.claim("web", 0, "i1", "a");
    let applied = scene.ok(Command::Depart(cell_id("a")));
    assert_eq!(effects(&applied), ["auction web/0"]);
    assert_eq!(scene.rows("web"), ["0 UNCLAIMED", "0 suspect CLAIMED i1@a"]);
}

#[test]
fn the_suspect_stays_until_its_replacement_runs() {
    let mut scene = lost();
    scene.claim("web", 0, "i2", "b");
    assert_eq!(scene.rows("web"), ["0 CLAIMED i2@b", "0 suspect RUNNING i1@a"]);
    let shown: Vec<_> = scene.board.actual_lrps(None).iter().map(shown).collect();
    assert_eq!(shown, ["0 suspect RUNNING i1@a"], "it stands in for the replacement");
    scene.start("web", 0, "i2", "b");
    assert_eq!(scene.rows("web"), ["0 RUNNING i2@b"]);
}

#[test]
fn a_cell_that_is_back_in_time_takes_its_instance_back() {
    for claimed in [false, true] {
        let mut scene = lost();
        if claimed {
            scene.claim("web", 0, "i2", "b");
        }
        let applied = scene.heartbeat("a");
        assert_eq!(scene.rows("web"), [RUNNING_A]);
        let stops = if claimed { vec!["stop i2@b"] } else { vec![] };
        assert_eq!(effects(&applied), stops);
    }
}

#[test]
fn a_cell_that_is_back_too_late_is_told_to_stop() {
    let mut scene = lost();
    scene.claim("web", 0, "i2", "b");
    scene.start("web", 0, "i2", "b");
    scene.heartbeat("a");
    let start = Command::StartLrp(key("web", 0), instance("i1", "a"), net());
    assert_eq!(scene.refused(start), "ResourceConflict: cannot start actual LRP");
}

#[test]
fn a_suspect_is_not_heard_but_when_it_ends() {
    let mut scene = lost();
    let claim = Command::ClaimLrp(key("web", 0), instance("i1", "a"));
    assert!(scene.ok(claim).is_empty());
    let start = Command::StartLrp(key("web", 0), instance("i1", "a"), net());
    assert!(scene.ok(start).is_empty());
    assert_eq!(scene.rows("web"), ["0 UNCLAIMED", "0 suspect RUNNING i1@a"]);
    scene.crash("web", 0, "i1", "a");
    assert_eq!(scene.rows("web"), ["0 UNCLAIMED"]);
    let mut scene = lost();
    scene.ok(Command::RemoveInstance(key("web", 0), instance("i1", "a")));
    assert_eq!(scene.rows("web"), ["0 UNCLAIMED"]);
}

#[test]
fn a_replacement_that_fails_leaves_the_suspect_alone() {
    let mut scene = lost();
    scene.ok(no_room(Item::Lrp(key("web", 0)), u64::MAX));
    assert_eq!(scene.rows("web"), ["0 UNCLAIMED", "0 suspect RUNNING i1@a"]);
    scene.claim("web", 0, "i2", "b");
    scene.crash("web", 0, "i2", "b");
    assert_eq!(scene.rows("web"), ["0 UNCLAIMED", "0 suspect RUNNING i1@a"]);
    scene.claim("web", 0, "i3", "b");
    scene.ok(Command::RemoveInstance(key("web", 0), instance("i3", "b")));
    assert_eq!(scene.rows("web"), ["0 UNCLAIMED", "0 suspect RUNNING i1@a"]);
}

#[test]
fn a_replacement_whose_cell_is_lost_too_is_auctioned_again() {
    let mut scene = lost();
    scene.claim("web", 0, "i2", "b");
    let applied = scene.pass(16, &[]);
    assert_eq!(effects(&applied), ["auction web/0"]);
    assert_eq!(scene.rows("web"), ["0 UNCLAIMED", "0 suspect RUNNING i1@a"]);
}

#[test]
fn a_suspect_that_nobody_wants_goes() {
    let mut scene = lost();
    scene.ok(Command::RemoveLrp(pg("web")));
    assert_eq!(scene.rows("web"), [""; 0]);
    scene.heartbeat("a");
    scene.start("web", 0, "i1", "a");
    assert_eq!(scene.rows("web"), [RUNNING_A], "the cell is the authority for what runs");
    assert!(scene.board.retiring.len() == 1, "and it is asked to stop it");
}

#[test]
fn retiring_a_suspect_forgets_it_and_starts_anew() {
    let mut scene = lost();
    let applied = scene.ok(Command::RetireLrp(pg("web"), 0));
    assert_eq!(effects(&applied), ["auction web/0"]);
    assert_eq!(scene.rows("web"), ["0 UNCLAIMED"]);
}

#[test]
fn after_a_restart_cells_have_time_to_report_before_anything_is_concluded() {
    let mut scene = Scene::new(&["a", "b"]);
    scene.desire("web", 2);
    scene.start("web", 0, "i1", "a");
    scene.start("web", 1, "i2", "b");
    let records = Records {
        desired: vec![scene.board.desired_lrp(&pg("web")).unwrap().as_ref().clone()],
        actual: scene.board.actual_lrps(None),
        domains: vec![(domain(), None)],
        ..Records::default()
    };
    scene.board = Board::load(records, Limits::default(), 2, scene.now);
    let quiet = scene.ok(Command::Converge);
    assert!(quiet.is_empty(), "{quiet:?}");
    assert!(scene.board.cells().is_empty(), "they are expected, not there");
    scene.pass(14, &["a"]);
    assert_eq!(scene.rows("web"), [RUNNING_A, "1 RUNNING i2@b"]);
    let applied = scene.pass(1, &["a"]);
    assert_eq!(effects(&applied), ["auction web/1"]);
    assert_eq!(scene.rows("web"), [RUNNING_A, "1 UNCLAIMED", "1 suspect RUNNING i2@b"]);
}

#[test]
fn a_cell_that_came_back_empty_gets_its_work_anew_at_once() {
    let mut scene = Scene::new(&["a"]);
    scene.desire("web", 1);
    scene.start("web", 0, "i1", "a");
    let records = Records {
        desired: vec![scene.board.desired_lrp(&pg("web")).unwrap().as_ref().clone()],
        actual: scene.board.actual_lrps(None),
        ..Records::default()
    };
    scene.board = Board::load(records, Limits::default(), 2, scene.now);
    scene.heartbeat("a");
    let view = scene.board.view(&cell_id("a"));
    let row = &view.lrps[0].0;
    let gone = Command::RemoveInstance(row.key.clone(), row.instance().unwrap().clone());
    assert_eq!(effects(&scene.ok(gone)), ["auction web/0"]);
    assert_eq!(scene.rows("web"), ["0 UNCLAIMED"]);
}

#[test]
fn an_empty_set_of_cells_never_forgets_a_running_instance() {
    let mut scene = Scene::new(&["a", "b"]);
    scene.desire("web", 2);
    scene.start("web", 0, "i1", "a");
    scene.start("web", 1, "i2", "b");
    scene.pass(600, &[]);
    scene.ok(Command::Converge);
    let rows = scene.rows("web");
    assert!(rows.contains(&"0 suspect RUNNING i1@a".to_owned()), "{rows:?}");
    assert!(rows.contains(&"1 suspect RUNNING i2@b".to_owned()), "{rows:?}");
    assert_eq!(rows.len(), 4);
    scene.heartbeat("a");
    scene.heartbeat("b");
    assert_eq!(scene.rows("web"), [RUNNING_A, "1 RUNNING i2@b"]);
}

/// What the store has of this one LRP.
fn kept(board: &Board, guid: &str) -> Records {
    Records {
        desired: vec![board.desired_lrp(&pg(guid)).unwrap().as_ref().clone()],
        actual: board.actual_lrps(None),
        ..Records::default()
    }
}

/// A commit has failed: the board is read from the store.
fn reload(scene: &mut Scene, records: Records, unreleased: &[Effect]) {
    let mut board = Board::load(records, Limits::default(), 2, scene.now);
    std::mem::swap(&mut scene.board, &mut board);
    scene.board.adopt_presences(board, unreleased);
}

#[test]
fn a_reload_in_mid_life_keeps_the_cells_and_the_stops() {
    let mut scene = Scene::new(&["a"]);
    scene.desire("web", 1);
    scene.start("web", 0, "i1", "a");
    scene.ok(Command::RetireLrp(pg("web"), 0));
    let records = kept(&scene.board, "web");
    reload(&mut scene, records, &[]);
    assert_eq!(scene.board.cells().len(), 1);
    assert_eq!(effects(&scene.ok(Command::Converge)), ["stop i1@a"]);
    scene.pass(16, &[]);
    assert!(scene.board.cells().is_empty(), "it still expires");
}

#[test]
fn a_reload_in_mid_life_forgets_the_stops_of_a_wish_that_was_not_kept() {
    let mut scene = Scene::new(&["a"]);
    scene.desire("web", 1);
    scene.start("web", 0, "i1", "a");
    let records = kept(&scene.board, "web");
    let refused = scene.ok(Command::RemoveLrp(pg("web")));
    assert_eq!(effects(&refused), ["stop i1@a"]);
    reload(&mut scene, records, &refused.effects);
    assert_eq!(effects(&scene.ok(Command::Converge)), [""; 0]);
    assert_eq!(scene.rows("web"), [RUNNING_A]);
}

#[test]
fn a_reload_in_mid_life_knows_which_cells_are_lost() {
    let mut scene = Scene::new(&["a"]);
    scene.desire("web", 1);
    scene.start("web", 0, "i1", "a");
    let records = kept(&scene.board, "web");
    scene.pass(16, &[]);
    assert_eq!(scene.rows("web"), ["0 UNCLAIMED", "0 suspect RUNNING i1@a"]);
    // What was made of the loss was not kept; that the cell is lost is so all the same.
    reload(&mut scene, records, &[]);
    assert_eq!(scene.rows("web"), [RUNNING_A]);
    scene.ok(Command::Expire);
    assert_eq!(scene.rows("web"), ["0 UNCLAIMED", "0 suspect RUNNING i1@a"]);
}

#[test]
fn indices_of_a_lost_cell_that_nobody_wants_are_forgotten() {
    let mut scene = Scene::new(&["a"]);
    scene.start("old", 0, "i1", "a");
    scene.pass(16, &[]);
    assert_eq!(scene.rows("old"), [""; 0]);
    assert!(scene.board.retiring.is_empty());
}

#[test]
fn a_cell_that_speaks_before_its_first_heartbeat_is_not_lost() {
    let mut scene = Scene::new(&[]);
    scene.desire("web", 1);
    scene.claim("web", 0, "i1", "new");
    scene.start("web", 0, "i1", "new");
    scene.ok(Command::Converge);
    assert_eq!(scene.rows("web"), ["0 RUNNING i1@new"]);
    assert!(scene.board.cells().is_empty(), "but it gets no work yet");
    scene.pass(15, &[]);
    assert_eq!(scene.rows("web"), ["0 UNCLAIMED", "0 suspect RUNNING i1@new"]);
}

#[test]
fn a_cell_that_reports_after_a_stop_was_asked_for_is_asked_again() {
    let mut scene = Scene::new(&["a"]);
    scene.desire("web", 1);
    scene.start("web", 0, "i1", "a");
    let records = Records {
        desired: vec![scene.board.desired_lrp(&pg("web")).unwrap().as_ref().clone()],
        actual: scene.board.actual_lrps(None),
        ..Records::default()
    };
    scene.board = Board::load(records, Limits::default(), 2, scene.now);
    scene.ok(Command::RemoveLrp(pg("web")));
    assert_eq!(effects(&scene.heartbeat("a")), ["stop i1@a"]);
    assert_eq!(effects(&scene.heartbeat("a")), [""; 0], "once");
}
