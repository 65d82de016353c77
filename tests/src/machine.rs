//! A machine of a story's own: network and mount namespaces for the calling thread and all that
//! it starts, so that the real machine's interfaces stay untouched.

use std::process::Command;

use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::thread::{UnshareFlags, unshare_unsafe};

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
    name_the_registry();
}

/// Tools that are not ours do not take `*.localhost` for loopback; on this machine one name is
/// enough.
fn name_the_registry() {
    let hosts = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(hosts.path(), "127.0.0.1 localhost registry.lattice.localhost\n").unwrap();
    rustix::mount::mount_bind(hosts.path(), "/etc/hosts").expect("/etc/hosts can be covered");
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

/// What an appliance may leave on a machine, as sorted lines: interfaces, mounts, nft tables,
/// control groups, network namespaces' mounts and containers' processes.
pub fn traces() -> Vec<String> {
    let mut traces = Vec::new();
    let links = run("ip", &["-o", "link", "show"]);
    traces.extend(links.lines().filter_map(|l| l.split(": ").nth(1)).map(|l| format!("link {l}")));
    let tables = run("nft", &["list", "tables"]);
    traces.extend(tables.lines().map(|table| format!("nft {table}")));
    let mounts = std::fs::read_to_string("/proc/thread-self/mounts").expect("mounts are readable");
    let place = |line: &str| line.split(' ').nth(1).map(|place| format!("mount {place}"));
    traces.extend(mounts.lines().filter_map(place));
    traces.extend(control_groups());
    traces.sort();
    traces
}

fn control_groups() -> Vec<String> {
    let found = Command::new("find")
        .args(["/sys/fs/cgroup", "-type", "d", "-name", "lattice-*"])
        .output()
        .expect("find is on every Debian");
    String::from_utf8_lossy(&found.stdout).lines().map(|dir| format!("cgroup {dir}")).collect()
}
