//! A machine of a story's own: network and mount namespaces for the calling thread and all that
//! it starts, so that the real machine's interfaces stay untouched.

use std::path::Path;
use std::process::Command;

use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_bind, mount_change, unmount};
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use sha2::{Digest as _, Sha256};

/// Moves the calling thread, and every thread and process it starts from now on, to namespaces of
/// their own, with loopback up.
pub fn isolate() {
    lattice_daemon::install_crypto();
    // SAFETY: neither flag changes what memory or descriptors this thread shares.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET | UnshareFlags::NEWNS) }
        .expect("stories need root, to make namespaces");
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)
        .expect("mounts can be made private");
    run("ip", &["link", "set", "lo", "up"]);
}

/// Runs a program that is not ours, and so may not take `registry.lattice.localhost` for loopback,
/// where `/etc/hosts` says so; what is ours must know by itself.
pub fn run_with_hosts(program: &str, args: &[&str]) -> String {
    with_hosts(&["registry.lattice.localhost"], || run(program, args))
}

/// Does something where `/etc/hosts` has these names on this machine, and nobody else sees it.
pub fn with_hosts<T: Send, N: AsRef<str>>(names: &[N], work: impl FnOnce() -> T + Send) -> T {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    let line = format!("127.0.0.1 localhost {}\n", names.join(" "));
    let work_there = || {
        // SAFETY: the flag changes neither memory nor descriptors, and this thread ends here.
        unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.expect("stories need root");
        let hosts = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(hosts.path(), &line).unwrap();
        mount_bind(hosts.path(), "/etc/hosts").expect("/etc/hosts can be covered");
        work()
    };
    let done = std::thread::scope(|scope| scope.spawn(work_there).join());
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Does something where a program that is installed seems not to be.
pub fn without_program<T>(name: &str, work: impl FnOnce() -> T) -> T {
    without_file(run("which", &[name]).trim(), work)
}

/// Does something where a device or a program seems to be nothing of the kind.
pub fn without_file<T>(path: &str, work: impl FnOnce() -> T) -> T {
    // A device is no program, and no other device.
    mount_bind("/dev/null", path).expect("a file can be covered");
    let done = work();
    unmount(path, UnmountFlags::DETACH).expect("a file can be uncovered");
    done
}

/// Runs a program to its end and returns what it printed; panics when it fails.
pub fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program)
        .args(args)
        .output()
        .unwrap_or_else(|e| panic!("cannot run {program}: {e}; script/bootstrap installs it"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{program} {args:?} failed with {}: {}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// What an appliance may leave on a machine, as sorted lines: interfaces, mounts (network
/// namespaces are mounts too) and nft tables of this story's namespaces, and the control groups
/// that are named for `data_dir`; these are the whole machine's, other stories' among them.
pub fn traces(data_dir: &Path) -> Vec<String> {
    let mut traces = Vec::new();
    let links = run("ip", &["-o", "link", "show"]);
    traces.extend(links.lines().filter_map(|l| l.split(": ").nth(1)).map(|l| format!("link {l}")));
    let tables = run("nft", &["list", "tables"]);
    traces.extend(tables.lines().map(|table| format!("nft {table}")));
    let mounts = std::fs::read_to_string("/proc/thread-self/mounts").expect("mounts are readable");
    let place = |line: &str| line.split(' ').nth(1).map(|place| format!("mount {place}"));
    traces.extend(mounts.lines().filter_map(place));
    traces.extend(loop_devices(data_dir));
    traces.extend(control_groups(data_dir));
    traces.extend(holders(data_dir).iter().map(|pid| format!("holder {pid:?}")));
    traces.sort();
    traces
}

/// The addresses and ports that are listened on in this story's network, as the kernel writes them.
pub fn listening() -> Vec<String> {
    let of = |table: &str| {
        let text = std::fs::read_to_string(format!("/proc/thread-self/net/{table}")).unwrap();
        let fields = text.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
        let listens = fields.filter(|fields| fields.get(3) == Some(&"0A"));
        listens.map(|fields| fields[1].to_owned()).collect::<Vec<_>>()
    };
    [of("tcp"), of("tcp6")].concat()
}

/// The devices that stand on files of `data_dir`.
fn loop_devices(data_dir: &Path) -> Vec<String> {
    // Without a directory nobody's are meant.
    if data_dir.as_os_str().is_empty() {
        return Vec::new();
    }
    let devices = std::fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let files = devices.map(|device| device.path().join("loop/backing_file"));
    let files = files.filter_map(|file| std::fs::read_to_string(file).ok());
    let ours = files.filter(|file| Path::new(file.trim()).starts_with(data_dir));
    ours.map(|file| format!("loop {}", file.trim())).collect()
}

/// The processes that hold the instances of `data_dir`.
pub fn holders(data_dir: &Path) -> Vec<Pid> {
    let entries = std::fs::read_dir("/proc").expect("/proc is readable").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let holds = |pid: &i32| {
        // Without a directory nobody's are meant.
        if data_dir.as_os_str().is_empty() {
            return false;
        }
        let words = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut words = words.split('\0').skip(1);
        let is_holder = words.next() == Some("shim");
        is_holder && words.next().is_some_and(|dir| Path::new(dir).starts_with(data_dir))
    };
    pids.filter(holds).filter_map(Pid::from_raw).collect()
}

/// The processes on whose command line `data_dir` is, the platform itself aside: what holds its
/// instances, and whatever was started to make and remove them.
pub fn processes(data_dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").expect("/proc is readable").flatten();
    let lines = entries.filter_map(|entry| {
        let words = std::fs::read_to_string(entry.path().join("cmdline")).ok()?;
        Some(words.replace('\0', " "))
    });
    let dir = data_dir.to_str().expect("a story's directory has a plain name");
    lines.filter(|line| line.contains(dir) && !line.contains(" up ")).collect()
}

/// What runs in the containers of `data_dir`, their inits aside, as command lines.
pub fn executed(data_dir: &Path) -> Vec<String> {
    let mut pids = std::collections::BTreeSet::new();
    for group in control_groups(data_dir) {
        let dir = group.trim_start_matches("cgroup ");
        let members = std::fs::read_to_string(format!("{dir}/cgroup.procs")).unwrap_or_default();
        pids.extend(members.lines().map(str::to_owned));
    }
    let line = |pid: String| {
        let words = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        words.replace('\0', " ")
    };
    let lines = pids.into_iter().map(line);
    // A container that is only being made has nothing executed in it.
    let is_ours = |line: &String| line.starts_with("/.lattice/init") || line.contains(" oci ");
    lines.filter(|line| !line.is_empty() && !is_ours(line)).collect()
}

/// Takes away all that a reboot would: containers' processes and what holds them, control groups,
/// mounts below `data_dir`, interfaces and tables. Files stay.
pub fn lose_power(data_dir: &Path) {
    for holder in holders(data_dir) {
        let _ = kill_process(holder, Signal::KILL);
    }
    for group in control_groups(data_dir) {
        let dir = group.trim_start_matches("cgroup ");
        let members = std::fs::read_to_string(format!("{dir}/cgroup.procs")).unwrap_or_default();
        for pid in members.lines().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    crate::eventually("control groups are empty", crate::PATIENCE, || {
        // The deepest first.
        let groups = control_groups(data_dir);
        for group in groups.iter().rev() {
            let _ = std::fs::remove_dir(group.trim_start_matches("cgroup "));
        }
        crate::expect(groups.is_empty(), groups)
    });
    let mounts = std::fs::read_to_string("/proc/thread-self/mounts").expect("mounts are readable");
    let places = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    let own: Vec<&str> = places.filter(|place| Path::new(place).starts_with(data_dir)).collect();
    for place in own.iter().rev() {
        unmount(*place, UnmountFlags::DETACH).expect("a mount below the data directory goes");
    }
    run("nft", &["flush", "ruleset"]);
    for link in run("ip", &["-o", "link", "show"]).lines().filter_map(|l| l.split(": ").nth(1)) {
        let name = link.split('@').next().expect("split gives something");
        if name != "lo" {
            let _ = Command::new("ip").args(["link", "delete", name]).output();
        }
    }
}

fn control_groups(data_dir: &Path) -> Vec<String> {
    let hash = Sha256::digest(data_dir.as_os_str().as_encoded_bytes());
    let tag: String = hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let found = Command::new("find")
        .args(["/sys/fs/cgroup", "-type", "d", "-path", &format!("*/lattice-{tag}*")])
        .output()
        .expect("find is on every Debian");
    let mut groups: Vec<String> =
        String::from_utf8_lossy(&found.stdout).lines().map(|dir| format!("cgroup {dir}")).collect();
    groups.sort();
    groups
}
