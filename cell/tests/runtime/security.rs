//! What a container cannot do; each with the same question to a privileged one where it differs.

use lattice_cell::runtime::oci::{Engine, OciRuntime};
use lattice_cell::runtime::{ContainerId, Runtime};

use crate::machine::Machine;
use crate::real::run;

/// Docker's 14 default capabilities as the kernel writes them.
const DEFAULT_CAPABILITIES: u64 = 0xa804_25fb;

async fn container(machine: &Machine, runtime: &OciRuntime, privileged: bool) -> ContainerId {
    let mut blueprint = machine.blueprint(if privileged { "privileged" } else { "plain" });
    blueprint.privileged = privileged;
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
    runtime.delete(&id).await.unwrap();
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
    let refused = [
        ("mount -t tmpfs none /etc", "permission denied"),
        ("echo 1 > /proc/sys/kernel/hostname", "Read-only"),
        ("echo 1 > /proc/sys/vm/swappiness", "Read-only"),
        ("echo 1 > /sys/kernel/new", ""),
        ("echo 1 > /sys/fs/cgroup/new", ""),
        ("echo 1 > /sys/fs/cgroup/cgroup.procs || echo 1 > /sys/fs/cgroup/pids/cgroup.procs", ""),
        ("echo x > /.lattice/init", ""),
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
