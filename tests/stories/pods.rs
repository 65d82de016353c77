//! Instances of several processes and containers: sidecars, a helper from another image, a volume.

use std::net::SocketAddr;

use lattice_tests::appliance::Appliance;
use lattice_tests::load::ask;
use lattice_tests::web::Web;
use lattice_tests::{PATIENCE, eventually, expect, image, machine};
use reqwest::Method;
use serde_json::{Value, json};

use crate::recovery::{instance_guids, root_filesystems};

#[test]
fn sidecars_and_further_containers_run_share_and_outlive_the_platform() {
    let (mut lattice, web, rootfs) = stage();
    let mut lrp = pod(&rootfs);
    lrp["sidecars"] = json!([
        {"name": "plain", "action": run(&["serve", "0.0.0.0:9090"])},
        {"name": "bounded", "memory_mb": 64, "action": run(&["serve", "0.0.0.0:9091"])},
    ]);
    lrp["mounts"] = json!([{"volume": "data", "path": "/data", "read_only": true}]);
    lrp["containers"] = json!([{
        "name": "helper", "rootfs": rootfs, "memory_mb": 32, "disk_mb": 64,
        "setup": run(&["write", "/shared/word", "hello"]),
        "action": run(&["serve", "0.0.0.0:9092"]),
        "mounts": [{"volume": "data", "path": "/shared"}],
    }]);
    desire(&lattice, &web, &lrp);
    lattice.wait_running(&web, "pod", 1);
    let before = instance_guids(&lattice, &web, "pod");
    for (source, port) in [("APP/PLAIN", 9090), ("APP/BOUNDED", 9091), ("APP/HELPER", 9092)] {
        let line = lattice.wait_logged(&web, "pod", &format!("listening on 0.0.0.0:{port}"));
        assert!(line.starts_with(&format!("{source}|0 ")), "{line}");
    }
    let alive = |lattice: &Appliance, web: &Web| {
        for port in [8080, 9090, 9091, 9092] {
            // An instance runs as soon as its app does; nobody looks whether the others listen yet.
            eventually("it answers", PATIENCE, || {
                let answer = ask(at(lattice, web, port), "/").map_err(|e| e.to_string());
                expect(answer == Ok((200, "fixture".to_owned())), (port, answer))
            });
        }
        let read = ask(at(lattice, web, 8080), "/file/data/word").unwrap();
        assert_eq!(read, (200, "hello".to_owned()), "the volume is one for both");
    };
    alive(&lattice, &web);
    assert_eq!(machine::holders(&lattice.data_dir()).len(), 3, "the plain one needs none");

    lattice.kill();
    lattice.up();
    let web = Web::new();
    lattice.wait_running(&web, "pod", 1);
    assert_eq!(instance_guids(&lattice, &web, "pod"), before);
    alive(&lattice, &web);

    ask(at(&lattice, &web, 9091), "/exit/3").expect_err("it ends without an answer");
    crashed(&lattice, &web, "sidecar bounded: APP/BOUNDED: Exited with status 3");
    eventually("another instance runs", PATIENCE, || {
        let guids = instance_guids(&lattice, &web, "pod");
        let states = lattice.states(&web, "pod");
        expect(guids != before && states == ["RUNNING"], (guids, states))
    });
    alive(&lattice, &web);
    lattice.ltc_ok(&["remove", "pod"]);
    eventually("nothing is left", PATIENCE, || {
        let left = (machine::holders(&lattice.data_dir()), root_filesystems(&lattice));
        expect(left.0.is_empty() && left.1.is_empty(), left)
    });
}

#[test]
fn a_sidecar_that_eats_more_than_its_own_takes_the_instance_with_it_and_is_named() {
    let (lattice, web, rootfs) = stage();
    let mut lrp = pod(&rootfs);
    lrp["memory_mb"] = 512.into();
    let hog = run(&["hog", "256"]);
    lrp["sidecars"] = json!([{"name": "greedy", "memory_mb": 48, "action": hog}]);
    desire(&lattice, &web, &lrp);
    crashed(
        &lattice,
        &web,
        "sidecar greedy: APP/GREEDY: Exited with status 137 (out of memory): memory limit 48 MB, peak ",
    );
    let line = lattice.wait_logged(&web, "pod", "out of memory: ");
    assert!(line.starts_with("APP/GREEDY|0 ") && line.contains("limit 48 MB"), "{line}");
}

#[test]
fn what_an_instance_holds_is_refused_where_it_makes_no_sense() {
    let (lattice, web, rootfs) = stage();
    let mut lrp = pod(&rootfs);
    lrp["sidecars"] = json!([{"name": "main", "action": run(&["serve", "0.0.0.0:1"])}]);
    let refused = lattice.api(&web, Method::POST, "/v1/desired_lrps", Some(lrp));
    assert_eq!(refused.status, 400, "{refused:?}");
    assert!(refused.body.contains("name 'main' is there twice"), "{refused:?}");
}

/// An appliance whose registry has the fixture's image, and the image as a root filesystem.
fn stage() -> (Appliance, Web, String) {
    machine::isolate();
    let lattice = Appliance::start(&[]);
    let web = Web::new();
    let layout = image::layout(lattice.scratch(), "fixture-app", &["serve", "0.0.0.0:8080"]);
    let layout = layout.to_str().unwrap();
    lattice.ltc_ok(&["create", "image", layout, "--instances", "0", "--no-routes"]);
    let answer = lattice.api(&web, Method::GET, "/v1/desired_lrps/image", None);
    let lrp: Value = serde_json::from_str(&answer.body).unwrap();
    let rootfs = lrp["rootfs"].as_str().unwrap().to_owned();
    (lattice, web, rootfs)
}

fn run(args: &[&str]) -> Value {
    json!({"run": {"path": "/fixture-app", "args": args, "user": "1000"}})
}

fn pod(rootfs: &str) -> Value {
    json!({"process_guid": "pod", "domain": "lattice", "rootfs": rootfs, "instances": 1,
        "action": run(&["serve", "0.0.0.0:8080"]), "ports": [8080], "memory_mb": 64, "disk_mb": 64,
        "log_guid": "pod", "log_source": "APP",
        "check_definition": {"checks": [{"tcp_check": {"port": 8080}}]}})
}

fn desire(lattice: &Appliance, web: &Web, lrp: &Value) {
    let said = lattice.api(web, Method::POST, "/v1/desired_lrps", Some(lrp.clone()));
    assert_eq!(said.status, 201, "{said:?}");
}

fn at(lattice: &Appliance, web: &Web, port: u16) -> SocketAddr {
    let lrp = lattice.instances(web, "pod").remove(0);
    let ip = lrp["instance_address"].as_str().unwrap_or_else(|| panic!("{lrp}"));
    format!("{ip}:{port}").parse().unwrap()
}

fn crashed(lattice: &Appliance, web: &Web, reason: &str) {
    eventually(reason, PATIENCE, || {
        let lrp = lattice.instances(web, "pod").remove(0);
        let said = lrp["crash_reason"].as_str().unwrap_or_default().to_owned();
        expect(said.starts_with(reason), lrp)
    });
}
