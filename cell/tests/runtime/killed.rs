//! What is killed leaves nothing that cannot be removed: the process that holds a container, and
//! the owner of containers at any step. On every engine.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use lattice_cell::runtime::oci::Engine;
use lattice_cell::runtime::{ContainerId, ExitStatus, Runtime as _};

use crate::contract::spec;
use crate::machine::{Machine, blueprint_in, runtime_in};
use crate::real::{ENGINE, OWNER, eventually, owners_engine};

/// How often an owner is killed, each time a little later.
const MOMENTS: usize = 12;

#[tokio::test]
async fn a_container_whose_holder_was_killed_is_removed_without_a_trace() {
    for engine in Engine::ALL {
        let machine = Machine::with(engine);
        let (runtime, id) = (machine.runtime(), ContainerId::new("orphan"));
        runtime.create(machine.blueprint("orphan")).await.unwrap();
        let process = runtime.exec(&id, spec(&["/bin/sleep", "1000"])).await.unwrap();
        let stamp = fs::read_to_string(machine.path("data/containers/orphan/shim.stamp")).unwrap();
        let pid = stamp.lines().next().unwrap().trim_start_matches("pid ").to_owned();
        assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
        let ended = process.control.wait().await;
        assert_eq!(ended, ExitStatus::LOST, "{engine:?}: nobody can know how it ended");
        let after = machine.runtime();
        after.adopt(&id, false).await.expect_err("nobody holds it any more");
        runtime.delete(&id).await.unwrap();
        assert_eq!(runtime.list().await.unwrap(), [], "{engine:?}");
        assert_eq!(fs::read_dir(machine.path("data/oci")).unwrap().count(), 0, "{engine:?}");
    }
}

#[tokio::test]
async fn an_owner_of_our_own_containers_killed_at_any_moment_leaves_what_can_be_removed() {
    leaves_what_can_be_removed(Engine::Embedded).await;
}

#[tokio::test]
async fn an_owner_of_runcs_containers_killed_at_any_moment_leaves_what_can_be_removed() {
    leaves_what_can_be_removed(Engine::Runc).await;
}

#[tokio::test]
async fn an_owner_of_cruns_containers_killed_at_any_moment_leaves_what_can_be_removed() {
    leaves_what_can_be_removed(Engine::Crun).await;
}

async fn leaves_what_can_be_removed(engine: Engine) {
    let machine = Machine::with(engine);
    let data_dir = machine.path("owned");
    for moment in 0..MOMENTS {
        let mut owner = Command::new("/proc/self/exe")
            .args(["--exact", "killed::an_owner_makes_and_removes_until_it_is_killed"])
            .env(OWNER, machine.path(""))
            .env(ENGINE, format!("{engine:?}"))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let containers = data_dir.join("containers");
        let has_begun = || fs::read_dir(&containers).is_ok_and(|mut dir| dir.next().is_some());
        eventually("the owner is at it", has_begun);
        // What it is at after so many turns differs from machine to machine, and from run to run.
        for _ in 0..moment * 2_000 {
            has_begun();
        }
        owner.kill().unwrap();
        owner.wait().unwrap();
        let successor = runtime_in(&data_dir, engine);
        for id in successor.list().await.unwrap() {
            successor.delete(&id).await.unwrap_or_else(|e| panic!("at {moment}: {e}"));
        }
        assert_eq!(successor.list().await.unwrap(), [], "at {moment}");
        // One that has only begun to hold finds nothing to hold.
        eventually("nobody holds anything", || holders_in(&data_dir).is_empty());
        let is_empty = || fs::read_dir(data_dir.join("oci")).unwrap().count() == 0;
        eventually("no record is left", is_empty);
    }
}

/// Not a test by itself: without a machine to own it has nothing to do.
#[tokio::test]
async fn an_owner_makes_and_removes_until_it_is_killed() {
    let Some(dir) = std::env::var(OWNER).ok().filter(|dir| !dir.contains(':')) else { return };
    let dir = Path::new(&dir);
    let runtime = runtime_in(&dir.join("owned"), owners_engine());
    let id = ContainerId::new("short-lived");
    loop {
        runtime.create(blueprint_in(dir, id.as_str())).await.unwrap();
        drop(runtime.exec(&id, spec(&["/bin/true"])).await);
        runtime.delete(&id).await.unwrap();
    }
}

/// The processes that hold containers of a data directory.
fn holders_in(data_dir: &Path) -> Vec<String> {
    let lines = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let words = fs::read_to_string(entry.path().join("cmdline")).ok()?;
        Some(words.replace('\0', " "))
    });
    let place = data_dir.display().to_string();
    lines.filter(|line| line.contains(" shim ") && line.contains(&place)).collect()
}
