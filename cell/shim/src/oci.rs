//! Calls of the OCI runtime's program, which are waited for like every other child.

use std::ffi::{CString, OsStr};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lattice_api::shim::Settings;
use rustix::process::{Pid, Signal, kill_process};

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
        let pid = start(settings, &arguments, &log, (Stdio::null(), Stdio::null()))?;
        Ok(Self { pid, pid_file, log, process: None, deadline: Instant::now() + CALL_MAX })
    }

    /// Starts a process in the container; it writes to `output`.
    pub(crate) fn exec(
        settings: &Settings,
        number: u64,
        process: &[u8],
        output: [OwnedFd; 2],
    ) -> io::Result<Self> {
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
        let started = start(settings, &arguments, &log, (out.into(), err.into()));
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

fn start(
    settings: &Settings,
    arguments: &[&OsStr],
    log: &Path,
    output: (Stdio, Stdio),
) -> io::Result<i32> {
    let mut command = Command::new(&settings.program);
    if settings.hides_cgroup2 {
        hide_cgroup2(&mut command)?;
    }
    command.args(&settings.arguments).arg("--root").arg(&settings.root).arg("--log").arg(log);
    command.args(["--log-format", "json"]).args(arguments);
    command.stdin(Stdio::null()).stdout(output.0).stderr(output.1);
    let child = command.spawn()?;
    i32::try_from(child.id()).map_err(io::Error::other)
}

/// Lets a program see a machine without control groups of version 2, where it has both versions.
fn hide_cgroup2(command: &mut Command) -> io::Result<()> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let places: Vec<CString> = cgroup2_beside_version_1(&mounts)
        .into_iter()
        .map(|place| CString::new(place).map_err(io::Error::other))
        .collect::<Result<_, _>>()?;
    if places.is_empty() {
        return Ok(());
    }
    let hide = move || {
        // SAFETY: plain calls of the child that is about to become the program.
        let is_apart = unsafe {
            let flags = libc::MS_REC | libc::MS_SLAVE;
            let (root, none) = (c"/".as_ptr(), std::ptr::null());
            libc::unshare(libc::CLONE_NEWNS) == 0
                && libc::mount(none, root, none, flags, none.cast()) == 0
        };
        // SAFETY: the strings live as long as the closure.
        let hides =
            |place: &CString| unsafe { libc::umount2(place.as_ptr(), libc::MNT_DETACH) == 0 };
        if is_apart && places.iter().all(hides) { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    // SAFETY: it only makes system calls, and allocates nothing.
    unsafe { command.pre_exec(hide) };
    Ok(())
}

/// Where version 2 is mounted on a machine that has version 1 as well.
fn cgroup2_beside_version_1(mountinfo: &str) -> Vec<&str> {
    let mounts = mountinfo.lines().filter_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        Some((mount.split(' ').nth(4)?, kind.split(' ').next()?))
    });
    let mounts: Vec<(&str, &str)> = mounts.collect();
    if !mounts.iter().any(|(_, kind)| *kind == "cgroup") {
        return Vec::new();
    }
    mounts.iter().filter(|(_, kind)| *kind == "cgroup2").map(|(place, _)| *place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_2_is_found_where_it_stands_beside_version_1() {
        let v1 = "31 30 0:27 / /sys/fs/cgroup/cpu rw shared:9 - cgroup cgroup rw,cpu\n";
        let v2 = "34 30 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        assert_eq!(cgroup2_beside_version_1(&format!("{v1}{v2}")), ["/sys/fs/cgroup/unified"]);
        assert_eq!(cgroup2_beside_version_1(v2), [] as [&str; 0]);
        assert_eq!(cgroup2_beside_version_1(v1), [] as [&str; 0]);
    }
}
