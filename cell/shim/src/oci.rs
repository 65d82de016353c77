//! Calls of the OCI runtime's program, which are waited for like every other child.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lattice_shim_protocol::Settings;
use rustix::process::{Pid, Signal, kill_process};

use crate::own::Program;
use crate::view;

/// How long one call may take, on a machine that is very busy.
const CALL_MAX: Duration = Duration::from_secs(50);
/// The most of a log that is passed on, in bytes.
const LOG_BYTES_MAX: usize = 8 << 10;

/// What a new process reads from and writes to.
#[derive(Debug)]
pub(crate) enum Streams {
    /// Nothing, and these (out, err).
    Kept([OwnedFd; 2]),
    /// The caller's own (in, out, err).
    Given([OwnedFd; 3]),
    /// A terminal that is handed to whoever listens on this socket.
    Terminal(PathBuf),
}

/// A call that is under way. Its files go with it.
#[derive(Debug)]
pub(crate) struct Call {
    pid: i32,
    pid_file: PathBuf,
    log: PathBuf,
    process: Option<PathBuf>,
    deadline: Instant,
}

// === impl Streams ===

impl Streams {
    /// What the OCI runtime's program is given, and where it hands a terminal over.
    fn parts(self) -> ([Stdio; 3], Option<PathBuf>) {
        match self {
            Self::Kept([out, err]) => ([Stdio::null(), out.into(), err.into()], None),
            Self::Given(given) => (given.map(Stdio::from), None),
            Self::Terminal(console) => {
                ([Stdio::null(), Stdio::null(), Stdio::null()], Some(console))
            }
        }
    }
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
        let none = [Stdio::null(), Stdio::null(), Stdio::null()];
        let pid = start(settings, &arguments, &log, none, true)?;
        Ok(Self { pid, pid_file, log, process: None, deadline: Instant::now() + CALL_MAX })
    }

    /// Starts a process in the container.
    pub(crate) fn exec(
        settings: &Settings,
        number: u64,
        process: &[u8],
        streams: Streams,
    ) -> io::Result<Self> {
        if is_paused(&settings.cgroups) {
            return Err(io::Error::other("the container is paused; resume it first"));
        }
        let file = |end: &str| PathBuf::from(format!("process-{number}.{end}"));
        let (spec, pid_file, log) = (file("json"), file("pid"), file("log"));
        fs::write(&spec, process)?;
        let (stdio, console) = streams.parts();
        let mut arguments = vec![
            OsStr::new("exec"),
            OsStr::new("--detach"),
            OsStr::new("--pid-file"),
            pid_file.as_os_str(),
            OsStr::new("--process"),
            spec.as_os_str(),
        ];
        if let Some(console) = &console {
            arguments.extend([OsStr::new("--console-socket"), console.as_os_str()]);
        }
        arguments.push(OsStr::new(&settings.id));
        let started = start(settings, &arguments, &log, stdio, false);
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

fn start(
    settings: &Settings,
    arguments: &[&OsStr],
    log: &Path,
    [input, out, err]: [Stdio; 3],
    makes: bool,
) -> io::Result<i32> {
    let program = Program::open(&settings.program)?;
    let mut command = Command::new(program.path());
    let (own, bundle) = (settings.clone(), std::env::current_dir()?);
    // SAFETY: this process has one thread, so that nothing is held that the child would wait for.
    unsafe { command.pre_exec(move || view::enter(&own, &bundle, makes)) };
    command.args(&settings.arguments).arg("--root").arg(&settings.root).arg("--log").arg(log);
    command.args(["--log-format", "json"]).args(arguments);
    command.stdin(input).stdout(out).stderr(err);
    let child = command.spawn()?;
    i32::try_from(child.id()).map_err(io::Error::other)
}
