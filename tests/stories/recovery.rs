//! Stops, crashes, comebacks, and leaving no trace.

use std::path::Path;
use std::process::Stdio;

use lattice_tests::appliance::{Appliance, Said};
use lattice_tests::web::Web;
use lattice_tests::{PATIENCE, eventually, expect, image, machine};
use rustix::process::Signal;

use crate::lifecycle::answers_from;

#[test]
fn after_a_reboot_it_brings_the_apps_back_as_new_instances_and_leaves_nothing_behind() {
    machine::isolate();
    let mut lattice = Appliance::start(&[]);
    create(&lattice, "web", 2);
    let before = instance_guids(&lattice, &Web::new(), "web");
    lattice.kill();
    machine::lose_power(&lattice.data_dir());
    lattice.up();
    let web = Web::new();
    answers_from(&web, "web", 2);
    let after = instance_guids(&lattice, &web, "web");
    assert!(after.iter().all(|guid| !before.contains(guid)), "{before:?} {after:?}");
    eventually("no leftovers", PATIENCE, || {
        let roots = root_filesystems(&lattice);
        expect(roots.len() == 2, roots)
    });
}

#[test]
fn stopped_by_a_person_it_brings_the_apps_back() {
    machine::isolate();
    let mut lattice = Appliance::start(&[]);
    create(&lattice, "web", 1);
    let ended = lattice.stop(Signal::INT);
    assert!(ended.success(), "{ended}");
    let left = root_filesystems(&lattice);
    assert!(left.is_empty(), "the app is stopped: {left:?}");
    lattice.up();
    answers_from(&Web::new(), "web", 1);
    let said = lattice.down(&[]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(lattice.wait().success());
    lattice.up();
    answers_from(&Web::new(), "web", 1);
}

#[test]
fn what_was_backed_up_is_there_again_after_a_restore() {
    machine::isolate();
    let mut lattice = Appliance::start(&[]);
    create(&lattice, "web", 1);
    let backup = lattice.scratch().join("backup");
    let backup = backup.to_str().unwrap();
    let said = lattice.lattice("backup", &[backup]);
    assert_eq!((said.code, said.err.as_str()), (0, ""), "while it runs");
    assert!(said.out.contains("(apps: 1, tasks: 0, "), "{said:?}");
    let said = lattice.lattice("backup", &[backup]);
    assert_eq!(said.code, 64, "{said:?}");
    assert!(said.err.contains("overwrite it with --force"), "{said:?}");

    lattice.ltc_ok(&["remove", "web"]);
    let said = lattice.lattice("restore", &[backup]);
    assert_eq!(said.code, 64, "{said:?}");
    assert!(said.err.contains("stop it with `lattice down"), "{said:?}");
    assert_eq!(lattice.down(&[]).code, 0);
    assert!(lattice.wait().success());
    let said = lattice.lattice("restore", &[backup]);
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
    lattice.up();
    answers_from(&Web::new(), "web", 1);
}

#[test]
fn apps_deaf_to_sigterm_do_not_keep_it_from_stopping_in_time() {
    machine::isolate();
    let mut lattice = Appliance::start(&[]);
    let layout = image::layout(lattice.scratch(), "fixture-app", &["deaf"]);
    let layout = layout.to_str().unwrap();
    lattice.ltc_ok(&["create", "deaf", layout, "--no-monitor", "--instances", "5"]);
    let web = Web::new();
    lattice.wait_running(&web, "deaf", 5);
    eventually("all five have said that they are deaf", PATIENCE, || {
        let lines = lattice.recent_logs(&web, "deaf");
        let deaf = lines.iter().filter(|line| line.contains("deaf to SIGTERM")).count();
        expect(deaf == 5, lines)
    });
    // The bound on how long it may take is that of `stop`.
    let ended = lattice.stop(Signal::INT);
    assert!(ended.success(), "{ended}");
    let left = root_filesystems(&lattice);
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn purged_it_leaves_no_trace() {
    machine::isolate();
    let before = machine::traces(Path::new(""));
    let mut lattice = Appliance::start(&[]);
    create(&lattice, "web", 2);
    let traces = machine::traces(&lattice.data_dir());
    for kind in ["link lattice0", "mount ", "nft table", "cgroup "] {
        let has = |traces: &[String]| traces.iter().filter(|t| t.starts_with(kind)).count();
        assert!(has(&traces) > has(&before), "{kind} is there while an app runs: {traces:?}");
    }
    let refused = lattice.down(&["--purge"]);
    assert_ne!(refused.code, 0, "nobody can be asked: {refused:?}");
    let purged = lattice.down(&["--purge", "--yes"]);
    assert_eq!(purged.code, 0, "{purged:?}");
    lattice.wait();
    assert_eq!(machine::traces(&lattice.data_dir()), before);
    assert!(!lattice.data_dir().exists());
}

#[test]
fn killed_and_purged_it_leaves_no_trace() {
    machine::isolate();
    let before = machine::traces(Path::new(""));
    let mut lattice = Appliance::start(&[]);
    create(&lattice, "web", 2);
    lattice.kill();
    let purged = lattice.down(&["--purge", "--yes"]);
    assert_eq!(purged.code, 0, "{purged:?}");
    assert_eq!(machine::traces(&lattice.data_dir()), before);
    assert!(!lattice.data_dir().exists());
}

#[test]
fn purged_without_the_oci_runtime_that_made_its_containers_it_leaves_no_trace() {
    machine::isolate();
    let before = machine::traces(Path::new(""));
    let mut lattice = Appliance::start(&["--runtime", "runc"]);
    create(&lattice, "web", 1);
    lattice.kill();
    let purged = machine::without_program("runc", || {
        let mut up = std::process::Command::new(lattice_tests::program("lattice"));
        up.args(["up", "--runtime", "runc", "--data-dir"]).arg(lattice.data_dir());
        let refused = Said::of(up);
        assert!(refused.err.contains("runc is not installed"), "it is gone: {refused:?}");
        lattice.down(&["--purge", "--yes"])
    });
    assert_eq!(purged.code, 0, "{purged:?}");
    assert_eq!(machine::traces(&lattice.data_dir()), before);
    assert!(!lattice.data_dir().exists());
}

#[test]
fn a_second_appliance_on_the_same_data_is_refused() {
    machine::isolate();
    let lattice = Appliance::start(&[]);
    let mut second = std::process::Command::new(lattice_tests::program("lattice"));
    second.args(["up", "--data-dir"]).arg(lattice.data_dir()).stdin(Stdio::null());
    let said = Said::of(second);
    assert_eq!(said.code, 64, "{said:?}");
    assert!(said.err.contains("lattice down"), "{said:?}");
}

#[test]
fn a_crashed_instance_comes_back() {
    machine::isolate();
    let lattice = Appliance::start(&[]);
    let web = Web::new();
    create(&lattice, "web", 1);
    let before = instance_guids(&lattice, &web, "web");
    assert_eq!(web.get("web", "/exit").unwrap().status, 200);
    eventually("another instance runs", PATIENCE, || {
        let states = lattice.states(&web, "web");
        let guids = instance_guids(&lattice, &web, "web");
        expect(states == ["RUNNING"] && guids != before, (states, guids))
    });
    answers_from(&web, "web", 1);
}

#[test]
fn thirty_apps_are_created_at_once() {
    machine::isolate();
    let lattice = Appliance::start(&[]);
    let web = Web::new();
    let layout = image::layout(lattice.scratch(), "lattice-app", &[]);
    let layout = layout.to_str().unwrap();
    let spawn = |n: usize| {
        let name = format!("app-{n}");
        let mut command = lattice.ltc_command(&["create", &name, layout, "-m", "32"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let running: Vec<_> = (0..30).map(spawn).collect();
    for (n, child) in running.into_iter().enumerate() {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "app-{n}: {}", String::from_utf8_lossy(&output.stderr));
    }
    for n in 0..30 {
        lattice.wait_running(&web, &format!("app-{n}"), 1);
        answers_from(&web, &format!("app-{n}"), 1);
    }
}

pub(crate) fn create(lattice: &Appliance, name: &str, instances: usize) {
    let layout = image::layout(lattice.scratch(), "lattice-app", &[]);
    let count = instances.to_string();
    lattice.ltc_ok(&["create", name, layout.to_str().unwrap(), "--instances", &count]);
}

pub(crate) fn root_filesystems(lattice: &Appliance) -> Vec<String> {
    let traces = machine::traces(&lattice.data_dir());
    traces.into_iter().filter(|trace| trace.ends_with("merged")).collect()
}

pub(crate) fn instance_guids(lattice: &Appliance, web: &Web, app: &str) -> Vec<String> {
    let guid = |lrp: &serde_json::Value| lrp["instance_guid"].as_str().unwrap().to_owned();
    lattice.instances(web, app).iter().map(guid).collect()
}
