//! Table 2.3, cell by cell.

use super::*;

/// Brings index 0 of `web` into a state: `U`, `Ca`, `Ra` (claimed by, running as `a`), `X`
/// (crashed) or `-` (no record).
fn scene_with(state: &str) -> Scene {
    let mut scene = Scene::new(&["cell"]);
    scene.desire("web", 1);
    match state {
        "U" => {}
        "Ca" => scene.claim("web", 0, "a", "cell"),
        "Ra" => scene.start("web", 0, "a", "cell"),
        "X" => {
            for _ in 0..3 {
                scene.claim("web", 0, "a", "cell");
                scene.crash("web", 0, "a", "cell");
            }
            assert_eq!(scene.rows("web"), ["0 CRASHED"]);
        }
        "-" => {
            scene.ok(Command::RemoveLrp(pg("web")));
        }
        other => panic!("{other}"),
    }
    scene
}

fn command(verb: &str, ig: &str) -> Command {
    let (key, instance) = (key("web", 0), instance(ig, "cell"));
    match verb {
        "claim" => Command::ClaimLrp(key, instance),
        "start" => Command::StartLrp(key, instance, net()),
        "crash" => Command::CrashLrp(key, instance, "boom".into()),
        "remove" => Command::RemoveInstance(key, instance),
        "fail" => no_room(Item::Lrp(key), u64::MAX),
        other => panic!("{other}"),
    }
}

#[test]
fn every_transition_of_an_instance_is_as_the_table_says() {
    let (claimed, running) = (Ok("0 CLAIMED a@cell"), Ok("0 RUNNING a@cell"));
    let unclaimed = Ok("0 UNCLAIMED");
    let missing: Result<&str, &str> = Err(
        "ActualLRPIndexNotFound: process-guid 'web' does not exist or has no instance at index 0",
    );
    for (state, verb, ig, expected) in [
        ("U", "claim", "a", claimed),
        ("Ca", "claim", "a", claimed),
        ("Ca", "claim", "b", Err("ResourceConflict: cannot claim actual LRP")),
        ("Ra", "claim", "a", claimed),
        ("Ra", "claim", "b", Err("ResourceConflict: cannot claim actual LRP")),
        ("X", "claim", "a", Err("ResourceConflict: cannot claim actual LRP")),
        ("-", "claim", "a", missing),
        ("U", "start", "a", running),
        ("Ca", "start", "a", running),
        ("Ca", "start", "b", Ok("0 RUNNING b@cell")),
        ("Ra", "start", "a", running),
        ("Ra", "start", "b", Err("ResourceConflict: cannot start actual LRP")),
        ("X", "start", "a", running),
        ("-", "start", "a", running),
        ("U", "crash", "a", Err("ResourceConflict: cannot crash actual LRP")),
        ("Ca", "crash", "a", unclaimed),
        ("Ca", "crash", "b", Err("ResourceConflict: cannot crash actual LRP")),
        ("Ra", "crash", "a", unclaimed),
        ("Ra", "crash", "b", Err("ResourceConflict: cannot crash actual LRP")),
        ("X", "crash", "a", Err("ResourceConflict: cannot crash actual LRP")),
        ("-", "crash", "a", missing),
        ("U", "remove", "a", Err("ResourceConflict: cannot remove actual LRP")),
        ("Ca", "remove", "a", unclaimed),
        ("Ca", "remove", "b", Err("ResourceConflict: cannot remove actual LRP")),
        ("Ra", "remove", "a", unclaimed),
        ("Ra", "remove", "b", Err("ResourceConflict: cannot remove actual LRP")),
        ("X", "remove", "a", Err("ResourceConflict: cannot remove actual LRP")),
        ("-", "remove", "a", missing),
        ("U", "fail", "", unclaimed),
        ("Ca", "fail", "", Err("ResourceConflict: cannot fail actual LRP")),
        ("Ra", "fail", "", Err("ResourceConflict: cannot fail actual LRP")),
        ("X", "fail", "", Err("ResourceConflict: cannot fail actual LRP")),
        ("-", "fail", "", missing),
    ] {
        let mut scene = scene_with(state);
        let command = command(verb, if ig.is_empty() { "a" } else { ig });
        match expected {
            Ok(row) => {
                scene.ok(command);
                assert_eq!(scene.rows("web"), [row], "{state} {verb} {ig}");
            }
            Err(message) => assert_eq!(scene.refused(command), message, "{state} {verb} {ig}"),
        }
    }
}

#[test]
fn a_claim_clears_the_placement_error_and_a_start_tells_the_address() {
    let mut scene = scene_with("U");
    scene.ok(no_room(Item::Lrp(key("web", 0)), u64::MAX));
    let error = |scene: &Scene| match &scene.board.actual_lrps(None)[0].state {
        ActualState::Unclaimed { placement_error } => placement_error.clone(),
        _ => None,
    };
    let kept = error(&scene).unwrap();
    assert_eq!(kept.reason, "insufficient resources: memory");
    assert!(kept.detail.starts_with("needs 10 MB"));
    scene.claim("web", 0, "a", "cell");
    assert_eq!(error(&scene), None);
    scene.start("web", 0, "a", "cell");
    assert_eq!(scene.board.actual_lrps(None)[0].net(), Some(&net()));
}

#[test]
fn repeating_what_is_so_already_says_and_writes_nothing() {
    let mut scene = scene_with("Ra");
    assert!(scene.ok(command("start", "a")).is_empty());
    let moved = NetInfo { address: "10.0.0.2".into(), ..net() };
    let since = scene.board.actual_lrps(None)[0].since;
    scene.later(5);
    let command = Command::StartLrp(key("web", 0), instance("a", "cell"), moved.clone());
    let applied = scene.ok(command);
    assert_eq!((applied.events.len(), applied.writes.len()), (1, 1));
    let row = &scene.board.actual_lrps(None)[0];
    assert_eq!((row.net(), row.since), (Some(&moved), since));
    let mut scene = scene_with("Ca");
    assert!(scene.ok(Command::ClaimLrp(key("web", 0), instance("a", "cell"))).is_empty());
    assert!(scene.heartbeat("cell").is_empty());
}

#[test]
fn each_change_counts_the_modification_tag_up_and_a_new_record_starts_anew() {
    let mut scene = scene_with("U");
    let tag = |scene: &Scene| scene.board.actual_lrps(None)[0].modification_tag.clone();
    let first = tag(&scene);
    assert_eq!(first.index, 0);
    scene.claim("web", 0, "a", "cell");
    scene.start("web", 0, "a", "cell");
    assert_eq!(tag(&scene), lattice_model::ModificationTag { index: 2, ..first.clone() });
    scene.ok(Command::RemoveInstance(key("web", 0), instance("a", "cell")));
    assert_eq!(tag(&scene).index, 0);
    assert_ne!(tag(&scene).epoch, first.epoch);
}

#[test]
fn reasons_are_cut_to_a_kilobyte_between_characters() {
    let mut scene = scene_with("Ca");
    let long = "é".repeat(1_000);
    scene.ok(Command::CrashLrp(key("web", 0), instance("a", "cell"), format!("x{long}").into()));
    assert_eq!(scene.board.actual_lrps(None)[0].crash_reason.len(), 1_023);
    let error = PlacementError { reason: long.clone(), detail: long };
    let item = Item::Lrp(key("web", 0));
    let failed = FailedPlacement { item, error, is_impossible: false, round: u64::MAX };
    scene.ok(Command::FailPlacement(failed));
    let ActualState::Unclaimed { placement_error: Some(kept) } =
        scene.board.actual_lrps(None)[0].state.clone()
    else {
        panic!("not unclaimed")
    };
    assert_eq!((kept.reason.len(), kept.detail.len()), (1_024, 1_024));
}

#[test]
fn an_instance_of_an_unknown_lrp_is_recorded_and_stopped_only_in_a_fresh_domain() {
    for (is_fresh, expected) in [(true, vec!["stop a@cell"]), (false, vec![])] {
        let mut scene = Scene::new(&["cell"]);
        if !is_fresh {
            scene.ok(Command::UpsertDomain(domain(), Some(Time(0))));
        }
        let applied = scene.ok(command("start", "a"));
        assert_eq!(effects(&applied), expected);
        assert_eq!(scene.rows("web"), ["0 RUNNING a@cell"]);
        let again = scene.ok(Command::Converge);
        assert_eq!(effects(&again), expected);
    }
}

#[test]
fn progress_is_shown_while_the_instance_is_on_its_way_and_no_longer() {
    use lattice_api::brain::{InstanceProgress, ProgressStep};
    let mut scene = scene_with("U");
    let report = |cell: &str, step| {
        let progress = InstanceProgress { index: 0, cell_id: cell_id(cell), step };
        Command::ReportProgress(key("web", 0), progress)
    };
    let steps = |scene: &Scene| {
        let all = scene.board.progress_of(&pg("web"));
        all.into_iter().map(|progress| progress.step).collect::<Vec<_>>()
    };
    assert!(scene.ok(report("cell", ProgressStep::Creating)).is_empty());
    scene.claim("web", 0, "a", "cell");
    assert_eq!(steps(&scene), [ProgressStep::Creating]);
    scene.ok(report("cell", ProgressStep::Starting));
    scene.ok(report("other", ProgressStep::Creating));
    assert_eq!(steps(&scene), [ProgressStep::Starting]);
    scene.start("web", 0, "a", "cell");
    assert_eq!(steps(&scene), []);
    scene.ok(report("cell", ProgressStep::Starting));
    assert_eq!(steps(&scene), []);
    let mut scene = scene_with("Ca");
    scene.ok(report("cell", ProgressStep::Creating));
    scene.ok(Command::RemoveLrp(pg("web")));
    scene.ok(Command::RemoveInstance(key("web", 0), instance("a", "cell")));
    assert_eq!(steps(&scene), []);
}

#[test]
fn a_cell_sees_its_own_records_with_their_lrps() {
    let mut scene = Scene::new(&["a", "b"]);
    scene.desire("web", 2);
    scene.start("web", 0, "i0", "a");
    scene.start("web", 1, "i1", "b");
    scene.start("old", 0, "i2", "a");
    scene.ok(Command::DesireTask(Box::new(crate::testing::task_definition("t", 1))));
    scene.ok(Command::StartTask(tg("t"), cell_id("a")));
    let view = scene.board.view(&cell_id("a"));
    let seen: Vec<_> = view.lrps.iter().map(|(row, lrp)| (shown(row), lrp.is_some())).collect();
    assert_eq!(seen, [("0 RUNNING i2@a".to_owned(), false), ("0 RUNNING i0@a".to_owned(), true)]);
    assert_eq!(view.tasks.len(), 1);
    assert!(scene.board.view(&cell_id("c")).lrps.is_empty());
}

#[test]
fn a_cell_that_names_another_domain_is_refused() {
    for state in ["U", "Ca", "Ra", "X"] {
        for verb in ["claim", "start", "crash", "remove"] {
            let mut scene = scene_with(state);
            let elsewhere = |key: lattice_model::LrpKey| lattice_model::LrpKey {
                domain: Domain::new("elsewhere").unwrap(),
                ..key
            };
            let command = match command(verb, "a") {
                Command::ClaimLrp(key, instance) => Command::ClaimLrp(elsewhere(key), instance),
                Command::StartLrp(key, instance, net) => {
                    Command::StartLrp(elsewhere(key), instance, net)
                }
                Command::CrashLrp(key, i, why) => Command::CrashLrp(elsewhere(key), i, why),
                Command::RemoveInstance(key, i) => Command::RemoveInstance(elsewhere(key), i),
                other => panic!("{other:?}"),
            };
            let expected = "ResourceConflict: LRP 'web' is of domain 'd', not of 'elsewhere'";
            assert_eq!(scene.refused(command), expected, "{state} {verb}");
        }
    }
}
