//! The bounds of a container as the kernel has them, whoever made it.

use std::fs;
use std::path::{Path, PathBuf};

use lattice_cell::runtime::oci::Engine;
use lattice_cell::runtime::{ContainerId, ProcessSpec, Runtime as _, UserIds};
use lattice_model::Limit;

use crate::contract::spec;
use crate::machine::Machine;
use crate::real::{InPath as _, eventually};

/// A container's control group.
enum Cgroup {
    /// One directory in each hierarchy.
    V1(String),
    /// One directory.
    V2(PathBuf),
}

impl Cgroup {
    fn of(machine: &Machine, id: &ContainerId) -> Self {
        let config = machine.path("data/containers").join(id.as_str()).join("config.json");
        let config: serde_json::Value = serde_json::from_slice(&fs::read(config).unwrap()).unwrap();
        let path = config["linux"]["cgroupsPath"].as_str().unwrap().trim_start_matches('/');
        let root = Path::new("/sys/fs/cgroup");
        match root.join("cgroup.controllers").exists() {
            true => Self::V2(root.join(path)),
            false => Self::V1(path.to_owned()),
        }
    }

    /// A file's content; `None` where this machine does not count such a thing.
    fn read(&self, controller: &str, in_v1: &str, in_v2: &str) -> Option<String> {
        let file = match self {
            Self::V1(path) => Path::new("/sys/fs/cgroup").join(controller).join(path).join(in_v1),
            Self::V2(dir) => dir.join(in_v2),
        };
        fs::read_to_string(file).ok().map(|text| text.trim().to_owned())
    }

    /// The most memory and swap together.
    fn memory_and_swap(&self) -> Option<String> {
        let found = self.read("memory", "memory.memsw.limit_in_bytes", "memory.swap.max")?;
        match self {
            Self::V1(_) => Some(found),
            // Version 2 counts swap by itself; none of it is as much as the memory alone.
            Self::V2(_) => {
                assert_eq!(found, "0");
                self.read("memory", "", "memory.max")
            }
        }
    }

    /// CPU time of a period, and the period, in µs.
    fn cpu(&self) -> Vec<String> {
        let text = match self {
            Self::V1(_) => ["cpu.cfs_quota_us", "cpu.cfs_period_us"]
                .map(|file| self.read("cpu", file, "").unwrap())
                .join(" "),
            Self::V2(_) => self.read("", "", "cpu.max").unwrap(),
        };
        text.split(' ').map(str::to_owned).collect()
    }

    /// How often it had to wait because its CPU time of a period was used up.
    fn throttled(&self) -> u64 {
        let text = self.read("cpu", "cpu.stat", "cpu.stat").unwrap();
        let count = text.lines().find_map(|line| line.strip_prefix("nr_throttled "));
        count.unwrap_or_else(|| panic!("{text}")).parse().unwrap()
    }
}

#[tokio::test]
#[allow(clippy::print_stdout, reason = "what was not examined is said")]
async fn the_bounds_of_a_container_are_in_its_control_group() {
    for engine in Engine::ALL {
        let machine = Machine::with(engine);
        let runtime = machine.runtime();
        let mut blueprint = machine.blueprint("bounded");
        blueprint.cpu_limit_percent = Limit::AtMost(150);
        let id = blueprint.id.clone();
        runtime.create(blueprint).await.unwrap_or_else(|e| panic!("{engine:?}: {e}"));
        let group = Cgroup::of(&machine, &id);
        let memory = (64_u32 << 20).to_string();
        let found = group.read("memory", "memory.limit_in_bytes", "memory.max");
        assert_eq!(found.as_ref(), Some(&memory), "{engine:?}");
        match group.memory_and_swap() {
            Some(found) => assert_eq!(found, memory, "{engine:?}"),
            None => println!("this machine does not count swap: its bound was not examined"),
        }
        let pids = group.read("pids", "pids.max", "pids.max");
        assert_eq!(pids.as_deref(), Some("64"), "{engine:?}");
        assert_eq!(group.cpu(), ["150000", "100000"], "{engine:?}");
        runtime.delete(&id).await.unwrap();

        let unbound = machine.blueprint("unbound");
        let id = unbound.id.clone();
        runtime.create(unbound).await.unwrap_or_else(|e| panic!("{engine:?}: {e}"));
        let quota = Cgroup::of(&machine, &id).cpu().remove(0);
        assert!(["-1", "max"].contains(&quota.as_str()), "{engine:?}: {quota}");
        runtime.delete(&id).await.unwrap();
    }
}

#[tokio::test]
async fn a_container_that_wants_more_cpu_time_than_it_may_have_waits() {
    for engine in Engine::ALL {
        let machine = Machine::with(engine);
        let runtime = machine.runtime();
        let mut blueprint = machine.blueprint("eager");
        blueprint.cpu_limit_percent = Limit::AtMost(10);
        let id = blueprint.id.clone();
        runtime.create(blueprint).await.unwrap_or_else(|e| panic!("{engine:?}: {e}"));
        let busy = spec(&["/bin/sh", "-c", "while :; do :; done"]).in_path();
        let busy = runtime.exec(&id, busy).await.unwrap_or_else(|e| panic!("{engine:?}: {e}"));
        let group = Cgroup::of(&machine, &id);
        eventually("it was made to wait", || group.throttled() > 3);
        runtime.delete(&id).await.unwrap();
        drop(busy);
    }
}

#[tokio::test]
async fn a_process_has_the_files_and_the_processes_it_was_given() {
    for engine in Engine::ALL {
        let machine = Machine::with(engine);
        let runtime = machine.runtime();
        let blueprint = machine.blueprint("given");
        let id = blueprint.id.clone();
        runtime.create(blueprint).await.unwrap_or_else(|e| panic!("{engine:?}: {e}"));
        // A user of its own, as root may have more, and nobody else's processes count.
        let user = UserIds { uid: 77, gid: 77, additional_gids: Vec::new() };
        let script = "cat /proc/self/limits; n=0; while [ $n -lt 40 ]; do sleep 1000 & n=$((n+1)); \
                      done; echo all";
        let shell = ["/bin/sh", "-c", script];
        // `runc` is that user for a moment, with ten threads or so.
        let process = ProcessSpec { user, nofile: Some(99), nproc: Some(30), ..spec(&shell) };
        let mut process = runtime.exec(&id, process.in_path()).await.unwrap();
        let mut said = String::new();
        // What it started keeps its output open: it is read as far as it is of interest.
        while let Some(chunk) = process.stderr.next().await {
            said += &String::from_utf8(chunk.bytes).unwrap();
            if said.contains("fork") {
                break;
            }
        }
        assert!(said.contains("can't fork"), "{engine:?}: {said}");
        assert_ne!(process.control.wait().await.code, 0, "{engine:?}");
        let mut told = String::new();
        while !told.contains("Max realtime timeout") {
            let chunk = process.stdout.next().await.expect("it tells its limits");
            told += &String::from_utf8(chunk.bytes).unwrap();
        }
        let limit = |name: &str| {
            let line = told.lines().find_map(|line| line.strip_prefix(name)).expect(name);
            line.split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(limit("Max processes"), ["30", "30"], "{engine:?}");
        assert_eq!(limit("Max open files"), ["99", "99"], "{engine:?}");
        runtime.delete(&id).await.unwrap();
    }
}
