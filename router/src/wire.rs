//! A socket with the bytes that were read from it and not yet used, and the moving of bodies
//! between two of them.

use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use tokio::net::TcpStream;

use crate::h1::Violation;
use crate::h1::buffer::Buffer;
use crate::h1::transfer::{Step, Transfer};
use crate::memory::Memory;

/// A connection's end.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
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
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, input: Buffer::default() }
    }

    /// Reads once; 0 is the end. Memory is taken when there is something to read, and given back
    /// when there is nothing.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        memory: &Memory,
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.stream.poll_read_ready(cx) {
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

/// Writes some of the slices, in their order.
fn poll_write(
    stream: &TcpStream,
    cx: &mut Context<'_>,
    slices: [&[u8]; 4],
) -> Poll<io::Result<usize>> {
    let mut parts = [IoSlice::new(&[]); 4];
    let mut count = 0;
    for slice in slices.into_iter().filter(|slice| !slice.is_empty()) {
        parts[count] = IoSlice::new(slice);
        count += 1;
    }
    loop {
        ready!(stream.poll_write_ready(cx))?;
        let written = match &parts[..count] {
            [one] => stream.try_write(one),
            many => stream.try_write_vectored(many),
        };
        match written {
            Err(error) if is_passing(&error) => {}
            outcome => return Poll::Ready(outcome),
        }
    }
}

/// Moves what can be moved: `head` first, then what the transfer says. Ready when the body is
/// through; each move is told to `moved`.
pub(crate) fn poll_transfer(
    cx: &mut Context<'_>,
    (head, transfer): (&mut &[u8], &mut Transfer),
    from: &mut Wire,
    to: &TcpStream,
    (memory, moved): (&Memory, impl Fn()),
) -> Poll<Result<(), Broken>> {
    loop {
        let step = transfer.step(&mut from.input).map_err(Broken::Malformed)?;
        if step == Step::Write || !head.is_empty() {
            let [waiting, direct, tail] = transfer.slices(&from.input);
            let written = ready!(poll_write(to, cx, [head, waiting, direct, tail]));
            let written = written.map_err(|_| Broken::Sink)?;
            let of_head = written.min(head.len());
            *head = &head[of_head..];
            transfer.wrote(written - of_head, &mut from.input);
            moved();
            continue;
        }
        if step == Step::Done {
            return Poll::Ready(Ok(()));
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
    stream: &TcpStream,
    bytes: &mut &[u8],
) -> Poll<io::Result<()>> {
    while !bytes.is_empty() {
        let written = ready!(poll_write(stream, cx, [bytes, &[], &[], &[]]))?;
        *bytes = &bytes[written..];
    }
    Poll::Ready(Ok(()))
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
