//! What this machine can give to containers, looked at once at the start.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use lattice_shim_protocol::CAPABILITIES;
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Resource, getrlimit};

use super::cgroup::Cgroups;

/// What this machine can give.
#[derive(Debug, Clone)]
pub(super) struct Host {
    /// The program that is PID 1 inside, and holds containers.
    pub(super) shim: PathBuf,
    /// The most open files that may be asked for.
    pub(super) nofile_max: u64,
    /// The most processes of a user that may be asked for.
    pub(super) nproc_max: u64,
    /// What this process may do, and so the most that a container may.
    pub(super) capabilities: BTreeSet<&'static str>,
    /// Where the hierarchies of control groups are mounted, here and inside.
    pub(super) cgroup_mounts: Vec<PathBuf>,
    /// True when swap can be bound.
    pub(super) has_swap_limit: bool,
    /// The containers' inclination to be killed when the whole machine is out of memory.
    pub(super) oom_score_adj: i32,
}

// === impl Host ===

impl Host {
    pub(super) fn inspect(shim: PathBuf, cgroups: &Cgroups) -> Self {
        let hard = |resource| getrlimit(resource).maximum.unwrap_or(u64::MAX);
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let score = fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default();
        let own_score: i32 = score.trim().parse().unwrap_or(0);
        Self {
            shim,
            nofile_max: hard(Resource::Nofile),
            nproc_max: hard(Resource::Nproc),
            capabilities: capabilities(&status),
            cgroup_mounts: cgroups.mounts(),
            has_swap_limit: cgroups.has_swap_limit(),
            // Apps before the platform, and raising the score is always allowed.
            oom_score_adj: (own_score.max(0) + 100).min(1000),
        }
    }
}

/// Unmounts all that is mounted below `dir`, the deepest first.
pub(super) fn unmount_below(dir: &Path) -> io::Result<()> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    for point in mount_points_below(&mounts, dir).iter().rev() {
        unmount(point, UnmountFlags::DETACH)?;
    }
    Ok(())
}

/// The mount points below `dir` in the order they were mounted.
fn mount_points_below(mountinfo: &str, dir: &Path) -> Vec<PathBuf> {
    let points = mountinfo.lines().filter_map(|line| line.split(' ').nth(4));
    points.map(PathBuf::from).filter(|point| point.starts_with(dir)).collect()
}

/// The effective capabilities in a `/proc/PID/status`.
fn capabilities(status: &str) -> BTreeSet<&'static str> {
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let mask = mask.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    let names = CAPABILITIES.iter().enumerate();
    names.filter(|(bit, _)| mask >> bit & 1 == 1).map(|(_, name)| *name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_read_by_number() {
        let some = capabilities("Name:\tx\nCapEff:\t00000000a80425fb\n");
        let docker = [
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
        assert_eq!(some.into_iter().collect::<Vec<_>>(), docker);
    }

    #[test]
    fn only_mounts_below_the_directory_are_found() {
        let mounts = "22 1 0:1 / /data rw - tmpfs x rw\n\
                      23 1 0:1 / /data/a rw - tmpfs x rw\n\
                      24 1 0:1 / /data/a/b rw - tmpfs x rw\n\
                      25 1 0:1 / /data/ab rw - tmpfs x rw\n";
        let found = mount_points_below(mounts, Path::new("/data/a"));
        assert_eq!(found, [PathBuf::from("/data/a"), PathBuf::from("/data/a/b")]);
    }
}
