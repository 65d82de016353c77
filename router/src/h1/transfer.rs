//! A body on its way from one framing into another. It says what to read and what to write, and
//! holds no more than that.

use super::body::Decoder;
use super::buffer::Buffer;
use super::{Body, Violation};

/// A piece up to here is gathered with others; a longer one is written from where it was read.
const GATHERED_BYTES_MAX: usize = 4 * 1024;
/// So much is gathered at most before it is written.
const WAITING_BYTES_MAX: usize = 32 * 1024;

/// The body, and what waits to be written.
#[derive(Debug)]
pub(crate) struct Transfer {
    decoder: Decoder,
    in_chunks: bool,
    /// Waits to be written, from `written` on: heads, chunk sizes, small pieces.
    waiting: Vec<u8>,
    written: usize,
    /// So many bytes at the input's start follow what waits,
    direct: usize,
    /// and this follows them.
    tail: &'static [u8],
    moved: u64,
    has_begun: bool,
    is_ended: bool,
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Write [`Transfer::slices`].
    Write,
    /// Read more into the input.
    Read,
    /// Nothing: the body is through.
    Done,
}

// === impl Transfer ===

impl Transfer {
    /// A transfer of nothing, which gathers in this memory.
    pub(crate) fn new(memory: Vec<u8>) -> Self {
        Self {
            decoder: Decoder::new(Body::Empty),
            in_chunks: false,
            waiting: memory,
            written: 0,
            direct: 0,
            tail: b"",
            moved: 0,
            has_begun: false,
            is_ended: true,
        }
    }

    /// Begins a body; what waits goes before it.
    pub(crate) fn begin(&mut self, body: Body, in_chunks: bool) {
        self.decoder = Decoder::new(body);
        self.in_chunks = in_chunks;
        self.is_ended = false;
    }

    /// Where heads are written, before the body.
    pub(crate) fn before(&mut self) -> &mut Vec<u8> {
        &mut self.waiting
    }

    /// Bytes of the body that were taken from the input.
    pub(crate) fn moved(&self) -> u64 {
        self.moved
    }

    /// Whether any of it was written, so that it cannot be written anew.
    pub(crate) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Whether anything waits to be written.
    pub(crate) fn is_waiting(&self) -> bool {
        self.written < self.waiting.len() || self.direct > 0 || !self.tail.is_empty()
    }

    /// Looks at the input and says what to do.
    pub(crate) fn step(&mut self, input: &mut Buffer) -> Result<Step, Violation> {
        if self.direct > 0 || !self.tail.is_empty() {
            return Ok(Step::Write);
        }
        while self.waiting.len() < WAITING_BYTES_MAX {
            let Some(n) = self.decoder.next(input)? else { break };
            self.take(n, input);
            if self.direct > 0 {
                break;
            }
        }
        if self.decoder.is_done() && !self.is_ended {
            self.end();
        }
        Ok(match (self.is_waiting(), self.is_ended) {
            (true, _) => Step::Write,
            (false, true) => Step::Done,
            (false, false) => Step::Read,
        })
    }

    /// What is to be written now, in this order.
    pub(crate) fn slices<'a>(&'a self, input: &'a Buffer) -> [&'a [u8]; 3] {
        [&self.waiting[self.written..], &input.filled()[..self.direct], self.tail]
    }

    /// Notes that `n` bytes of the slices were written.
    pub(crate) fn wrote(&mut self, n: usize, input: &mut Buffer) {
        self.has_begun |= n > 0;
        let waited = n.min(self.waiting.len() - self.written);
        self.written += waited;
        if self.written == self.waiting.len() {
            self.waiting.clear();
            self.written = 0;
        }
        let direct = (n - waited).min(self.direct);
        self.direct -= direct;
        input.consume(direct);
        self.tail = &self.tail[n - waited - direct..];
    }

    /// The connection that is read has ended.
    pub(crate) fn ended(&mut self) -> Result<(), Violation> {
        self.decoder.ended()
    }

    /// Gives its memory back.
    pub(crate) fn take_memory(&mut self) -> Vec<u8> {
        self.written = 0;
        std::mem::take(&mut self.waiting)
    }

    fn take(&mut self, n: usize, input: &mut Buffer) {
        self.decoder.used(n);
        self.moved += n as u64;
        if self.in_chunks {
            push_size(&mut self.waiting, n);
        }
        if n > GATHERED_BYTES_MAX {
            self.direct = n;
            self.tail = if self.in_chunks { b"\r\n" } else { b"" };
            return;
        }
        self.waiting.extend_from_slice(&input.filled()[..n]);
        input.consume(n);
        if self.in_chunks {
            self.waiting.extend_from_slice(b"\r\n");
        }
    }

    fn end(&mut self) {
        self.is_ended = true;
        if self.in_chunks {
            self.waiting.extend_from_slice(b"0\r\n");
            self.waiting.extend_from_slice(self.decoder.trailers());
            self.waiting.extend_from_slice(b"\r\n");
        }
    }
}

fn push_size(out: &mut Vec<u8>, size: usize) {
    let digits = (usize::BITS - size.leading_zeros()).div_ceil(4).max(1);
    for place in (0..digits).rev() {
        out.push(b"0123456789abcdef"[size >> (4 * place) & 15]);
    }
    out.extend_from_slice(b"\r\n");
}
