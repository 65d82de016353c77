use lattice_model::Event;
use lattice_model::actual_lrp::InstanceEnd;
use lattice_model::desired_lrp::RestartPolicy;

use super::*;

fn run_and_crash(scene: &mut Scene) -> Applied {
    scene.claim("web", 0, "a", "cell");
    scene.start("web", 0, "a", "cell");
    scene.crash("web", 0, "a", "cell")
}

#[test]
fn an_instance_is_restarted_twice_at_once_and_then_after_growing_waits() {
    let mut scene = Scene::new(&["cell"]);
    scene.desire("web", 1);
    for _ in 0..2 {
        assert_eq!(effects(&run_and_crash(&mut scene)), ["auction web/0"]);
    }
    for wait in [30, 60, 120, 240, 480, 960, 960] {
        assert_eq!(effects(&run_and_crash(&mut scene)), [""; 0]);
        assert_eq!(scene.rows("web"), ["0 CRASHED"]);
        let crashed = scene.board.actual_lrps(None).remove(0);
        assert_eq!(crashed.crash_reason, "boom");
        let early = scene.pass(wait - 1, &["cell"]);
        assert_eq!(effects(&early), [""; 0], "not before {wait} s");
        let due = scene.pass(1, &["cell"]);
        assert_eq!(effects(&due), ["auction web/0"], "after {wait} s");
        assert_eq!(scene.board.actual_lrps(None)[0].crash_count, crashed.crash_count);
    }
}

#[test]
fn a_crash_is_told_with_its_incarnation_and_a_clean_end_is_none() {
    for (policy, is_success, expected) in [
        (RestartPolicy::Always, false, Some((1, "the end"))),
        (RestartPolicy::Always, true, Some((1, "the end"))),
        (RestartPolicy::Never, false, Some((1, "the end"))),
        (RestartPolicy::Never, true, None),
    ] {
        let mut scene = Scene::new(&["cell"]);
        let wanted = DesiredLrp { restart_policy: policy, ..lrp("web", 1, 1) };
        scene.ok(Command::DesireLrp(Box::new(wanted)));
        scene.claim("web", 0, "a", "cell");
        scene.start("web", 0, "a", "cell");
        let end = InstanceEnd { reason: "the end".into(), is_success };
        let crash = Command::CrashLrp(key("web", 0), instance("a", "cell"), end);
        let told = scene.ok(crash).events.into_iter().find_map(|event| match event {
            Event::ActualLrpCrashed(crash) => Some(*crash),
            _ => None,
        });
        let found = told.as_ref().map(|crash| {
            assert_eq!((&crash.key, &crash.instance), (&key("web", 0), &instance("a", "cell")));
            (crash.crash_count, crash.reason.as_str())
        });
        assert_eq!(found, expected, "{policy:?} {is_success}");
    }
}

#[test]
fn the_board_knows_when_a_crashed_instance_is_due() {
    let mut scene = Scene::new(&["cell"]);
    scene.desire("web", 1);
    for _ in 0..3 {
        run_and_crash(&mut scene);
    }
    scene.ok(Command::Depart(cell_id("cell")));
    scene.pass(20, &[]);
    let crashed_at = scene.board.actual_lrps(None)[0].since;
    let due = crashed_at + std::time::Duration::from_secs(30);
    assert_eq!(scene.board.next_due(), Some(due));
}

#[test]
fn five_quiet_minutes_make_a_crash_the_first_again() {
    let mut scene = Scene::new(&["cell"]);
    scene.desire("web", 1);
    run_and_crash(&mut scene);
    run_and_crash(&mut scene);
    scene.start("web", 0, "a", "cell");
    scene.pass(301, &["cell"]);
    let applied = scene.crash("web", 0, "a", "cell");
    assert_eq!(scene.board.actual_lrps(None)[0].crash_count, 1);
    assert!(effects(&applied).contains(&"auction web/0".to_owned()));
}

#[test]
fn after_two_hundred_crashes_only_a_person_restarts_it() {
    let mut scene = Scene::new(&["cell"]);
    scene.desire("web", 1);
    for _ in 0..200 {
        run_and_crash(&mut scene);
        scene.pass(960, &["cell"]);
    }
    let row = scene.board.actual_lrps(None).remove(0);
    assert_eq!((row.crash_count, row.state.name()), (200, "CRASHED"));
    scene.pass(2_000, &["cell"]);
    assert_eq!(effects(&scene.ok(Command::Converge)), [""; 0]);
    assert_eq!(effects(&scene.ok(Command::RetireLrp(pg("web"), 0))), ["auction web/0"]);
    assert_eq!(scene.board.actual_lrps(None)[0].crash_count, 0);
}

#[test]
fn the_restart_policy_may_leave_an_instance_as_it_ended() {
    let on_failure = RestartPolicy::OnFailure { attempts_max: 1 };
    for (policy, successes, expected) in [
        (RestartPolicy::Never, vec![false], "0 EXITED"),
        (RestartPolicy::Never, vec![true], "0 EXITED"),
        (on_failure, vec![true], "0 EXITED"),
        (on_failure, vec![false], "0 UNCLAIMED"),
        (on_failure, vec![false, true], "0 EXITED"),
        (on_failure, vec![false, false], "0 EXITED"),
        (RestartPolicy::Always, vec![true], "0 UNCLAIMED"),
    ] {
        let mut scene = Scene::new(&["cell"]);
        let lrp = DesiredLrp { restart_policy: policy, ..lrp("web", 1, 1) };
        scene.ok(Command::DesireLrp(Box::new(lrp)));
        for is_success in successes.iter().copied() {
            scene.start("web", 0, "a", "cell");
            let (key, instance) = (key("web", 0), instance("a", "cell"));
            // The words say nothing: the status does.
            let end = InstanceEnd { reason: "Exited with status 0".into(), is_success };
            scene.ok(Command::CrashLrp(key, instance, end));
        }
        assert_eq!(scene.rows("web"), [expected], "{policy:?} {successes:?}");
        scene.pass(3_000, &["cell"]);
        scene.ok(Command::Converge);
        assert_eq!(scene.rows("web"), [expected], "{policy:?} {successes:?} later");
    }
}

#[test]
fn a_back_off_outlives_the_brain() {
    let mut scene = Scene::new(&["cell"]);
    scene.desire("web", 1);
    for _ in 0..3 {
        run_and_crash(&mut scene);
    }
    let records = Records {
        desired: vec![scene.board.desired_lrp(&pg("web")).unwrap().as_ref().clone()],
        actual: scene.board.actual_lrps(None),
        ..Records::default()
    };
    scene.later(10);
    scene.board = Board::load(records, Limits::default(), 2, scene.now);
    assert_eq!(effects(&scene.pass(19, &[])), [""; 0]);
    assert_eq!(effects(&scene.pass(1, &[])), ["auction web/0"]);
}

#[test]
fn an_index_that_is_not_wanted_any_more_is_forgotten_when_it_crashes() {
    let mut scene = Scene::new(&["cell"]);
    scene.desire("web", 1);
    scene.start("web", 0, "a", "cell");
    scene.ok(Command::RemoveLrp(pg("web")));
    scene.crash("web", 0, "a", "cell");
    assert_eq!(scene.rows("web"), [""; 0]);
}

#[test]
fn an_instance_that_crashes_while_it_is_stopped_did_not_crash() {
    let mut scene = Scene::new(&["cell"]);
    scene.desire("web", 1);
    scene.start("web", 0, "a", "cell");
    scene.ok(Command::RetireLrp(pg("web"), 0));
    let applied = scene.crash("web", 0, "a", "cell");
    assert_eq!(effects(&applied), ["auction web/0"]);
    assert_eq!(scene.board.actual_lrps(None)[0].crash_count, 0);
}
