//! Who belongs to whom among a container's processes, as `/proc` and the control groups tell.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};

/// How long killed processes may take to end.
const END_MAX: Duration = Duration::from_secs(2);
/// A chain of parents longer than this is a loop made by processes that come and go.
const ANCESTORS_MAX: usize = 64;

/// A little of `/proc/PID/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    parent: i32,
    /// The id that `setsid` gave to it and its kin.
    sid: i32,
}

/// When a process began, from its `/proc/PID/stat`.
pub(crate) fn began(stat: &str) -> Option<u64> {
    // A program's name may hold blanks and brackets, so what counts starts after the last one.
    stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()
}

/// What a process that was started by `setsid` has started itself: the processes of its session,
/// and its descendants while it lives.
pub(crate) fn family(leader: i32, cgroups: &[PathBuf]) -> Vec<i32> {
    let mut members: Vec<i32> = cgroups.iter().flat_map(|dir| members_below(dir)).collect();
    members.sort_unstable();
    members.dedup();
    members.into_iter().filter(|pid| *pid != leader && belongs_to(*pid, leader)).collect()
}

/// Kills and reaps what this process has started and what was left to it, until there is nothing. A
/// call of the OCI runtime that was broken off leaves processes which would go on with its work. One
/// that the kernel does not let go is not waited for without end.
pub(crate) fn end_children() {
    let own = rustix::process::getpid();
    let began = Instant::now();
    loop {
        match wait(WaitOptions::NOHANG) {
            Err(Errno::CHILD) => return,
            Ok(Some(_)) => continue,
            Ok(None) | Err(_) if began.elapsed() > END_MAX => return,
            Ok(None) | Err(_) => {}
        }
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let is_child = |pid: &i32| {
            Stat::read(*pid).is_some_and(|stat| stat.parent == own.as_raw_nonzero().get())
        };
        for pid in pids.filter(is_child).filter_map(Pid::from_raw) {
            // One that has ended meanwhile is what was wanted.
            let _ = kill_process(pid, Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn members_below(dir: &Path) -> Vec<i32> {
    let text = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    let mut found: Vec<i32> = text.lines().filter_map(|line| line.parse().ok()).collect();
    let Ok(entries) = fs::read_dir(dir) else { return found };
    let inner = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    found.extend(inner.flat_map(|entry| members_below(&entry.path())));
    found
}

fn belongs_to(pid: i32, leader: i32) -> bool {
    let mut at = pid;
    for _ in 0..ANCESTORS_MAX {
        let Some(stat) = Stat::read(at) else { return false };
        if stat.sid == leader || stat.parent == leader {
            return true;
        }
        if stat.parent <= 1 {
            return false;
        }
        at = stat.parent;
    }
    false
}

// === impl Stat ===

impl Stat {
    fn read(pid: i32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut fields = text.rsplit_once(") ")?.1.split(' ');
        let parent = fields.nth(1)?.parse().ok()?;
        let sid = fields.nth(1)?.parse().ok()?;
        Some(Self { parent, sid })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_with_brackets_does_not_confuse_the_reader() {
        let text = "12 (a) Z 1 (b) S 3 4 5 0 -1 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20";
        assert_eq!(Stat::parse(text), Some(Stat { parent: 3, sid: 5 }));
        assert_eq!(began(text), Some(4242));
        assert_eq!(began("12 (a) S 1"), None);
    }

    #[test]
    fn this_process_began_after_its_parent() {
        let stat = |of: &str| fs::read_to_string(format!("/proc/{of}/stat")).unwrap();
        let own = stat("self");
        let parent = Stat::parse(&own).unwrap().parent;
        assert!(began(&own) >= began(&stat(&parent.to_string())));
    }
}
