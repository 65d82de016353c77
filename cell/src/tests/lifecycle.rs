use std::time::{Duration, Instant};

use lattice_api::cell::usage::InstanceUsage;
use lattice_api::cell::{Rep as _, WorkItem};
use lattice_daemon::bus::{Bus as _, Subscription};
use lattice_daemon::clock::{Clock as _, SystemClock};
use lattice_model::wire::registration::Registration;
use lattice_model::{Limit, RegistryCredentials, Resources};

use super::{app, perform, run, until_told};
use crate::runtime::Signal;
use crate::testing::{self, Bed, Script, eventually};

fn with_route(lrp: &mut lattice_model::DesiredLrp, host: &str) {
    let routes = serde_json::json!([{"hostnames": [host], "port": 8080}]);
    lrp.routes.0.insert("cf-router".into(), routes);
}

async fn next(subscription: &mut Subscription) -> (String, Registration) {
    let message = tokio::time::timeout(Duration::from_secs(10), subscription.next()).await;
    let message = message.unwrap().unwrap();
    (message.subject.to_string(), serde_json::from_slice(&message.payload).unwrap())
}

#[tokio::test]
async fn an_instance_is_claimed_made_started_and_says_so_in_its_log() {
    let bed = Bed::new();
    let cell = bed.start().await;
    let lrp = app(&bed);
    bed.images.gate.shut();
    perform(&cell, testing::lrp_work(&lrp, "ig")).await;
    until_told(&bed, "progress pulling 1/2").await;
    bed.images.gate.open();
    until_told(&bed, "start ig").await;
    let told: Vec<String> = bed
        .bbs
        .calls()
        .into_iter()
        .filter(|call| ["claim", "progr", "start"].contains(&&call[..5]))
        .collect();
    let expected =
        ["claim ig", "progress pulling 1/2", "progress creating", "progress starting", "start ig"];
    let without_zero: Vec<&String> =
        told.iter().filter(|call| *call != "progress pulling 0/0").collect();
    assert_eq!(without_zero, expected);
    let net = bed.bbs.nets.lock().unwrap()["ig"].clone();
    assert_eq!((net.address.as_str(), net.instance_address.as_str()), ("192.0.2.1", "127.0.0.1"));
    eventually("the app's line arrives", || bed.logs.has("APP/0 OUT up")).await;
    let lines = bed.logs.lines();
    assert_eq!(
        lines[..2],
        ["CELL/0 OUT Creating container", "CELL/0 OUT Successfully created container"]
    );
    let state = cell.state().await.unwrap();
    assert_eq!(state.available, Resources { memory_mb: 924, disk_mb: 1014, containers: 9 });
    assert_eq!((state.lrps.len(), state.starting_count), (1, 0));
}

#[tokio::test]
async fn a_container_gets_its_files_limits_and_identity() {
    let bed = Bed::new();
    let cell = bed.start().await;
    let mut lrp = app(&bed);
    lrp.containers[0].limits.cpu_weight = 50;
    run(&bed, &cell, &lrp).await;
    let id = testing::container_of(&lrp, "ig");
    let blueprint = bed.runtime.containers.lock().unwrap()[&id].clone().unwrap();
    assert_eq!(blueprint.memory_bytes, Limit::AtMost(100 << 20));
    assert_eq!((blueprint.cpu_shares, blueprint.hostname.as_str()), (512, id.as_str()));
    let inside: Vec<&str> = blueprint.files.iter().map(|(_, inside)| inside.as_str()).collect();
    assert_eq!(inside, ["/etc/hosts", "/etc/resolv.conf", "/etc/hostname"]);
    let hosts = std::fs::read_to_string(&blueprint.files[0].0).unwrap();
    assert!(hosts.contains(&format!("127.0.0.1 {id}\n")) && hosts.contains("10.0.0.1 gateway\n"));
    let executed = bed.runtime.executed.lock().unwrap()[0].clone();
    let has =
        |name: &str, value: &str| executed.env.iter().any(|v| v.name == name && v.value == value);
    assert!(has("CF_INSTANCE_GUID", "ig") && has("INSTANCE_INDEX", "0"));
    assert!(has("CF_INSTANCE_ADDR", "192.0.2.1:61000"));
}

#[tokio::test]
async fn work_that_does_not_fit_is_refused_with_amounts_and_the_rest_is_taken() {
    let bed = Bed::new();
    let cell = bed.start().await;
    let small = app(&bed);
    let mut big = testing::lrp("big");
    big.containers[0].limits.memory_mb = Limit::AtMost(4096);
    let mut work = testing::lrp_work(&big, "ig-big");
    work.lrps.extend(testing::lrp_work(&small, "ig").lrps);
    let refused = cell.perform(work).await.unwrap();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].item, WorkItem::Lrp(testing::key("big", 0)));
    let why = "insufficient resources: memory (needs 4096 MB, 1024 MB left)";
    assert_eq!(refused[0].reason, why);
    until_told(&bed, "start ig").await;
}

#[tokio::test]
async fn an_app_that_ends_has_crashed_and_its_room_is_free_again() {
    for (code, reason) in
        [(1, "crash ig: APP: Exited with status 1"), (0, "exit ig: Exited with status 0")]
    {
        let bed = Bed::new();
        let cell = bed.start().await;
        let lrp = app(&bed);
        bed.runtime.program("/app", Script::exits(code));
        perform(&cell, testing::lrp_work(&lrp, "ig")).await;
        until_told(&bed, reason).await;
        assert_eq!(cell.state().await.unwrap().available.memory_mb, 1024);
        let id = testing::container_of(&lrp, "ig");
        assert!(!bed.runtime.has(&id) && bed.images.mounted.lock().unwrap().is_empty());
        assert!(bed.network.attached.lock().unwrap().is_empty());
        assert!(!bed.config.instances_dir().join(id.as_str()).exists());
    }
}

#[tokio::test]
async fn a_stopped_instance_loses_its_routes_first_and_is_removed_from_the_records() {
    let bed = Bed::new();
    let mut routes = bed.bus.subscribe("router.*");
    let cell = bed.start().await;
    let mut lrp = app(&bed);
    with_route(&mut lrp, "web.test");
    run(&bed, &cell, &lrp).await;
    let (subject, registration) = next(&mut routes).await;
    assert_eq!((subject.as_str(), registration.uris[0].as_str()), ("router.register", "web.test"));
    assert_eq!((registration.host.as_str(), registration.port), ("127.0.0.1", 8080));
    let (key, instance) = (testing::key("web", 0), testing::instance_key("ig"));
    cell.stop_lrp(&key, &instance).await.unwrap();
    assert_eq!(next(&mut routes).await.0, "router.unregister");
    assert_eq!(bed.runtime.signals_of("/app"), [], "there is a pause before SIGTERM");
    until_told(&bed, "remove ig").await;
    assert_eq!(bed.runtime.signals_of("/app"), [Signal::TERMINATE]);
    assert!(!bed.bbs.calls().iter().any(|call| call.starts_with("crash")));
}

#[tokio::test]
async fn a_router_that_starts_hears_every_route_at_once() {
    let bed = Bed::new();
    let cell = bed.start().await;
    let mut lrp = app(&bed);
    with_route(&mut lrp, "web.test");
    let mut routes = bed.bus.subscribe("router.register");
    run(&bed, &cell, &lrp).await;
    next(&mut routes).await;
    bed.bus.publish("router.start", b"{}");
    assert_eq!(next(&mut routes).await.1.uris, ["web.test"]);
}

#[tokio::test]
async fn an_app_that_ignores_sigterm_is_killed_after_its_grace() {
    let bed = Bed::new();
    let cell = bed.start().await;
    let lrp = app(&bed);
    bed.runtime.program("/app", Script { ignores_terminate: true, ..Script::forever() });
    run(&bed, &cell, &lrp).await;
    cell.stop_lrp(&testing::key("web", 0), &testing::instance_key("ig")).await.unwrap();
    until_told(&bed, "remove ig").await;
    assert_eq!(bed.runtime.signals_of("/app"), [Signal::TERMINATE, Signal::Kill]);
    let line = "APP/0 ERR Exit status 137 (exceeded 300ms graceful shutdown interval)";
    assert!(bed.logs.has(line), "{:?}", bed.logs.lines());
}

#[tokio::test]
async fn what_cannot_be_made_is_told_to_the_app_and_crashes() {
    let bed = Bed::new();
    let cell = bed.start().await;
    let lrp = app(&bed);
    *bed.images.pull_error.lock().unwrap() = Some("no such tag".into());
    perform(&cell, testing::lrp_work(&lrp, "ig")).await;
    let why = "reg.test/app:v1 was not found: no such tag";
    until_told(&bed, &format!("crash ig: failed to create container: {why}")).await;
    assert!(bed.logs.has(&format!("CELL/0 ERR Failed to create container: {why}")));
}

#[tokio::test]
async fn a_stop_breaks_a_pull_off() {
    let bed = Bed::new();
    let cell = bed.start().await;
    let lrp = app(&bed);
    bed.images.gate.shut();
    perform(&cell, testing::lrp_work(&lrp, "ig")).await;
    eventually("it pulls", || !bed.images.pulled.lock().unwrap().is_empty()).await;
    cell.stop_lrp(&testing::key("web", 0), &testing::instance_key("ig")).await.unwrap();
    until_told(&bed, "remove ig").await;
    assert_eq!(bed.runtime.runs_of("/app"), 0);
}

#[tokio::test]
async fn credentials_go_to_the_registry_they_are_for() {
    let bed = Bed::new();
    let cell = bed.start().await;
    let lrp = app(&bed);
    let of = |registry: &str| RegistryCredentials {
        registry: registry.into(),
        username: "u".into(),
        password: "p".into(),
    };
    let mut work = testing::lrp_work(&lrp, "ig");
    work.lrps[0].credentials = vec![of("other.test"), of("reg.test")];
    perform(&cell, work).await;
    until_told(&bed, "start ig").await;
    let (_, credentials) = bed.images.pulled.lock().unwrap()[0].clone();
    assert_eq!(credentials.unwrap().registry, "reg.test");
}

#[tokio::test]
async fn stopping_all_is_parallel_bounded_and_ends_with_a_goodbye() {
    let bed = Bed::new();
    let cell = bed.start().await;
    bed.runtime.program("/app", Script { ignores_terminate: true, ..Script::forever() });
    for index in 0..5 {
        let lrp = testing::lrp(&format!("web-{index}"));
        perform(&cell, testing::lrp_work(&lrp, &format!("ig-{index}"))).await;
        until_told(&bed, &format!("start ig-{index}")).await;
    }
    let began = Instant::now();
    assert!(cell.stop_all(Duration::from_millis(400)).await);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    for index in 0..5 {
        assert!(bed.bbs.has(&format!("remove ig-{index}")));
    }
    assert_eq!(bed.bbs.calls().last().unwrap(), "depart cell-1");
    assert!(bed.runtime.containers.lock().unwrap().is_empty());
    let refused = cell.perform(testing::lrp_work(&testing::lrp("late"), "ig-late")).await.unwrap();
    assert_eq!(refused[0].reason, "cell cell-1 is shutting down");
    assert!(cell.state().await.unwrap().evacuating);
    assert!(bed.tasks.end(Duration::from_secs(5)).await, "some task did not end");
}

#[tokio::test]
async fn a_shutdown_without_a_stop_ends_every_task_and_touches_no_app() {
    let bed = Bed::new();
    let cell = bed.start().await;
    let lrp = app(&bed);
    run(&bed, &cell, &lrp).await;
    assert!(bed.tasks.end(Duration::from_secs(5)).await, "some task did not end");
    assert_eq!(bed.runtime.signals_of("/app"), []);
    assert!(cell.state().await.is_err());
}

#[tokio::test]
async fn usage_becomes_metrics_soon_after_the_start() {
    let bed = Bed::new();
    let cell = bed.start().await;
    let mut lrp = app(&bed);
    lrp.log.metrics_guid = "web".into();
    run(&bed, &cell, &lrp).await;
    eventually("a metric arrives", || !bed.logs.metrics().is_empty()).await;
    let metric = bed.logs.metrics()[0];
    assert_eq!((metric.received_bytes, metric.sent_bytes), (7, 9));
    assert!(!metric.age.is_zero() && metric.age < Duration::from_secs(3600), "{metric:?}");
    let cores = std::thread::available_parallelism().unwrap().get();
    assert_eq!(metric.cpu_entitlement_percentage, 100.0 * cores as f64, "it is alone");
}

#[tokio::test]
async fn what_an_apps_instances_use_is_measured_for_those_who_ask() {
    let bed = Bed::new();
    let cell = bed.start().await;
    // Without a name for its metrics nobody samples it; it can be asked about all the same.
    let (mut lrp, other) = (app(&bed), testing::lrp("other"));
    lrp.log.metrics_guid.clear();
    run(&bed, &cell, &lrp).await;
    let asked_at = SystemClock.now();
    let usage = cell.usage(&lrp.process_guid).await.unwrap();
    let [InstanceUsage { index: 0, instance_guid, measured }] = usage.as_slice() else {
        panic!("{usage:?}")
    };
    assert_eq!(instance_guid.as_str(), "ig");
    assert!(measured.measured_at > asked_at, "{measured:?}");
    assert_eq!((measured.received_bytes, measured.sent_bytes), (7, 9));
    assert_eq!((measured.memory_bytes_quota, measured.disk_bytes_quota), (100 << 20, 10 << 20));
    assert_eq!(cell.usage(&other.process_guid).await.unwrap(), []);
    cell.stop_all(Duration::ZERO).await;
    assert_eq!(cell.usage(&lrp.process_guid).await.unwrap(), []);
}

#[tokio::test]
async fn the_rules_of_an_instance_come_to_the_network() {
    let bed = Bed::new();
    let cell = bed.start().await;
    let mut lrp = app(&bed);
    lrp.egress_rules = testing::egress_rules();
    run(&bed, &cell, &lrp).await;
    let id = testing::container_of(&lrp, "ig");
    assert_eq!(bed.network.egress.lock().unwrap()[&id], lrp.egress_rules);
}
