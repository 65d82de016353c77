//! The OCI runtime's configuration of containers and processes; data in, JSON out.

use lattice_model::Limit;
use lattice_shim_protocol::program::{INIT, PATH_INSIDE};
use serde_json::{Value, json};

use super::host::Host;
use super::seccomp;
use crate::runtime::{ContainerBlueprint, ProcessSpec};
use crate::userns::IDS;

/// What a container may do unless it is privileged; Docker's list.
const CAPABILITIES: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// Files of the kernel that tell of the host, hidden; Docker's list.
const MASKED_PATHS: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// Files of the kernel that must not be written; Docker's list, and the directory that holds the
/// mounts of cgroup version 1, which `runc` leaves writable.
const READONLY_PATHS: [&str; 6] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", "/sys/fs/cgroup"];

/// The most open files of a process that does not say: programs that close all of them one by one
/// at their start, or use `select`, cope with it, and may raise it up to [`NOFILE_HARD`].
const NOFILE_SOFT: u64 = 1024;

/// How far a process may raise its number of open files.
const NOFILE_HARD: u64 = 1_048_576;

/// How often CPU time is counted against its limit, in µs; the kernel's usual one.
const CPU_PERIOD_US: u64 = 100_000;

/// The init of a container and all around it.
pub(super) fn container(spec: &ContainerBlueprint, host: &Host, cgroup: &str) -> Value {
    let mut linux = json!({
        "cgroupsPath": cgroup,
        "namespaces": [
            {"type": "pid"},
            {"type": "mount"},
            {"type": "ipc"},
            {"type": "uts"},
            {"type": "cgroup"},
            {"type": "network", "path": spec.netns},
        ],
        "resources": resources(spec, host),
    });
    if let Some(users) = &spec.users {
        let namespaces = linux["namespaces"].as_array_mut().expect("it is a list");
        namespaces.push(json!({"type": "user", "path": users.path}));
        // Those it has; `runc` wants to be told.
        let all = json!([{"containerID": 0, "hostID": users.first_id, "size": IDS}]);
        (linux["uidMappings"], linux["gidMappings"]) = (all.clone(), all);
    }
    if !spec.privileged {
        linux["maskedPaths"] = json!(MASKED_PATHS);
        // Each hierarchy of version 1 is a mount by itself.
        let cgroups = host.cgroup_mounts.iter().filter_map(|place| place.to_str());
        let readonly: Vec<&str> = READONLY_PATHS.into_iter().chain(cgroups).collect();
        linux["readonlyPaths"] = json!(readonly);
        if let Some(profile) = seccomp::profile() {
            linux["seccomp"] = profile;
        }
    }
    json!({
        "ociVersion": "1.0.2",
        "hostname": spec.hostname,
        "root": {"path": spec.rootfs, "readonly": false},
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": [PATH_INSIDE, INIT],
            "env": [],
            "cwd": "/",
            "noNewPrivileges": true,
            // It reaps, and needs no rights for that.
            "capabilities": capability_sets(&[]),
            "oomScoreAdj": host.oom_score_adj,
        },
        "mounts": mounts(spec, host),
        "linux": linux,
    })
}

/// A process to execute in a container.
pub(super) fn process(spec: &ProcessSpec, host: &Host, privileged: bool) -> Value {
    let wanted: Vec<&str> = if privileged {
        host.capabilities.iter().copied().collect()
    } else {
        CAPABILITIES.into_iter().filter(|name| host.capabilities.contains(name)).collect()
    };
    let mut rlimits = vec![nofile(spec.nofile, host)];
    if let Some(nproc) = spec.nproc {
        let most = nproc.min(host.nproc_max);
        rlimits.push(json!({"type": "RLIMIT_NPROC", "soft": most, "hard": most}));
    }
    let variables = spec.env.iter().map(|var| format!("{}={}", var.name, var.value));
    json!({
        "terminal": false,
        "user": {
            "uid": spec.user.uid,
            "gid": spec.user.gid,
            "additionalGids": spec.user.additional_gids,
        },
        "args": spec.argv,
        "env": variables.collect::<Vec<_>>(),
        "cwd": if spec.dir.is_empty() { "/" } else { &spec.dir },
        "noNewPrivileges": !privileged,
        "capabilities": capability_sets(&wanted),
        "rlimits": rlimits,
        "oomScoreAdj": host.oom_score_adj,
    })
}

/// Never more than this process itself may have: without the right to raise it, that would fail.
fn nofile(wanted: Option<u64>, host: &Host) -> Value {
    let (soft, hard) = wanted.map_or((NOFILE_SOFT, NOFILE_HARD), |most| (most, most));
    let hard = hard.min(host.nofile_max);
    json!({"type": "RLIMIT_NOFILE", "soft": soft.min(hard), "hard": hard})
}

fn capability_sets(names: &[&str]) -> Value {
    json!({"bounding": names, "effective": names, "permitted": names})
}

/// The devices that every container has (null, zero, full, random, urandom, tty, pts) are
/// allowed by the OCI runtime itself.
fn resources(spec: &ContainerBlueprint, host: &Host) -> Value {
    let mut resources = json!({
        "cpu": {"shares": spec.cpu_shares.max(2)},
        "devices": [{"allow": spec.privileged, "access": "rwm"}],
    });
    if let Limit::AtMost(percent) = spec.cpu_limit_percent {
        resources["cpu"]["period"] = json!(CPU_PERIOD_US);
        resources["cpu"]["quota"] = json!(percent.saturating_mul(CPU_PERIOD_US / 100));
    }
    if let Limit::AtMost(bytes) = spec.memory_bytes {
        resources["memory"] = json!({"limit": bytes});
        if host.has_swap_limit {
            resources["memory"]["swap"] = json!(bytes);
        }
    }
    if let Limit::AtMost(pids) = spec.pids {
        resources["pids"] = json!({"limit": pids});
    }
    resources
}

fn mounts(spec: &ContainerBlueprint, host: &Host) -> Vec<Value> {
    let mount = |at: &str, kind: &str, options: &[&str]| {
        let options = options.to_vec();
        json!({"destination": at, "type": kind, "source": kind, "options": options})
    };
    let kernel: &[&str] = if spec.privileged {
        &["nosuid", "noexec", "nodev"]
    } else {
        &["nosuid", "noexec", "nodev", "ro"]
    };
    let mut all = vec![
        mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
        mount("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        mount("/sys", "sysfs", kernel),
        mount("/sys/fs/cgroup", "cgroup", &[kernel, &["relatime"]].concat()),
    ];
    all.extend(spec.volumes.iter().map(|volume| {
        let access = if volume.read_only { "ro" } else { "rw" };
        json!({
            "destination": volume.path,
            "type": "bind",
            "source": volume.source,
            "options": ["bind", access, "nosuid", "nodev"],
        })
    }));
    let init = (host.shim.clone(), PATH_INSIDE.to_owned());
    all.extend([&init].into_iter().chain(&spec.files).map(|(source, at)| {
        json!({
            "destination": at,
            "type": "bind",
            "source": source,
            "options": ["bind", "ro", "nosuid", "nodev"],
        })
    }));
    all
}

#[cfg(test)]
mod tests;
