//! The processes this one adopts: those executed in containers, once the OCI runtime's program
//! that started them has gone. Each is waited for by its own pidfd, so that nothing here takes a
//! child from anyone else.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, getpid, pidfd_open, pidfd_send_signal,
    set_child_subreaper, waitid,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;

use crate::runtime::ExitStatus;

/// How often orphans that nobody waits for are looked for.
const STRAYS_EVERY: Duration = Duration::from_secs(60);

/// The children somebody waits for, of every runtime in this process.
static WATCHED: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// Makes an [`ExitStatus`] of the exit code, right after the end.
pub(super) type Conclude = Box<dyn FnOnce(i32) -> ExitStatus + Send>;

/// A child that is waited for.
#[derive(Debug)]
pub(super) struct Child {
    pid: i32,
    pidfd: Arc<OwnedFd>,
    end: watch::Receiver<Option<ExitStatus>>,
}

// === impl Child ===

impl Child {
    /// Starts to wait for a child of this process; one that has ended already is fine.
    pub(super) fn watch(pid: i32, conclude: Conclude) -> io::Result<Self> {
        let id = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
        let pidfd = Arc::new(pidfd_open(id, PidfdFlags::empty())?);
        // SAFETY: the descriptor stays open, and the same, for as long as the `Arc` lives.
        let readable =
            unsafe { AsyncFd::register_with_interest(pidfd.clone(), Interest::READABLE) }?;
        watched().insert(pid);
        let (tell, end) = watch::channel(None);
        tokio::spawn(async move {
            let code = wait(&readable).await;
            watched().remove(&pid);
            tell.send_replace(Some(conclude(code)));
        });
        Ok(Self { pid, pidfd, end })
    }

    /// Its process id in this process's namespace.
    pub(super) fn pid(&self) -> i32 {
        self.pid
    }

    /// True once its end is known.
    pub(super) fn has_ended(&self) -> bool {
        self.end.borrow().is_some()
    }

    /// Waits for its end.
    pub(super) async fn wait(&self) -> ExitStatus {
        let mut end = self.end.clone();
        let ended = end.wait_for(Option::is_some).await;
        // The waiter only goes away with the whole tokio runtime.
        let lost = ExitStatus { code: 255, out_of_memory: false };
        ended.ok().and_then(|status| *status).unwrap_or(lost)
    }

    /// Sends a signal; no error when it has ended.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(self.pidfd.as_fd(), signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }
}

/// Makes this process the parent of the orphans among its descendants, and reaps those that
/// nobody waits for, slowly. Once is enough, and more does no harm.
pub(super) fn adopt_orphans() -> io::Result<()> {
    static REAPER: Once = Once::new();
    set_child_subreaper(Some(getpid()))?;
    REAPER.call_once(|| {
        let started = std::thread::Builder::new().name("orphan-reaper".to_owned());
        let started = started.stack_size(64 * 1024).spawn(|| {
            let mut seen = BTreeSet::new();
            loop {
                std::thread::sleep(STRAYS_EVERY);
                seen = reap_strays(&seen);
            }
        });
        if let Err(error) = started {
            tracing::warn!(%error, "orphans of containers will not be reaped before delete");
        }
    });
    Ok(())
}

/// Names the process-id namespace of a process, ended ones included.
pub(super) fn pid_namespace(pid: i32) -> io::Result<String> {
    let link = fs::read_link(format!("/proc/{pid}/ns/pid"))?;
    Ok(link.to_string_lossy().into_owned())
}

/// Reaps the ended children in a container that nobody waits for, whoever started them.
pub(super) fn reap_strays_of(namespace: &str) {
    for pid in stray_zombies() {
        if pid_namespace(pid).is_ok_and(|found| found == namespace) {
            reap(pid);
        }
    }
}

/// Reaps the strays that were there a turn ago already: one that is new may be about to be
/// watched. Children in this process's own namespace are left to whoever started them.
fn reap_strays(seen: &BTreeSet<i32>) -> BTreeSet<i32> {
    let own = pid_namespace(getpid().as_raw_nonzero().get()).unwrap_or_default();
    let is_inner = |pid: &i32| pid_namespace(*pid).is_ok_and(|namespace| namespace != own);
    let strays: BTreeSet<i32> = stray_zombies().into_iter().filter(is_inner).collect();
    let (old, new): (BTreeSet<i32>, _) = strays.into_iter().partition(|pid| seen.contains(pid));
    for pid in old {
        reap(pid);
    }
    new
}

/// Ended children of this process that nobody waits for.
fn stray_zombies() -> Vec<i32> {
    let own = getpid().as_raw_nonzero().get();
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let zombies = pids
        .filter(|pid| Stat::read(*pid).is_some_and(|stat| stat.state == 'Z' && stat.parent == own));
    let zombies: Vec<i32> = zombies.collect();
    let watched = watched();
    zombies.into_iter().filter(|pid| !watched.contains(pid)).collect()
}

fn reap(pid: i32) {
    let Some(pid) = Pid::from_raw(pid) else { return };
    // It may have been watched and reaped since: then there is nothing to do.
    let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
}

async fn wait(pidfd: &AsyncFd<Arc<OwnedFd>>) -> i32 {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    loop {
        let ready = pidfd.readable().await;
        match waitid(WaitId::PidFd(pidfd.get_ref().as_fd()), options) {
            Ok(Some(status)) => {
                let signalled = status.terminating_signal().map(|signal| 128 + signal);
                return status.exit_status().or(signalled).unwrap_or(255);
            }
            Ok(None) => {
                if let Ok(mut ready) = ready {
                    ready.clear_ready();
                }
            }
            Err(error) => {
                tracing::error!(%error, "the exit code of a process is lost");
                return 255;
            }
        }
    }
}

fn watched() -> MutexGuard<'static, BTreeSet<i32>> {
    WATCHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// True when somebody waits for this child.
pub(super) fn is_watched(pid: i32) -> bool {
    watched().contains(&pid)
}

/// A little of `/proc/PID/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    /// `R`, `S`, `Z` and so on.
    pub(super) state: char,
    /// The parent's process id.
    pub(super) parent: i32,
    /// The id that `setsid` gave to it and its kin.
    pub(super) sid: i32,
}

impl Stat {
    pub(super) fn read(pid: i32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// A program's name may hold blanks and brackets, so what counts starts after the last one.
    fn parse(text: &str) -> Option<Self> {
        let mut fields = text.rsplit_once(") ")?.1.split(' ');
        let state = fields.next()?.chars().next()?;
        let parent = fields.next()?.parse().ok()?;
        let sid = fields.nth(1)?.parse().ok()?;
        Some(Self { state, parent, sid })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_with_brackets_does_not_confuse_the_reader() {
        let stat = Stat::parse("12 (a) Z 1 (b) S 3 4 5 0 -1").unwrap();
        assert_eq!(stat, Stat { state: 'S', parent: 3, sid: 5 });
    }

    #[tokio::test]
    async fn a_child_that_ended_before_it_is_watched_keeps_its_code() {
        let mut child = std::process::Command::new("/bin/false").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        while Stat::read(pid).is_some_and(|stat| stat.state != 'Z') {
            std::thread::yield_now();
        }
        let conclude = |code| ExitStatus { code, out_of_memory: false };
        let watched = Child::watch(pid, Box::new(conclude)).unwrap();
        assert_eq!(watched.wait().await.code, 1);
        assert!(child.try_wait().is_err(), "it was reaped once");
    }
}
