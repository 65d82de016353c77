//! Work that runs once.

use std::io::Write as _;
use std::net::TcpListener;
use std::time::Duration;

use lattice_tests::appliance::Appliance;
use lattice_tests::web::Web;
use lattice_tests::{PATIENCE, eventually, expect, image, machine};
use reqwest::Method;
use serde_json::{Value, json};

/// What each task here may write.
const DISK_MB: u64 = 24;

#[test]
fn a_task_that_succeeds_brings_its_result_file() {
    let (lattice, web) = stage();
    submit(&lattice, "good", &["write", "/result", "forty-two"], "/result");
    let task = completed(&lattice, &web, "good");
    assert_eq!((&task["failed"], &task["result"]), (&json!(false), &json!("forty-two")), "{task}");
    let shown = lattice.ltc_ok(&["task", "good"]);
    assert!(shown.contains("COMPLETED") && shown.contains("forty-two"), "{shown}");
    lattice.ltc_ok(&["delete-task", "good"]);
    assert_eq!(lattice.ltc(&["task", "good"]).code, 14);
}

#[test]
fn a_task_fills_its_own_disk_and_nobody_elses() {
    let (lattice, web) = stage();
    submit(&lattice, "greedy", &["fill", "/big", "/result"], "/result");
    let task = completed(&lattice, &web, "greedy");
    let result = task["result"].as_str().unwrap();
    let (written, why) = result.split_once(' ').unwrap_or_else(|| panic!("{task}"));
    assert_eq!(why, "StorageFull", "{task}");
    assert!((DISK_MB..DISK_MB + 3).contains(&written.parse().unwrap()), "{task}");
    eventually("its disk is gone", PATIENCE, || {
        let mut left = machine::traces(&lattice.data_dir());
        left.retain(|trace| trace.starts_with("loop ") || trace.contains("/rootfs/"));
        expect(left.is_empty(), left)
    });
}

#[test]
fn a_task_that_takes_longer_than_its_timeout_fails_and_says_so() {
    let (lattice, web) = stage();
    let run = json!({"run": {"path": "/fixture-app", "args": ["sleep", "3600"], "user": "root"}});
    let timeout = json!({"timeout": {"action": run, "timeout": 2_000_000_000_u64}});
    let task = json!({"task_guid": "slow", "domain": "lattice", "action": timeout,
        "rootfs": "docker://registry.lattice.localhost:8080/fixture#v1"});
    let posted = lattice.api(&web, Method::POST, "/v1/tasks", Some(task));
    assert_eq!(posted.status, 201, "{posted:?}");
    let task = completed(&lattice, &web, "slow");
    let reason = task["failure_reason"].as_str().unwrap();
    assert!(reason.contains("exceeded 2s timeout"), "{task}");
}

#[test]
fn a_task_that_fails_says_why() {
    let (lattice, web) = stage();
    submit(&lattice, "bad", &["exit", "3"], "");
    let task = completed(&lattice, &web, "bad");
    assert_eq!(task["failed"], true, "{task}");
    let reason = task["failure_reason"].as_str().unwrap();
    assert!(reason.contains("Exited with status 3"), "{reason}");
}

#[test]
fn a_task_is_cancelled_while_it_runs() {
    let (lattice, web) = stage();
    submit(&lattice, "long", &["sleep", "3600"], "");
    eventually("it runs", PATIENCE, || {
        let task = task(&lattice, &web, "long");
        if task["state"] == "RUNNING" { Ok(()) } else { Err(task) }
    });
    lattice.ltc_ok(&["cancel-task", "long"]);
    let task = completed(&lattice, &web, "long");
    assert_eq!(task["failure_reason"], "task was cancelled", "{task}");
    eventually("its container is gone", PATIENCE, || {
        let mut left = machine::traces(&lattice.data_dir());
        left.retain(|trace| trace.ends_with("merged"));
        expect(left.is_empty(), left)
    });
}

#[test]
fn a_task_is_cancelled_while_it_downloads_what_never_ends() {
    let (lattice, web) = stage();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/endless", server.local_addr().unwrap());
    let (told, asked) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (mut stream, _) = server.accept().unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        told.send(()).unwrap();
        // Until nobody reads any more.
        while stream.write_all(&[0; 100]).is_ok() {
            std::thread::sleep(Duration::from_millis(10));
        }
        told.send(()).unwrap();
    });
    let download =
        json!({"download": {"from": url, "to": "/tmp", "cache_key": "", "user": "root"}});
    submit_action(&lattice, "endless", download, "");
    asked.recv_timeout(PATIENCE).expect("the download begins");
    lattice.ltc_ok(&["cancel-task", "endless"]);
    let task = completed(&lattice, &web, "endless");
    assert_eq!(task["failure_reason"], "task was cancelled", "{task}");
    asked.recv_timeout(PATIENCE).expect("the download is broken off");
}

/// An appliance whose own registry holds the image of `fixture-app`.
pub(crate) fn stage() -> (Appliance, Web) {
    machine::isolate();
    let lattice = Appliance::start(&[]);
    let layout = image::layout(lattice.scratch(), "fixture-app", &[]);
    let account = lattice.account();
    image::copy(&layout, "registry.lattice.localhost:8080/fixture:v1", Some(&account));
    (lattice, Web::new())
}

pub(crate) fn submit(lattice: &Appliance, guid: &str, args: &[&str], result_file: &str) {
    let run = json!({"run": {"path": "/fixture-app", "args": args, "user": "root"}});
    submit_action(lattice, guid, run, result_file);
}

fn submit_action(lattice: &Appliance, guid: &str, action: Value, result_file: &str) {
    let task = json!({
        "task_guid": guid,
        "domain": "lattice",
        "rootfs": "docker://registry.lattice.localhost:8080/fixture#v1",
        "action": action,
        "memory_mb": 128,
        "disk_mb": DISK_MB,
        "cpu_weight": 100,
        "log_guid": guid,
        "log_source": "TASK",
        "result_file": result_file,
    });
    let file = lattice.scratch().join(format!("{guid}.json"));
    std::fs::write(&file, task.to_string()).unwrap();
    lattice.ltc_ok(&["submit-task", file.to_str().unwrap()]);
}

pub(crate) fn task(lattice: &Appliance, web: &Web, guid: &str) -> Value {
    let answer = lattice.api(web, Method::GET, &format!("/v1/tasks/{guid}"), None);
    serde_json::from_str(&answer.body).unwrap_or_else(|e| panic!("{e}: {answer:?}"))
}

pub(crate) fn completed(lattice: &Appliance, web: &Web, guid: &str) -> Value {
    eventually(&format!("{guid} is completed"), PATIENCE, || {
        let task = task(lattice, web, guid);
        if task["state"] == "COMPLETED" { Ok(task) } else { Err(task) }
    })
}
