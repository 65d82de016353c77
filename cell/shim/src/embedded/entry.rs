//! Starts a process in a container that is there: in its control groups, namespaces and users, with
//! the rights that it is to have. `libcontainer` can do that as well, but not where the container
//! has users of its own, and without the filter.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use lattice_shim_protocol::CAPABILITIES;
use oci_spec::runtime::{PosixRlimit, PosixRlimitType, Process};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    DumpableBehavior, Gid, Pid, PidfdFlags, Uid, WaitOptions, pidfd_open, set_dumpable_behavior,
    setsid, waitpid,
};
use rustix::thread::{
    CapabilitySet, CapabilitySets, ThreadNameSpaceType, move_into_thread_name_spaces,
    set_capabilities, set_keep_capabilities, set_no_new_privs, set_thread_groups,
    set_thread_res_gid, set_thread_res_uid,
};
use serde_json::Value;

use super::executor::Confined;
use super::{console, reason};

/// What every container of ours has apart from the host.
const NAMESPACES: ThreadNameSpaceType = ThreadNameSpaceType::MOUNT
    .union(ThreadNameSpaceType::PROCESS_ID)
    .union(ThreadNameSpaceType::NETWORK)
    .union(ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION)
    .union(ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME)
    .union(ThreadNameSpaceType::CONTROL_GROUP);

/// A container that runs.
pub(super) struct Container {
    /// Its init, which nobody can take the place of as long as this is held.
    init: OwnedFd,
    /// Its control groups, one in each hierarchy.
    cgroups: Vec<PathBuf>,
    has_own_users: bool,
}

// === impl Container ===

impl Container {
    /// The container whose init is this process, by its OCI configuration.
    pub(super) fn open(init: i32, config: &Value) -> Result<Self, String> {
        let gone = || "the container has no init any more".to_owned();
        let linux = &config["linux"];
        let group = linux["cgroupsPath"].as_str().ok_or("the container has no control group")?;
        let pid = Pid::from_raw(init.max(0)).ok_or_else(gone)?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).map_err(|_| gone())?;
        // Its number may be another process's by now, which is in another control group. If it
        // lives after that was read, it was the one that was read of.
        let groups = fs::read_to_string(format!("/proc/{init}/cgroup")).unwrap_or_default();
        let is_in = groups.lines().any(|line| line.splitn(3, ':').nth(2) == Some(group));
        if !is_in || has_ended(&pidfd).map_err(|e| e.to_string())? {
            return Err(gone());
        }
        let namespaces = linux["namespaces"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mounts = fs::read_to_string("/proc/self/mountinfo").map_err(|e| e.to_string())?;
        let cgroups = hierarchies(&mounts).map(|mount| mount.join(group.trim_start_matches('/')));
        Ok(Self {
            init: pidfd,
            cgroups: cgroups.filter(|place| place.exists()).collect(),
            has_own_users: namespaces.iter().any(|namespace| namespace["type"] == "user"),
        })
    }

    /// Starts a process and returns its number, or says why there is none; one with a terminal hands
    /// its other end to `console`. It is a child of this process, which must have one thread.
    pub(super) fn start(
        &self,
        process: &Value,
        (executor, complaints): (&Confined, File),
        console: Option<&UnixStream>,
    ) -> Result<i32, String> {
        let rights = rights(process);
        let process: Process =
            serde_json::from_value(process.clone()).map_err(|e| format!("odd process: {e}"))?;
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).map_err(|e| e.to_string())?;
        if let Some(score) = process.oom_score_adj() {
            fs::write("/proc/self/oom_score_adj", score.to_string())
                .map_err(|e| format!("cannot set the score for want of memory: {e}"))?;
        }
        // What is in the container must not look into what comes in.
        set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(|e| e.to_string())?;
        let helper = fork(0).map_err(|e| format!("cannot fork: {e}"))?;
        let Some(helper) = helper else {
            let child = self.enter().and_then(|()| fork(libc::CLONE_PARENT));
            match child {
                Ok(None) => {
                    let outcome = prepare(&process, rights, console);
                    outcome.map_or_else(|why| executor.say(&why), |()| drop(executor.run(&process)))
                }
                // Whoever reads too little knows that it failed.
                Ok(Some(pid)) => drop(File::from(writer).write_all(&pid.to_ne_bytes())),
                Err(e) => executor.say(&format!("cannot enter the container: {e}")),
            }
            // SAFETY: ends this process, and runs nothing of its parent's.
            unsafe { libc::_exit(1) };
        };
        drop(writer);
        let mut said = Vec::new();
        // Ends once the program runs, or what was to become it has ended.
        let read = File::from(reader).read_to_end(&mut said);
        let _ = waitpid(Pid::from_raw(helper), WaitOptions::empty());
        let pid = said.first_chunk().copied().map(i32::from_ne_bytes);
        let outcome = read.and_then(|_| pid.ok_or_else(|| io::Error::other("it was not started")));
        match reason(complaints) {
            None => outcome.map_err(|e| e.to_string()),
            Some(why) => {
                let _ = waitpid(pid.and_then(Pid::from_raw), WaitOptions::empty());
                Err(why)
            }
        }
    }

    /// Its limits first, while this process may still write them.
    fn enter(&self) -> io::Result<()> {
        self.cgroups.iter().try_for_each(|group| fs::write(group.join("cgroup.procs"), "0"))?;
        let users = match self.has_own_users {
            true => ThreadNameSpaceType::USER,
            false => ThreadNameSpaceType::empty(),
        };
        move_into_thread_name_spaces(self.init.as_fd(), NAMESPACES | users)?;
        if self.has_own_users {
            become_user(0, 0, &[])?;
        }
        Ok(())
    }
}

/// Makes this process what was asked for, but for the program.
fn prepare(
    process: &Process,
    rights: CapabilitySet,
    console: Option<&UnixStream>,
) -> Result<(), String> {
    let told = |what: &'static str| move |e: io::Error| format!("cannot {what}: {e}");
    setsid().map_err(io::Error::from).map_err(told("begin a session"))?;
    if let Some(waiting) = console {
        console::take(process, waiting).map_err(told("make a terminal"))?;
    }
    // SAFETY: no handler is set. This program's own start has it ignored.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    for limit in process.rlimits().iter().flatten() {
        bound(limit).map_err(told("set its limits"))?;
    }
    let directory = process.cwd();
    std::env::set_current_dir(directory)
        .map_err(|e| format!("cannot begin in working directory {}: {e}", directory.display()))?;
    if process.no_new_privileges() == Some(true) {
        set_no_new_privs(true).map_err(io::Error::from).map_err(told("bound its rights"))?;
    }
    let user = process.user();
    let others = user.additional_gids().as_deref().unwrap_or_default();
    drop_unlisted(rights).map_err(told("drop rights"))?;
    set_keep_capabilities(true).map_err(io::Error::from).map_err(told("keep rights"))?;
    become_user(user.uid(), user.gid(), others)
        .map_err(|e| format!("cannot become user {}:{}: {e}", user.uid(), user.gid()))?;
    let sets = CapabilitySets {
        effective: rights,
        permitted: rights,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, sets).map_err(io::Error::from).map_err(told("drop rights"))?;
    let flags = libc::CLOSE_RANGE_CLOEXEC;
    // SAFETY: nothing is closed before the program begins.
    match unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, flags) } {
        0 => Ok(()),
        _ => Err(told("close what is not its own")(io::Error::last_os_error())),
    }
}

/// Forks; `None` is the child.
fn fork(flags: i32) -> io::Result<Option<i32>> {
    let flags = i64::from(flags | libc::SIGCHLD);
    // SAFETY: without shared memory this is a fork, of a process of one thread.
    match unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) } {
        0 => Ok(None),
        pid => i32::try_from(pid)
            .ok()
            .filter(|pid| *pid > 0)
            .map(Some)
            .ok_or_else(io::Error::last_os_error),
    }
}

fn become_user(uid: u32, gid: u32, others: &[u32]) -> io::Result<()> {
    let others: Vec<Gid> = others.iter().map(|gid| Gid::from_raw(*gid)).collect();
    set_thread_groups(&others)?;
    let (gid, uid) = (Gid::from_raw(gid), Uid::from_raw(uid));
    set_thread_res_gid(gid, gid, gid)?;
    Ok(set_thread_res_uid(uid, uid, uid)?)
}

/// The rights that a process is to have.
fn rights(process: &Value) -> CapabilitySet {
    let named = process["capabilities"]["bounding"].as_array();
    let named = named.into_iter().flatten().filter_map(Value::as_str);
    let numbers = named.filter_map(|name| CAPABILITIES.iter().position(|known| *known == name));
    numbers.fold(CapabilitySet::empty(), |all, n| all | CapabilitySet::from_bits_retain(1 << n))
}

/// Gives up for ever what is not in `rights`.
fn drop_unlisted(rights: CapabilitySet) -> io::Result<()> {
    for number in (0..64).filter(|n| rights.bits() >> n & 1 == 0) {
        // SAFETY: a plain call.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, number, 0, 0, 0) } != 0 {
            return match io::Error::last_os_error() {
                // The kernel has no more.
                e if e.raw_os_error() == Some(libc::EINVAL) => Ok(()),
                e => Err(e),
            };
        }
    }
    Ok(())
}

fn bound(limit: &PosixRlimit) -> io::Result<()> {
    let resource = match limit.typ() {
        PosixRlimitType::RlimitNofile => libc::RLIMIT_NOFILE,
        PosixRlimitType::RlimitNproc => libc::RLIMIT_NPROC,
        other => return Err(io::Error::other(format!("{other} is not known"))),
    };
    let bounds = libc::rlimit { rlim_cur: limit.soft(), rlim_max: limit.hard() };
    // SAFETY: the structure lives until the call is over.
    match unsafe { libc::setrlimit(resource, &raw const bounds) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn has_ended(pidfd: &OwnedFd) -> io::Result<bool> {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    Ok(poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&now))? > 0)
}

/// Where control groups are mounted.
fn hierarchies(mountinfo: &str) -> impl Iterator<Item = &Path> {
    mountinfo.lines().filter_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        kind.starts_with("cgroup").then(|| mount.split(' ').nth(4).map(Path::new))?
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rights_are_found_by_their_names() {
        let process = json!({"capabilities": {"bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_NEW"]}});
        assert_eq!(rights(&process), CapabilitySet::CHOWN | CapabilitySet::KILL);
        assert_eq!(rights(&json!({})), CapabilitySet::empty());
    }

    #[test]
    fn a_process_of_another_control_group_is_no_containers_init() {
        let own = i32::try_from(std::process::id()).unwrap();
        let config = json!({"linux": {"cgroupsPath": "/lattice-none/c"}});
        for pid in [own, 1, 0, -1, i32::MAX] {
            let error = Container::open(pid, &config).err().unwrap();
            assert_eq!(error, "the container has no init any more", "{pid}");
        }
    }

    #[test]
    fn control_groups_of_both_versions_are_joined() {
        let mounts = "31 30 0:27 / /sys/fs/cgroup/cpu rw shared:9 - cgroup cgroup rw,cpu\n\
                      34 30 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
                      35 30 0:31 / /tmp rw - tmpfs tmpfs rw\n";
        let found: Vec<&Path> = hierarchies(mounts).collect();
        assert_eq!(found, ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/unified"].map(Path::new));
    }
}
