//! A connection's bytes as a reader sees them, for tests and fuzzing: the requests one after the
//! other, with their bodies.

use super::buffer::Buffer;
use super::head::{HeadEnd, LineEnds, Slots};
use super::request::RequestHead;
use super::transfer::{Step, Transfer};
use super::{Body, Violation};

const SPACE: usize = 64 * 1024;
const LINES_MAX: usize = 100;

/// What was read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Whole requests.
    pub(crate) requests: Vec<Request>,
    /// Bytes of whole requests.
    pub(crate) used: usize,
    /// Why there were no more.
    pub(crate) violation: Option<Violation>,
}

/// A request as it is passed on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: Vec<u8>,
    pub(crate) body: Vec<u8>,
    /// Whether the body is written in chunks.
    pub(crate) is_chunked: bool,
}

// === impl Reading ===

impl Reading {
    /// Reads bytes that come in these pieces.
    pub(crate) fn of(pieces: &[&[u8]]) -> Self {
        let mut reading = Self::default();
        let mut reader = Reader::default();
        for piece in pieces {
            if reading.violation.is_none() {
                reading.violation = reader.read(piece, &mut reading).err();
            }
        }
        reading
    }

    /// The same, the bodies without their chunks, which end where pieces did.
    pub(crate) fn unframed(mut self) -> Self {
        for request in self.requests.iter_mut().filter(|request| request.is_chunked) {
            request.body = unframed(&request.body);
        }
        self
    }
}

/// What is in chunks as we write them, and the trailers behind them.
fn unframed(mut chunks: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    loop {
        let end = memchr::memmem::find(chunks, b"\r\n").expect("a chunk's size has an end");
        let size = std::str::from_utf8(&chunks[..end]).expect("it is a number");
        let size = usize::from_str_radix(size, 16).expect("it is a number");
        let rest = &chunks[end + 2..];
        if size == 0 {
            content.extend_from_slice(rest);
            return content;
        }
        content.extend_from_slice(&rest[..size]);
        chunks = rest[size..].strip_prefix(b"\r\n").expect("a chunk has an end");
    }
}

/// A reader between two pieces.
struct Reader {
    input: Buffer,
    end: HeadEnd,
    consumed: usize,
    begun: Option<(Request, Transfer)>,
}

impl Default for Reader {
    fn default() -> Self {
        let input = Buffer::new(vec![0; SPACE]);
        Self { input, end: HeadEnd::default(), consumed: 0, begun: None }
    }
}

impl Reader {
    fn read(&mut self, mut piece: &[u8], reading: &mut Reading) -> Result<(), Violation> {
        loop {
            let taken = self.input.put(piece);
            piece = &piece[taken..];
            while self.advance(reading)? {}
            if piece.is_empty() {
                return Ok(());
            }
            if self.input.is_full() {
                return Err(Violation::TooLarge);
            }
        }
    }

    /// One step; false when more bytes are needed.
    fn advance(&mut self, reading: &mut Reading) -> Result<bool, Violation> {
        let before = self.input.filled().len();
        let advanced = if self.begun.is_some() { self.body(reading)? } else { self.head()? };
        self.consumed += before - self.input.filled().len();
        if self.begun.is_none() {
            reading.used = self.consumed;
        }
        Ok(advanced)
    }

    fn head(&mut self) -> Result<bool, Violation> {
        if self.input.filled().starts_with(b"\r\n") {
            self.input.consume(2);
            self.end = HeadEnd::default();
            return Ok(true);
        }
        let Some(length) = self.end.find(self.input.filled(), LineEnds::Strict)? else {
            return Ok(false);
        };
        self.end = HeadEnd::default();
        let mut slots = Slots::new();
        let head = RequestHead::parse(&self.input.filled()[..length], LINES_MAX, &mut slots)?;
        let request = Request {
            method: head.method.to_owned(),
            target: head.target.to_vec(),
            body: Vec::new(),
            is_chunked: head.body == Body::Chunked,
        };
        let mut transfer = Transfer::new(Vec::new());
        transfer.begin(head.body, request.is_chunked);
        self.input.consume(length);
        self.begun = Some((request, transfer));
        Ok(true)
    }

    fn body(&mut self, reading: &mut Reading) -> Result<bool, Violation> {
        let Some((request, transfer)) = &mut self.begun else { return Ok(false) };
        match transfer.step(&mut self.input)? {
            Step::Read => Ok(false),
            Step::Write => {
                let slices = transfer.slices(&self.input).concat();
                transfer.wrote(slices.len(), &mut self.input);
                request.body.extend_from_slice(&slices);
                Ok(true)
            }
            Step::Done => {
                reading.requests.extend(self.begun.take().map(|(request, _)| request));
                Ok(true)
            }
        }
    }
}
