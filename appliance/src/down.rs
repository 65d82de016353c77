//! `lattice down`: stops a running appliance, and with `--purge` removes all that it made.

use std::fs;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use lattice_daemon::credentials;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::Usage;
use crate::args::Down;
use crate::lock::{self, Holder, Lock};
use crate::machinery::{self, Settings};

/// All that lattice keeps in its data directory; the lock goes last.
const OWN: [&str; 30] = [
    "admin.json",
    "ssh",
    "authority",
    "target",
    "brain.db",
    "brain.db-wal",
    "brain.db-shm",
    "brain.db-lock",
    "brain.db.new",
    "sealing.key",
    "brain.db.before-restore",
    "brain.db.before-restore-wal",
    "settings.json",
    "settings.json.new",
    "admin.json.new",
    "target.new",
    "containers",
    "downloads",
    "images",
    "instances",
    "netns",
    "probe",
    "probe-disk",
    "userns",
    "network",
    "oci",
    "program",
    "registry",
    "rootfs",
    lock::FILE,
];

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
    if args.purge && !is_ours(dir) {
        let why = "lattice has not worked in it, so there is nothing of its own to remove";
        return Err(Usage(format!("{}: {why}", dir.display())).into());
    }
    if args.purge && !args.yes {
        confirm(dir)?;
    }
    match Lock::holder(dir)? {
        Holder::Nobody => {
            println!("no lattice runs on {}", dir.display());
            let ended = end_instances(dir)?;
            if ended > 0 {
                println!(
                    "{ended} instances that ran on were stopped; `lattice up` brings them back"
                );
            }
        }
        Holder::Process(pid) => {
            stop(pid)?;
            match args.purge {
                true => println!("lattice has stopped"),
                false => println!("lattice has stopped; `lattice up` brings its apps back"),
            }
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

/// Stops what ran on after its platform had ended; gives how many.
fn end_instances(dir: &Path) -> anyhow::Result<usize> {
    let _lock = Lock::take(dir)?;
    let Some(settings) = Settings::load(dir)? else { return Ok(0) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(machinery::end_instances(dir, &settings))
}

/// Removes what lattice made, and the directory where nothing else is in it.
fn purge(dir: &Path) -> anyhow::Result<()> {
    let lock = Lock::take(dir)?;
    // Without settings no start has come as far as making anything but files.
    if let Some(settings) = Settings::load(dir)? {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(machinery::remove_all(dir, &settings))?;
    }
    for path in OWN.iter().map(|name| dir.join(name)) {
        let removed =
            if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        match removed {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(e).with_context(|| format!("cannot remove {}", path.display()));
            }
            _ => {}
        }
    }
    drop(lock);
    let is_empty = fs::read_dir(dir)?.next().is_none();
    if is_empty {
        fs::remove_dir(dir).context("cannot remove the directory itself")
    } else {
        Ok(())
    }
}

/// True for a directory that `lattice up` has worked in; nothing is removed from another.
fn is_ours(dir: &Path) -> bool {
    let has = |name: &str| dir.join(name).is_file();
    has(lock::FILE) && (has(machinery::FILE) || has(credentials::FILE))
}
