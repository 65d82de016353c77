//! Bytes that were read and not yet used, in memory that is lent and given back.

use bytes::Buf;

/// The bytes. Its memory is initialised once and then used again and again.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

// === impl Buffer ===

impl Buffer {
    /// An empty buffer in this memory, whose length is its room.
    pub(crate) fn new(memory: Vec<u8>) -> Self {
        Self { bytes: memory, start: 0, end: 0 }
    }

    /// What is there.
    pub(crate) fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Whether nothing is there.
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether it has memory at all.
    pub(crate) fn has_memory(&self) -> bool {
        !self.bytes.is_empty()
    }

    /// Where more goes; empty when it is full.
    pub(crate) fn spare(&mut self) -> &mut [u8] {
        if self.end == self.bytes.len() && self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        &mut self.bytes[self.end..]
    }

    /// Whether no more goes in before something is used.
    pub(crate) fn is_full(&self) -> bool {
        self.end - self.start == self.bytes.len()
    }

    /// Notes that `n` bytes were written into the spare memory.
    pub(crate) fn filled_by(&mut self, n: usize) {
        self.end = (self.end + n).min(self.bytes.len());
    }

    /// Adds bytes that were read elsewhere; how many fitted.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> usize {
        let spare = self.spare();
        let n = bytes.len().min(spare.len());
        spare[..n].copy_from_slice(&bytes[..n]);
        self.filled_by(n);
        n
    }

    /// Notes that `n` bytes are used.
    pub(crate) fn consume(&mut self, n: usize) {
        self.start = (self.start + n).min(self.end);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Makes room for `n` bytes in all.
    pub(crate) fn grow(&mut self, n: usize) {
        if self.bytes.len() < n {
            self.bytes.resize(n, 0);
        }
    }

    /// Gives its memory away, which forgets what is there.
    pub(crate) fn take_memory(&mut self) -> Vec<u8> {
        (self.start, self.end) = (0, 0);
        std::mem::take(&mut self.bytes)
    }
}

impl Buf for Buffer {
    fn remaining(&self) -> usize {
        self.end - self.start
    }

    fn chunk(&self) -> &[u8] {
        self.filled()
    }

    fn advance(&mut self, n: usize) {
        self.consume(n);
    }
}
