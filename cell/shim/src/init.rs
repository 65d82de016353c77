//! PID 1 of every container: it reaps orphans and ends on SIGTERM, nothing else.

use std::process::ExitCode;

use rustix::process::{WaitId, WaitIdOptions, waitid};

/// Runs as PID 1 until SIGTERM. Single-threaded and without allocation, because every container
/// has one of these.
pub(crate) fn run() -> ExitCode {
    let signals = block_signals();
    loop {
        reap();
        if next_signal(&signals) == libc::SIGTERM {
            return ExitCode::SUCCESS;
        }
    }
}

/// Keeps the two signals that matter for [`next_signal`].
fn block_signals() -> libc::sigset_t {
    // SAFETY: plain calls on a set that lives on this stack.
    unsafe {
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGTERM);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
        set
    }
}

/// Sleeps until one of `signals` comes.
fn next_signal(signals: &libc::sigset_t) -> libc::c_int {
    // SAFETY: the set is initialised; no information about the signal is asked for.
    unsafe { libc::sigwaitinfo(signals, std::ptr::null_mut()) }
}

/// Reaps every child that has ended. Signals of several children may arrive as one.
fn reap() {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    while let Ok(Some(_)) = waitid(WaitId::All, options) {}
}
