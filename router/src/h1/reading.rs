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
    /// Method, target and body, of whole requests.
    pub(crate) requests: Vec<(String, Vec<u8>, Vec<u8>)>,
    /// Bytes of whole requests.
    pub(crate) used: usize,
    /// Why there were no more.
    pub(crate) violation: Option<Violation>,
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
}

/// A reader between two pieces.
struct Reader {
    input: Buffer,
    end: HeadEnd,
    consumed: usize,
    body: Option<(String, Vec<u8>, Transfer, Vec<u8>)>,
}

impl Default for Reader {
    fn default() -> Self {
        let input = Buffer::new(vec![0; SPACE]);
        Self { input, end: HeadEnd::default(), consumed: 0, body: None }
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
        let advanced = if self.body.is_some() { self.body(reading)? } else { self.head()? };
        self.consumed += before - self.input.filled().len();
        if self.body.is_none() {
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
        let mut transfer = Transfer::new(Vec::new());
        transfer.begin(head.body, head.body == Body::Chunked);
        let request = (head.method.to_owned(), head.target.to_vec(), transfer, Vec::new());
        self.input.consume(length);
        self.body = Some(request);
        Ok(true)
    }

    fn body(&mut self, reading: &mut Reading) -> Result<bool, Violation> {
        let Some((method, target, transfer, written)) = &mut self.body else { return Ok(false) };
        match transfer.step(&mut self.input)? {
            Step::Read => Ok(false),
            Step::Write => {
                let slices = transfer.slices(&self.input).concat();
                transfer.wrote(slices.len(), &mut self.input);
                written.extend_from_slice(&slices);
                Ok(true)
            }
            Step::Done => {
                let method = std::mem::take(method);
                let (target, written) = (std::mem::take(target), std::mem::take(written));
                reading.requests.push((method, target, written));
                self.body = None;
                Ok(true)
            }
        }
    }
}
