//! The very listening sockets pass from one router's process to the next, over a Unix socket: who
//! waits in their queues is served by whoever asks first, and nobody is turned away.
//!
//! | Successor | Predecessor |
//! |---|---|
//! | connects | sends all it listens on |
//! | fills its table, and begins to accept | goes on |
//! | says [`TAKES_OVER`] | sends what it listened on since, accepts nobody any more, and drains |
//!
//! A successor that leaves before it takes over has changed nothing.

use std::fs;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::{UnixListener, UnixStream};
use tracing::{info, warn};

use crate::Handle;

/// What a successor says once it accepts.
const TAKES_OVER: u8 = b'T';
/// Sockets that go in one message; the kernel takes no more than 253.
const AT_ONCE: usize = 128;
/// More is no number of sockets.
const SOCKETS_MAX: u32 = 65_536;
/// How long a successor may take until it accepts.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long accepting rests after a fault.
const REST: Duration = Duration::from_millis(100);

/// Why sockets do not pass.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    /// The predecessor cannot be asked, or has not answered.
    #[error("the router that listens on {path} does not hand over; end it first, or try again")]
    Predecessor {
        /// The Unix socket.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// No successor could ask.
    #[error("cannot wait for a successor on {path}; name another path with --handover")]
    Listen {
        /// The Unix socket.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

/// The process whose sockets these were.
pub(super) struct Predecessor {
    stream: UnixStream,
    path: PathBuf,
}

/// Where successors ask.
pub(super) struct Successors {
    listener: UnixListener,
    path: PathBuf,
    has_one: bool,
}

/// Asks who listens now for its sockets; nobody listens where nobody answers.
pub(super) async fn predecessor(
    path: &Path,
) -> Result<Option<(Predecessor, Vec<TcpListener>)>, HandoverError> {
    let failed = |source| HandoverError::Predecessor { path: path.to_owned(), source };
    let mut stream = match UnixStream::connect(path).await {
        Ok(stream) => stream,
        Err(error) if is_nobody(&error) => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    if !is_allowed(&stream) {
        let stranger = "the process there is another user's";
        return Err(failed(io::Error::new(io::ErrorKind::PermissionDenied, stranger)));
    }
    let receiving = tokio::time::timeout(PATIENCE, receive(&mut stream));
    let sockets = receiving.await.map_err(|late| failed(late.into()))?.map_err(failed)?;
    info!(sockets = sockets.len(), "sockets taken from the router that runs");
    Ok(Some((Predecessor { stream, path: path.to_owned() }, sockets)))
}

fn is_nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

// === impl Predecessor ===

impl Predecessor {
    /// Has it accept nobody any more, and takes what it listened on since it was asked.
    pub(super) async fn relieve(mut self) -> Result<Vec<TcpListener>, HandoverError> {
        let taken = async {
            self.stream.write_all(&[TAKES_OVER]).await?;
            receive(&mut self.stream).await
        };
        taken.await.map_err(|source| HandoverError::Predecessor { path: self.path, source })
    }
}

// === impl Successors ===

impl Successors {
    /// Waits at a path, where a predecessor may have waited before.
    pub(super) fn at(path: &Path) -> Result<Self, HandoverError> {
        let failed = |source| HandoverError::Listen { path: path.to_owned(), source };
        match fs::symlink_metadata(path) {
            Ok(found) if found.file_type().is_socket() => fs::remove_file(path).map_err(failed)?,
            // What is no socket stays, and is in the way.
            _ => {}
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        // Who asks is looked at as well; this only keeps others from waiting in its queue.
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(Self { listener, path: path.to_owned(), has_one: false })
    }

    /// Serves those who ask until one of them has taken over; then nobody is accepted here any more.
    pub(super) async fn taken_over(&mut self, router: &Handle) {
        while !self.has_one {
            match self.listener.accept().await {
                Ok((stream, _)) => self.serve(stream, router).await,
                Err(error) => {
                    warn!(%error, "a successor cannot be accepted");
                    tokio::time::sleep(REST).await;
                }
            }
        }
    }

    async fn serve(&mut self, mut stream: UnixStream, router: &Handle) {
        if !is_allowed(&stream) {
            warn!("somebody else's process asked for the listening sockets, and got nothing");
            return;
        }
        let handing = tokio::time::timeout(PATIENCE, offer(&mut stream, router)).await;
        match handing.unwrap_or_else(|late| Err(late.into())) {
            Ok(()) => {
                self.has_one = true;
                info!("another process accepts from now on");
            }
            Err(error) => {
                router.listening().take_back();
                warn!(%error, "a successor did not take over; this process goes on");
            }
        }
    }
}

impl Drop for Successors {
    fn drop(&mut self) {
        if !self.has_one {
            // A file that stays harms nobody.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Whether the other process is this user's, or root's.
fn is_allowed(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|other| other.uid() == 0 || other.uid() == own)
}

/// Sends everything, and what came since once the successor accepts.
async fn offer(stream: &mut UnixStream, router: &Handle) -> io::Result<()> {
    send(stream, &router.listening().give()?).await?;
    if stream.read_u8().await? != TAKES_OVER {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let since = router.listening().give()?;
    router.retire();
    if let Err(error) = send(stream, &since).await {
        warn!(%error, "what was opened last could not be handed over");
    }
    Ok(())
}

/// The number of the sockets, and they themselves beside single bytes.
async fn send(stream: &mut UnixStream, sockets: &[TcpListener]) -> io::Result<()> {
    let count = u32::try_from(sockets.len()).map_err(io::Error::other)?;
    stream.write_all(&count.to_be_bytes()).await?;
    for some in sockets.chunks(AT_ONCE) {
        let some: Vec<BorrowedFd<'_>> = some.iter().map(|socket| socket.as_fd()).collect();
        stream.async_io(Interest::WRITABLE, || send_some(stream.as_fd(), &some)).await?;
    }
    Ok(())
}

fn send_some(stream: BorrowedFd<'_>, sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(sockets.len()))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    beside.push(SendAncillaryMessage::ScmRights(sockets));
    sendmsg(stream, &[IoSlice::new(b".")], &mut beside, SendFlags::NOSIGNAL)?;
    Ok(())
}

async fn receive(stream: &mut UnixStream) -> io::Result<Vec<TcpListener>> {
    let count = stream.read_u32().await?;
    if count > SOCKETS_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut sockets = Vec::new();
    while sockets.len() < count as usize {
        let some = stream.async_io(Interest::READABLE, || receive_some(stream.as_fd())).await?;
        if some.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        sockets.extend(some.into_iter().map(TcpListener::from));
    }
    Ok(sockets)
}

fn receive_some(stream: BorrowedFd<'_>) -> io::Result<Vec<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = recvmsg(stream, &mut [IoSliceMut::new(&mut byte)], &mut beside, flags)?;
    if received.flags.contains(ReturnFlags::CTRUNC) {
        // Those that did arrive are closed with `beside`; the predecessor still has them all.
        let lost = "sockets were lost on the way: this process may have too few open files \
                    (ulimit -n)";
        return Err(io::Error::new(io::ErrorKind::QuotaExceeded, lost));
    }
    let rights = beside.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(sockets) => Some(sockets),
        _ => None,
    });
    Ok(rights.flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sockets_arrive_as_they_were_however_many_they_are() {
        let (mut here, mut there) = UnixStream::pair().unwrap();
        for count in [0, 1, AT_ONCE, AT_ONCE + 1, 300] {
            let sockets: Vec<TcpListener> =
                (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
            let (sent, received) = tokio::join!(send(&mut here, &sockets), receive(&mut there));
            sent.unwrap();
            let received = received.unwrap();
            let addrs = |sockets: &[TcpListener]| -> Vec<_> {
                sockets.iter().map(|socket| socket.local_addr().unwrap()).collect()
            };
            assert_eq!(addrs(&received), addrs(&sockets));
        }
    }

    #[tokio::test]
    async fn sockets_that_do_not_all_arrive_are_an_error_that_says_why() {
        let (here, mut there) = UnixStream::pair().unwrap();
        let many = 253;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let all = vec![listener.as_fd(); many];
        let count = u32::try_from(many).unwrap().to_be_bytes();
        here.try_write(&count).unwrap();
        send_some(here.as_fd(), &all).unwrap();
        let error = receive(&mut there).await.unwrap_err().to_string();
        assert!(error.contains("ulimit -n"), "{error}");
    }

    #[tokio::test]
    async fn a_peer_that_breaks_off_or_talks_nonsense_is_an_error() {
        for bytes in [&b""[..], b"\0", b"\xff\xff\xff\xff", b"\0\0\0\x01", b"\0\0\0\x01."] {
            let (mut here, mut there) = UnixStream::pair().unwrap();
            here.write_all(bytes).await.unwrap();
            drop(here);
            assert!(receive(&mut there).await.is_err(), "{bytes:?}");
        }
    }

    #[tokio::test]
    async fn where_nobody_waits_nobody_is_relieved() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("handover");
        assert!(predecessor(&path).await.unwrap().is_none());
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(predecessor(&path).await.unwrap().is_none(), "a file that was left");
        drop(Successors::at(&path).unwrap());
        assert!(!path.exists());
        fs::write(&path, "mistyped").unwrap();
        assert!(Successors::at(&path).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"mistyped");
        let error = Successors::at(&dir.path().join("no/such")).map(drop).unwrap_err();
        assert!(error.to_string().contains("cannot wait for a successor on"), "{error}");
    }
}
