//! Apps that end, never get healthy, listen in the wrong place, eat too much, or do not listen.

use std::net::SocketAddr;
use std::time::Instant;

use lattice_tests::appliance::Appliance;
use lattice_tests::load::ask;
use lattice_tests::web::Web;
use lattice_tests::{PATIENCE, eventually, expect, image, machine};
use serde_json::{Value, json};

#[test]
fn an_app_that_exits_is_restarted_twice_at_once_and_then_backs_off() {
    machine::isolate();
    let lattice = Appliance::start(&[]);
    let web = Web::new();
    let layout = image::layout(lattice.scratch(), "fixture-app", &["exit", "7"]);
    let created =
        lattice.ltc(&["create", "bad", layout.to_str().unwrap(), "--no-monitor", "-t", "20s"]);
    // Without a monitor it runs for a moment, and that may be what is seen.
    let is_told = created.all().contains("Exited with status 7");
    assert!(created.code == 0 || is_told, "the reason is said: {created:?}");

    let lrp = eventually("it backs off", PATIENCE, || {
        let lrp = lattice.instances(&web, "bad").remove(0);
        if lrp["state"] == "CRASHED" { Ok(lrp) } else { Err(lrp) }
    });
    let backed_off = Instant::now();
    assert_eq!(lrp["crash_count"], 3, "{lrp}");
    let reason = lrp["crash_reason"].as_str().unwrap();
    assert_eq!(reason, "APP: Exited with status 7");
    lattice.wait_logged(&web, "bad", "going to exit with 7");
    lattice.wait_logged(&web, "bad", "Exit status 7");
    eventually("it is tried again after the wait", PATIENCE, || {
        let lrp = lattice.instances(&web, "bad").remove(0);
        if lrp["crash_count"] == 4 { Ok(()) } else { Err(lrp) }
    });
    assert!(backed_off.elapsed().as_secs() >= 25, "it waited: {:?}", backed_off.elapsed());
}

#[test]
fn an_app_that_never_gets_healthy_is_told_why() {
    machine::isolate();
    let lattice = Appliance::start(&[]);
    let web = Web::new();
    let layout = image::layout(lattice.scratch(), "fixture-app", &["sleep", "3600"]);
    submit(&lattice, layout.to_str().unwrap(), "slow", json!({"start_timeout": 2}));
    eventually("it crashes for want of health", PATIENCE, || {
        let lrp = lattice.instances(&web, "slow").remove(0);
        let reason = lrp["crash_reason"].as_str().unwrap_or_default().to_owned();
        expect(reason.contains("never healthy after 2s"), lrp)
    });
    lattice.wait_logged(&web, "slow", "8080");
}

#[test]
fn an_app_on_the_wrong_port_is_told_where_it_listens() {
    machine::isolate();
    let lattice = Appliance::start(&[]);
    let web = Web::new();
    let layout = image::layout(lattice.scratch(), "fixture-app", &["serve", "0.0.0.0:9999"]);
    submit(&lattice, layout.to_str().unwrap(), "lost", json!({"start_timeout": 3}));
    let line = lattice.wait_logged(&web, "lost", "the app listens on");
    assert!(line.contains("9999"), "where it listens is said: {line}");
    assert!(line.contains("8080"), "what was tried is said: {line}");
}

#[test]
fn an_app_that_listens_on_loopback_only_is_told_so() {
    machine::isolate();
    let lattice = Appliance::start(&[]);
    let web = Web::new();
    let layout = image::layout(lattice.scratch(), "fixture-app", &["serve", "127.0.0.1:8080"]);
    submit(&lattice, layout.to_str().unwrap(), "shy", json!({"start_timeout": 3}));
    lattice.wait_logged(&web, "shy", "only at 127.0.0.1");
}

#[test]
fn an_app_over_its_memory_limit_is_told_so() {
    machine::isolate();
    let lattice = Appliance::start(&[]);
    let web = Web::new();
    let layout = image::layout(lattice.scratch(), "fixture-app", &["hog", "512"]);
    let layout = layout.to_str().unwrap();
    lattice.ltc(&["create", "fat", layout, "--no-monitor", "--memory-mb", "64", "-t", "15s"]);
    eventually("it crashes for want of memory", PATIENCE, || {
        let lrp = lattice.instances(&web, "fat").remove(0);
        let reason = lrp["crash_reason"].as_str().unwrap_or_default().to_owned();
        let words = "APP: Exited with status 137 (out of memory): memory limit 64 MB, peak ";
        expect(reason.starts_with(words) && reason.ends_with(" MB"), lrp)
    });
    let status = lattice.ltc_ok(&["status", "fat"]);
    assert!(status.contains("(out of memory): memory limit 64 MB, peak "), "{status}");
    let line = lattice.wait_logged(&web, "fat", "out of memory");
    assert!(line.contains("64"), "the limit is said: {line}");
}

#[test]
fn an_app_deaf_to_sigterm_is_killed_and_its_log_says_so() {
    machine::isolate();
    let lattice = Appliance::start(&[]);
    let web = Web::new();
    let layout = image::layout(lattice.scratch(), "fixture-app", &["deaf"]);
    lattice.ltc_ok(&["create", "deaf", layout.to_str().unwrap(), "--no-monitor"]);
    lattice.wait_logged(&web, "deaf", "deaf to SIGTERM");
    let asked = Instant::now();
    lattice.ltc_ok(&["remove", "deaf"]);
    lattice.wait_logged(&web, "deaf", "SIGTERM is ignored");
    eventually("it is gone", PATIENCE, || {
        let left = lattice.instances(&web, "deaf");
        expect(left.is_empty(), left)
    });
    assert!(asked.elapsed().as_secs() >= 9, "it was given its grace: {:?}", asked.elapsed());
    lattice.wait_logged(&web, "deaf", "SIGKILL");
}

#[test]
fn an_app_whose_check_fails_has_crashed_and_its_process_is_gone() {
    machine::isolate();
    let lattice = Appliance::start(&[]);
    let web = Web::new();
    let layout = image::layout(lattice.scratch(), "fixture-app", &["serve", "0.0.0.0:8080"]);
    let check = json!({"http_check": {"port": 8080, "path": "/health", "interval_ms": 100}});
    let checks = json!({"monitor": null, "check_definition": {"checks": [check]}});
    submit(&lattice, layout.to_str().unwrap(), "sick", checks);
    lattice.wait_running(&web, "sick", 1);
    let address = lattice.instances(&web, "sick").remove(0)["instance_address"].clone();
    let address: SocketAddr = format!("{}:8080", address.as_str().unwrap()).parse().unwrap();
    assert_eq!(ask(address, "/sicken").unwrap().0, 200);
    eventually("it crashes for want of health", PATIENCE, || {
        let lrp = lattice.instances(&web, "sick").remove(0);
        let reason = lrp["crash_reason"].as_str().unwrap_or_default().to_owned();
        let words = "Instance became unhealthy: Liveness check unsuccessful: failed to make HTTP \
                     request to '/health' on port 8080: received status code 500 in ";
        expect(reason.starts_with(words) && lrp["crash_count"] == 1, lrp)
    });
    // The next instance has another address.
    eventually("nobody answers there any more", PATIENCE, || {
        let answer = ask(address, "/health");
        expect(answer.is_err(), answer)
    });
    lattice.wait_running(&web, "sick", 1);
}

/// Creates an app, which `ltc create` cannot make quite so, and lets it be.
fn submit(lattice: &Appliance, layout: &str, name: &str, changes: Value) {
    let created = lattice.ltc(&["create", name, layout, "--instances", "0", "--no-routes"]);
    assert_eq!(created.code, 0, "{created:?}");
    let web = Web::new();
    let get = |path: &str| lattice.api(&web, reqwest::Method::GET, path, None).body;
    let path = format!("/v1/desired_lrps/{name}");
    let mut lrp: Value = serde_json::from_str(&get(&path)).unwrap();
    for (field, value) in changes.as_object().unwrap() {
        lrp[field] = value.clone();
    }
    lrp["instances"] = 1.into();
    let gone = lattice.api(&web, reqwest::Method::DELETE, &path, None);
    assert_eq!(gone.status, 204, "{gone:?}");
    let file = lattice.scratch().join("lrp.json");
    std::fs::write(&file, lrp.to_string()).unwrap();
    lattice.ltc_ok(&["submit-lrp", file.to_str().unwrap()]);
}
