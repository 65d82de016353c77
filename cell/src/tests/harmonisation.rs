use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use lattice_api::brain::{CellView, EventId, Lost, SequencedEvent};
use lattice_api::cell::Rep as _;
use lattice_daemon::bus::Bus as _;
use lattice_daemon::clock::Clock;
use lattice_model::wire::registration::Registration;
use lattice_model::{
    ActualLrp, ActualState, CellId, Event, ModificationTag, NetInfo, Presence, TaskState, Time,
};

use super::{app, perform, run, until_told};
use crate::instance::RESERVATION_EXPIRES_S;
use crate::runtime::ContainerId;
use crate::testing::{self, Bed, CELL, eventually};

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

/// Stands still until it is told otherwise; in seconds.
struct ManualClock(AtomicI64);

impl Clock for ManualClock {
    fn now(&self) -> Time {
        Time::from_secs(self.0.load(Ordering::SeqCst))
    }
}

#[tokio::test]
async fn a_reservation_that_nobody_answers_for_expires_after_a_minute() {
    let mut bed = Bed::new();
    let clock = Arc::new(ManualClock(AtomicI64::new(100)));
    bed.clock = Arc::clone(&clock) as Arc<dyn Clock>;
    bed.bbs.unheard.lock().unwrap().insert("claim");
    let cell = bed.start().await;
    perform(&cell, testing::lrp_work(&app(&bed), "ig")).await;
    until_told(&bed, "claim ig").await;
    let expired = 100 + i64::try_from(RESERVATION_EXPIRES_S).unwrap();
    clock.0.store(expired - 1, Ordering::SeqCst);
    // The brain is asked again only once its first answer has been taken in.
    for _ in 0..3 {
        resync(&bed).await;
    }
    assert_eq!(cell.state().await.unwrap().available.memory_mb, 924, "it is kept so long");
    clock.0.store(expired, Ordering::SeqCst);
    let is_free = async || cell.state().await.unwrap().available.memory_mb == 1024;
    for _ in 0..1_000 {
        if is_free().await {
            break;
        }
        resync(&bed).await;
    }
    assert!(is_free().await, "{:?}", cell.state().await);
    assert!(bed.runtime.containers.lock().unwrap().is_empty() && !bed.bbs.has("start ig"));
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
