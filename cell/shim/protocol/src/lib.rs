//! How a cell speaks with the small processes that hold its instances (`lattice-shim`), and
//! what such a process finds in its directory. Pure: bytes in, messages out.
//!
//! A cell connects to [`SOCKET`], says [`Request::Hello`], and then one of: [`Request::Run`] or
//! [`Request::Attach`], after which the connection is that process's, or [`Request::Quit`]. A frame is a length (4 bytes, big
//! endian), a kind (1 byte) and fields. Bytes behind the fields that are known are skipped, so that
//! a later version may add some; everything else new needs a new version. Both sides understand the
//! version before their own, as an upgraded cell finds the instances' processes as they were.

mod capabilities;
pub mod program;
mod settings;
#[cfg(test)]
mod tests;

pub use capabilities::CAPABILITIES;
pub use settings::{Settings, SettingsError, Stamp};

/// The version spoken here.
pub const VERSION: u16 = 2;
/// The oldest that is understood: the one before [`VERSION`], and none is older than 1.
pub const VERSION_OLDEST: u16 = 1;
/// The socket in the directory of an instance's process.
pub const SOCKET: &str = "shim.sock";
/// The file with its [`Settings`].
pub const SETTINGS: &str = "shim.settings";
/// The file with its [`Stamp`].
pub const STAMP: &str = "shim.stamp";
/// What it prints when the container is made; anything else is why it is not.
pub const MADE: &str = "made\n";

/// The longest frame, in bytes after the length.
pub const FRAME_BYTES_MAX: usize = 1 << 20;
/// The most output in one message, in bytes.
pub const OUTPUT_BYTES_MAX: usize = 16 << 10;
/// How far a stream is sent ahead of what was [`Request::Consumed`], in bytes.
pub const WINDOW_BYTES: u64 = 64 << 10;

const LENGTH_BYTES: usize = 4;

/// Which output of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// What a cell says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// First of all: the versions that the cell speaks.
    Hello {
        /// The oldest.
        oldest: u16,
        /// The newest.
        newest: u16,
    },
    /// Start a process, or attach to the kept one of that name.
    Run {
        /// Its name; the process is kept when the connection ends. An empty one is none, and then
        /// the process is killed when the connection ends.
        name: String,
        /// The OCI process, as JSON.
        process: Vec<u8>,
    },
    /// Start a process that is killed when the connection ends. Its standard streams (in, out, err)
    /// are the descriptors that come with the last byte of this message; or else a terminal, which
    /// the OCI runtime hands to whoever listens on the socket `console`. Since version 2.
    Attach {
        /// The OCI process, as JSON.
        process: Vec<u8>,
        /// A name in the directory of the instance's process; empty without a terminal.
        console: String,
    },
    /// The stream is read up to here; the bytes before need not be kept.
    Consumed {
        /// Which.
        stream: Stream,
        /// How many bytes from the stream's beginning.
        position: u64,
    },
    /// Send a signal.
    Signal {
        /// Its number.
        number: u8,
        /// True when all that the process has started is meant, too.
        family: bool,
    },
    /// The container is gone: end.
    Quit,
}

/// What an instance's process says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To a [`Request::Hello`]: the version that is spoken from here on.
    Welcome {
        /// The newest that both know.
        version: u16,
    },
    /// The process runs, or ran; where each stream goes on (out, err), in bytes from its beginning.
    Started {
        /// What was [`Request::Consumed`] before.
        positions: [u64; 2],
    },
    /// It could not be started.
    Refused {
        /// The OCI runtime's own log, or words.
        why: String,
    },
    /// The process wrote something. A gap after the bytes before is what was too much to keep.
    Output {
        /// Where.
        stream: Stream,
        /// How many bytes of the stream come before.
        position: u64,
        /// What; at most [`OUTPUT_BYTES_MAX`].
        bytes: Vec<u8>,
    },
    /// Nothing more will come from this stream.
    Closed {
        /// Which.
        stream: Stream,
    },
    /// The process has ended; its output may not have.
    Ended {
        /// The exit code; 128 + n after signal n.
        code: i32,
        /// True when the kernel killed something in the container for want of memory meanwhile.
        out_of_memory: bool,
    },
}

/// Why bytes are no messages.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// A frame is longer than [`FRAME_BYTES_MAX`].
    #[error("a frame of {0} bytes is longer than the {FRAME_BYTES_MAX} that are allowed")]
    TooLong(usize),
    /// The kind is none of this version's.
    #[error("a message of the unknown kind {0}")]
    UnknownKind(u8),
    /// A field is cut off or makes no sense.
    #[error("a message whose field {0} makes no sense")]
    BadField(&'static str),
}

/// Cuts what arrives into frames.
#[derive(Debug, Default)]
pub struct Frames {
    bytes: Vec<u8>,
}

/// The newest version that both sides know; `None` when there is none.
pub fn agree(oldest: u16, newest: u16) -> Option<u16> {
    let version = newest.min(VERSION);
    (version >= oldest.max(VERSION_OLDEST)).then_some(version)
}

// === impl Stream ===

impl Stream {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Out, Self::Err];

    /// Its place in a pair.
    pub const fn index(self) -> usize {
        match self {
            Self::Out => 0,
            Self::Err => 1,
        }
    }

    fn of_number(number: u8) -> Result<Self, ProtocolError> {
        match number {
            0 => Ok(Self::Out),
            1 => Ok(Self::Err),
            _ => Err(ProtocolError::BadField("stream")),
        }
    }

    const fn number(self) -> u8 {
        match self {
            Self::Out => 0,
            Self::Err => 1,
        }
    }
}

// === impl Request ===

impl Request {
    /// Appends it as a frame.
    pub fn encode(&self, into: &mut Vec<u8>) {
        match self {
            Self::Hello { oldest, newest } => frame(into, 1, |f| {
                f.extend(oldest.to_be_bytes());
                f.extend(newest.to_be_bytes());
            }),
            Self::Run { name, process } => frame(into, 2, |f| {
                put(f, name.as_bytes());
                put(f, process);
            }),
            Self::Consumed { stream, position } => frame(into, 3, |f| {
                f.push(stream.number());
                f.extend(position.to_be_bytes());
            }),
            Self::Signal { number, family } => frame(into, 4, |f| {
                f.extend([*number, u8::from(*family)]);
            }),
            Self::Quit => frame(into, 5, |_| {}),
            Self::Attach { process, console } => frame(into, 6, |f| {
                put(f, process);
                put(f, console.as_bytes());
            }),
        }
    }

    /// Reads one from a frame.
    pub fn decode(frame: &[u8]) -> Result<Self, ProtocolError> {
        let (kind, mut fields) = split(frame)?;
        Ok(match kind {
            1 => Self::Hello { oldest: fields.u16("oldest")?, newest: fields.u16("newest")? },
            2 => {
                Self::Run { name: fields.text("name")?, process: fields.bytes("process")?.to_vec() }
            }
            3 => Self::Consumed {
                stream: Stream::of_number(fields.u8("stream")?)?,
                position: fields.u64("position")?,
            },
            4 => Self::Signal { number: fields.u8("number")?, family: fields.flag("family")? },
            5 => Self::Quit,
            6 => Self::Attach {
                process: fields.bytes("process")?.to_vec(),
                console: fields.text("console")?,
            },
            other => return Err(ProtocolError::UnknownKind(other)),
        })
    }
}

// === impl Answer ===

impl Answer {
    /// Appends it as a frame.
    pub fn encode(&self, into: &mut Vec<u8>) {
        match self {
            Self::Welcome { version } => frame(into, 1, |f| f.extend(version.to_be_bytes())),
            Self::Started { positions: [out, err] } => frame(into, 2, |f| {
                f.extend(out.to_be_bytes());
                f.extend(err.to_be_bytes());
            }),
            Self::Refused { why } => frame(into, 3, |f| put(f, why.as_bytes())),
            Self::Output { stream, position, bytes } => frame(into, 4, |f| {
                f.push(stream.number());
                f.extend(position.to_be_bytes());
                put(f, bytes);
            }),
            Self::Closed { stream } => frame(into, 5, |f| f.push(stream.number())),
            Self::Ended { code, out_of_memory } => frame(into, 6, |f| {
                f.extend(code.to_be_bytes());
                f.push(u8::from(*out_of_memory));
            }),
        }
    }

    /// Reads one from a frame.
    pub fn decode(frame: &[u8]) -> Result<Self, ProtocolError> {
        let (kind, mut fields) = split(frame)?;
        Ok(match kind {
            1 => Self::Welcome { version: fields.u16("version")? },
            2 => Self::Started { positions: [fields.u64("out")?, fields.u64("err")?] },
            3 => Self::Refused { why: fields.text("why")? },
            4 => Self::Output {
                stream: Stream::of_number(fields.u8("stream")?)?,
                position: fields.u64("position")?,
                bytes: fields.bytes("bytes")?.to_vec(),
            },
            5 => Self::Closed { stream: Stream::of_number(fields.u8("stream")?)? },
            6 => Self::Ended {
                code: i32::from_be_bytes(fields.array("code")?),
                out_of_memory: fields.flag("out_of_memory")?,
            },
            other => return Err(ProtocolError::UnknownKind(other)),
        })
    }
}

// === impl Frames ===

impl Frames {
    /// Takes more bytes in.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame without its length; `None` until more has come.
    pub fn take(&mut self) -> Result<Option<Vec<u8>>, ProtocolError> {
        let Some(length) = self.bytes.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length > FRAME_BYTES_MAX {
            return Err(ProtocolError::TooLong(length));
        }
        let end = LENGTH_BYTES + length;
        if self.bytes.len() < end {
            return Ok(None);
        }
        let frame = self.bytes[LENGTH_BYTES..end].to_vec();
        self.bytes.drain(..end);
        if self.bytes.is_empty() {
            // Many processes hold one of these, and most are silent for long.
            self.bytes = Vec::new();
        }
        Ok(Some(frame))
    }
}

/// The fields of a message that are still to be read.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize, name: &'static str) -> Result<&'a [u8], ProtocolError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(ProtocolError::BadField(name))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, name: &'static str) -> Result<[u8; N], ProtocolError> {
        self.take(N, name)?.try_into().map_err(|_| ProtocolError::BadField(name))
    }

    fn u8(&mut self, name: &'static str) -> Result<u8, ProtocolError> {
        Ok(self.array::<1>(name)?[0])
    }

    fn u16(&mut self, name: &'static str) -> Result<u16, ProtocolError> {
        Ok(u16::from_be_bytes(self.array(name)?))
    }

    fn u64(&mut self, name: &'static str) -> Result<u64, ProtocolError> {
        Ok(u64::from_be_bytes(self.array(name)?))
    }

    fn flag(&mut self, name: &'static str) -> Result<bool, ProtocolError> {
        match self.u8(name)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(ProtocolError::BadField(name)),
        }
    }

    fn bytes(&mut self, name: &'static str) -> Result<&'a [u8], ProtocolError> {
        let length = u32::from_be_bytes(self.array(name)?);
        self.take(usize::try_from(length).unwrap_or(usize::MAX), name)
    }

    fn text(&mut self, name: &'static str) -> Result<String, ProtocolError> {
        let bytes = self.bytes(name)?.to_vec();
        String::from_utf8(bytes).map_err(|_| ProtocolError::BadField(name))
    }
}

fn split(frame: &[u8]) -> Result<(u8, Fields<'_>), ProtocolError> {
    let (kind, fields) = frame.split_first().ok_or(ProtocolError::BadField("kind"))?;
    Ok((*kind, Fields(fields)))
}

/// Appends a frame; nothing that is sent reaches the length where a reader refuses it.
fn frame(into: &mut Vec<u8>, kind: u8, fields: impl FnOnce(&mut Vec<u8>)) {
    let start = into.len();
    into.extend([0; LENGTH_BYTES]);
    into.push(kind);
    fields(into);
    let length = u32::try_from(into.len() - start - LENGTH_BYTES).unwrap_or(u32::MAX);
    into[start..start + LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
}

fn put(into: &mut Vec<u8>, bytes: &[u8]) {
    into.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    into.extend_from_slice(bytes);
}
