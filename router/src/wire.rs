//! A socket with the bytes that were read from it and not yet used, and the moving of bodies
//! between two of them.

mod socket;
mod stream;

use std::io;
use std::task::{Context, Poll, ready};

use crate::h1::Violation;
use crate::h1::buffer::Buffer;
use crate::h1::transfer::{Step, Transfer};
use crate::memory::Memory;
pub(crate) use socket::{await_first_bytes, prepare};
pub(crate) use stream::{Ear, Secured, Stream, is_passing};

/// A connection's end.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) stream: Stream,
    pub(crate) input: Buffer,
}

/// Why a body did not come through.
#[derive(Debug)]
pub(crate) enum Broken {
    /// Reading failed, or ended early.
    Source(String),
    /// What was read is no body.
    Malformed(Violation),
    /// Writing failed.
    Sink,
}

// === impl Wire ===

impl Wire {
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream, input: Buffer::default() }
    }

    /// Takes bytes that were read before.
    pub(crate) fn begin_with(&mut self, memory: &Memory, early: &[u8]) {
        if !early.is_empty() {
            self.input = Buffer::new(memory.lend_buffer());
            self.input.grow(early.len());
            self.input.put(early);
        }
    }

    /// Reads once; 0 is the end. Memory is taken when there is something to read, and given back
    /// when there is nothing.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        memory: &Memory,
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.stream.poll_readable(cx) {
                Poll::Ready(ready) => ready?,
                Poll::Pending => {
                    self.rest(memory);
                    return Poll::Pending;
                }
            }
            if !self.input.has_memory() {
                self.input = Buffer::new(memory.lend_buffer());
            }
            match self.stream.try_read(self.input.spare()) {
                Ok(n) => {
                    self.input.filled_by(n);
                    return Poll::Ready(Ok(n));
                }
                Err(error) if is_passing(&error) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Gives back memory that holds nothing.
    pub(crate) fn rest(&mut self, memory: &Memory) {
        if self.input.is_empty() && self.input.has_memory() {
            memory.take_buffer(self.input.take_memory());
        }
    }
}

/// Moves what can be moved: `head` first, then what the transfer says. Ready when the body is
/// through; each move is told to `moved`.
pub(crate) fn poll_transfer(
    cx: &mut Context<'_>,
    (head, transfer): (&mut &[u8], &mut Transfer),
    from: &mut Wire,
    to: &Stream,
    (memory, moved): (&Memory, impl Fn()),
) -> Poll<Result<(), Broken>> {
    loop {
        let step = transfer.step(&mut from.input).map_err(Broken::Malformed)?;
        if step == Step::Write || !head.is_empty() {
            let [waiting, direct, tail] = transfer.slices(&from.input);
            let written = ready!(to.poll_write(cx, [head, waiting, direct, tail]));
            let written = written.map_err(|_| Broken::Sink)?;
            let of_head = written.min(head.len());
            *head = &head[of_head..];
            transfer.wrote(written - of_head, &mut from.input);
            moved();
            continue;
        }
        // Under TLS, what was written may still stand here.
        let drained = to.poll_drained(cx).map_err(|_| Broken::Sink)?;
        if step == Step::Done {
            return drained.map(Ok);
        }
        if from.input.is_full() && from.input.has_memory() {
            return Poll::Ready(Err(Broken::Malformed(Violation::TooLarge)));
        }
        match ready!(from.poll_read(cx, memory)) {
            Ok(0) => transfer.ended().map_err(|early| Broken::Source(early.to_string()))?,
            Ok(_) => moved(),
            Err(error) => return Poll::Ready(Err(Broken::Source(error.to_string()))),
        }
    }
}

/// Writes bytes that stand alone. Ready when all are written.
pub(crate) fn poll_flush(
    cx: &mut Context<'_>,
    stream: &Stream,
    bytes: &mut &[u8],
) -> Poll<io::Result<()>> {
    while !bytes.is_empty() {
        let written = ready!(stream.poll_write(cx, [bytes, &[], &[], &[]]))?;
        *bytes = &bytes[written..];
    }
    stream.poll_drained(cx)
}
