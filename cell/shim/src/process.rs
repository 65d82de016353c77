//! One process in the container: what it wrote, and where it stands.

use std::fs;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::Path;

use lattice_shim_protocol::{Settings, Stream};
use rustix::io::ioctl_fionbio;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, kill_process};

use crate::buffer::Buffer;
use crate::kin;
use crate::oci::{Call, Streams};

/// How much is read of a stream before others have their turn, in bytes.
const READ_BYTES: usize = 16 << 10;

/// A process.
#[derive(Debug)]
pub(crate) struct Process {
    /// Its name; it is kept for whoever asks for it again. `None` lives as long as its caller.
    name: Option<String>,
    pub(crate) state: State,
    outputs: [Output; 2],
    /// How often the kernel had killed for want of memory before.
    kills_before: u64,
    /// True when it is to be killed as soon as it runs.
    is_doomed: bool,
}

/// Where a process stands.
#[derive(Debug)]
pub(crate) enum State {
    /// The OCI runtime is at it.
    Starting(Call),
    /// It could not be started.
    Refused(String),
    /// It runs.
    Running(i32),
    /// It has ended.
    Ended {
        /// What its process id was.
        pid: i32,
        /// Its exit code; 128 + n after signal n.
        code: i32,
        /// True when the kernel killed something in the container for want of memory meanwhile.
        out_of_memory: bool,
    },
}

/// One of its outputs.
#[derive(Debug)]
pub(crate) struct Output {
    /// `None` when nothing more will come.
    pub(crate) pipe: Option<fs::File>,
    pub(crate) buffer: Buffer,
}

// === impl Process ===

impl Process {
    /// Starts one; an empty name is none.
    pub(crate) fn start(
        settings: &Settings,
        number: u64,
        name: &str,
        process: &[u8],
    ) -> io::Result<Self> {
        let (out, stdout) = output()?;
        let (err, stderr) = output()?;
        let call = Call::exec(settings, number, process, Streams::Kept([stdout, stderr]))?;
        let name = (!name.is_empty()).then(|| name.to_owned());
        Ok(Self::starting(settings, name, call, [out, err]))
    }

    /// Starts one whose streams are its caller's, and which nobody can ask for again.
    pub(crate) fn attach(
        settings: &Settings,
        number: u64,
        process: &[u8],
        streams: Streams,
    ) -> io::Result<Self> {
        let call = Call::exec(settings, number, process, streams)?;
        Ok(Self::starting(settings, None, call, [Output::none(), Output::none()]))
    }

    fn starting(
        settings: &Settings,
        name: Option<String>,
        call: Call,
        outputs: [Output; 2],
    ) -> Self {
        let kills_before = memory_kills(&settings.memory_events);
        Self { name, state: State::Starting(call), outputs, kills_before, is_doomed: false }
    }

    pub(crate) fn has_name(&self, name: &str) -> bool {
        self.name.as_deref() == Some(name)
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.name.is_some()
    }

    /// True when nothing of it runs or starts any more, as far as it is waited for.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state, State::Refused(_) | State::Ended { .. })
    }

    pub(crate) fn output(&self, stream: Stream) -> &Output {
        &self.outputs[stream.index()]
    }

    pub(crate) fn output_mut(&mut self, stream: Stream) -> &mut Output {
        &mut self.outputs[stream.index()]
    }

    /// The call that starts it is over.
    pub(crate) fn on_called(&mut self, code: i32, settings: &Settings) {
        let State::Starting(call) = &self.state else { return };
        self.state = match call.outcome(code) {
            Ok(pid) => State::Running(pid),
            Err(why) => State::Refused(why),
        };
        if self.is_doomed {
            self.signal(Signal::KILL, true, settings);
        }
    }

    /// It has ended.
    pub(crate) fn on_end(&mut self, code: i32, settings: &Settings) {
        if let State::Running(pid) = self.state {
            let out_of_memory = memory_kills(&settings.memory_events) > self.kills_before;
            self.state = State::Ended { pid, code, out_of_memory };
        }
    }

    /// Nobody will ever ask for it again.
    pub(crate) fn doom(&mut self, settings: &Settings) {
        self.is_doomed = true;
        self.signal(Signal::KILL, true, settings);
    }

    /// Sends a signal to it, and to all it has started when the family is meant.
    pub(crate) fn signal(&self, signal: Signal, family: bool, settings: &Settings) {
        let leader = match self.state {
            State::Running(pid) => pid,
            State::Ended { pid, .. } if family => pid,
            State::Starting(_) | State::Refused(_) | State::Ended { .. } => return,
        };
        let mut targets = if family { kin::family(leader, &settings.cgroups) } else { Vec::new() };
        if matches!(self.state, State::Running(_)) {
            // It is this process's child and not reaped yet, so the number is still its own.
            targets.insert(0, leader);
        }
        for pid in targets.into_iter().filter_map(Pid::from_raw) {
            // One that has ended meanwhile is what was wanted.
            let _ = kill_process(pid, signal);
        }
    }
}

// === impl Output ===

impl Output {
    /// Nothing comes this way.
    fn none() -> Self {
        Self { pipe: None, buffer: Buffer::default() }
    }

    /// Takes in what is there.
    pub(crate) fn read(&mut self) {
        let Some(pipe) = &mut self.pipe else { return };
        let mut bytes = [0; READ_BYTES];
        match pipe.read(&mut bytes) {
            Ok(count @ 1..) => self.buffer.push(&bytes[..count]),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            // A pipe that cannot be read any more has ended, whatever the reason.
            Ok(_) | Err(_) => self.pipe = None,
        }
    }
}

/// An output and what writes to it.
fn output() -> io::Result<(Output, OwnedFd)> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    ioctl_fionbio(&reader, true)?;
    Ok((Output { pipe: Some(reader.into()), buffer: Buffer::default() }, writer))
}

/// How often the kernel has killed for want of memory, as the control group counts; 0 when it is
/// gone.
fn memory_kills(file: &Path) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    line.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kills_are_counted_in_the_files_of_both_versions() {
        let dir = std::env::temp_dir().join(format!("lattice-shim-{}", std::process::id()));
        for (text, expected) in [
            ("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", 3),
            ("low 0\nhigh 0\noom 4\noom_kill 2\noom_group_kill 9\n", 2),
            ("", 0),
        ] {
            fs::write(&dir, text).unwrap();
            assert_eq!(memory_kills(&dir), expected, "{text:?}");
        }
        fs::remove_file(&dir).unwrap();
        assert_eq!(memory_kills(&dir), 0, "one that is gone has none");
    }
}
