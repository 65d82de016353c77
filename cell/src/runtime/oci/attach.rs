//! Processes whose input and output are the caller's: their descriptors go through the process that
//! holds the container and come to be the new process's own, so that no byte passes anyone else.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lattice_shim_protocol::Request;
use rustix::cmsg_space;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::io::Interest;
use tokio::net::unix::pipe;
use tokio::net::{UnixListener, UnixStream};

use super::process::{START_MAX, StartError, started};
use super::shim::{Connection, short};
use super::terminal::Terminal;
use crate::runtime::Attached;

/// The version of the holder's protocol that can do this.
const VERSION: u16 = 2;
/// How long a terminal may take to arrive once its process has started.
const TERMINAL_MAX: Duration = Duration::from_secs(5);

/// Where a terminal arrives; its file goes with it.
struct Console {
    listener: UnixListener,
    name: String,
    file: PathBuf,
}

/// Starts a process in the container of `dir`.
pub(super) async fn run(
    dir: &Path,
    process: Vec<u8>,
    has_terminal: bool,
) -> Result<Attached, StartError> {
    let connection = Connection::open(dir).await.map_err(StartError::Unreachable)?;
    if connection.version() < VERSION {
        let why = "an older version holds it, which can attach nobody; restart the instance";
        return Err(StartError::Unreachable(why.to_owned()));
    }
    match has_terminal {
        true => with_terminal(dir, connection, process).await,
        false => with_streams(connection, process).await,
    }
}

async fn with_streams(
    mut connection: Connection,
    process: Vec<u8>,
) -> Result<Attached, StartError> {
    let told = |e: io::Error| StartError::Unreachable(format!("cannot make its streams: {e}"));
    let make = || pipe_with(PipeFlags::CLOEXEC).map_err(|e| told(e.into()));
    let ((stdin, input), (output, stdout), (errors, stderr)) = (make()?, make()?, make()?);
    let request = Request::Attach { process, console: String::new() };
    let own = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
    connection.say_with(&request, &own).await.map_err(StartError::Unreachable)?;
    // From here on the process alone has its ends, so that each sees the other's end.
    drop((stdin, stdout, stderr));
    let process = started(connection).await?;
    let reader = |end: OwnedFd| pipe::Receiver::from_owned_fd(end).map_err(told);
    Ok(Attached {
        input: Box::new(pipe::Sender::from_owned_fd(input).map_err(told)?),
        output: Box::new(reader(output)?),
        errors: Some(Box::new(reader(errors)?)),
        resize: None,
        control: process.control,
    })
}

async fn with_terminal(
    dir: &Path,
    mut connection: Connection,
    process: Vec<u8>,
) -> Result<Attached, StartError> {
    let told = |e: io::Error| StartError::Unreachable(format!("cannot make its terminal: {e}"));
    let console = Console::listen(dir).map_err(told)?;
    let request = Request::Attach { process, console: console.name.clone() };
    connection.say(&request).await.map_err(StartError::Unreachable)?;
    let process = tokio::time::timeout(START_MAX, started(connection)).await;
    let process = process.unwrap_or_else(|_| Err(told(io::ErrorKind::TimedOut.into())))?;
    let arrival = tokio::time::timeout(TERMINAL_MAX, console.accept()).await;
    let terminal = arrival.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(told)?;
    let terminal = Terminal::new(terminal).map_err(told)?;
    let resized = terminal.clone();
    Ok(Attached {
        input: Box::new(terminal.clone()),
        output: Box::new(terminal),
        errors: None,
        resize: Some(Box::new(move |size| resized.resize(size))),
        control: process.control,
    })
}

// === impl Console ===

impl Console {
    fn listen(dir: &Path) -> io::Result<Self> {
        // Never one that was there before: what an earlier cell has left would be in the way, and a
        // terminal that was meant for it would arrive here.
        let name = format!("console-{:016x}.sock", rand::random::<u64>());
        let (path, _place) = short(dir, &name)?;
        let listener = UnixListener::bind(path)?;
        Ok(Self { listener, file: dir.join(&name), name })
    }

    async fn accept(&self) -> io::Result<OwnedFd> {
        let (stream, _) = self.listener.accept().await?;
        stream.async_io(Interest::READABLE, || receive(&stream)).await
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        // It goes with the container at the latest.
        let _ = std::fs::remove_file(&self.file);
    }
}

fn receive(stream: &UnixStream) -> io::Result<OwnedFd> {
    let (mut name, mut room) = ([0; 64], [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))]);
    let mut beside = RecvAncillaryBuffer::new(&mut room);
    let mut into = [IoSliceMut::new(&mut name)];
    recvmsg(stream, &mut into, &mut beside, RecvFlags::CMSG_CLOEXEC)?;
    let descriptors = beside.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    let nothing = || io::Error::other("the OCI runtime handed nothing over");
    descriptors.into_iter().next().ok_or_else(nothing)
}
