//! Calls of the OCI runtime's program, which are waited for like every other child.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lattice_api::shim::Settings;
use rustix::process::{Pid, Signal, kill_process};

use crate::view;

/// How long one call may take, on a machine that is very busy.
const CALL_MAX: Duration = Duration::from_secs(50);
/// The most of a log that is passed on, in bytes.
const LOG_BYTES_MAX: usize = 8 << 10;

/// A call that is under way. Its files go with it.
#[derive(Debug)]
pub(crate) struct Call {
    pid: i32,
    pid_file: PathBuf,
    log: PathBuf,
    process: Option<PathBuf>,
    deadline: Instant,
}

/// Where what is started writes to.
#[derive(Debug)]
enum Output {
    /// A container's init: nowhere.
    None,
    /// A process in it: standard output and error.
    To(OwnedFd, OwnedFd),
}

// === impl Call ===

impl Call {
    /// Makes the container whose bundle is the working directory.
    pub(crate) fn create(settings: &Settings) -> io::Result<Self> {
        let (pid_file, log) = (PathBuf::from("init.pid"), PathBuf::from("create.log"));
        let arguments = [
            OsStr::new("run"),
            OsStr::new("--detach"),
            OsStr::new("--bundle"),
            OsStr::new("."),
            OsStr::new("--pid-file"),
            pid_file.as_os_str(),
            OsStr::new(&settings.id),
        ];
        let pid = start(settings, &arguments, &log, Output::None)?;
        Ok(Self { pid, pid_file, log, process: None, deadline: Instant::now() + CALL_MAX })
    }

    /// Starts a process in the container; it writes to `output`.
    pub(crate) fn exec(
        settings: &Settings,
        number: u64,
        process: &[u8],
        output: [OwnedFd; 2],
    ) -> io::Result<Self> {
        if is_paused(&settings.cgroups) {
            return Err(io::Error::other("the container is paused; resume it first"));
        }
        let file = |end: &str| PathBuf::from(format!("process-{number}.{end}"));
        let (spec, pid_file, log) = (file("json"), file("pid"), file("log"));
        fs::write(&spec, process)?;
        let arguments = [
            OsStr::new("exec"),
            OsStr::new("--detach"),
            OsStr::new("--pid-file"),
            pid_file.as_os_str(),
            OsStr::new("--process"),
            spec.as_os_str(),
            OsStr::new(&settings.id),
        ];
        let [out, err] = output;
        let started = start(settings, &arguments, &log, Output::To(out, err));
        let pid = started.inspect_err(|_| drop(fs::remove_file(&spec)))?;
        let process = Some(spec);
        Ok(Self { pid, pid_file, log, process, deadline: Instant::now() + CALL_MAX })
    }

    /// The program's own process id.
    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// Ends a call that takes too long.
    pub(crate) fn end_when_late(&self, now: Instant) {
        if now > self.deadline {
            self.end();
        }
    }

    /// Ends a call whose outcome nobody wants any more.
    pub(crate) fn end(&self) {
        if let Some(pid) = Pid::from_raw(self.pid) {
            // It may have ended just now.
            let _ = kill_process(pid, Signal::KILL);
        }
    }

    /// What came of it once the program has ended with `code`: a process id, or why there is none.
    pub(crate) fn outcome(&self, code: i32) -> Result<i32, String> {
        if code != 0 {
            let log = fs::read(&self.log).unwrap_or_default();
            let tail = &log[log.len().saturating_sub(LOG_BYTES_MAX)..];
            let said = String::from_utf8_lossy(tail).trim().to_owned();
            return Err(match said.is_empty() {
                true => format!("the OCI runtime ended with {code} and said nothing"),
                false => said,
            });
        }
        let text = fs::read_to_string(&self.pid_file);
        let text = text.map_err(|e| format!("the OCI runtime wrote no process id: {e}"))?;
        text.trim().parse().map_err(|_| format!("{text:?} is no process id"))
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        // A container's own files stay; they go with the bundle.
        let Some(process) = &self.process else { return };
        for file in [process, &self.pid_file, &self.log] {
            let _ = fs::remove_file(file);
        }
    }
}

/// True when whatever joins these control groups stands still.
fn is_paused(cgroups: &[PathBuf]) -> bool {
    let says = |dir: &PathBuf, file: &str, word: &str| {
        fs::read_to_string(dir.join(file)).is_ok_and(|text| text.starts_with(word))
    };
    let mut dirs = cgroups.iter();
    dirs.any(|dir| says(dir, "freezer.state", "FR") || says(dir, "cgroup.freeze", "1"))
}

fn start(settings: &Settings, arguments: &[&OsStr], log: &Path, output: Output) -> io::Result<i32> {
    let mut command = Command::new(&settings.program);
    let (own, bundle) = (settings.clone(), std::env::current_dir()?);
    let makes = matches!(output, Output::None);
    // SAFETY: this process has one thread, so that nothing is held that the child would wait for.
    unsafe { command.pre_exec(move || view::enter(&own, &bundle, makes)) };
    command.args(&settings.arguments).arg("--root").arg(&settings.root).arg("--log").arg(log);
    command.args(["--log-format", "json"]).args(arguments).stdin(Stdio::null());
    match output {
        Output::None => command.stdout(Stdio::null()).stderr(Stdio::null()),
        Output::To(out, err) => command.stdout(out).stderr(err),
    };
    let child = command.spawn()?;
    i32::try_from(child.id()).map_err(io::Error::other)
}
