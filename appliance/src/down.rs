//! `lattice down`: stops a running appliance, and with `--purge` removes all that it made.

use std::fs;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::Usage;
use crate::args::Down;
use crate::lock::{Holder, Lock};
use crate::machinery::{self, Settings};

/// How long a running appliance may take to stop.
const STOP: Duration = Duration::from_secs(15);

/// Does it, and says what was done.
#[allow(clippy::print_stdout, reason = "a command's answer")]
pub fn run(args: &Down) -> anyhow::Result<()> {
    let dir = &args.data.data_dir;
    if !dir.is_dir() {
        println!("there is no lattice in {}", dir.display());
        return Ok(());
    }
    if args.purge && !args.yes {
        confirm(dir)?;
    }
    match Lock::holder(dir)? {
        Holder::Nobody => println!("no lattice runs on {}", dir.display()),
        Holder::Process(pid) => {
            stop(pid)?;
            let apps = "; its apps are still desired, `lattice up` brings them back";
            println!("lattice has stopped{}", if args.purge { "" } else { apps });
        }
    }
    if args.purge {
        purge(dir)?;
        println!("everything lattice made in {} is gone", dir.display());
    }
    Ok(())
}

fn confirm(dir: &Path) -> anyhow::Result<()> {
    if !std::io::stdin().is_terminal() {
        let why = "--purge removes every app and file; confirm with --yes when nobody can be asked";
        return Err(Usage(why.to_owned()).into());
    }
    let mut stderr = std::io::stderr();
    write!(stderr, "remove every app, container and file of lattice in {}? [y/N] ", dir.display())?;
    stderr.flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") { Ok(()) } else { bail!("nothing was removed") }
}

/// Asks as a person at the terminal would, and waits.
fn stop(pid: Pid) -> anyhow::Result<()> {
    let id = pid.as_raw_nonzero();
    kill_process(pid, Signal::INT).with_context(|| format!("cannot signal process {id}"))?;
    let deadline = Instant::now() + STOP;
    while test_kill_process(pid).is_ok() && !is_zombie(pid) {
        if Instant::now() > deadline {
            bail!("process {id} has not stopped within {STOP:?}; `kill -9 {id}` ends it");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// True when it has ended and only its parent has not noticed.
fn is_zombie(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    let state = |stat: String| stat.rsplit(')').next()?.trim_start().chars().next();
    stat.ok().and_then(state).is_none_or(|state| state == 'Z')
}

fn purge(dir: &Path) -> anyhow::Result<()> {
    let lock = Lock::take(dir)?;
    // Without settings no start has come as far as making anything but files.
    if let Some(settings) = Settings::load(dir)? {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(machinery::remove_all(dir, &settings))?;
    }
    for entry in fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
        let path = entry?.path();
        let removed =
            if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.with_context(|| format!("cannot remove {}", path.display()))?;
    }
    drop(lock);
    fs::remove_dir(dir).with_context(|| format!("cannot remove {}", dir.display()))
}
