use lattice_model::desired_lrp::{ANNOTATION_BYTES_MAX, ROUTES_BYTES_MAX};
use lattice_model::{DesiredLrpUpdate, Event, Routes};

use super::*;

fn update(instances: u32) -> DesiredLrpUpdate {
    DesiredLrpUpdate { instances: Some(instances), ..DesiredLrpUpdate::default() }
}

#[test]
fn a_desired_lrp_gets_an_unclaimed_record_per_index_and_an_auction_for_each() {
    let mut scene = Scene::new(&["a"]);
    let applied = scene.desire("web", 2);
    assert_eq!(scene.rows("web"), ["0 UNCLAIMED", "1 UNCLAIMED"]);
    assert_eq!(effects(&applied), ["auction web/0", "auction web/1"]);
    assert_eq!(applied.writes.len(), 3);
    assert_eq!(applied.events.len(), 3);
    let kept = scene.board.desired_lrp(&pg("web")).unwrap();
    assert_eq!(kept.modification_tag.index, 0);
    assert_eq!(kept.modification_tag.epoch.len(), 36);
}

#[test]
fn an_lrp_with_no_instances_is_kept_and_has_none() {
    let mut scene = Scene::new(&["a"]);
    let applied = scene.desire("web", 0);
    assert_eq!(effects(&applied), [""; 0]);
    assert!(scene.board.desired_lrp(&pg("web")).is_ok());
    scene.ok(Command::RemoveLrp(pg("web")));
    assert!(scene.board.desired_lrps(None).is_empty());
}

#[test]
fn names_and_messages_of_refusals_are_the_receptors() {
    let mut scene = Scene::new(&["a"]);
    scene.desire("web", 1);
    let again = Command::DesireLrp(Box::new(lrp("web", 1, 1)));
    for (command, expected) in [
        (again, "DesiredLRPAlreadyExists: Desired LRP with guid 'web' already exists"),
        (
            Command::UpdateLrp(pg("x"), update(1)),
            "DesiredLRPNotFound: Desired LRP with guid 'x' not found",
        ),
        (Command::RemoveLrp(pg("x")), "DesiredLRPNotFound: Desired LRP with guid 'x' not found"),
        (
            Command::RetireLrp(pg("web"), 1),
            "ActualLRPIndexNotFound: \
             process-guid 'web' does not exist or has no instance at index 1",
        ),
        (Command::UpdateLrp(pg("web"), update(u32::MAX)), "UnknownError: Invalid field: instances"),
        (
            Command::UpdateLrp(
                pg("web"),
                DesiredLrpUpdate {
                    annotation: Some("x".repeat(ANNOTATION_BYTES_MAX + 1)),
                    ..DesiredLrpUpdate::default()
                },
            ),
            "UnknownError: Invalid field: annotation",
        ),
        (
            Command::UpdateLrp(
                pg("web"),
                DesiredLrpUpdate {
                    routes: Some(Routes(
                        [("r".to_owned(), "x".repeat(ROUTES_BYTES_MAX).into())].into(),
                    )),
                    ..DesiredLrpUpdate::default()
                },
            ),
            "UnknownError: Invalid field: routes",
        ),
        (
            Command::DesireLrp(Box::new(lrp("big", u32::MAX, 1))),
            "InvalidLRP: Invalid field: instances",
        ),
        (
            Command::DesireLrp(Box::new(DesiredLrp { containers: vec![], ..lrp("none", 1, 1) })),
            "InvalidLRP: Invalid field: containers",
        ),
    ] {
        assert_eq!(scene.refused(command), expected);
    }
}

#[test]
fn limits_are_said_with_their_amounts() {
    let limits = Limits {
        desired_lrps_max: 2,
        instances_total_max: 5,
        tasks_max: 1,
        domains_max: 1,
        ..Limits::default()
    };
    let now = Time::from_secs(1);
    let mut scene = Scene { board: Board::load(Records::default(), limits, 1, now), now };
    scene.ok(Command::UpsertDomain(domain(), None));
    scene.ok(Command::UpsertDomain(domain(), None));
    scene.desire("a", 3);
    scene.ok(Command::DesireTask(Box::new(crate::testing::task_definition("t", 1))));
    let domain = Domain::new("other").unwrap();
    let task = crate::testing::task_definition("t2", 1);
    for (command, expected) in [
        (
            Command::DesireLrp(Box::new(lrp("b", 3, 1))),
            "TooManyRequests: 3 more instances would make 6; 5 are the most",
        ),
        (
            Command::UpdateLrp(pg("a"), update(6)),
            "TooManyRequests: 3 more instances would make 6; 5 are the most",
        ),
        (
            Command::UpsertDomain(domain, None),
            "TooManyRequests: there are 1 domains, which is the most",
        ),
        (
            Command::DesireTask(Box::new(task)),
            "TooManyRequests: there are 1 tasks, which is the most",
        ),
    ] {
        assert_eq!(scene.refused(command), expected);
    }
    scene.ok(Command::UpdateLrp(pg("a"), update(2)));
    scene.desire("b", 3);
    let third = Command::DesireLrp(Box::new(lrp("c", 0, 1)));
    assert_eq!(scene.refused(third), "TooManyRequests: there are 2 LRPs, which is the most");
}

#[test]
fn an_update_replaces_what_it_names_and_counts_up() {
    let mut scene = Scene::new(&["a"]);
    scene.desire("web", 1);
    let routes = Routes([("cf-router".to_owned(), serde_json::json!([]))].into());
    let change = DesiredLrpUpdate { routes: Some(routes.clone()), ..DesiredLrpUpdate::default() };
    scene.ok(Command::UpdateLrp(pg("web"), change));
    let applied = scene.ok(Command::UpdateLrp(pg("web"), DesiredLrpUpdate::default()));
    let kept = scene.board.desired_lrp(&pg("web")).unwrap();
    assert_eq!((kept.instances, &kept.routes), (1, &routes));
    assert_eq!(kept.modification_tag.index, 2);
    let [Event::DesiredLrpChanged { before, after }] = applied.events.as_slice() else {
        panic!("{:?}", applied.events)
    };
    assert_eq!((before.modification_tag.index, after.modification_tag.index), (1, 2));
}

#[test]
fn scaling_up_adds_indices_and_scaling_down_stops_all_at_once() {
    let mut scene = Scene::new(&["a"]);
    scene.desire("web", 4);
    for index in 0..3 {
        scene.claim("web", index, &format!("i{index}"), "a");
        scene.start("web", index, &format!("i{index}"), "a");
    }
    let applied = scene.ok(Command::UpdateLrp(pg("web"), update(1)));
    assert_eq!(effects(&applied), ["stop i1@a", "stop i2@a"]);
    let left = ["0 RUNNING i0@a", "1 RUNNING i1@a", "2 RUNNING i2@a"];
    assert_eq!(scene.rows("web"), left, "unclaimed rows go at once, others when they stopped");
    scene.ok(Command::RemoveInstance(key("web", 2), instance("i2", "a")));
    scene.ok(Command::CrashLrp(key("web", 1), instance("i1", "a"), "killed".into()));
    assert_eq!(scene.rows("web"), ["0 RUNNING i0@a"]);
    let applied = scene.ok(Command::UpdateLrp(pg("web"), update(3)));
    assert_eq!(effects(&applied), ["auction web/1", "auction web/2"]);
}

#[test]
fn an_instance_that_is_stopping_when_its_index_is_wanted_again_is_replaced() {
    let mut scene = Scene::new(&["a"]);
    scene.desire("web", 1);
    scene.start("web", 0, "i0", "a");
    scene.ok(Command::UpdateLrp(pg("web"), update(0)));
    scene.ok(Command::UpdateLrp(pg("web"), update(1)));
    assert_eq!(scene.rows("web"), ["0 RUNNING i0@a"]);
    let applied = scene.ok(Command::RemoveInstance(key("web", 0), instance("i0", "a")));
    assert_eq!(scene.rows("web"), ["0 UNCLAIMED"]);
    assert_eq!(effects(&applied), ["auction web/0"]);
}

#[test]
fn removing_an_lrp_stops_what_runs_and_forgets_what_does_not() {
    let mut scene = Scene::new(&["a"]);
    scene.desire("web", 3);
    scene.claim("web", 0, "i0", "a");
    scene.start("web", 1, "i1", "a");
    let applied = scene.ok(Command::RemoveLrp(pg("web")));
    assert_eq!(effects(&applied), ["stop i0@a", "stop i1@a"]);
    assert_eq!(scene.rows("web"), ["0 CLAIMED i0@a", "1 RUNNING i1@a"]);
    scene.ok(Command::RemoveInstance(key("web", 0), instance("i0", "a")));
    scene.ok(Command::RemoveInstance(key("web", 1), instance("i1", "a")));
    assert_eq!(scene.rows("web"), [""; 0]);
    assert!(scene.board.processes.is_empty(), "nothing of it is left");
    scene.desire("web", 1);
    assert_eq!(scene.rows("web"), ["0 UNCLAIMED"]);
}

#[test]
fn a_stop_that_was_lost_is_repeated_by_the_safety_net() {
    let mut scene = Scene::new(&["a"]);
    scene.desire("web", 1);
    scene.start("web", 0, "i0", "a");
    scene.ok(Command::RemoveLrp(pg("web")));
    scene.ok(Command::UpsertDomain(domain(), Some(scene.now)));
    let again = scene.ok(Command::Converge);
    assert_eq!(effects(&again), ["stop i0@a"]);
    scene.ok(Command::RemoveInstance(key("web", 0), instance("i0", "a")));
    assert_eq!(effects(&scene.ok(Command::Converge)), [""; 0]);
}

#[test]
fn retiring_restarts_at_once_what_no_cell_holds_and_stops_what_one_does() {
    let mut scene = Scene::new(&["a"]);
    scene.desire("web", 2);
    let applied = scene.ok(Command::RetireLrp(pg("web"), 0));
    assert_eq!(effects(&applied), ["auction web/0"]);
    assert_eq!(applied.events.len(), 2, "removed and created: {:?}", applied.events);
    scene.start("web", 1, "i1", "a");
    assert_eq!(effects(&scene.ok(Command::RetireLrp(pg("web"), 1))), ["stop i1@a"]);
    let applied = scene.ok(Command::RemoveInstance(key("web", 1), instance("i1", "a")));
    assert_eq!(effects(&applied), ["auction web/1"]);
}

#[test]
fn lists_are_by_guid_and_may_be_of_one_domain() {
    let mut scene = Scene::new(&["a"]);
    scene.desire("b", 1);
    scene.desire("a", 1);
    let other = Domain::new("other").unwrap();
    let foreign = DesiredLrp { domain: other.clone(), ..lrp("c", 1, 1) };
    scene.ok(Command::DesireLrp(Box::new(foreign)));
    let guids = |domain| {
        let all = scene.board.desired_lrps(domain).into_iter();
        all.map(|lrp| lrp.process_guid.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(guids(None), ["a", "b", "c"]);
    assert_eq!(guids(Some(&other)), ["c"]);
    assert_eq!(scene.board.actual_lrps(Some(&other)).len(), 1);
    assert_eq!(scene.board.actual_lrps(None).len(), 3);
    assert!(scene.board.actual_lrps_of(&pg("none")).is_empty());
}

#[test]
fn domains_are_fresh_until_they_expire() {
    let mut scene = Scene::new(&[]);
    let short = Domain::new("short").unwrap();
    let until = scene.now + std::time::Duration::from_secs(5);
    scene.ok(Command::UpsertDomain(short.clone(), Some(until)));
    assert_eq!(scene.board.domains(scene.now), [domain(), short.clone()]);
    scene.later(5);
    assert_eq!(scene.board.domains(scene.now), [domain()]);
    assert_eq!(scene.ok(Command::Converge).writes, [Write::DeleteDomain(short)]);
}

#[test]
fn tags_of_two_lives_differ_and_those_of_one_seed_do_not() {
    let epoch = |seed| {
        let mut board = Board::load(Records::default(), Limits::default(), seed, Time(0));
        board.apply(Command::DesireLrp(Box::new(lrp("web", 1, 1))), Time(0)).unwrap();
        board.desired_lrp(&pg("web")).unwrap().modification_tag.epoch.clone()
    };
    assert_eq!(epoch(1), epoch(1));
    assert_ne!(epoch(1), epoch(2));
}
