//! What an app may have of the machine when nobody says anything, what `ltc` can say, and what an
//! instance knows of its place.

use std::net::IpAddr;

use lattice_tests::appliance::Appliance;
use lattice_tests::inside::from_container;
use lattice_tests::load::ask;
use lattice_tests::web::Web;
use lattice_tests::{PATIENCE, eventually, expect, image, machine};
use reqwest::Method;
use serde_json::{Value, json};

/// What a process that holds an instance has of the machine's memory.
const HOLDER_MB: u64 = 1;
/// More than any app here may have, but for the one that may have any number.
const BOMB: usize = 1500;

#[test]
fn a_fork_bomb_has_1024_processes_unless_it_was_created_with_another_bound() {
    machine::isolate();
    let lattice = Appliance::start(&[]);
    let web = Web::new();
    let layout = image::layout(lattice.scratch(), "fixture-app", &["threads", &BOMB.to_string()]);
    let layout = layout.to_str().unwrap();
    let bounds: [(&str, &[&str], std::ops::RangeInclusive<usize>); 3] = [
        ("plain", &[], 1000..=1023),
        ("small", &["--max-pids", "50"], 40..=49),
        ("free", &["--max-pids", "0", "--memory-mb", "256"], BOMB..=BOMB),
    ];
    for (app, flags, expected) in bounds {
        lattice.ltc_ok(&[&["create", app, layout, "--no-monitor"], flags].concat());
        let line = lattice.wait_logged(&web, app, "threads have started");
        let words: Vec<&str> = line.split(' ').collect();
        let started: usize = words[1].parse().unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(expected.contains(&started), "{app}: {line}");
    }
    let neighbour = image::layout(lattice.scratch(), "lattice-app", &[]);
    lattice.ltc_ok(&["create", "neighbour", neighbour.to_str().unwrap()]);
    assert_eq!(web.get("neighbour", "/index").unwrap().status, 200, "others run beside them");
    for app in ["plain", "small", "free"] {
        assert_eq!(lattice.states(&web, app), ["RUNNING"], "{app} stays within its bound");
    }
    let status = lattice.ltc_json(&["status", "small"]);
    assert_eq!(status["desired"]["max_pids"], 50, "{status}");
}

#[test]
fn ports_of_this_machine_are_of_the_range_that_was_asked_for_and_instances_know_theirs() {
    machine::isolate();
    let lattice = Appliance::start(&["--host-ports", "40000-40009", "--containers", "10"]);
    let web = Web::new();
    let layout = image::layout(lattice.scratch(), "lattice-app", &[]);
    let flags = ["--ports", "8080,9090", "--instances", "2", "--cpu-limit", "150"];
    lattice.ltc_ok(&[&["create", "web", layout.to_str().unwrap()][..], &flags].concat());
    let cells = lattice.api(&web, Method::GET, "/v1/cells", None);
    let cells: Value = serde_json::from_str(&cells.body).unwrap();
    assert_eq!((&cells[0]["cell_id"], &cells[1]), (&json!("lattice-cell-0"), &Value::Null));
    assert_eq!(
        (&cells[0]["zone"], &cells[0]["capacity"]["containers"]),
        (&json!("z1"), &json!(10))
    );
    let offered_mb = cells[0]["capacity"]["memory_mb"].as_u64().unwrap();
    assert_eq!(offered_mb, machine_mb() - 10 * HOLDER_MB, "what holds instances is not offered");
    let mut taken = Vec::new();
    for instance in lattice.instances(&web, "web") {
        let ports = instance["ports"].as_array().unwrap();
        let mapped: Vec<u16> = ports.iter().map(|pair| number(&pair["host_port"])).collect();
        assert!(mapped.iter().all(|port| (40000..=40009).contains(port)), "{instance}");
        let env = ask(([127, 0, 0, 1], mapped[0]).into(), "/env?json=1").unwrap().1;
        let env: Vec<(String, String)> = serde_json::from_str(&env).unwrap();
        let value = |name: &str| {
            let found = env.iter().find(|(known, _)| known == name);
            found.unwrap_or_else(|| panic!("{name} is missing in {env:?}")).1.clone()
        };
        let address = instance["address"].as_str().unwrap();
        assert_eq!(value("CF_INSTANCE_IP"), address);
        let internal: IpAddr = value("CF_INSTANCE_INTERNAL_IP").parse().unwrap();
        assert_ne!(internal.to_string(), address);
        assert_eq!(value("CF_INSTANCE_PORT"), mapped[0].to_string());
        assert_eq!(value("CF_INSTANCE_ADDR"), format!("{address}:{}", mapped[0]));
        let inside = ports.iter().map(|pair| number(&pair["container_port"]));
        let pairs = inside.zip(&mapped).map(|(i, e)| json!({"external": e, "internal": i}));
        let told: Value = serde_json::from_str(&value("CF_INSTANCE_PORTS")).unwrap();
        assert_eq!(told, Value::Array(pairs.collect()));
        assert_eq!(value("INSTANCE_GUID"), instance["instance_guid"].as_str().unwrap());
        assert_eq!(value("INSTANCE_INDEX"), instance["index"].to_string());
        taken.extend(mapped);
    }
    taken.sort_unstable();
    taken.dedup();
    assert_eq!(taken.len(), 4, "no port is given twice");
}

#[test]
fn an_app_that_writes_more_than_its_disk_has_crashes_and_its_image_does_not_count() {
    machine::isolate();
    let lattice = Appliance::start(&[]);
    let web = Web::new();
    let layout = image::layout(lattice.scratch(), "fixture-app", &["serve", "0.0.0.0:8080"]);
    let layout = layout.to_str().unwrap();
    lattice.ltc_ok(&["create", "image", layout, "--instances", "0", "--no-routes"]);
    let answer = lattice.api(&web, Method::GET, "/v1/desired_lrps/image", None);
    let mut lrp: Value = serde_json::from_str(&answer.body).unwrap();
    // The program in the image alone is larger than the smaller disk.
    lrp["setup"] =
        json!({"run": {"path": "/fixture-app", "args": ["copy", "/copy", "8"], "user": "root"}});
    lrp["instances"] = 1.into();
    for (app, disk_mb) in [("roomy", 64), ("narrow", 4)] {
        (lrp["process_guid"], lrp["log_guid"], lrp["disk_mb"]) =
            (app.into(), app.into(), disk_mb.into());
        let said = lattice.api(&web, Method::POST, "/v1/desired_lrps", Some(lrp.clone()));
        assert_eq!(said.status, 201, "{said:?}");
    }
    lattice.wait_running(&web, "roomy", 1);
    eventually("the other one crashes", PATIENCE, || {
        let lrp = lattice.instances(&web, "narrow").remove(0);
        let reason = lrp["crash_reason"].as_str().unwrap_or_default().to_owned();
        expect(reason.contains("Exited with status 101"), lrp)
    });
    lattice.wait_logged(&web, "narrow", "there is room: Os { code: 28");
}

#[test]
fn an_instance_has_a_loopback_of_its_own_in_both_versions_of_ip() {
    machine::isolate();
    let lattice = Appliance::start(&[]);
    let web = Web::new();
    for address in ["[::1]:7070", "127.0.0.1:7070"] {
        let said = from_container(&lattice, &web, &["meet", address], &[]);
        assert!(said.ends_with("|0 connected"), "{address}: {said}");
    }
}

/// All memory of this machine.
fn machine_mb() -> u64 {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap();
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap();
    total.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

fn number(value: &Value) -> u16 {
    value.as_u64().and_then(|n| u16::try_from(n).ok()).expect("it is a port")
}
