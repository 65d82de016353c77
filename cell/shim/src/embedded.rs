//! The OCI runtime that this program carries in itself, behind the few commands of `runc` that are
//! used here: `libcontainer` makes containers, and `entry` starts processes in them. It runs in a
//! process of its own, single-threaded and gone after each command, because it clones itself and
//! changes what a process cannot change back.

mod console;
mod entry;
mod executor;
mod seccomp;
mod syscalls;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libcontainer::container::builder::ContainerBuilder;
use libcontainer::syscall::syscall::SyscallType;
use rustix::pipe::{PipeFlags, pipe_with};
use serde_json::{Value, json};

use self::executor::Confined;

/// Stands before everything that is about the new process itself, as in `runc`.
const UNABLE: &str = "unable to start container process: ";

/// What is asked of it.
#[derive(Debug, Default)]
struct Call {
    root: PathBuf,
    log: PathBuf,
    bundle: PathBuf,
    pid_file: PathBuf,
    process: PathBuf,
    console: PathBuf,
    verb: String,
    id: String,
}

/// Does one command: `run --bundle DIR --pid-file FILE ID`, or
/// `exec --process FILE --pid-file FILE [--console-socket FILE] ID`, each with
/// `--root DIR --log FILE`; the new process is detached. What goes wrong is a line of JSON in the log.
pub(crate) fn run(words: impl Iterator<Item = OsString>) -> ExitCode {
    let outcome = Call::parse(words).and_then(|call| {
        let outcome = call.perform();
        if let Err(why) = &outcome {
            let line = format!("{}\n", json!({"level": "error", "msg": why}));
            // Then the exit code alone says so.
            let _ = fs::write(&call.log, line);
        }
        outcome
    });
    if outcome.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

// === impl Call ===

impl Call {
    /// Paths become absolute: `libcontainer` changes the working directory.
    fn parse(mut words: impl Iterator<Item = OsString>) -> Result<Self, String> {
        let mut call = Self::default();
        while let Some(word) = words.next() {
            let word = word.to_string_lossy().into_owned();
            let place = match word.as_str() {
                "--detach" => continue,
                "--log-format" => {
                    words.next();
                    continue;
                }
                "--root" => &mut call.root,
                "--log" => &mut call.log,
                "--bundle" => &mut call.bundle,
                "--pid-file" => &mut call.pid_file,
                "--process" => &mut call.process,
                "--console-socket" => &mut call.console,
                _ if call.verb.is_empty() => {
                    call.verb = word;
                    continue;
                }
                _ => {
                    call.id = word;
                    continue;
                }
            };
            let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
            *place = std::path::absolute(value).map_err(|e| e.to_string())?;
        }
        Ok(call)
    }

    fn perform(&self) -> Result<(), String> {
        match self.verb.as_str() {
            "run" => self.create(),
            "exec" => self.exec(),
            other => Err(format!("{other:?} is no command of this program")),
        }
    }

    fn create(&self) -> Result<(), String> {
        let (executor, complaints) = executor(&read_json(&self.bundle.join("config.json"))?)?;
        // `libcontainer` tries by the working directory whether the kernel can open files without
        // following links. The container's root may not read ours, and would do by some thousand
        // calls what takes some hundred.
        std::env::set_current_dir("/").map_err(|e| format!("cannot leave the bundle: {e}"))?;
        let builder = ContainerBuilder::new(self.id.clone(), SyscallType::default());
        let builder = builder.with_root_path(&self.root).map_err(|e| words(&e))?;
        let builder = builder.with_executor(executor);
        let builder = builder.as_init(&self.bundle).with_systemd(false).with_detach(true);
        let mut container =
            builder.build().map_err(|e| reason(complaints).unwrap_or_else(|| words(&e)))?;
        container.start().map_err(|e| words(&e))?;
        let pid = container.pid().ok_or("the container has no init")?;
        self.tell_pid(pid.as_raw())
    }

    fn exec(&self) -> Result<(), String> {
        let state = read_json(&self.root.join(&self.id).join("state.json"))?;
        let bundle = state["bundle"].as_str().ok_or("the container's record names no bundle")?;
        let init = state["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
        let init = init.ok_or("the container's record names no init")?;
        let config = read_json(&Path::new(bundle).join("config.json"))?;
        let process = read_json(&self.process)?;
        let (executor, complaints) = executor(&config)?;
        let container = entry::Container::open(init, &config)?;
        let console = Some(self.console.as_path()).filter(|path| !path.as_os_str().is_empty());
        let console = console.map(console::connect).transpose();
        let console = console.map_err(|e| format!("cannot reach who wants a terminal: {e}"))?;
        let pid = container.start(&process, (&executor, complaints), console.as_ref())?;
        self.tell_pid(pid)
    }

    fn tell_pid(&self, pid: i32) -> Result<(), String> {
        fs::write(&self.pid_file, pid.to_string())
            .map_err(|e| format!("cannot write {}: {e}", self.pid_file.display()))
    }
}

/// What new processes of a container go through, and where it says why not.
fn executor(config: &Value) -> Result<(Confined, File), String> {
    let filters = seccomp::filters(config)?;
    let pipe = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK);
    let (reader, writer) = pipe.map_err(|e| format!("cannot make a pipe: {e}"))?;
    Ok((Confined::new(filters, writer.into()), reader.into()))
}

fn read_json(path: &Path) -> Result<Value, String> {
    let bytes = fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
    serde_json::from_slice(&bytes).map_err(|e| format!("cannot read {}: {e}", path.display()))
}

/// Why there is no new process, in its own words; `None` when it said nothing.
fn reason(mut complaints: File) -> Option<String> {
    let mut said = [0; 4096];
    let count = complaints.read(&mut said).unwrap_or(0);
    let said = String::from_utf8_lossy(&said[..count]);
    (!said.is_empty()).then(|| format!("{UNABLE}{said}"))
}

/// An error with all its causes.
fn words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_words = inner.to_string();
        if !words.contains(&inner_words) {
            words = format!("{words}: {inner_words}");
        }
        cause = inner.source();
    }
    words
}
