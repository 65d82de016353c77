//! The handle of a process in a container.

use async_trait::async_trait;
use rustix::process::{Pid, kill_process};

use super::cgroup::Leaf;
use super::children::{self, Child, Stat};
use crate::runtime::{ExitStatus, ProcessControl, RuntimeError, Signal};

/// A process that was executed in a container. It was started by `setsid`.
pub(super) struct OciProcess {
    child: Child,
    container: Leaf,
}

// === impl OciProcess ===

impl OciProcess {
    pub(super) fn new(child: Child, container: Leaf) -> Self {
        Self { child, container }
    }

    /// What it left behind: the processes with its sid, and its descendants while it lives.
    /// Where its number belongs to a newer process, nothing is left of its own.
    fn family(&self) -> Vec<i32> {
        let leader = self.child.pid();
        if self.child.has_ended() && children::is_watched(leader) {
            return Vec::new();
        }
        let members = self.container.processes();
        members.into_iter().filter(|pid| *pid != leader && belongs_to(*pid, leader)).collect()
    }
}

#[async_trait]
impl ProcessControl for OciProcess {
    async fn signal(&self, signal: Signal) -> Result<(), RuntimeError> {
        let (number, family) = match signal {
            Signal::Terminate => (rustix::process::Signal::TERM, Vec::new()),
            Signal::Kill => (rustix::process::Signal::KILL, self.family()),
        };
        let sent = self.child.signal(number);
        for pid in family.into_iter().filter_map(Pid::from_raw) {
            // One that has ended meanwhile is what was wanted.
            let _ = kill_process(pid, number);
        }
        sent.map_err(|e| RuntimeError::Failed {
            what: "signal a process in",
            id: self.container.name().to_owned(),
            why: e.to_string(),
        })
    }

    async fn wait(&self) -> ExitStatus {
        self.child.wait().await
    }
}

/// True for a process with the leader's sid and for a descendant.
fn belongs_to(pid: i32, leader: i32) -> bool {
    /// A chain of parents longer than this is a loop made by processes that come and go.
    const ANCESTORS_MAX: usize = 64;
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
