use std::sync::Arc;
use std::time::Duration;

use lattice_api::brain::{CellView, EventId, Lost, SequencedEvent};
use lattice_api::cell::Rep as _;
use lattice_daemon::bus::Bus as _;
use lattice_model::wire::registration::Registration;
use lattice_model::{
    ActualLrp, ActualState, CellId, Event, ModificationTag, NetInfo, Presence, TaskState, Time,
};

use super::{app, perform, run, until_told};
use crate::rep::Handle;
use crate::runtime::ContainerId;
use crate::testing::{self, Bed, CELL, Script, eventually};

fn row(index: u32, state: ActualState) -> ActualLrp {
    ActualLrp {
        key: testing::key("web", index),
        presence: Presence::Ordinary,
        state,
        since: Time::from_secs(1),
        crash_count: 0,
        crash_reason: String::new(),
        modification_tag: ModificationTag::default(),
    }
}

fn running(index: u32, instance: &str) -> ActualLrp {
    let instance = testing::instance_key(instance);
    row(index, ActualState::Running { instance, net: NetInfo::default() })
}

/// Makes the cell ask for the view again.
async fn resync(bed: &Bed) {
    eventually("it listens", || bed.bbs.listeners() > 0).await;
    let before = bed.bbs.calls().iter().filter(|call| *call == "view ").count();
    bed.bbs.publish(SequencedEvent::Resync { id: EventId::FOREIGN, why: Lost::OtherLife });
    let views = || bed.bbs.calls().iter().filter(|call| *call == "view ").count();
    eventually("it asks for the view", || views() > before).await;
}

#[tokio::test]
async fn leftovers_are_gone_before_the_first_heartbeat() {
    let bed = Bed::new();
    let (a, b, c) = (ContainerId::new("a"), ContainerId::new("b"), ContainerId::new("c"));
    bed.runtime.leave(&a);
    bed.images.mounted.lock().unwrap().insert(b);
    bed.network.attached.lock().unwrap().insert(c);
    let _cell = bed.start().await;
    assert!(bed.runtime.containers.lock().unwrap().is_empty());
    assert!(bed.images.mounted.lock().unwrap().is_empty());
    assert!(bed.network.attached.lock().unwrap().is_empty());
    until_told(&bed, "heartbeat cell-1").await;
}

#[tokio::test]
async fn a_leftover_that_stays_is_tried_again() {
    let bed = Bed::new();
    let stubborn = ContainerId::new("stubborn");
    bed.runtime.leave(&stubborn);
    *bed.runtime.deletions_that_fail.lock().unwrap() = 1;
    let _cell = bed.start().await;
    eventually("the first view removes it", || !bed.runtime.has(&stubborn)).await;
}

#[tokio::test]
async fn records_of_an_earlier_life_are_disowned_at_once_so_that_they_start_again() {
    let bed = Bed::new();
    let mut task = testing::task("t", testing::run("/app"));
    task.state = TaskState::Running { cell_id: CellId::new(CELL).unwrap() };
    let elsewhere = {
        let mut instance = testing::instance_key("ig-other");
        instance.cell_id = CellId::new("cell-2").unwrap();
        row(1, ActualState::Claimed { instance })
    };
    *bed.bbs.view.lock().unwrap() =
        CellView { lrps: vec![(running(0, "ig-old"), None), (elsewhere, None)], tasks: vec![task] };
    let _cell = bed.start().await;
    until_told(&bed, "remove ig-old").await;
    until_told(&bed, "complete t failed: task container does not exist").await;
    assert!(!bed.bbs.has("remove ig-other"));
}

#[tokio::test]
async fn a_brain_that_forgot_is_told_again_and_stops_nothing() {
    let bed = Bed::new();
    let cell = bed.start().await;
    let lrp = app(&bed);
    run(&bed, &cell, &lrp).await;
    let starts = || bed.bbs.calls().iter().filter(|call| *call == "start ig").count();
    let before = starts();
    resync(&bed).await;
    eventually("it says again that it runs", || starts() > before).await;
    assert_eq!(bed.runtime.signals_of("/app"), []);
}

#[tokio::test]
async fn a_silent_brain_stops_nothing_and_hears_everything_later() {
    let bed = Bed::new();
    let cell = bed.start().await;
    let lrp = app(&bed);
    run(&bed, &cell, &lrp).await;
    *bed.bbs.is_silent.lock().unwrap() = true;
    resync(&bed).await;
    assert_eq!(bed.runtime.signals_of("/app"), []);
    cell.stop_lrp(&testing::key("web", 0), &testing::instance_key("ig")).await.unwrap();
    until_told(&bed, "remove ig").await;
    *bed.bbs.is_silent.lock().unwrap() = false;
    *bed.bbs.view.lock().unwrap() =
        CellView { lrps: vec![(running(0, "ig"), None)], tasks: vec![] };
    let removals = || bed.bbs.calls().iter().filter(|call| *call == "remove ig").count();
    resync(&bed).await;
    eventually("it tells the end again", || removals() >= 2).await;
}

#[tokio::test]
async fn an_instance_that_runs_elsewhere_too_is_stopped_here() {
    let bed = Bed::new();
    let cell = bed.start().await;
    let lrp = app(&bed);
    bed.bbs.refuses.lock().unwrap().insert("start");
    perform(&cell, testing::lrp_work(&lrp, "ig")).await;
    until_told(&bed, "remove ig").await;
    assert!(bed.runtime.containers.lock().unwrap().is_empty());
}

/// Polls until so much memory is not reserved.
async fn until_available(cell: &Handle, memory_mb: u64) {
    let mut available = 0;
    for _ in 0..1_000 {
        available = cell.state().await.unwrap().available.memory_mb;
        if available == memory_mb {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(available, memory_mb);
}

#[tokio::test]
async fn a_container_that_cannot_be_deleted_keeps_its_room_until_it_is() {
    for (is_stopped, told) in [(false, "crash ig: Exited with status 1"), (true, "remove ig")] {
        let bed = Bed::new();
        let cell = bed.start().await;
        let lrp = app(&bed);
        *bed.runtime.deletions_that_fail.lock().unwrap() = 1;
        if is_stopped {
            run(&bed, &cell, &lrp).await;
            cell.stop_lrp(&testing::key("web", 0), &testing::instance_key("ig")).await.unwrap();
        } else {
            bed.runtime.program("/app", Script::exits(1));
            perform(&cell, testing::lrp_work(&lrp, "ig")).await;
        }
        until_told(&bed, told).await;
        assert_eq!(cell.state().await.unwrap().available.memory_mb, 924);
        let again = cell.perform(testing::lrp_work(&lrp, "ig")).await.unwrap();
        let reason = "an earlier try of instance ig is still being removed";
        assert_eq!(again[0].reason, reason);
        resync(&bed).await;
        until_available(&cell, 1024).await;
        assert!(!bed.runtime.has(&testing::container_of(&lrp, "ig")));
    }
}

#[tokio::test]
async fn the_same_order_twice_is_one_instance() {
    let bed = Bed::new();
    let cell = bed.start().await;
    let lrp = app(&bed);
    run(&bed, &cell, &lrp).await;
    perform(&cell, testing::lrp_work(&lrp, "ig")).await;
    assert_eq!(cell.state().await.unwrap().available.memory_mb, 924);
    assert_eq!(bed.runtime.runs_of("/app"), 1);
}

#[tokio::test]
async fn a_route_change_is_announced_at_once() {
    let bed = Bed::new();
    let cell = bed.start().await;
    let mut lrp = app(&bed);
    let with = |lrp: &mut lattice_model::DesiredLrp, host: &str, index: u32| {
        let routes = serde_json::json!([{"hostnames": [host], "port": 8080}]);
        lrp.routes.0.insert("cf-router".into(), routes);
        lrp.modification_tag.index = index;
    };
    with(&mut lrp, "old.test", 1);
    let mut heard = bed.bus.subscribe("router.*");
    run(&bed, &cell, &lrp).await;
    let before = lrp.clone();
    with(&mut lrp, "new.test", 2);
    let changed =
        Event::DesiredLrpChanged { before: Arc::new(before.clone()), after: Arc::new(lrp) };
    let stale =
        Event::DesiredLrpChanged { before: Arc::new(before.clone()), after: Arc::new(before) };
    eventually("it listens", || bed.bbs.listeners() > 0).await;
    for event in [changed, stale] {
        bed.bbs.publish(SequencedEvent::Event { id: EventId::FOREIGN, event: Arc::new(event) });
    }
    let mut told = Vec::new();
    while told.len() < 3 {
        let message = heard.next().await.unwrap();
        let registration: Registration = serde_json::from_slice(&message.payload).unwrap();
        told.push(format!("{} {}", message.subject, registration.uris[0]));
    }
    let expected =
        ["router.register old.test", "router.unregister old.test", "router.register new.test"];
    assert_eq!(told, expected);
}
