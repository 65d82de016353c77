//! Declarative checks, against real sockets.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use lattice_api::cell::Rep as _;
use lattice_daemon::bus::Bus as _;
use lattice_model::DesiredLrp;
use lattice_model::desired_lrp::StopSignal;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::{app, perform, until_told};
use crate::runtime::Signal;
use crate::testing::{self, Bed, Script, eventually};

/// A server whose status a test changes; it counts what it is asked.
#[derive(Clone)]
struct Served {
    port: u16,
    status: Arc<AtomicU16>,
    asked: Arc<AtomicU16>,
}

impl Served {
    async fn with(status: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = Self { port, status: Arc::new(AtomicU16::new(status)), asked: Arc::default() };
        let answers = served.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.read(&mut [0; 1024]).await;
                answers.asked.fetch_add(1, Ordering::SeqCst);
                let status = answers.status.load(Ordering::SeqCst);
                let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        served
    }

    fn answers(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    fn asked(&self) -> u16 {
        self.asked.load(Ordering::SeqCst)
    }
}

fn checked(bed: &Bed, definition: Value) -> DesiredLrp {
    let mut lrp = app(bed);
    lrp.containers[0].checks = serde_json::from_value(definition).unwrap();
    lrp
}

fn http(port: u16, more: Value) -> Value {
    let mut check = json!({"port": port, "path": "/up", "interval_ms": 100});
    more.as_object().unwrap().iter().for_each(|(name, value)| check[name] = value.clone());
    json!({"http_check": check})
}

#[tokio::test]
async fn an_app_runs_once_all_its_checks_pass() {
    let bed = Bed::new();
    let cell = bed.start().await;
    let served = Served::with(503).await;
    let tcp = json!({"tcp_check": {"port": served.port}});
    let lrp = checked(&bed, json!({"checks": [tcp, http(served.port, json!({}))]}));
    perform(&cell, testing::lrp_work(&lrp, "ig")).await;
    eventually("it is checked", || served.asked() > 3).await;
    assert!(!bed.bbs.has("start ig"));
    served.answers(200);
    until_told(&bed, "start ig").await;
    assert!(bed.logs.has("HEALTH/0 OUT Container became healthy"));
}

#[tokio::test]
async fn a_start_that_fails_names_every_check_that_did() {
    let bed = Bed::new();
    let cell = bed.start().await;
    let (closed, served) = (testing::closed_port().await, Served::with(503).await);
    let tcp = json!({"tcp_check": {"port": closed}});
    let mut lrp = checked(
        &bed,
        json!({"startup_checks": [tcp, http(served.port, json!({}))], "log_source": "CHECK"}),
    );
    lrp.start_timeout_s = 1;
    perform(&cell, testing::lrp_work(&lrp, "ig")).await;
    eventually("it crashes", || bed.bbs.calls().iter().any(|c| c.starts_with("crash ig"))).await;
    let calls = bed.bbs.calls();
    let crash = calls.iter().find(|call| call.starts_with("crash ig")).unwrap();
    for words in [
        "Instance never healthy after 1s: Timed out after 1s (".to_owned(),
        " attempts) waiting for startup check to succeed: failed to make TCP".to_owned(),
        format!("failed to make TCP connection to 127.0.0.1:{closed}: connection refused; "),
        format!("failed to make HTTP request to '/up' on port {}: received", served.port),
    ] {
        assert!(crash.contains(&words), "{words}: {crash}");
    }
    assert!(bed.logs.has("CHECK/0 ERR Failed after 1s: startup health check never passed."));
    assert_eq!(bed.runtime.signals_of("/app"), [Signal::TERMINATE]);
}

#[tokio::test]
async fn a_live_app_is_borne_with_as_often_as_its_check_says() {
    for (threshold, expected) in [(1, 1), (3, 3)] {
        let bed = Bed::new();
        let cell = bed.start().await;
        let served = Served::with(200).await;
        let check = http(served.port, json!({"failure_threshold": threshold}));
        let lrp = checked(&bed, json!({"checks": [check]}));
        perform(&cell, testing::lrp_work(&lrp, "ig")).await;
        until_told(&bed, "start ig").await;
        served.answers(500);
        let before = served.asked();
        eventually("it crashes", || bed.bbs.calls().iter().any(|c| c.starts_with("crash"))).await;
        // One more may have been under way when the answer changed.
        let asked = served.asked() - before;
        assert!((expected..=expected + 1).contains(&asked), "{asked} for {threshold}");
        let reason = "crash ig: Instance became unhealthy: Liveness check unsuccessful: failed to \
                      make HTTP request to '/up' on port";
        assert!(
            bed.bbs.calls().iter().any(|call| call.starts_with(reason)),
            "{:?}",
            bed.bbs.calls()
        );
        assert!(bed.logs.has("HEALTH/0 ERR Container became unhealthy"));
    }
}

#[tokio::test]
async fn a_tcp_check_that_stops_passing_crashes_the_app_too() {
    let bed = Bed::new();
    let cell = bed.start().await;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let tcp = json!({"tcp_check": {"port": port, "interval_ms": 100}});
    let lrp = checked(&bed, json!({"checks": [tcp]}));
    perform(&cell, testing::lrp_work(&lrp, "ig")).await;
    until_told(&bed, "start ig").await;
    drop(listener);
    let reason = format!(
        "crash ig: Instance became unhealthy: Liveness check unsuccessful: failed to make TCP \
         connection to 127.0.0.1:{port}: connection refused"
    );
    until_told(&bed, &reason).await;
}

#[tokio::test]
async fn an_app_that_is_not_ready_gets_no_requests_and_lives_on() {
    let mut bed = Bed::new();
    let mut routes = bed.bus.subscribe("router.*");
    let cell = bed.start().await;
    let served = Served::with(503).await;
    let check = http(served.port, json!({"failure_threshold": 2}));
    let mut lrp = checked(&bed, json!({"readiness_checks": [check]}));
    let route = json!([{"hostnames": ["web.test"], "port": 8080}]);
    lrp.routes.0.insert("cf-router".into(), route);
    perform(&cell, testing::lrp_work(&lrp, "ig")).await;
    until_told(&bed, "start ig").await;
    assert!(bed.bbs.nets.lock().unwrap()["ig"].unready, "it runs, and is not ready");
    eventually("it is checked", || served.asked() > 2).await;
    for _ in 0..2 {
        served.answers(200);
        let passed = "HEALTH/0 OUT Container passed the readiness health check. Container marked \
                      ready and added to route pool.";
        eventually("it is ready", || bed.logs.has(passed)).await;
        let (subject, _) = next(&mut routes).await;
        assert_eq!(subject, "router.register");
        eventually("the brain knows", || !bed.bbs.nets.lock().unwrap()["ig"].unready).await;
        served.answers(503);
        let (subject, _) = next(&mut routes).await;
        assert_eq!(subject, "router.unregister");
        let failed = "HEALTH/0 ERR Container failed the readiness health check. Container marked \
                      not ready and removed from route pool.";
        eventually("it is not ready", || bed.logs.has(failed)).await;
        eventually("the brain knows", || bed.bbs.nets.lock().unwrap()["ig"].unready).await;
    }
    assert!(!bed.bbs.calls().iter().any(|call| call.starts_with("crash")));
    assert_eq!(bed.runtime.signals_of("/app"), []);

    bed.succeed().await;
    let mut routes = bed.bus.subscribe("router.*");
    let _next = bed.start().await;
    until_told(&bed, "heartbeat cell-1").await;
    assert!(routes.next().now_or_never().is_none(), "the cell after it knows that it is not ready");
    served.answers(200);
    assert_eq!(next(&mut routes).await.0, "router.register");
}

async fn next(routes: &mut lattice_daemon::bus::Subscription) -> (String, Vec<u8>) {
    loop {
        let message = tokio::time::timeout(Duration::from_secs(10), routes.next()).await;
        let message = message.unwrap().unwrap();
        let subject = message.subject.to_string();
        // Heartbeats repeat what is known.
        if subject != "router.start" {
            return (subject, message.payload.to_vec());
        }
    }
}

#[tokio::test]
async fn an_app_that_exits_well_has_ended_where_only_readiness_is_checked() {
    let bed = Bed::new();
    let cell = bed.start().await;
    let port = testing::closed_port().await;
    let lrp = checked(&bed, json!({"readiness_checks": [http(port, json!({}))]}));
    bed.runtime.program("/app", Script::exits(0));
    perform(&cell, testing::lrp_work(&lrp, "ig")).await;
    until_told(&bed, "exit ig: Exited with status 0").await;
}

#[tokio::test]
async fn an_app_has_the_grace_it_asks_for() {
    let bed = Bed::new();
    let cell = bed.start().await;
    let mut lrp = app(&bed);
    lrp.containers[0].stop.grace_ms = Some(900);
    bed.runtime.program("/app", Script { ignores_terminate: true, ..Script::forever() });
    perform(&cell, testing::lrp_work(&lrp, "ig")).await;
    until_told(&bed, "start ig").await;
    let began = Instant::now();
    cell.stop_lrp(&testing::key("web", 0), &testing::instance_key("ig")).await.unwrap();
    until_told(&bed, "remove ig").await;
    assert!(began.elapsed() >= Duration::from_millis(900));
    assert_eq!(bed.runtime.signals_of("/app"), [Signal::TERMINATE, Signal::Kill]);
    let line = "APP/0 ERR the process did not end within 900ms after SIGTERM and was sent SIGKILL";
    assert!(bed.logs.has(line), "{:?}", bed.logs.lines());
}

#[tokio::test]
async fn an_app_is_asked_to_end_by_the_signal_that_it_or_its_image_wants() {
    for (of_app, of_image, expected) in [
        (None, "", StopSignal::Sigterm),
        (None, "SIGQUIT", StopSignal::Sigquit),
        (Some(StopSignal::Sigint), "SIGQUIT", StopSignal::Sigint),
        (None, "SIGNONSENSE", StopSignal::Sigterm),
    ] {
        let bed = Bed::new();
        let cell = bed.start().await;
        bed.images.config.lock().unwrap().stop_signal = of_image.to_owned();
        let mut lrp = app(&bed);
        lrp.containers[0].stop.signal = of_app;
        perform(&cell, testing::lrp_work(&lrp, "ig")).await;
        until_told(&bed, "start ig").await;
        cell.stop_lrp(&testing::key("web", 0), &testing::instance_key("ig")).await.unwrap();
        until_told(&bed, "remove ig").await;
        assert_eq!(bed.runtime.signals_of("/app"), [Signal::Stop(expected)], "{of_image}");
    }
}

#[tokio::test]
async fn a_daemon_whose_check_fails_has_crashed() {
    let bed = Bed::new();
    let cell = bed.start().await;
    let served = Served::with(200).await;
    let lrp = checked(&bed, json!({"checks": [http(served.port, json!({"interval_ms": 100}))]}));
    bed.runtime.program("/app", Script::exits(0));
    perform(&cell, testing::lrp_work(&lrp, "ig")).await;
    until_told(&bed, "start ig").await;
    eventually("its process has ended", || bed.logs.has("APP/0 OUT Exit status 0")).await;
    let before = served.asked();
    eventually("it lives on", || served.asked() > before + 3).await;
    assert!(!bed.bbs.calls().iter().any(|call| call.starts_with("crash")));
    served.answers(500);
    let reason = "crash ig: Instance became unhealthy: Liveness check unsuccessful: failed to make \
                  HTTP request to '/up' on port";
    eventually("it crashes", || bed.bbs.calls().iter().any(|c| c.starts_with(reason))).await;
}
