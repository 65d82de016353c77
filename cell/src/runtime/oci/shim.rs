//! The processes that hold containers, as seen from the cell: started, found again, spoken to, and
//! ended. `lattice-shim` is their other side.

use std::fs;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use lattice_shim_protocol::program::SHIM;
use lattice_shim_protocol::{
    Answer, FRAME_BYTES_MAX, Frames, MADE, Request, SETTINGS, SOCKET, STAMP, Settings, Stamp,
    VERSION, VERSION_OLDEST,
};
use rustix::cmsg_space;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::UnixStream;
use tokio::process::Command;

use crate::host_programs;

/// How long such a process may take to end.
const END_MAX: Duration = Duration::from_secs(5);
/// How long reaping it is waited for.
const REAP_MAX: Duration = Duration::from_millis(500);
/// How long a greeting may take on a machine that is very busy.
const GREETING_MAX: Duration = Duration::from_secs(10);
const READ_BYTES: usize = 16 << 10;

/// Where such a process stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It holds.
    Alive,
    /// It has ended, and has not been reaped.
    Ended,
    /// There is none; its number may be another's.
    Gone,
}

/// A connection to one of them, which has agreed on a version.
pub(super) struct Connection {
    stream: UnixStream,
    frames: Frames,
    /// The version that was agreed on.
    version: u16,
}

/// Starts the process that makes and holds the container whose bundle is in `dir`; an error is its
/// own words.
pub(super) async fn start(program: &Path, dir: &Path, settings: &Settings) -> Result<(), String> {
    let told = |e: io::Error| format!("cannot start the process that holds it: {e}");
    let text = settings.print().map_err(|e| format!("cannot write its settings: {e}"))?;
    fs::write(dir.join(SETTINGS), text).map_err(told)?;
    let mut command = Command::new(program);
    command.arg(SHIM).arg(dir).env_clear().env("PATH", host_programs::search_path());
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command.stderr(fs::File::create(dir.join("shim.log")).map_err(told)?);
    let mut child = command.spawn().map_err(told)?;
    let mut said = child.stdout.take().ok_or("it has no standard output")?;
    // It outlives this process; as long as this one lives, it has to be reaped.
    tokio::spawn(async move { child.wait().await });
    let mut words = Vec::new();
    while let Ok(1..) = said.read_buf(&mut words).await {
        if words == MADE.as_bytes() {
            return Ok(());
        }
    }
    match String::from_utf8_lossy(&words).trim() {
        "" => Err("the process that holds it died".to_owned()),
        words => Err(words.to_owned()),
    }
}

/// Who holds the container of `dir`; `None` when nobody does, or nobody of this boot.
pub(super) fn holder(dir: &Path) -> Option<Stamp> {
    let stamp = Stamp::parse(&fs::read_to_string(dir.join(STAMP)).ok()?).ok()?;
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let holds = stamp.boot == boot.trim() && standing(&stamp) == Standing::Alive;
    holds.then_some(stamp)
}

/// Sees to it that no process that was started to hold the container of `dir` begins to: either it
/// has said who it is, and [`end`] finds it, or it finds its settings gone when it has.
pub(super) fn forbid(dir: &Path) -> io::Result<()> {
    match fs::remove_file(dir.join(SETTINGS)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Ends the process that held the container of `dir`, which is gone; no error when there is none.
pub(super) async fn end(dir: &Path) -> Result<(), String> {
    let Some(stamp) = holder(dir) else { return Ok(()) };
    let asked = async {
        let mut connection = Connection::open(dir).await?;
        connection.say(&Request::Quit).await
    };
    if asked.await.is_err() {
        kill(&stamp);
    }
    let began = Instant::now();
    loop {
        match standing(&stamp) {
            Standing::Gone => return Ok(()),
            // Whose child it is reaps it when it likes.
            Standing::Ended if began.elapsed() > REAP_MAX => return Ok(()),
            Standing::Alive if began.elapsed() > END_MAX => {
                return Err(format!("process {}, which held it, does not end", stamp.pid));
            }
            Standing::Alive if began.elapsed() > END_MAX / 2 => kill(&stamp),
            Standing::Ended | Standing::Alive => {}
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn kill(stamp: &Stamp) {
    if let Some(pid) = Pid::from_raw(stamp.pid).filter(|_| standing(stamp) == Standing::Alive) {
        // One that has ended meanwhile is what was wanted.
        let _ = kill_process(pid, Signal::KILL);
    }
}

fn standing(stamp: &Stamp) -> Standing {
    let stat = fs::read_to_string(format!("/proc/{}/stat", stamp.pid)).unwrap_or_default();
    let Some((_, fields)) = stat.rsplit_once(") ") else { return Standing::Gone };
    let mut fields = fields.split(' ');
    let state = fields.next();
    match fields.nth(18).is_some_and(|began| began == stamp.began.to_string()) {
        true if state == Some("Z") => Standing::Ended,
        true => Standing::Alive,
        false => Standing::Gone,
    }
}

// === impl Connection ===

impl Connection {
    /// Connects, and agrees on a version.
    pub(super) async fn open(dir: &Path) -> Result<Self, String> {
        let greeting = async {
            let (path, _place) = short(dir, SOCKET)?;
            let stream = UnixStream::connect(path).await?;
            Ok::<_, io::Error>(Self { stream, frames: Frames::default(), version: 0 })
        };
        let agreed = async {
            let mut connection = greeting
                .await
                .map_err(|e| format!("cannot reach the process that holds it: {e}"))?;
            connection.say(&Request::Hello { oldest: VERSION_OLDEST, newest: VERSION }).await?;
            match connection.hear().await? {
                Answer::Welcome { version } => Ok(Self { version, ..connection }),
                Answer::Refused { why } => Err(why),
                other => Err(format!("the process that holds it answered {other:?} to a greeting")),
            }
        };
        let silent = || "the process that holds it does not answer".to_owned();
        tokio::time::timeout(GREETING_MAX, agreed).await.unwrap_or_else(|_| Err(silent()))
    }

    /// What the other side can do.
    pub(super) fn version(&self) -> u16 {
        self.version
    }

    pub(super) async fn say(&mut self, request: &Request) -> Result<(), String> {
        let bytes = encoded(request)?;
        self.stream.write_all(&bytes).await.map_err(|e| lost(&e))
    }

    /// Says something that descriptors come along with.
    pub(super) async fn say_with(
        &mut self,
        request: &Request,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), String> {
        let bytes = encoded(request)?;
        let send = || {
            let mut room = [MaybeUninit::uninit(); cmsg_space!(ScmRights(3))];
            let mut beside = SendAncillaryBuffer::new(&mut room);
            if !beside.push(SendAncillaryMessage::ScmRights(descriptors)) {
                return Err(io::Error::from(io::ErrorKind::InvalidInput));
            }
            let from = [IoSlice::new(&bytes)];
            Ok(sendmsg(&self.stream, &from, &mut beside, SendFlags::NOSIGNAL)?)
        };
        let sent = self.stream.async_io(Interest::WRITABLE, send).await.map_err(|e| lost(&e))?;
        self.stream.write_all(&bytes[sent..]).await.map_err(|e| lost(&e))
    }

    /// The next answer. Nothing is lost when the call is broken off.
    pub(super) async fn hear(&mut self) -> Result<Answer, String> {
        loop {
            if let Some(frame) = self.frames.take().map_err(|e| lost(&e))? {
                return Answer::decode(&frame).map_err(|e| lost(&e));
            }
            self.stream.readable().await.map_err(|e| lost(&e))?;
            self.read()?;
        }
    }

    /// Takes in what is there. Not in [`Self::hear`], which would hold the memory for it as long as
    /// nothing comes, once for every process.
    fn read(&mut self) -> Result<(), String> {
        let mut bytes = [0; READ_BYTES];
        match self.stream.try_read(&mut bytes) {
            Ok(0) => return Err(lost(&"it hung up")),
            Ok(count) => self.frames.push(&bytes[..count]),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(lost(&e)),
        }
        Ok(())
    }
}

fn encoded(request: &Request) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    request.encode(&mut bytes);
    let count = bytes.len();
    if count > FRAME_BYTES_MAX {
        return Err(format!(
            "its arguments and environment are {count} bytes, more than {FRAME_BYTES_MAX}"
        ));
    }
    Ok(bytes)
}

/// A path to a socket that is short however long the directory's is: a socket's may not be longer
/// than 107 bytes. It is good as long as the descriptor is open.
pub(super) fn short(dir: &Path, name: &str) -> io::Result<(PathBuf, OwnedFd)> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let place = openat(CWD, dir, flags, Mode::empty())?;
    Ok((format!("/proc/self/fd/{}/{name}", place.as_raw_fd()).into(), place))
}

fn lost(why: &dyn std::fmt::Display) -> String {
    format!("the process that holds the container is lost: {why}")
}
