//! Instances of more than one process and more than one container.

use lattice_api::cell::Rep as _;
use lattice_model::{DesiredLrp, Limit, Mount, Sidecar};

use super::{app, perform, run, until_told};
use crate::runtime::{ContainerId, Signal};
use crate::testing::{self, Bed, Script, eventually};

fn sidecar(name: &str, memory_mb: u64) -> Sidecar {
    let (memory_mb, disk_mb) = (Limit::from_wire(memory_mb), Limit::Unlimited);
    let action = testing::run(&format!("/{name}"));
    Sidecar { name: name.into(), action, memory_mb, disk_mb }
}

/// An app with a sidecar of each kind and a database, all of which run until they are stopped.
fn pod(bed: &Bed) -> DesiredLrp {
    let mut lrp = app(bed);
    for program in ["/log", "/proxy", "/db"] {
        let script = Script { stdout: format!("{program} is up\n"), ..Script::forever() };
        bed.runtime.program(program, script);
    }
    let mount =
        |path: &str, read_only| Mount { volume: "data".into(), path: path.into(), read_only };
    lrp.containers[0].sidecars = vec![sidecar("log", 0), sidecar("proxy", 7)];
    lrp.containers[0].mounts = vec![mount("/data", true)];
    let mut db = testing::container_spec(testing::run("/db"));
    (db.name, db.ports, db.mounts) = ("db".into(), vec![5432], vec![mount("/var/db", false)]);
    lrp.containers.push(db);
    lrp
}

#[tokio::test]
async fn all_of_it_runs_is_counted_and_says_who_it_is() {
    let bed = Bed::new();
    let cell = bed.start().await;
    let lrp = pod(&bed);
    run(&bed, &cell, &lrp).await;
    for line in ["APP/0 OUT up", "APP/LOG/0 OUT /log is up", "APP/PROXY/0 OUT /proxy is up"] {
        eventually(line, || bed.logs.has(line)).await;
    }
    eventually("the database says so", || bed.logs.has("APP/DB/0 OUT /db is up")).await;
    let state = cell.state().await.unwrap();
    assert_eq!(state.available.memory_mb, 1024 - 100 - 7 - 100);
    assert_eq!(state.available.containers, 9, "an instance is one");
    let ports = bed.bbs.nets.lock().unwrap()["ig"].ports.clone();
    assert_eq!(ports.iter().map(|port| port.container_port).collect::<Vec<_>>(), [8080, 5432]);
    assert_eq!(bed.network.attached.lock().unwrap().len(), 1, "they share a network");
    assert_eq!(bed.images.mounted.lock().unwrap().len(), 2, "a sidecar has its container's files");

    let id = testing::container_of(&lrp, "ig");
    let made = bed.runtime.containers.lock().unwrap().clone();
    let of = |index: usize| made[&id.member(index)].clone().unwrap();
    let memory = [0, 1, 2].map(|index| of(index).memory_bytes);
    assert_eq!(memory, [100, 100, 7].map(|mb| Limit::AtMost(mb << 20)));
    assert_eq!((of(2).rootfs, of(2).hostname), (of(0).rootfs, id.to_string()));
    assert_ne!(of(1).rootfs, of(0).rootfs);
    let (read, written) = (&of(0).volumes[0], &of(1).volumes[0]);
    assert_eq!(read.source, written.source);
    assert!(read.source.ends_with("data") && read.read_only && !written.read_only);
    assert_eq!((read.path.as_str(), written.path.as_str()), ("/data", "/var/db"));
}

#[tokio::test]
async fn the_first_to_end_ends_all_and_is_named() {
    for (program, code, reason) in [
        ("/proxy", 3, "crash ig: sidecar proxy: APP/PROXY: Exited with status 3"),
        ("/log", 0, "crash ig: sidecar log: Codependent step exited"),
        ("/db", 1, "crash ig: container db: APP/DB: Exited with status 1"),
        ("/app", 2, "crash ig: APP: Exited with status 2"),
    ] {
        let bed = Bed::new();
        let cell = bed.start().await;
        let lrp = pod(&bed);
        run(&bed, &cell, &lrp).await;
        eventually("all run", || bed.runtime.running().len() == 4).await;
        bed.runtime.end(program, code);
        until_told(&bed, reason).await;
        for other in ["/app", "/log", "/proxy", "/db"].iter().filter(|other| **other != program) {
            assert_eq!(bed.runtime.signals_of(other), [Signal::TERMINATE], "{other}");
        }
        assert!(bed.runtime.containers.lock().unwrap().is_empty());
        assert!(bed.images.mounted.lock().unwrap().is_empty());
        assert_eq!(cell.state().await.unwrap().available.memory_mb, 1024);
    }
}

#[tokio::test]
async fn setups_come_before_every_action_and_one_that_fails_is_named() {
    let bed = Bed::new();
    let cell = bed.start().await;
    let mut lrp = pod(&bed);
    bed.runtime.program("/first", Script::exits(0));
    bed.runtime.program("/second", Script::exits(4));
    lrp.containers[0].setup = Some(testing::run("/first"));
    lrp.containers[1].setup = Some(testing::run("/second"));
    perform(&cell, testing::lrp_work(&lrp, "ig")).await;
    until_told(&bed, "crash ig: container db: APP/DB: Exited with status 4").await;
    let ran = bed.runtime.executed.lock().unwrap().iter().map(|s| s.argv[0].clone()).collect();
    let ran: Vec<String> = ran;
    assert_eq!(ran, ["/first", "/second"]);
}

#[tokio::test]
async fn a_stop_asks_each_of_them_once() {
    let bed = Bed::new();
    let cell = bed.start().await;
    let lrp = pod(&bed);
    run(&bed, &cell, &lrp).await;
    eventually("all run", || bed.runtime.running().len() == 4).await;
    cell.stop_lrp(&testing::key("web", 0), &testing::instance_key("ig")).await.unwrap();
    until_told(&bed, "remove ig").await;
    for program in ["/app", "/log", "/proxy", "/db"] {
        assert_eq!(bed.runtime.signals_of(program), [Signal::TERMINATE], "{program}");
    }
    assert!(bed.runtime.containers.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_next_cell_takes_all_of_it_over_or_removes_all_of_it() {
    for is_whole in [true, false] {
        let mut bed = Bed::new();
        let cell = bed.start().await;
        let lrp = pod(&bed);
        run(&bed, &cell, &lrp).await;
        eventually("all run", || bed.runtime.running().len() == 4).await;
        super::adoption::know_running(&bed);
        bed.succeed().await;
        let id = testing::container_of(&lrp, "ig");
        if !is_whole {
            bed.runtime.leave(&id.member(2));
        }
        let cell = bed.start().await;
        if is_whole {
            bed.runtime.end("/proxy", 9);
            until_told(&bed, "crash ig: sidecar proxy: APP/PROXY: Exited with status 9").await;
            assert_eq!(bed.runtime.runs_of("/proxy"), 1, "it was not started again");
        } else {
            until_told(&bed, "remove ig").await;
        }
        assert!(bed.runtime.containers.lock().unwrap().is_empty());
        assert!(bed.images.mounted.lock().unwrap().is_empty());
        assert_eq!(cell.state().await.unwrap().available.memory_mb, 1024);
    }
}

#[tokio::test]
async fn what_is_left_of_a_half_made_one_is_removed() {
    let bed = Bed::new();
    let half = ContainerId::new("half");
    bed.runtime.leave(&half);
    bed.runtime.leave(&half.member(1));
    bed.images.mounted.lock().unwrap().insert(half.member(1));
    let _cell = bed.start().await;
    assert!(bed.runtime.containers.lock().unwrap().is_empty());
    assert!(bed.images.mounted.lock().unwrap().is_empty());
}
