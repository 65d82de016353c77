use std::time::Duration;

use lattice_api::cell::Rep as _;
use lattice_model::desired_lrp::RestartPolicy;
use tokio::net::TcpListener;

use super::{app, perform, until_told};
use crate::runtime::Signal;
use crate::testing::{self, Bed, Script, eventually};

#[tokio::test]
async fn an_app_runs_once_its_port_answers() {
    let bed = Bed::new();
    let cell = bed.start().await;
    let port = testing::closed_port().await;
    let mut lrp = app(&bed);
    lrp.containers[0].monitor = Some(testing::healthcheck(port));
    perform(&cell, testing::lrp_work(&lrp, "ig")).await;
    let starting = "HEALTH/0 OUT Starting health monitoring of container";
    eventually("it is watched", || bed.logs.has(starting)).await;
    assert!(!bed.bbs.has("start ig"));
    let _listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    until_told(&bed, "start ig").await;
    assert!(bed.logs.has("HEALTH/0 OUT Container became healthy"));
}

#[tokio::test]
async fn an_app_that_never_gets_healthy_is_told_what_was_tried_and_what_it_listens_on() {
    let bed = Bed::new();
    let cell = bed.start().await;
    let port = testing::closed_port().await;
    let mut lrp = app(&bed);
    lrp.containers[0].monitor = Some(testing::healthcheck(port));
    lrp.start_timeout_s = 1;
    *bed.network.listening.lock().unwrap() = vec!["0.0.0.0:9090".parse().unwrap()];
    perform(&cell, testing::lrp_work(&lrp, "ig")).await;
    let reason = format!(
        "Instance never healthy after 1s: failed to make TCP connection to 127.0.0.1:{port}: \
         connection refused"
    );
    until_told(&bed, &format!("crash ig: {reason}")).await;
    assert_eq!(bed.runtime.signals_of("/app"), [Signal::TERMINATE]);
    for line in [
        "HEALTH/0 ERR Failed after 1s: startup health check never passed.".to_owned(),
        format!("HEALTH/0 ERR {reason}"),
        format!(
            "HEALTH/0 ERR the app listens on 9090; the port that is checked is {port}: use \
             --monitor-port 9090, or let it listen on the port in $PORT"
        ),
    ] {
        assert!(bed.logs.has(&line), "{line}: {:?}", bed.logs.lines());
    }
}

#[tokio::test]
async fn a_monitored_app_that_fails_crashes_with_its_own_reason() {
    let bed = Bed::new();
    let cell = bed.start().await;
    let mut lrp = app(&bed);
    let dies = Script { ends_after: Some(Duration::from_millis(100)), ..Script::exits(7) };
    bed.runtime.program("/app", dies);
    lrp.containers[0].monitor = Some(testing::healthcheck(testing::closed_port().await));
    perform(&cell, testing::lrp_work(&lrp, "ig")).await;
    until_told(&bed, "crash ig: APP: Exited with status 7").await;
}

#[tokio::test]
async fn an_app_that_exits_well_under_a_monitor_is_a_daemon() {
    let bed = Bed::new();
    let cell = bed.start().await;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let mut lrp = app(&bed);
    bed.runtime.program("/app", Script::exits(0));
    let port = listener.local_addr().unwrap().port();
    lrp.containers[0].monitor = Some(testing::healthcheck(port));
    perform(&cell, testing::lrp_work(&lrp, "ig")).await;
    until_told(&bed, "start ig").await;
    eventually("the app has exited", || bed.logs.has("APP/0 OUT Exit status 0")).await;
    assert!(!bed.bbs.calls().iter().any(|call| call.starts_with("crash")));
    use lattice_api::cell::Rep as _;
    cell.stop_lrp(&testing::key("web", 0), &testing::instance_key("ig")).await.unwrap();
    until_told(&bed, "remove ig").await;
}

#[tokio::test]
async fn a_monitored_app_that_exits_well_and_is_not_to_be_restarted_has_exited() {
    for policy in [RestartPolicy::Never, RestartPolicy::OnFailure { attempts_max: 3 }] {
        let bed = Bed::new();
        let cell = bed.start().await;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let mut lrp = app(&bed);
        lrp.restart_policy = policy;
        let soon = Script { ends_after: Some(Duration::from_millis(100)), ..Script::exits(0) };
        bed.runtime.program("/app", soon);
        let port = listener.local_addr().unwrap().port();
        lrp.containers[0].monitor = Some(testing::healthcheck(port));
        perform(&cell, testing::lrp_work(&lrp, "ig")).await;
        until_told(&bed, "exit ig: Exited with status 0").await;
        assert!(!bed.bbs.calls().iter().any(|call| call.starts_with("crash")), "{policy:?}");
    }
}

#[tokio::test]
async fn a_monitored_app_that_fails_and_is_not_to_be_restarted_has_crashed() {
    let bed = Bed::new();
    let cell = bed.start().await;
    let mut lrp = app(&bed);
    lrp.restart_policy = RestartPolicy::Never;
    bed.runtime.program("/app", Script::exits(7));
    lrp.containers[0].monitor = Some(testing::healthcheck(testing::closed_port().await));
    perform(&cell, testing::lrp_work(&lrp, "ig")).await;
    until_told(&bed, "crash ig: APP: Exited with status 7").await;
}

#[tokio::test]
async fn a_command_of_ones_own_is_run_in_the_container_and_writes_nothing() {
    let bed = Bed::new();
    let cell = bed.start().await;
    let mut lrp = app(&bed);
    lrp.start_timeout_s = 1;
    lrp.containers[0].monitor = Some(testing::run("/check"));
    bed.runtime.program("/check", Script { stdout: "noise\n".into(), ..Script::exits(1) });
    perform(&cell, testing::lrp_work(&lrp, "ig")).await;
    until_told(&bed, "crash ig: Instance never healthy after 1s: Exited with status 1").await;
    assert!(bed.runtime.runs_of("/check") >= 2);
    assert!(!bed.logs.lines().iter().any(|line| line.contains("noise")));
}

#[tokio::test]
async fn a_hanging_command_does_not_outlive_the_start_timeout() {
    let bed = Bed::new();
    let cell = bed.start().await;
    let mut lrp = app(&bed);
    lrp.start_timeout_s = 1;
    lrp.containers[0].monitor = Some(testing::run("/check"));
    bed.runtime.program("/check", Script { ignores_terminate: true, ..Script::forever() });
    perform(&cell, testing::lrp_work(&lrp, "ig")).await;
    until_told(&bed, "crash ig: Instance never healthy after 1s: timed out after 1.00 seconds")
        .await;
    assert_eq!(bed.runtime.signals_of("/check"), [Signal::Kill]);
}

#[tokio::test]
async fn an_original_clients_helpers_are_passed_over() {
    let bed = Bed::new();
    let cell = bed.start().await;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut lrp = app(&bed);
    let spec = &mut lrp.containers[0];
    let from_json = |json| Some(serde_json::from_value(json).unwrap());
    let server = "http://file-server.service.cf.internal:8080/v1/static";
    spec.setup = from_json(serde_json::json!({"serial": {"actions": [
        {"download": {"from": format!("{server}/healthcheck.tgz"), "to": "/tmp", "user": "me"}},
        {"download": {"from": format!("{server}/diego-sshd.tgz"), "to": "/tmp", "user": "me"}},
    ]}}));
    spec.action = serde_json::from_value(serde_json::json!({"parallel": {"actions": [
        {"run": {"path": "/app", "user": "me"}},
        {"run": {"path": "/tmp/diego-sshd", "args": ["-address=0.0.0.0:2222"], "user": "me"}},
    ]}}))
    .unwrap();
    spec.monitor = Some(testing::healthcheck(port));
    perform(&cell, testing::lrp_work(&lrp, "ig")).await;
    until_told(&bed, "start ig").await;
    assert_eq!(bed.runtime.runs_of("/tmp/diego-sshd"), 0);
}

#[tokio::test]
async fn a_setup_that_fails_is_the_reason() {
    let bed = Bed::new();
    let cell = bed.start().await;
    let mut lrp = app(&bed);
    bed.runtime.program("/setup", Script::exits(4));
    lrp.containers[0].setup = Some(testing::run("/setup"));
    perform(&cell, testing::lrp_work(&lrp, "ig")).await;
    until_told(&bed, "crash ig: APP: Exited with status 4").await;
    assert_eq!(bed.runtime.runs_of("/app"), 0);
}

#[tokio::test]
async fn a_process_that_ended_well_and_was_never_healthy_stays_claimed() {
    let bed = Bed::new();
    let cell = bed.start().await;
    let mut lrp = app(&bed);
    bed.runtime.program("/app", Script::exits(0));
    bed.runtime.program("/check", Script::exits(1));
    lrp.containers[0].monitor = Some(testing::run("/check"));
    perform(&cell, testing::lrp_work(&lrp, "ig")).await;
    eventually("it has ended", || bed.logs.has("APP/0 OUT Exit status 0")).await;
    let before = bed.runtime.runs_of("/check");
    eventually("it goes on being checked", || bed.runtime.runs_of("/check") > before + 3).await;
    let calls = bed.bbs.calls();
    assert!(bed.bbs.has("claim ig"), "{calls:?}");
    let verbs = ["start", "crash", "exit", "remove"];
    let is_settled = |call: &&String| verbs.iter().any(|verb| call.starts_with(verb));
    assert_eq!(calls.iter().find(is_settled), None);
    assert_eq!(cell.state().await.unwrap().starting_count, 1);
}
