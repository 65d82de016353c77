//! Signals as readable bytes: a handler writes one to a pipe for each.

use std::io::{self, Read as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::pipe::{PipeFlags, pipe_with};

/// Where the handler writes.
static PIPE: AtomicI32 = AtomicI32::new(-1);

/// What came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Came {
    /// A child ended.
    pub(crate) child: bool,
    /// Someone, such as a machine that is shut down, asks this process to end.
    pub(crate) terminate: bool,
}

/// The signals of this process.
#[derive(Debug)]
pub(crate) struct Signals {
    pipe: std::fs::File,
    _writer: OwnedFd,
}

// === impl Signals ===

impl Signals {
    /// Listens from now on; once in a process.
    pub(crate) fn listen() -> io::Result<Self> {
        let (pipe, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        PIPE.store(writer.as_raw_fd(), Ordering::Relaxed);
        for signal in [libc::SIGCHLD, libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
            // SAFETY: the action is zeroed but for what is set; the handler only writes to a pipe.
            let outcome = unsafe {
                let mut action = std::mem::zeroed::<libc::sigaction>();
                action.sa_sigaction = handle as *const () as libc::sighandler_t;
                action.sa_flags = libc::SA_RESTART | libc::SA_NOCLDSTOP;
                libc::sigaction(signal, &raw const action, std::ptr::null_mut())
            };
            if outcome != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(Self { pipe: pipe.into(), _writer: writer })
    }

    /// All that came since.
    pub(crate) fn take(&mut self) -> Came {
        let mut came = Came::default();
        let mut bytes = [0; 64];
        while let Ok(count @ 1..) = self.pipe.read(&mut bytes) {
            for byte in &bytes[..count] {
                match i32::from(*byte) {
                    libc::SIGCHLD => came.child = true,
                    _ => came.terminate = true,
                }
            }
        }
        came
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

extern "C" fn handle(signal: libc::c_int) {
    let byte = u8::try_from(signal).unwrap_or_default();
    // SAFETY: write is allowed in handlers; a full pipe wakes the reader anyway. The error number
    // of the interrupted code is put back.
    unsafe {
        let errno = *libc::__errno_location();
        libc::write(PIPE.load(Ordering::Relaxed), (&raw const byte).cast(), 1);
        *libc::__errno_location() = errno;
    }
}
