//! What a container cannot do; each with the same question to a privileged one where it differs.

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;

use lattice_cell::runtime::oci::{Engine, OciRuntime};
use lattice_cell::runtime::{ContainerBlueprint, ContainerId, ProcessSpec, Runtime, UserIds};
use lattice_model::Limit;
use lattice_shim_protocol::program::INIT;
use rustix::fs::{StatVfsMountFlags, fstatvfs};

use crate::contract::{read_all, spec};
use crate::machine::Machine;
use crate::real::{InPath as _, run};

/// Docker's 14 default capabilities as the kernel writes them.
const DEFAULT_CAPABILITIES: u64 = 0xa804_25fb;

/// A program that starts another one.
const ANOTHER: [&str; 3] = ["/bin/sh", "-c", "(echo another); exit $?"];

async fn container(machine: &Machine, runtime: &OciRuntime, privileged: bool) -> ContainerId {
    let mut blueprint = machine.blueprint(if privileged { "privileged" } else { "plain" });
    blueprint.privileged = privileged;
    if privileged {
        blueprint.users = None;
    }
    let id = blueprint.id.clone();
    runtime.create(blueprint).await.unwrap_or_else(|e| panic!("{e}"));
    id
}

fn field<'a>(status: &'a str, name: &str) -> &'a str {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect(name);
    line.trim_start_matches(':').trim()
}

#[tokio::test]
async fn an_executed_process_is_filtered_and_bounded() {
    for engine in Engine::ALL {
        examine_an_executed_process_is_filtered_and_bounded(engine).await;
    }
}

async fn examine_an_executed_process_is_filtered_and_bounded(engine: Engine) {
    let machine = Machine::with(engine);
    let runtime = machine.runtime();
    let id = container(&machine, &runtime, false).await;
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    let own = u64::from_str_radix(field(&own, "CapEff"), 16).unwrap();
    for who in ["self", "1"] {
        let (_, status) = run(&runtime, &id, &format!("cat /proc/{who}/status")).await;
        assert_eq!(field(&status, "Seccomp"), "2", "{who}");
        assert_eq!(field(&status, "NoNewPrivs"), "1", "{who}");
        let expected = if who == "1" { 0 } else { DEFAULT_CAPABILITIES & own };
        for set in ["CapEff", "CapPrm", "CapBnd"] {
            let found = u64::from_str_radix(field(&status, set), 16).unwrap();
            assert_eq!(found, expected, "{set} of {who}");
        }
    }
    runtime.delete(&id).await.unwrap();
}

#[tokio::test]
async fn the_root_of_a_container_is_nobody_on_the_host() {
    for engine in Engine::ALL {
        examine_the_root_of_a_container_is_nobody_on_the_host(engine).await;
    }
}

async fn examine_the_root_of_a_container_is_nobody_on_the_host(engine: Engine) {
    let machine = Machine::with(engine);
    let runtime = machine.runtime();
    let blueprint = machine.blueprint("plain");
    let first_id = blueprint.users.as_ref().unwrap().first_id;
    let own = machine.path("of-the-host");
    std::fs::write(&own, "").unwrap();
    std::fs::set_permissions(&own, std::fs::Permissions::from_mode(0o600)).unwrap();
    let id = blueprint.id.clone();
    let blueprint =
        ContainerBlueprint { files: vec![(own, "/of-the-host".to_owned())], ..blueprint };
    runtime.create(blueprint).await.unwrap_or_else(|e| panic!("{e}"));
    let as_user = UserIds { uid: 7, gid: 8, additional_gids: vec![9] };
    let mut sleepers = Vec::new();
    for (user, expected) in [(UserIds::default(), [0, 0]), (as_user, [7, 8])] {
        let process = ProcessSpec { user, ..spec(&["/bin/sh", "-c", "echo ready; sleep 1000"]) };
        let mut process = runtime.exec(&id, process.in_path()).await.unwrap();
        process.stdout.next().await.unwrap();
        sleepers.push((process, expected.map(|id| first_id + id)));
    }
    let mut seen: Vec<[u32; 2]> = processes_with_group(&format!("/{id}"), &machine);
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, [[first_id; 2], [first_id + 7, first_id + 8]], "{engine:?}");
    let (_, map) = run(&runtime, &id, "cat /proc/self/uid_map /proc/1/gid_map").await;
    let words: Vec<&str> = map.split_whitespace().collect();
    let line = ["0", &first_id.to_string(), "65536"];
    assert_eq!(words, [line, line].concat(), "{engine:?}");
    let refused = [
        "cat /of-the-host",
        "mknod /memory c 1 1",
        "ls /proc/1/root/../../of-the-host/x",
        "chown 70000 /etc/passwd",
    ];
    for script in refused {
        assert_ne!(run(&runtime, &id, script).await.0, 0, "{engine:?} allows {script}");
    }
    let mine = "echo x > /etc/new && chown 5:6 /etc/new && stat -c %u:%g /etc/new";
    assert_eq!(run(&runtime, &id, mine).await, (0, "5:6\n".to_owned()), "{engine:?}");
    runtime.delete(&id).await.unwrap();
}

/// The real user and group, as the host knows them, of all in a container's control group.
fn processes_with_group(group: &str, machine: &Machine) -> Vec<[u32; 2]> {
    let config = machine.path("data/containers/plain/config.json");
    let config: serde_json::Value =
        serde_json::from_slice(&std::fs::read(config).unwrap()).unwrap();
    let path = config["linux"]["cgroupsPath"].as_str().unwrap().to_owned();
    assert!(path.ends_with(group));
    let read = |entry: std::fs::DirEntry, name: &str| {
        std::fs::read_to_string(entry.path().join(name)).unwrap_or_default()
    };
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let within = all.filter(|entry| {
        let groups = std::fs::read_to_string(entry.path().join("cgroup")).unwrap_or_default();
        groups.lines().any(|line| line.ends_with(&path))
    });
    let ids = |status: &str, name: &str| -> u32 {
        field(status, name).split_whitespace().next().unwrap().parse().unwrap()
    };
    let statuses = within.map(|entry| read(entry, "status"));
    statuses.map(|status| [ids(&status, "Uid"), ids(&status, "Gid")]).collect()
}

#[tokio::test]
async fn a_privileged_process_is_neither() {
    for engine in Engine::ALL {
        examine_a_privileged_process_is_neither(engine).await;
    }
}

async fn examine_a_privileged_process_is_neither(engine: Engine) {
    let machine = Machine::with(engine);
    let runtime = machine.runtime();
    let id = container(&machine, &runtime, true).await;
    let (_, status) = run(&runtime, &id, "cat /proc/self/status").await;
    assert_eq!(field(&status, "Seccomp"), "0");
    assert_eq!(field(&status, "NoNewPrivs"), "0");
    let found = u64::from_str_radix(field(&status, "CapEff"), 16).unwrap();
    assert_eq!(found & DEFAULT_CAPABILITIES, DEFAULT_CAPABILITIES);
    assert_ne!(found, DEFAULT_CAPABILITIES);
    let (code, said) = run(&runtime, &id, "mount -t tmpfs none /etc").await;
    assert_eq!(code, 0, "{said}");
    // Its users are this host's own.
    for uid in [0, 7] {
        let user = UserIds { uid, gid: uid, additional_gids: Vec::new() };
        let map = ["/bin/cat", "/proc/self/uid_map", "/proc/self/status"];
        let process = ProcessSpec { user, ..spec(&map) };
        let mut process = runtime.exec(&id, process).await.unwrap();
        let said = read_all(&mut process.stdout).await;
        let words: Vec<&str> = said.split_whitespace().take(3).collect();
        assert_eq!(words, ["0", "0", "4294967295"], "{engine:?}");
        assert!(field(&said, "Uid").starts_with(&uid.to_string()), "{engine:?}: {said}");
    }
    runtime.delete(&id).await.unwrap();
}

#[tokio::test]
async fn with_one_process_allowed_an_app_that_starts_another_has_failed() {
    for engine in Engine::ALL {
        let machine = Machine::with(engine);
        let runtime = machine.runtime();
        let mut blueprint = machine.blueprint("alone");
        blueprint.pids = Limit::AtMost(1);
        let id = blueprint.id.clone();
        // An engine that needs more for itself says so at once.
        if runtime.create(blueprint).await.is_ok()
            && let Ok(mut process) = runtime.exec(&id, spec(&ANOTHER).in_path()).await
        {
            let said = read_all(&mut process.stdout).await;
            assert_ne!(process.control.wait().await.code, 0, "{engine:?}: {said}");
            assert!(!said.contains("another"), "{engine:?}: {said}");
        }
        runtime.delete(&id).await.unwrap();
    }
}

#[tokio::test]
async fn the_kernel_of_the_host_is_out_of_reach() {
    for engine in Engine::ALL {
        examine_the_kernel_of_the_host_is_out_of_reach(engine).await;
    }
}

async fn examine_the_kernel_of_the_host_is_out_of_reach(engine: Engine) {
    let machine = Machine::with(engine);
    let runtime = machine.runtime();
    let id = container(&machine, &runtime, false).await;
    let ask_for_host = format!("kill -0 {}", std::process::id());
    let list_others = format!("ls {}", machine.path("rootfs").display());
    let refused: [(&str, &str); 8] = [
        ("mount -t tmpfs none /etc", "permission denied"),
        ("echo 1 > /proc/sys/kernel/hostname", "Read-only"),
        ("echo 1 > /proc/sys/vm/swappiness", "Read-only"),
        ("echo 1 > /sys/kernel/new", ""),
        ("echo x > /.lattice/init", ""),
        ("insmod /etc/passwd", "not permitted"),
        (&ask_for_host, "No such process"),
        (&list_others, "No such file"),
    ];
    for (script, why) in refused {
        let (code, said) = run(&runtime, &id, script).await;
        assert_ne!(code, 0, "{script} was allowed");
        assert!(said.contains(why), "{script}: {said}");
    }
    // Which of Docker's list a kernel has differs; this one every kernel of ours has.
    assert!(!std::fs::read("/proc/timer_list").unwrap().is_empty());
    for hidden in ["/proc/kcore", "/proc/timer_list"] {
        let (_, size) =
            run(&runtime, &id, &format!("head -c 9 {hidden} 2>/dev/null | wc -c")).await;
        assert_eq!(size.trim(), "0", "{hidden} is readable");
    }
    let (_, processes) = run(&runtime, &id, "echo /proc/[0-9]*").await;
    assert!(processes.split(' ').count() < 5, "only its own processes are seen: {processes}");
    runtime.delete(&id).await.unwrap();
}

#[tokio::test]
async fn what_is_mounted_in_a_container_is_mounted_nowhere_else() {
    for engine in Engine::ALL {
        let machine = Machine::with(engine);
        let runtime = machine.runtime();
        for privileged in [false, true] {
            let id = container(&machine, &runtime, privileged).await;
            let (code, mounts) = run(&runtime, &id, "cat /proc/self/mountinfo").await;
            assert!(code == 0 && mounts.contains(" /proc "), "{engine:?}: {mounts}");
            assert!(!mounts.contains(" shared:"), "{engine:?}, privileged {privileged}: {mounts}");
            runtime.delete(&id).await.unwrap();
        }
    }
}

/// As in CVE-2019-5736: what enters a container is made to become itself again, so that it stays.
#[tokio::test]
async fn what_enters_a_container_cannot_be_written_to_even_by_the_root_of_the_host() {
    let machine = Machine::with(Engine::Embedded);
    let runtime = machine.runtime();
    let id = container(&machine, &runtime, true).await;
    // As an init it says nothing and stays.
    let itself = spec(&["/proc/self/exe", INIT]);
    let _process = runtime.exec(&id, itself.in_path()).await.unwrap();
    let script = "for exe in /proc/[0-9]*/exe; do grep -q 'sel[f]/exe' ${exe%exe}cmdline \
                  && echo found && : >>$exe; done";
    let (code, said) = run(&runtime, &id, script).await;
    assert!(said.contains("found") && code != 0, "{said}");
    // Also once nobody runs it any more.
    let processes = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let mut itself = processes.filter(|process| {
        let words = std::fs::read(process.join("cmdline")).unwrap_or_default();
        words == b"/proc/self/exe\0init\0"
    });
    let program = File::open(itself.next().expect("it runs").join("exe")).unwrap();
    assert!(fstatvfs(&program).unwrap().f_flag.contains(StatVfsMountFlags::RDONLY));
    runtime.delete(&id).await.unwrap();
}

#[tokio::test]
async fn what_is_written_to_memory_counts_as_memory() {
    for engine in Engine::ALL {
        examine_what_is_written_to_memory_counts_as_memory(engine).await;
    }
}

async fn examine_what_is_written_to_memory_counts_as_memory(engine: Engine) {
    let machine = Machine::with(engine);
    let runtime = machine.runtime();
    // The container has 64 MiB; what is killed for want of them frees none of these.
    for place in ["/dev/shm", "/dev"] {
        let id = container(&machine, &runtime, false).await;
        let fill = format!("head -c 63m /dev/zero > {place}/a; head -c 63m /dev/zero > {place}/b");
        assert_ne!(run(&runtime, &id, &fill).await.0, 0, "{engine:?}: {place}");
        let usage = runtime.usage(&id).await.unwrap();
        assert!(usage.memory_peak_bytes <= 64 << 20, "{engine:?}: {place}: {usage:?}");
        runtime.delete(&id).await.unwrap();
    }
}

#[tokio::test]
async fn a_fork_bomb_stays_within_its_bound() {
    for engine in Engine::ALL {
        examine_a_fork_bomb_stays_within_its_bound(engine).await;
    }
}

async fn examine_a_fork_bomb_stays_within_its_bound(engine: Engine) {
    let machine = Machine::with(engine);
    let runtime = machine.runtime();
    let id = container(&machine, &runtime, false).await;
    let bomb = "i=0; while [ $i -lt 200 ]; do sleep 1000 & i=$((i+1)); done";
    let (code, said) = run_without_end(&runtime, &id, bomb).await;
    assert_ne!(code, 0, "{said}");
    let usage = runtime.usage(&id).await.unwrap();
    assert!(usage.pids <= 64, "{usage:?}");
    runtime.delete(&id).await.unwrap();
}

/// What it leaves in the background keeps its output open, so only the process itself is awaited.
async fn run_without_end(runtime: &OciRuntime, id: &ContainerId, script: &str) -> (i32, String) {
    let script = format!("( {script} ) >/dev/null 2>&1");
    run(runtime, id, &script).await
}
