use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use lattice_api::brain::SequencedEvent;
use lattice_model::{ActualState, DesiredLrpUpdate, Event, TaskState};

use super::*;
use crate::testing::{key, task_definition, tg};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_is_created_scaled_and_removed() {
    let world = World::new(&["a", "b", "c"]).await;
    world.brain.desire_lrp(lrp("web", 3, 10)).await.unwrap();
    let rows = world.until_running(3).await;
    for cell in ["a", "b", "c"] {
        assert_eq!(on_cell(&rows, cell), 1, "{cell}");
    }
    let scale = |n| DesiredLrpUpdate { instances: Some(n), ..DesiredLrpUpdate::default() };
    world.brain.update_lrp(&pg("web"), scale(6)).await.unwrap();
    world.until_running(6).await;
    world.brain.update_lrp(&pg("web"), scale(1)).await.unwrap();
    world.until_running(1).await;
    world.brain.remove_lrp(&pg("web")).await.unwrap();
    world.until("all gone", <[_]>::is_empty).await;
    assert_eq!(world.fleet.up().iter().map(|cell| cell.holds()).sum::<usize>(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_runs_again_after_a_cell_is_lost() {
    let world = World::new(&["a", "b", "c"]).await;
    for app in ["x", "y", "z"] {
        world.brain.desire_lrp(lrp(app, 4, 10)).await.unwrap();
    }
    let rows = world.until_running(12).await;
    assert_eq!(on_cell(&rows, "b"), 4);
    let lost = world.fleet.get("b");
    lost.set_up(false);
    world.pass(16).await;
    let settled = |rows: &[ActualLrp]| {
        rows.len() == 12 && rows.iter().all(|r| r.net().is_some()) && on_cell(rows, "b") == 0
    };
    world.until("all run elsewhere", settled).await;
    lost.set_up(true);
    world.brain.heartbeat(lost.presence()).await.unwrap();
    let rows = world.until_running(12).await;
    assert_eq!(on_cell(&rows, "b"), 0, "too late");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_brain_that_comes_back_leaves_running_instances_alone() {
    let world = World::new(&["a", "b"]).await;
    world.brain.desire_lrp(lrp("web", 4, 10)).await.unwrap();
    let before = world.until_running(4).await;
    let world = world.restart_brain().await;
    assert_eq!(world.rows().await, before);
    world.pass(60).await;
    assert_eq!(world.rows().await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cell_that_comes_back_empty_is_given_its_instances_anew_at_once() {
    let world = World::new(&["a"]).await;
    world.brain.desire_lrp(lrp("web", 20, 10)).await.unwrap();
    world.until_running(20).await;
    let world = world.restart_brain().await;
    let cell = world.fleet.get("a");
    cell.wipe();
    let began = Instant::now();
    world.brain.heartbeat(cell.presence()).await.unwrap();
    cell.harmonise().await;
    world.until_running(20).await;
    assert_eq!(cell.holds(), 20);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crashed_instance_is_restarted_and_its_reason_kept() {
    let world = World::new(&["a"]).await;
    world.brain.desire_lrp(lrp("web", 1, 10)).await.unwrap();
    for count in 1..=2 {
        world.until_running(1).await;
        world.fleet.get("a").crash(&key("web", 0)).await;
        let rows = world.until_running(1).await;
        assert_eq!((rows[0].crash_count, rows[0].crash_reason.as_str()), (count, REASON));
    }
    world.fleet.get("a").crash(&key("web", 0)).await;
    world.until("it backs off", |rows| rows[0].state.name() == "CRASHED").await;
    world.pass(29).await;
    assert_eq!(world.rows().await[0].state.name(), "CRASHED");
    world.pass(1).await;
    world.until_running(1).await;
}

const REASON: &str = "Exited with status 1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_without_room_says_so_with_amounts_and_runs_when_a_cell_joins() {
    let world = World::new(&["a"]).await;
    world.brain.desire_lrp(lrp("big", 2, 600)).await.unwrap();
    let has_error = |rows: &[ActualLrp]| error_of(rows).is_some();
    let rows = world.until("one has no room", has_error).await;
    let (reason, detail) = error_of(&rows).unwrap();
    assert_eq!(reason, "insufficient resources: memory");
    assert_eq!(detail, "needs 600 MB; largest free 400 MB on a; 1 cell compatible");
    world.join("b").await;
    world.until_running(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_without_room_runs_when_other_work_goes() {
    let world = World::new(&["a"]).await;
    world.brain.desire_lrp(lrp("first", 1, 600)).await.unwrap();
    world.until_running(1).await;
    world.brain.desire_lrp(lrp("second", 1, 600)).await.unwrap();
    world.until("no room", |rows| error_of(rows).is_some()).await;
    world.brain.remove_lrp(&pg("first")).await.unwrap();
    world.until_running(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_larger_than_every_cell_gets_its_error_at_once() {
    let world = World::new(&["a", "b"]).await;
    world.brain.desire_lrp(lrp("huge", 1, 4_096)).await.unwrap();
    let rows = world.until("an error", |rows| error_of(rows).is_some()).await;
    let (_, detail) = error_of(&rows).unwrap();
    assert_eq!(
        detail,
        "needs 4096 MB; the largest cell has 1000 MB in all (a); 2 cells compatible"
    );
}

fn error_of(rows: &[ActualLrp]) -> Option<(String, String)> {
    rows.iter().find_map(|row| match &row.state {
        ActualState::Unclaimed { placement_error: Some(e) } => {
            Some((e.reason.clone(), e.detail.clone()))
        }
        _ => None,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_runs_once_and_keeps_its_result_until_it_is_deleted() {
    let world = World::new(&["a"]).await;
    world.brain.desire_task(task_definition("t", 10)).await.unwrap();
    let task = until_completed(&world).await;
    assert_eq!(task.result, "42");
    world.brain.delete_task(&tg("t")).await.unwrap();
    assert!(world.brain.task(&tg("t")).await.is_err());
}

async fn until_completed(world: &World) -> lattice_model::task::TaskOutcome {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let TaskState::Completed(outcome) = world.brain.task(&tg("t")).await.unwrap().state {
            return outcome;
        }
        assert!(Instant::now() < deadline, "the task completes");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_fits_no_cell_fails_at_once() {
    let world = World::new(&["a"]).await;
    world.brain.desire_task(task_definition("t", 5_000)).await.unwrap();
    let outcome = until_completed(&world).await;
    assert!(outcome.failed);
    assert_eq!(outcome.failure_reason, "insufficient resources: memory");
    let detail = world.brain.task(&tg("t")).await.unwrap().placement_detail;
    assert!(detail.starts_with("needs 5000 MB; the largest cell has 1000 MB"), "{detail}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_lrps_run_soon() {
    let world = World::new(&[]).await;
    for n in 0..10 {
        let cell = world.fleet.add(&format!("c{n}"), 1_000_000);
        world.brain.heartbeat(cell.presence()).await.unwrap();
    }
    let began = Instant::now();
    let creates = (0..1_000).map(|n| {
        let brain = world.brain.clone();
        async move { brain.desire_lrp(lrp(&format!("app-{n}"), 1, 1)).await.unwrap() }
    });
    futures_util::future::join_all(creates).await;
    let rows = world.until_running(1_000).await;
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    for n in 0..10 {
        let count = on_cell(&rows, &format!("c{n}"));
        assert!((80..=120).contains(&count), "c{n} has {count}");
    }
    let commits = world.store.commits();
    assert!(commits < 2_500, "changes share commits: {commits} for 3000");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_see_changes_in_order_and_cells_only_their_own() {
    let world = World::new(&["a"]).await;
    let mut all = world.brain.events(None).await.unwrap();
    let mut own = world.brain.subscribe(&cell_id("a")).await.unwrap();
    let mut foreign = world.brain.subscribe(&cell_id("b")).await.unwrap();
    world.brain.desire_lrp(lrp("web", 1, 10)).await.unwrap();
    world.until_running(1).await;
    world.brain.remove_lrp(&pg("web")).await.unwrap();
    world.until("gone", <[_]>::is_empty).await;
    let mut seen = Vec::new();
    while seen.last() != Some(&"actual removed") {
        seen.push(name(all.next().await.unwrap().unwrap()));
    }
    let run = ["desired", "actual", "changed", "changed", "desired removed", "actual removed"];
    assert_eq!((seen[0], &seen[1..]), ("mark", &run[..]));
    let mut seen = Vec::new();
    while seen.last() != Some(&"actual removed") {
        seen.push(name(own.next().await.unwrap().unwrap()));
    }
    assert_eq!(seen, ["changed", "changed", "desired removed", "actual removed"]);
    let first = name(foreign.next().await.unwrap().unwrap());
    assert_eq!(first, "desired removed", "nothing of the instance");
}

fn name(event: SequencedEvent) -> &'static str {
    let event = match event {
        SequencedEvent::Event { event, .. } => event,
        SequencedEvent::Mark(_) => return "mark",
        SequencedEvent::Resync { .. } => return "resync",
    };
    match event.as_ref() {
        Event::DesiredLrpCreated(_) => "desired",
        Event::DesiredLrpRemoved(_) => "desired removed",
        Event::ActualLrpCreated(_) => "actual",
        Event::ActualLrpChanged { .. } => "changed",
        Event::ActualLrpRemoved(_) => "actual removed",
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_go_to_the_cell_that_pulls_and_nowhere_else() {
    let world = World::new(&["a"]).await;
    let mut events = world.brain.events(None).await.unwrap();
    let c = |registry: &str, password: &str| RegistryCredentials {
        registry: registry.into(),
        username: "u".into(),
        password: password.into(),
    };
    world.brain.put_registry_credentials(c("r.io", "hunter2")).await.unwrap();
    assert!(world.brain.put_registry_credentials(c("", "x")).await.is_err());
    let world = world.restart_brain().await;
    world.brain.heartbeat(world.fleet.get("a").presence()).await.unwrap();
    for (guid, image) in [("mine", "docker://r.io/app#1"), ("own", "docker://registry.test/a#1")] {
        let mut wanted = lrp(guid, 1, 10);
        wanted.containers[0].rootfs = image.into();
        world.brain.desire_lrp(wanted).await.unwrap();
    }
    world.until_running(2).await;
    let works = world.fleet.get("a").works.lock().unwrap().clone();
    let mut given: Vec<_> = works
        .iter()
        .flat_map(|work| &work.lrps)
        .map(|lrp| (lrp.key.process_guid.to_string(), lrp.credentials[0].password.clone()))
        .collect();
    given.sort();
    let expected = [("mine", "hunter2"), ("own", "own")];
    assert_eq!(given, expected.map(|(guid, word)| (guid.to_owned(), word.to_owned())));
    let told = format!("{:?} {:?}", world.rows().await, world.brain.desired_lrps(None).await);
    assert!(!told.contains("hunter2"));
    assert_eq!(name(events.next().await.unwrap().unwrap()), "mark");
    assert!(events.next().await.is_none(), "the first brain said nothing of them");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_are_listed_without_passwords_and_forgotten_for_good() {
    let world = World::new(&["a"]).await;
    let accounts = async |world: &World| {
        let told = world.brain.registry_accounts().await.unwrap();
        assert!(!format!("{told:?}").contains("hunter2"), "{told:?}");
        told.into_iter().map(|one| (one.registry, one.username)).collect::<Vec<_>>()
    };
    let known = |registry: &str| (registry.to_owned(), "u".to_owned());
    assert_eq!(accounts(&world).await, [], "the brain's own registry is nobody's");
    for registry in ["r.io", "p.io:5000"] {
        let (username, password) = ("u".into(), "hunter2".into());
        let given = RegistryCredentials { registry: registry.into(), username, password };
        world.brain.put_registry_credentials(given).await.unwrap();
    }
    assert_eq!(accounts(&world).await, [known("p.io:5000"), known("r.io")]);
    world.brain.remove_registry_credentials("r.io").await.unwrap();
    for unknown in ["r.io", "registry.test", "R.IO", ""] {
        let refused = world.brain.remove_registry_credentials(unknown).await.unwrap_err();
        let BrainError::Refused(refusal) = refused else { panic!("{unknown}: {refused}") };
        assert_eq!(refusal.name, ErrorName::RegistryNotFound);
        let words = format!("no credentials are kept for the registry '{unknown}'");
        assert_eq!(refusal.message, words);
    }
    let world = world.restart_brain().await;
    assert_eq!(accounts(&world).await, [known("p.io:5000")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_cells_that_hold_an_app_are_asked_what_it_uses() {
    let world = World::new(&["a", "b", "c"]).await;
    world.brain.desire_lrp(lrp("web", 2, 10)).await.unwrap();
    world.until_running(2).await;
    let holders: Vec<_> = world.rows().await.iter().map(holder).collect();
    let idle = ["a", "b", "c"].into_iter().find(|id| !holders.iter().any(|h| h == id)).unwrap();
    let (told, silent) = (&holders[0], &holders[1]);
    world.fleet.get(idle).set_up(false);
    world.fleet.get(silent).set_up(false);
    let usage = world.brain.usage_of(&pg("web")).await.unwrap();
    let usage: BTreeMap<_, _> = usage.iter().map(|u| (u.cell_id.as_str(), u)).collect();
    assert_eq!(usage.len(), 2, "{usage:?}");
    assert_eq!(
        (usage[told.as_str()].instances.len(), usage[told.as_str()].error.as_str()),
        (1, "")
    );
    let error = format!("cannot reach cell {silent}: connection refused");
    assert_eq!(
        (usage[silent.as_str()].instances.len(), &usage[silent.as_str()].error),
        (0, &error)
    );
    assert_eq!(world.brain.usage_of(&pg("nobody")).await.unwrap(), []);
}

fn holder(lrp: &ActualLrp) -> String {
    lrp.instance().expect("it runs").cell_id.to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_cell_is_asked_for_its_images_and_one_that_is_silent_says_why() {
    let world = World::new(&["a", "b"]).await;
    world.fleet.get("b").set_up(false);
    let images = world.brain.images().await.unwrap();
    let told: Vec<_> = images.iter().map(|c| (c.cell_id.as_str(), c.stock.layers_bytes)).collect();
    assert_eq!(told, [("a", 1_000), ("b", 0)]);
    assert!(images[0].error.is_empty());
    assert_eq!(images[1].error, "cannot reach cell b: connection refused");
    let pruned = world.brain.prune_images().await.unwrap();
    assert_eq!((pruned[0].pruned.layers, pruned[1].pruned.layers), (2, 0));
    assert_eq!(pruned[1].error, "cannot reach cell b: connection refused");
}
