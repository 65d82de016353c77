//! A cell that comes after another one on the same machine.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lattice_api::brain::{CellView, EventId, SequencedEvent};
use lattice_api::cell::Rep as _;
use lattice_daemon::bus::{Bus as _, Subscription};
use lattice_model::wire::registration::Registration;
use lattice_model::{ActualLrp, ActualState, DesiredLrp, Event, ModificationTag, Presence, Time};

use super::{app, perform, run, until_told};
use crate::rep::Handle;
use crate::testing::{self, Bed, Script, eventually};

/// Ends the cell as its process would, and starts the next.
async fn next_cell(bed: &mut Bed) -> Handle {
    bed.succeed().await;
    bed.start().await
}

/// The brain holds that the instance runs.
pub(super) fn know_running(bed: &Bed) {
    let instance = testing::instance_key("ig");
    let net = bed.bbs.nets.lock().unwrap()["ig"].clone();
    let row = ActualLrp {
        key: testing::key("web", 0),
        presence: Presence::Ordinary,
        state: ActualState::Running { instance, net },
        since: Time::from_secs(1),
        crash_count: 0,
        crash_reason: String::new(),
        modification_tag: ModificationTag::default(),
    };
    *bed.bbs.view.lock().unwrap() = CellView { lrps: vec![(row, None)], tasks: vec![] };
}

/// An instance of it runs, and the brain knows.
async fn running(bed: Bed, lrp: &DesiredLrp) -> Bed {
    let cell = bed.start().await;
    run(&bed, &cell, lrp).await;
    know_running(&bed);
    bed
}

/// A route of this name leads to it.
fn lead(lrp: &mut DesiredLrp, host: &str) {
    let routes = serde_json::json!([{"hostnames": [host], "port": 8080}]);
    lrp.routes.0.insert("cf-router".into(), routes);
}

/// The first route that is announced.
async fn announced(routers: &mut Subscription) -> Registration {
    let message = tokio::time::timeout(Duration::from_secs(10), routers.next()).await;
    serde_json::from_slice(&message.unwrap().unwrap().payload).unwrap()
}

fn record_of(bed: &Bed, lrp: &DesiredLrp) -> PathBuf {
    let id = testing::container_of(lrp, "ig");
    bed.config.instances_dir().join(id.as_str()).join("record.json")
}

#[tokio::test]
async fn an_instance_is_taken_over_as_it_is_and_announced_at_once() {
    let bed = Bed::new();
    let mut lrp = app(&bed);
    lead(&mut lrp, "web.test");
    let mut bed = running(bed, &lrp).await;
    bed.succeed().await;
    let told_before = bed.bbs.calls().len();
    let mut routers = bed.bus.subscribe("router.register");
    let cell = bed.start().await;
    assert_eq!(announced(&mut routers).await.private_instance_id, "ig");
    until_told(&bed, "heartbeat cell-1").await;
    let state = cell.state().await.unwrap();
    assert_eq!((state.lrps.len(), state.starting_count), (1, 0));
    assert_eq!(state.available.memory_mb, 924, "what it uses is counted");
    let told: Vec<String> = bed.bbs.calls().split_off(told_before);
    let of_it = ["claim", "start", "crash", "remov", "progr"];
    assert!(told.iter().all(|call| !of_it.contains(&&call[..5])), "{told:?}");
    assert_eq!(bed.runtime.runs_of("/app"), 1, "it was not started again");
    assert!(bed.runtime.signals_of("/app").is_empty());
}

#[tokio::test]
async fn files_of_an_instance_whose_removal_was_cut_short_are_removed() {
    let bed = Bed::new();
    let left = bed.config.instances_dir().join("web-cut-short");
    std::fs::create_dir_all(&left).unwrap();
    std::fs::write(left.join("hosts"), "127.0.0.1 localhost").unwrap();
    let _cell = bed.start().await;
    assert!(!left.exists());
}

#[tokio::test]
async fn it_is_announced_under_the_routes_it_was_given_last() {
    let bed = Bed::new();
    let mut lrp = app(&bed);
    lead(&mut lrp, "old.test");
    let mut bed = running(bed, &lrp).await;
    eventually("it listens", || bed.bbs.listeners() > 0).await;
    // One comes while another is being written down.
    for host in ["1.test", "2.test", "3.test", "4.test", "new.test"] {
        let before = Arc::new(lrp.clone());
        lead(&mut lrp, host);
        lrp.modification_tag.index += 1;
        let event = Arc::new(Event::DesiredLrpChanged { before, after: Arc::new(lrp.clone()) });
        bed.bbs.publish(SequencedEvent::Event { id: EventId::FOREIGN, event });
    }
    let record = record_of(&bed, &lrp);
    let is_new = || std::fs::read_to_string(&record).unwrap().contains("new.test");
    eventually("it is written down", is_new).await;
    bed.succeed().await;
    let mut routers = bed.bus.subscribe("router.register");
    // Even by a brain that says nothing.
    *bed.bbs.is_silent.lock().unwrap() = true;
    let _cell = bed.start().await;
    assert_eq!(announced(&mut routers).await.uris, ["new.test"]);
}

#[tokio::test]
async fn one_that_ended_meanwhile_is_reported_with_its_exit_status() {
    let bed = Bed::new();
    let lrp = app(&bed);
    let mut bed = running(bed, &lrp).await;
    bed.succeed().await;
    bed.runtime.end("/app", 42);
    let _cell = bed.start().await;
    until_told(&bed, "crash ig: Exited with status 42").await;
    let id = testing::container_of(&lrp, "ig");
    eventually("nothing is left", || !bed.runtime.has(&id)).await;
}

#[tokio::test]
async fn steps_that_are_done_are_not_done_again() {
    let bed = Bed::new();
    let mut lrp = app(&bed);
    bed.runtime.program("/setup", Script::exits(0));
    lrp.containers[0].setup = Some(testing::run("/setup"));
    let mut bed = running(bed, &lrp).await;
    let cell = next_cell(&mut bed).await;
    bed.runtime.end("/app", 1);
    until_told(&bed, "crash ig: Exited with status 1").await;
    assert_eq!((bed.runtime.runs_of("/setup"), bed.runtime.runs_of("/app")), (1, 1));
    drop(cell);
}

#[tokio::test]
async fn a_task_is_taken_over_and_completes() {
    let mut bed = Bed::new();
    let cell = bed.start().await;
    bed.runtime.program("/job", Script::forever());
    let task = testing::task("t", testing::run("/job"));
    perform(&cell, testing::task_work(&task)).await;
    eventually("it runs", || bed.runtime.runs_of("/job") == 1).await;
    let _cell = next_cell(&mut bed).await;
    bed.runtime.end("/job", 0);
    until_told(&bed, "complete t result: ").await;
}

#[tokio::test]
async fn what_was_taken_over_can_be_stopped() {
    let bed = Bed::new();
    let lrp = app(&bed);
    let mut bed = running(bed, &lrp).await;
    let cell = next_cell(&mut bed).await;
    cell.stop_lrp(&testing::key("web", 0), &testing::instance_key("ig")).await.unwrap();
    until_told(&bed, "remove ig").await;
    assert_eq!(cell.state().await.unwrap().available.memory_mb, 1024);
}

#[tokio::test]
async fn what_cannot_be_taken_over_is_removed_and_the_brain_is_told() {
    type Harm = fn(&Bed, &DesiredLrp);
    let harms: [(&str, Harm); 5] = [
        ("no record", |bed, lrp| std::fs::remove_file(record_of(bed, lrp)).unwrap()),
        ("nonsense", |bed, lrp| std::fs::write(record_of(bed, lrp), "{\"version\":").unwrap()),
        ("a later form", |bed, lrp| {
            let record = std::fs::read_to_string(record_of(bed, lrp)).unwrap();
            let later = record.replacen("\"version\":1", "\"version\":2", 1);
            assert_ne!(later, record);
            std::fs::write(record_of(bed, lrp), later).unwrap();
        }),
        ("no network", |bed, _| bed.network.attached.lock().unwrap().clear()),
        // As after a reboot: names are left, and nothing behind them.
        ("no container", |bed, lrp| bed.runtime.leave(&testing::container_of(lrp, "ig"))),
    ];
    for (what, harm) in harms {
        let bed = Bed::new();
        let lrp = app(&bed);
        let mut bed = running(bed, &lrp).await;
        bed.succeed().await;
        harm(&bed, &lrp);
        let cell = bed.start().await;
        until_told(&bed, "remove ig").await;
        assert!(!bed.runtime.has(&testing::container_of(&lrp, "ig")), "{what}");
        assert!(bed.network.attached.lock().unwrap().is_empty(), "{what}");
        assert!(!record_of(&bed, &lrp).exists(), "{what}");
        assert_eq!(cell.state().await.unwrap().lrps.len(), 0, "{what}");
    }
}
