//! A terminal for a process that is to have one: it is the container's own, and whoever asked for
//! it gets the other end, as with `runc --console-socket`.

use std::fs::File;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use oci_spec::runtime::Process;
use rustix::cmsg_space;
use rustix::fs::{Mode, OFlags, Uid, fchown, open};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::ioctl_tiocsctty;
use rustix::termios::{Winsize, tcsetwinsize};

/// In a container this is the terminals' own device.
const PTMX: &str = "/dev/pts/ptmx";

/// Connects to who waits for a terminal, as long as its socket is in sight. Its path may be longer
/// than a socket's; this process's working directory changes.
pub(super) fn connect(socket: &Path) -> io::Result<UnixStream> {
    let name = socket.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    std::env::set_current_dir(socket.parent().unwrap_or(Path::new("/")))?;
    UnixStream::connect(name)
}

/// Makes a terminal, to be controlled by this process, which leads a new session, and hands its
/// other end over. All three streams are the terminal's from here on.
pub(super) fn take(process: &Process, waiting: &UnixStream) -> io::Result<()> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let master = File::from(open(PTMX, flags, Mode::empty())?);
    let terminal = peer(&master)?;
    // Whoever the process is may open it again.
    fchown(&terminal, Some(Uid::from_raw(process.user().uid())), None)?;
    if let Some(size) = process.console_size() {
        let cut = |n: u64| u16::try_from(n).unwrap_or(u16::MAX);
        let (ws_col, ws_row) = (cut(size.width()), cut(size.height()));
        tcsetwinsize(&terminal, Winsize { ws_col, ws_row, ws_xpixel: 0, ws_ypixel: 0 })?;
    }
    hand_over(&master, waiting)?;
    ioctl_tiocsctty(&terminal)?;
    for stream in 0..3 {
        // SAFETY: plain calls on descriptors that are open; nothing here uses the streams.
        if unsafe { libc::dup2(terminal.as_raw_fd(), stream) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// The end for the process. It has no name here that the container could give to another thing;
/// and what is no terminal has none.
fn peer(master: &File) -> io::Result<OwnedFd> {
    let locked: libc::c_int = 0;
    // SAFETY: plain calls; the second returns a descriptor that nobody else has.
    unsafe {
        if libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const locked) != 0 {
            return Err(io::Error::last_os_error());
        }
        let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
        match libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags) {
            -1 => Err(io::Error::last_os_error()),
            fd => Ok(OwnedFd::from_raw_fd(fd)),
        }
    }
}

fn hand_over(master: &File, waiting: &UnixStream) -> io::Result<()> {
    let descriptors = [master.as_fd()];
    let mut room = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut beside = SendAncillaryBuffer::new(&mut room);
    beside.push(SendAncillaryMessage::ScmRights(&descriptors));
    sendmsg(waiting, &[IoSlice::new(PTMX.as_bytes())], &mut beside, SendFlags::NOSIGNAL)?;
    Ok(())
}
