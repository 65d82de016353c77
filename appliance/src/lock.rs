//! One appliance a data directory: a lock that the kernel drops with its holder, and the holder's
//! process id for `lattice down`.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use rustix::fs::{FlockOperation, flock};
use rustix::process::Pid;

use crate::Usage;

/// The file in the data directory.
pub const FILE: &str = "lock";

/// Held for as long as the appliance lives.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Who holds a data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// Nobody.
    Nobody,
    /// This process.
    Process(Pid),
}

impl Lock {
    /// Takes the lock, or says who has it.
    pub fn take(data_dir: &Path) -> anyhow::Result<Self> {
        let mut file = open(data_dir)?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(another(data_dir, read_pid(&mut file)).into());
        }
        file.set_len(0)?;
        file.rewind()?;
        write!(file, "{}", std::process::id())?;
        Ok(Self { _file: file })
    }

    /// Fails while another process holds it; makes nothing.
    pub fn refuse_second(data_dir: &Path) -> anyhow::Result<()> {
        match Self::holder(data_dir)? {
            Holder::Nobody => Ok(()),
            Holder::Process(pid) => Err(another(data_dir, Some(pid)).into()),
        }
    }

    /// Who holds it now.
    pub fn holder(data_dir: &Path) -> anyhow::Result<Holder> {
        if !data_dir.join(FILE).exists() {
            return Ok(Holder::Nobody);
        }
        let mut file = open(data_dir)?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            return Ok(Holder::Nobody);
        }
        let pid = read_pid(&mut file).context("the lock is held, but names no process")?;
        Ok(Holder::Process(pid))
    }
}

fn another(data_dir: &Path, pid: Option<Pid>) -> Usage {
    let pid = pid.map_or_else(String::new, |pid| format!(" (pid {})", pid.as_raw_nonzero()));
    let dir = data_dir.display();
    Usage(format!(
        "another lattice{pid} runs on {dir}; stop it with `lattice down --data-dir {dir}`"
    ))
}

fn open(data_dir: &Path) -> anyhow::Result<File> {
    let path = data_dir.join(FILE);
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))
}

fn read_pid(file: &mut File) -> Option<Pid> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    Pid::from_raw(text.trim().parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_directory_has_one_holder_and_tells_who() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Lock::holder(dir.path()).unwrap(), Holder::Nobody);
        let lock = Lock::take(dir.path()).unwrap();
        let me = rustix::process::getpid();
        assert_eq!(Lock::holder(dir.path()).unwrap(), Holder::Process(me));
        let refusal = Lock::take(dir.path()).unwrap_err().to_string();
        assert!(refusal.contains(&format!("pid {}", std::process::id())), "{refusal}");
        drop(lock);
        assert_eq!(Lock::holder(dir.path()).unwrap(), Holder::Nobody);
    }
}
