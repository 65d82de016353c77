//! One connection of a cell.

use std::io::{self, IoSliceMut, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use lattice_shim_protocol::{
    Answer, Frames, OUTPUT_BYTES_MAX, ProtocolError, Request, Stream, WINDOW_BYTES,
};

use rustix::cmsg_space;
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use crate::process::{Process, State};

/// What may wait to be written before output waits as well, in bytes.
const UNWRITTEN_BYTES_MAX: usize = 64 << 10;
/// A process's standard streams.
const DESCRIPTORS_MAX: usize = 3;
/// A cell that takes nothing for so long does not hold an app up any more.
const PATIENCE: Duration = Duration::from_secs(1);

/// A connection.
#[derive(Debug)]
pub(crate) struct Client {
    stream: UnixStream,
    frames: Frames,
    /// What came along with the bytes, as far as it was not taken.
    descriptors: Vec<OwnedFd>,
    unwritten: Vec<u8>,
    pub(crate) stage: Stage,
    /// True when it is to be closed once all is written.
    is_ending: bool,
    told: Told,
    /// When it last took output.
    took_at: Instant,
}

/// How far a conversation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nothing is agreed on yet.
    New,
    /// A version is.
    Greeted,
    /// It is about this process.
    About(u64),
}

/// What was told of a process.
#[derive(Debug, Default)]
struct Told {
    start: bool,
    end: bool,
    /// How far each stream was sent.
    sent: [u64; 2],
    closed: [bool; 2],
}

/// A client that has gone, or talks nonsense.
#[derive(Debug)]
pub(crate) struct Gone;

impl From<io::Error> for Gone {
    fn from(_: io::Error) -> Self {
        Self
    }
}

impl From<ProtocolError> for Gone {
    fn from(_: ProtocolError) -> Self {
        Self
    }
}

// === impl Client ===

impl Client {
    pub(crate) fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            frames: Frames::default(),
            descriptors: Vec::new(),
            unwritten: Vec::new(),
            stage: Stage::New,
            is_ending: false,
            told: Told::default(),
            took_at: Instant::now(),
        })
    }

    /// What arrived, as far as it is whole.
    pub(crate) fn read(&mut self) -> Result<Vec<Request>, Gone> {
        let mut bytes = [0; OUTPUT_BYTES_MAX];
        let mut room = [MaybeUninit::uninit(); cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut beside = RecvAncillaryBuffer::new(&mut room);
        let mut into = [IoSliceMut::new(&mut bytes)];
        match recvmsg(&self.stream, &mut into, &mut beside, RecvFlags::CMSG_CLOEXEC) {
            Ok(came) if came.bytes == 0 => return Err(Gone),
            Ok(came) => {
                self.frames.push(&bytes[..came.bytes]);
                for message in beside.drain() {
                    if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                        self.descriptors.extend(descriptors);
                    }
                }
                // More than one request has is nonsense; it is closed.
                self.descriptors.truncate(DESCRIPTORS_MAX);
            }
            Err(Errno::WOULDBLOCK | Errno::INTR) => {}
            Err(e) => return Err(io::Error::from(e).into()),
        }
        let mut requests = Vec::new();
        while let Some(frame) = self.frames.take()? {
            requests.push(Request::decode(&frame)?);
        }
        Ok(requests)
    }

    /// The descriptors that came so far.
    pub(crate) fn take_descriptors(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.descriptors)
    }

    pub(crate) fn say(&mut self, answer: &Answer) {
        answer.encode(&mut self.unwritten);
    }

    /// Says why nothing comes of it, as the last word.
    pub(crate) fn refuse(&mut self, why: String) {
        self.say(&Answer::Refused { why });
        self.is_ending = true;
    }

    /// It takes output.
    pub(crate) fn has_taken(&mut self) {
        self.took_at = Instant::now();
    }

    /// True while it is worth waiting for it to take output.
    pub(crate) fn is_taking(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.took_at) < PATIENCE
    }

    pub(crate) fn wants_to_write(&self) -> bool {
        !self.unwritten.is_empty()
    }

    /// Tells all that is new of its process, as far as there is room.
    pub(crate) fn tell(&mut self, process: &Process) {
        if !self.told.start {
            match &process.state {
                State::Starting(_) => return,
                State::Refused(why) => return self.refuse(why.clone()),
                State::Running(_) | State::Ended { .. } => {}
            }
            let positions = Stream::BOTH.map(|stream| process.output(stream).buffer.consumed());
            self.say(&Answer::Started { positions });
            self.told = Told { start: true, sent: positions, ..Told::default() };
        }
        for stream in Stream::BOTH {
            self.tell_output(process, stream);
        }
        if let State::Ended { code, out_of_memory, .. } = process.state
            && !self.told.end
        {
            self.told.end = true;
            self.say(&Answer::Ended { code, out_of_memory });
        }
    }

    fn tell_output(&mut self, process: &Process, stream: Stream) {
        let output = process.output(stream);
        let (buffer, at) = (&output.buffer, stream.index());
        loop {
            let until = buffer.end().min(buffer.consumed().saturating_add(WINDOW_BYTES));
            let sent = self.told.sent[at];
            if sent >= until || self.unwritten.len() >= UNWRITTEN_BYTES_MAX {
                break;
            }
            let count = usize::try_from(until - sent).unwrap_or(usize::MAX);
            let (position, bytes) = buffer.after(sent, count.min(OUTPUT_BYTES_MAX));
            self.told.sent[at] = position + bytes.len() as u64;
            self.say(&Answer::Output { stream, position, bytes });
        }
        let is_over = output.pipe.is_none() && self.told.sent[at] == buffer.end();
        if is_over && !self.told.closed[at] {
            self.told.closed[at] = true;
            self.say(&Answer::Closed { stream });
        }
    }

    /// Writes what it can.
    pub(crate) fn write(&mut self) -> Result<(), Gone> {
        while !self.unwritten.is_empty() {
            match self.stream.write(&self.unwritten) {
                Ok(0) => return Err(Gone),
                Ok(count) => drop(self.unwritten.drain(..count)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        }
        self.unwritten = Vec::new();
        if self.is_ending { Err(Gone) } else { Ok(()) }
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
