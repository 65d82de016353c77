//! Where a body ends, byte by byte.

use bytes::Buf;

use super::head::{HeadEnd, LineEnds, violation};
use super::name::Name;
use super::{Body, Violation};

/// The longest line with a chunk's size.
const CHUNK_LINE_BYTES_MAX: usize = 4096;
/// How much of a chunked body may be framing beyond what its data warrants.
const OVERHEAD_BYTES_MAX: u64 = 16 * 1024;
/// The most bytes of trailers.
const TRAILERS_BYTES_MAX: usize = 8 * 1024;
/// The most lines of trailers.
const TRAILERS_MAX: usize = 32;

/// Reads one body.
#[derive(Debug)]
pub(crate) struct Decoder {
    state: State,
    overhead: u64,
    /// The trailers that may be passed on, as lines.
    trailers: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Length(u64),
    UntilClose,
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    Trailers,
    Done,
}

// === impl Decoder ===

impl Decoder {
    /// At a body's first byte.
    pub(crate) fn new(body: Body) -> Self {
        let state = match body {
            Body::Empty => State::Done,
            Body::Length(length) => State::Length(length),
            Body::Chunked => State::ChunkSize,
            Body::UntilClose => State::UntilClose,
        };
        Self { state, overhead: 0, trailers: Vec::new() }
    }

    /// Whether the body was read to its end.
    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The trailers, as lines; complete when the body is done.
    pub(crate) fn trailers(&self) -> &[u8] {
        &self.trailers
    }

    /// How many bytes at the input's start are the body's, after its framing was taken off. None
    /// when more input is needed, or the body is done. The input is in one piece.
    pub(crate) fn next(&mut self, input: &mut impl Buf) -> Result<Option<usize>, Violation> {
        loop {
            let there = input.remaining();
            match self.state {
                State::Done => return Ok(None),
                State::Length(left) | State::ChunkData(left) => {
                    let taken = usize::try_from(left).map_or(there, |left| left.min(there));
                    return Ok((taken > 0).then_some(taken));
                }
                State::UntilClose => return Ok((there > 0).then_some(there)),
                State::ChunkSize => {
                    let Some((size, line)) = chunk_size(input.chunk())? else { return Ok(None) };
                    self.count_overhead(size, line)?;
                    input.advance(line);
                    self.state = if size == 0 { State::Trailers } else { State::ChunkData(size) };
                }
                State::ChunkEnd => match input.chunk() {
                    [b'\r', b'\n', ..] => {
                        input.advance(2);
                        self.state = State::ChunkSize;
                    }
                    [] | [b'\r'] => return Ok(None),
                    _ => return Err(Violation::Chunk),
                },
                State::Trailers => match self.read_trailers(input.chunk())? {
                    None => return Ok(None),
                    Some(length) => {
                        input.advance(length);
                        self.state = State::Done;
                    }
                },
            }
        }
    }

    /// Notes that `n` of the bytes that [`Decoder::next`] gave were used.
    pub(crate) fn used(&mut self, n: usize) {
        let n = n as u64;
        self.state = match self.state {
            State::Length(left) if left <= n => State::Done,
            State::Length(left) => State::Length(left - n),
            State::ChunkData(left) if left <= n => State::ChunkEnd,
            State::ChunkData(left) => State::ChunkData(left - n),
            other => other,
        };
    }

    /// The connection ended.
    pub(crate) fn ended(&mut self) -> Result<(), Violation> {
        match self.state {
            State::UntilClose | State::Done => {
                self.state = State::Done;
                Ok(())
            }
            State::Length(_)
            | State::ChunkSize
            | State::ChunkData(_)
            | State::ChunkEnd
            | State::Trailers => Err(Violation::Early),
        }
    }

    /// Many small chunks with long extensions keep us busy for little data.
    fn count_overhead(&mut self, size: u64, line: usize) -> Result<(), Violation> {
        let warranted = 16 + size.saturating_mul(2);
        self.overhead = (self.overhead + line as u64 + 2).saturating_sub(warranted);
        if self.overhead > OVERHEAD_BYTES_MAX { Err(Violation::Chunk) } else { Ok(()) }
    }

    /// Reads trailers up to their empty line. Those that would frame, route or name anyone are
    /// left out: whoever merges trailers into the head must not be misled.
    fn read_trailers(&mut self, bytes: &[u8]) -> Result<Option<usize>, Violation> {
        let Some(length) = HeadEnd::default().find(bytes, LineEnds::Strict)? else {
            return if bytes.len() > TRAILERS_BYTES_MAX {
                Err(Violation::TooLarge)
            } else {
                Ok(None)
            };
        };
        let mut headers = [httparse::EMPTY_HEADER; TRAILERS_MAX];
        let parsed = httparse::parse_headers(&bytes[..length], &mut headers).map_err(violation)?;
        let httparse::Status::Complete((_, lines)) = parsed else { return Err(Violation::Header) };
        for line in lines.iter().filter(|line| may_trail(line.name.as_bytes())) {
            for part in [line.name.as_bytes(), b": ", line.value, b"\r\n"] {
                self.trailers.extend_from_slice(part);
            }
        }
        Ok(Some(length))
    }
}

fn may_trail(name: &[u8]) -> bool {
    Name::of(name) == Name::Other && !name.eq_ignore_ascii_case(b"trailer")
}

/// A chunk's size and the length of its line; extensions are dropped.
fn chunk_size(bytes: &[u8]) -> Result<Option<(u64, usize)>, Violation> {
    let Some(end) = memchr::memchr(b'\n', bytes) else {
        return if bytes.len() > CHUNK_LINE_BYTES_MAX { Err(Violation::Chunk) } else { Ok(None) };
    };
    if end > CHUNK_LINE_BYTES_MAX {
        return Err(Violation::Chunk);
    }
    let line = bytes[..end].strip_suffix(b"\r").ok_or(Violation::LineEnd)?;
    let is_text = |&b: &u8| b == b'\t' || (b >= b' ' && b != 0x7f);
    if !line.iter().all(is_text) {
        return Err(Violation::Chunk);
    }
    let digits = line.split(|&b| b == b';').next().unwrap_or_default().trim_ascii_end();
    if digits.is_empty() || digits.len() > 16 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(Violation::Chunk);
    }
    let text = std::str::from_utf8(digits).map_err(|_| Violation::Chunk)?;
    let size = u64::from_str_radix(text, 16).map_err(|_| Violation::Chunk)?;
    Ok(Some((size, end + 1)))
}
