//! Ways out of a container that programs try; each on every engine.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use lattice_cell::runtime::oci::{Engine, OciRuntime};
use lattice_cell::runtime::{ContainerBlueprint, ContainerId, Runtime as _, Volume};
use rustix::io::Errno;

use crate::contract::{read_all, spec};
use crate::machine::{Machine, give};
use crate::real::{InPath as _, run};

/// Where this test program is in a container that makes calls.
const PROBER: &str = "/prober";
/// What nobody else is to see.
const SECRET: &str = "only its owner knows";

async fn create(runtime: &OciRuntime, blueprint: ContainerBlueprint) -> ContainerId {
    let id = blueprint.id.clone();
    runtime.create(blueprint).await.unwrap_or_else(|e| panic!("{e}"));
    id
}

/// A container with this program in it.
async fn prober(machine: &Machine, runtime: &OciRuntime) -> ContainerId {
    let mut blueprint = machine.blueprint("prober");
    blueprint.files = vec![(std::env::current_exe().unwrap(), PROBER.to_owned())];
    create(runtime, blueprint).await
}

/// Makes a system call in a container; gives how it ended.
async fn call(runtime: &OciRuntime, id: &ContainerId, words: &[&str]) -> String {
    let process = spec(&[&[PROBER, "call"], words].concat()).in_path();
    let mut process = runtime.exec(id, process).await.unwrap_or_else(|e| panic!("{e}"));
    let said = read_all(&mut process.stdout).await;
    assert_eq!(process.control.wait().await.code, 0, "{words:?}: {said}");
    said.trim().to_owned()
}

fn error(errno: Errno) -> String {
    format!("error {}", errno.raw_os_error())
}

#[tokio::test]
async fn no_module_is_loaded_or_removed() {
    for engine in Engine::ALL {
        let machine = Machine::with(engine);
        let runtime = machine.runtime();
        let id = prober(&machine, &runtime).await;
        for name in ["init_module", "finit_module", "delete_module"] {
            let ended = call(&runtime, &id, &[name]).await;
            assert_eq!(ended, error(Errno::PERM), "{engine:?}: {name}");
        }
        runtime.delete(&id).await.unwrap();
    }
}

#[tokio::test]
async fn a_process_of_the_host_is_neither_traced_nor_read_nor_signalled() {
    for engine in Engine::ALL {
        let machine = Machine::with(engine);
        let runtime = machine.runtime();
        let id = prober(&machine, &runtime).await;
        // This process, which lives longer than the container; it has this number outside only.
        let host = std::process::id().to_string();
        let attach = libc::PTRACE_ATTACH.to_string();
        let tries: [&[&str]; 3] =
            [&["ptrace", &attach, &host], &["pidfd_open", &host], &["kill", &host, "0"]];
        for words in tries {
            let ended = call(&runtime, &id, words).await;
            let refusals = [error(Errno::SRCH), error(Errno::PERM)];
            assert!(refusals.contains(&ended), "{engine:?}: {words:?}: {ended}");
        }
        let read = format!("cat /proc/{host}/cmdline /proc/{host}/mem /proc/{host}/environ");
        assert_ne!(run(&runtime, &id, &read).await.0, 0, "{engine:?}");
        runtime.delete(&id).await.unwrap();
    }
}

/// What is written to is there, so that a refusal is one.
#[tokio::test]
async fn control_groups_are_not_written_to() {
    for engine in Engine::ALL {
        let machine = Machine::with(engine);
        let runtime = machine.runtime();
        let id = create(&runtime, machine.blueprint("plain")).await;
        let write = |v2: &str, v1: &str| {
            format!(
                "cd /sys/fs/cgroup; file={v2}; [ -e $file ] || file={v1}; [ -e $file ] && echo \
                 there; echo 1 > $file"
            )
        };
        let make = "cd /sys/fs/cgroup; [ -e pids ] && cd pids; [ -e cgroup.procs ] && echo there; \
                    busybox mkdir new";
        let tries = [
            write("cgroup.procs", "pids/cgroup.procs"),
            write("pids.max", "pids/pids.max"),
            write("memory.max", "memory/memory.limit_in_bytes"),
            write("cpu.max", "cpu/cpu.shares"),
            make.to_owned(),
        ];
        for script in tries {
            let (code, said) = run(&runtime, &id, &script).await;
            assert!(code != 0 && said.starts_with("there\n"), "{engine:?}: {script}: {said}");
            let reasons = ["Read-only file system", "Permission denied", "not permitted"];
            let is_refused = reasons.iter().any(|reason| said.contains(reason));
            assert!(is_refused, "{engine:?}: {script}: {said}");
        }
        runtime.delete(&id).await.unwrap();
    }
}

#[tokio::test]
async fn an_instance_does_not_see_the_files_of_another() {
    for engine in Engine::ALL {
        examine_an_instance_does_not_see_the_files_of_another(engine).await;
    }
}

async fn examine_an_instance_does_not_see_the_files_of_another(engine: Engine) {
    let machine = Machine::with(engine);
    let runtime = machine.runtime();
    let mut owner = machine.blueprint("owner");
    let users = owner.users.clone().unwrap();
    let volume = machine.path("volume");
    fs::create_dir(&volume).unwrap();
    fs::set_permissions(&volume, fs::Permissions::from_mode(0o700)).unwrap();
    for dir in [&volume, &owner.rootfs] {
        fs::write(dir.join("secret"), SECRET).unwrap();
        fs::set_permissions(dir.join("secret"), fs::Permissions::from_mode(0o600)).unwrap();
        give(&dir.join("secret"), &users);
    }
    give(&volume, &users);
    let mounted = |source, path: &str| Volume { source, path: path.to_owned(), read_only: false };
    owner.volumes = vec![mounted(volume.clone(), "/volume")];
    let (rootfs, paths) =
        (owner.rootfs.clone(), [owner.rootfs.join("secret"), volume.join("secret")]);
    let owner = create(&runtime, owner).await;
    let own = run(&runtime, &owner, "cat /secret /volume/secret").await;
    assert_eq!(own, (0, format!("{SECRET}{SECRET}")), "{engine:?}");
    let holds = spec(&["/bin/sh", "-c", "exec sleep 1000 < /volume/secret"]).in_path();
    let _holds = runtime.exec(&owner, holds).await.unwrap();

    let mut thief = machine.blueprint("thief");
    // Shown to it by mistake, they are another user's still.
    thief.volumes = vec![mounted(rootfs, "/stolen/root"), mounted(volume, "/stolen/volume")];
    let thief = create(&runtime, thief).await;
    let tries = [
        "cat /stolen/root/secret".to_owned(),
        "cat /stolen/volume/secret".to_owned(),
        "echo x > /stolen/root/etc/passwd".to_owned(),
        "rm /stolen/root/secret".to_owned(),
        format!("cat {}", paths[0].display()),
        format!("cat {}", paths[1].display()),
        format!("cat /proc/1/root/../../../..{}", paths[1].display()),
        format!("cat /proc/self/cwd/../../..{}", paths[0].display()),
        "cat /proc/[0-9]*/root/secret /proc/[0-9]*/root/volume/secret".to_owned(),
        "chown 0 /stolen/root/secret".to_owned(),
    ];
    for script in tries {
        let (code, said) = run(&runtime, &thief, &script).await;
        assert!(code != 0 && !said.contains(SECRET), "{engine:?}: {script}: {said}");
    }
    let after = run(&runtime, &owner, "cat /secret /etc/passwd").await.1;
    assert!(after.starts_with(SECRET) && after.contains("root:x:0:0"), "{engine:?}: {after}");
    for id in [thief, owner] {
        runtime.delete(&id).await.unwrap();
    }
}
