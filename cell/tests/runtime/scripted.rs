//! The contract on the scripted fake.

use std::time::Duration;

use async_trait::async_trait;
use lattice_cell::runtime::fake::{End, FakeRuntime, Script};
use lattice_cell::runtime::{ContainerBlueprint, ContainerId, Runtime};
use lattice_model::Limit;

use crate::contract::{self, Fixture, Program};

struct Scripted(FakeRuntime);

fn blueprint(name: &str) -> ContainerBlueprint {
    ContainerBlueprint {
        id: ContainerId::new(name),
        hostname: name.to_owned(),
        rootfs: "/nowhere".into(),
        netns: "/nowhere".into(),
        files: Vec::new(),
        volumes: Vec::new(),
        memory_bytes: Limit::AtMost(64 << 20),
        cpu_shares: 1024,
        cpu_limit_percent: Limit::Unlimited,
        pids: Limit::AtMost(64),
        privileged: false,
        users: None,
    }
}

#[async_trait]
impl Fixture for Scripted {
    fn runtime(&self) -> &dyn Runtime {
        &self.0
    }

    fn blueprint(&self, name: &str) -> ContainerBlueprint {
        blueprint(name)
    }

    fn argv(&self, program: Program) -> Vec<String> {
        vec![format!("{program:?}")]
    }

    async fn successor_of_killed(&self, name: &str, kept: &[Program]) -> Box<dyn Runtime> {
        self.0.create(blueprint(name)).await.unwrap();
        for program in kept {
            self.0.exec(&ContainerId::new(name), contract::kept(self, *program)).await.unwrap();
        }
        Box::new(self.0.after_crash())
    }
}

#[tokio::test]
async fn the_fake_keeps_the_contract() {
    let fake = FakeRuntime::new();
    let scripts = [
        (Program::ExitsWith3, Script::exits(3)),
        (Program::Prints, Script::exits(0).printing(&["out"]).complaining(&["err"])),
        (Program::Runs, Script::runs().printing(&["ready"])),
        (Program::IgnoresTerminate, Script::runs().printing(&["ready"]).ignoring_terminate()),
        (Program::Echoes, Script::echoes()),
        (Program::EatsMemory, Script::ending(End::OutOfMemory(Duration::from_millis(20)))),
    ];
    for (program, script) in scripts {
        fake.script(&format!("{program:?}"), script);
    }
    contract::check(&Scripted(fake)).await;
}

#[tokio::test]
async fn a_failure_is_told_once() {
    let fake = FakeRuntime::new();
    fake.fail_next_create("the disk is full");
    let error = fake.create(blueprint("c")).await.unwrap_err().to_string();
    assert_eq!(error, "cannot create container c: the disk is full");
    fake.create(blueprint("c")).await.unwrap();
    assert!(fake.executed(&ContainerId::new("c")).is_empty());
    assert_eq!(fake.blueprint(&ContainerId::new("c")).unwrap().hostname, "c");
}
