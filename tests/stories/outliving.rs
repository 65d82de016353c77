//! Apps outlive the platform: it is killed, stopped and started anew, and they do not notice.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use lattice_tests::appliance::Appliance;
use lattice_tests::load::{address, get, under_load};
use lattice_tests::web::Web;
use lattice_tests::{PATIENCE, eventually, expect, image, machine};
use rustix::process::{Signal, kill_process};
use serde_json::Value;

use crate::lifecycle::answers_from;
use crate::recovery::{create, instance_guids, root_filesystems};
use crate::ssh;

/// As many as show that it is not one or two by chance.
const INSTANCES: usize = 12;

#[test]
fn killed_and_stopped_under_load_it_finds_its_apps_again_which_answered_all_the_time() {
    machine::isolate();
    let mut lattice = Appliance::start(&[]);
    let web = Web::new();
    let layout = image::layout(lattice.scratch(), "fixture-app", &["serve", "0.0.0.0:8080"]);
    let count = INSTANCES.to_string();
    lattice.ltc_ok(&["create", "web", layout.to_str().unwrap(), "--instances", &count]);
    answers_from(&web, "web", INSTANCES);
    crash_once(&lattice, &web);
    let before = what_is_known(&lattice, &web);
    let addresses: Vec<SocketAddr> = before.iter().map(address).collect();
    for (round, signal) in [Signal::KILL, Signal::TERM].into_iter().enumerate() {
        let words = format!("while you were away {round}");
        let path = format!("/say/{}", words.replace(' ', "%20"));
        under_load(&addresses, || {
            lattice.stop(signal);
            addresses.iter().for_each(|at| assert_eq!(get(*at, &path).unwrap(), 200));
            lattice.up();
        });
        let web = Web::new();
        answers_from(&web, "web", INSTANCES);
        assert_eq!(what_is_known(&lattice, &web), before, "{signal:?}");
        // The log-aggregator is as new as the platform, so all of this came after the start.
        for index in 0..INSTANCES {
            eventually("what was logged meanwhile is there, once", PATIENCE, || {
                let lines = lattice.recent_logs(&web, "web");
                let own = lines.iter().filter(|line| line.contains(&format!("|{index} ")));
                let said = own.filter(|line| line.ends_with(&words)).count();
                expect(said == 1, lines)
            });
        }
    }
    lattice.ltc_ok(&["scale", "web", "1"]);
    eventually("what was taken over can be stopped", PATIENCE, || {
        let roots = root_filesystems(&lattice);
        expect(roots.len() == 1, roots)
    });
    lattice.ltc_ok(&["remove", "web"]);
    eventually("nothing is left", PATIENCE, || {
        let holders = machine::holders(&lattice.data_dir());
        expect(holders.is_empty() && root_filesystems(&lattice).is_empty(), holders)
    });
}

#[test]
fn an_instance_that_ended_meanwhile_is_reported_with_its_true_exit_status() {
    machine::isolate();
    let mut lattice = Appliance::start(&[]);
    let web = Web::new();
    let layout = image::layout(lattice.scratch(), "fixture-app", &["serve", "0.0.0.0:8080"]);
    lattice.ltc_ok(&["create", "brief", layout.to_str().unwrap()]);
    let before = instance_guids(&lattice, &web, "brief");
    let at = address(&lattice.instances(&web, "brief")[0]);
    lattice.kill();
    get(at, "/exit/42").expect_err("it ends without an answer");
    eventually("it has ended", PATIENCE, || {
        let running = machine::executed(&lattice.data_dir());
        expect(running.is_empty(), running)
    });
    lattice.up();
    let web = Web::new();
    eventually("its end is told", PATIENCE, || {
        let lrp = lattice.instances(&web, "brief").remove(0);
        let reason = lrp["crash_reason"].as_str().unwrap_or_default().to_owned();
        expect(reason.contains("Exited with status 42"), lrp)
    });
    lattice.wait_logged(&web, "brief", "Exit status 42");
    eventually("another one was started", PATIENCE, || {
        let guids = instance_guids(&lattice, &web, "brief");
        expect(guids != before, guids)
    });
}

#[test]
fn a_task_that_ended_meanwhile_has_its_result() {
    let (mut lattice, web) = crate::tasks::stage();
    crate::tasks::submit(&lattice, "long", &["sleep", "5"], "");
    eventually("it runs", PATIENCE, || {
        let running = machine::executed(&lattice.data_dir());
        expect(running.len() == 1, running)
    });
    let task = crate::tasks::task(&lattice, &web, "long");
    assert_eq!(task["state"], "RUNNING", "{task}");
    lattice.kill();
    eventually("it has ended", PATIENCE, || {
        let running = machine::executed(&lattice.data_dir());
        expect(running.is_empty(), running)
    });
    lattice.up();
    let task = crate::tasks::completed(&lattice, &Web::new(), "long");
    assert_eq!(task["failed"], false, "{task}");
}

#[test]
fn an_instance_whose_holder_is_killed_comes_back_and_leaves_nothing() {
    machine::isolate();
    let lattice = Appliance::start(&[]);
    let web = Web::new();
    create(&lattice, "web", 1);
    let before = instance_guids(&lattice, &web, "web");
    let holders = machine::holders(&lattice.data_dir());
    assert_eq!(holders.len(), 1, "{holders:?}");
    kill_process(holders[0], Signal::KILL).unwrap();
    eventually("another instance runs", PATIENCE, || {
        let guids = instance_guids(&lattice, &web, "web");
        let states = lattice.states(&web, "web");
        expect(guids != before && states == ["RUNNING"], (guids, states))
    });
    answers_from(&web, "web", 1);
    let now = (machine::holders(&lattice.data_dir()), root_filesystems(&lattice));
    assert!(now.0.len() == 1 && now.1.len() == 1 && now.0 != holders, "{now:?}");
}

#[test]
fn what_runs_on_alone_is_stopped_by_lattice_down() {
    machine::isolate();
    let mut lattice = Appliance::start(&[]);
    create(&lattice, "web", 2);
    lattice.kill();
    assert_eq!(machine::executed(&lattice.data_dir()).len(), 2);
    let said = lattice.down(&[]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.contains("2 instances that ran on were stopped"), "{said:?}");
    assert_eq!(machine::executed(&lattice.data_dir()), [] as [String; 0]);
    assert!(machine::holders(&lattice.data_dir()).is_empty());
    assert!(root_filesystems(&lattice).is_empty());
    lattice.up();
    answers_from(&Web::new(), "web", 2);
}

#[test]
fn a_newer_program_takes_over_what_the_one_before_runs_whose_file_is_gone() {
    let (mut lattice, _) = ssh::stage();
    let replace = |lattice: &mut Appliance| {
        lattice.kill();
        lattice.upgrade();
        lattice.up();
    };
    replace(&mut lattice);
    lattice.ltc_ok(&["scale", "web", "2"]);
    lattice.wait_running(&Web::new(), "web", 2);
    let programs = || -> BTreeSet<String> {
        let all = machine::holders(&lattice.data_dir()).into_iter().map(|holder| {
            let exe = format!("/proc/{}/exe", holder.as_raw_nonzero());
            std::fs::read_link(exe).unwrap().to_string_lossy().into_owned()
        });
        all.collect()
    };
    let (gone, there): (Vec<_>, Vec<_>) =
        programs().into_iter().partition(|program| program.ends_with("(deleted)"));
    assert_eq!((gone.len(), there.len()), (1, 1), "each runs what it was started from");
    let before = what_is_known(&lattice, &Web::new());
    replace(&mut lattice);
    assert_eq!(what_is_known(&lattice, &Web::new()), before);
    for index in 0..2 {
        let said = eventually("one gets in", PATIENCE, || {
            let said = ssh::ssh(&lattice, &format!("diego:web/{index}"), &["echo in; exit 6"], "");
            expect(said.out == "in\n", said.clone()).map(|()| said)
        });
        assert_eq!(said.code, 6, "{said:?}");
    }
    ["web", "bare"].iter().for_each(|app| drop(lattice.ltc_ok(&["remove", app])));
    eventually("they can be removed", PATIENCE, || {
        let holders = machine::holders(&lattice.data_dir());
        expect(holders.is_empty() && root_filesystems(&lattice).is_empty(), holders)
    });
}

/// Gives the first instance a history.
fn crash_once(lattice: &Appliance, web: &Web) {
    let first = what_is_known(lattice, web).remove(0);
    get(address(&first), "/exit/3").expect_err("it ends without an answer");
    eventually("it came back", PATIENCE, || {
        let all = what_is_known(lattice, web);
        let is_running = |lrp: &Value| lrp["state"] == "RUNNING";
        let is_back = all[0]["crash_count"] == 1 && all.iter().all(is_running);
        expect(is_back, all)
    });
}

/// Who runs where since when, and how often it crashed.
fn what_is_known(lattice: &Appliance, web: &Web) -> Vec<Value> {
    let mut instances = lattice.instances(web, "web");
    instances.sort_by_key(|lrp| lrp["index"].as_u64());
    instances
}
