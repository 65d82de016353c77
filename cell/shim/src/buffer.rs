//! What a process wrote to one stream and nobody has taken yet; pure. When it is too much, the
//! oldest goes: the last words say why something ended.

use std::collections::VecDeque;

/// The most bytes that are kept of one stream.
pub(crate) const BYTES_MAX: usize = 256 << 10;
/// An empty buffer keeps no more room than this.
const ROOM_KEPT: usize = 4 << 10;

/// The end of a stream, from a position on.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    bytes: VecDeque<u8>,
    /// How many bytes of the stream come before those that are kept.
    base: u64,
    /// How far it was taken.
    consumed: u64,
}

// === impl Buffer ===

impl Buffer {
    /// Takes more in.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        let excess = self.bytes.len().saturating_sub(BYTES_MAX);
        self.drop_oldest(excess);
    }

    /// Forgets what was taken. A position that is not there yet is its end.
    pub(crate) fn consume(&mut self, position: u64) {
        self.consumed = self.consumed.max(position.min(self.end()));
        let taken = self.consumed.saturating_sub(self.base);
        self.drop_oldest(usize::try_from(taken).unwrap_or(usize::MAX));
        if self.bytes.is_empty() && self.bytes.capacity() > ROOM_KEPT {
            self.bytes = VecDeque::new();
        }
    }

    /// How far it was taken, in bytes from the stream's beginning.
    pub(crate) fn consumed(&self) -> u64 {
        self.consumed
    }

    /// How much was written, in bytes from the stream's beginning.
    pub(crate) fn end(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }

    /// True when more would drop the oldest.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() >= BYTES_MAX
    }

    /// What follows on `position`, at most `count` bytes, and where it really begins: later, when
    /// the oldest had to go.
    pub(crate) fn after(&self, position: u64, count: usize) -> (u64, Vec<u8>) {
        let from = position.clamp(self.base, self.end());
        let skipped = usize::try_from(from - self.base).unwrap_or(usize::MAX);
        (from, self.bytes.iter().skip(skipped).take(count).copied().collect())
    }

    fn drop_oldest(&mut self, count: usize) {
        let count = count.min(self.bytes.len());
        self.bytes.drain(..count);
        self.base += count as u64;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_not_taken_stays_and_what_is_taken_goes() {
        let mut buffer = Buffer::default();
        buffer.push(b"hello world");
        assert_eq!(buffer.after(0, 5), (0, b"hello".to_vec()));
        assert_eq!(buffer.after(6, 100), (6, b"world".to_vec()));
        buffer.consume(6);
        assert_eq!(buffer.after(0, 100), (6, b"world".to_vec()));
        buffer.consume(3);
        assert_eq!(buffer.consumed(), 6, "it does not go back");
        buffer.consume(u64::MAX);
        assert_eq!((buffer.consumed(), buffer.end()), (11, 11), "nor ahead of what was written");
    }

    #[test]
    fn the_oldest_goes_when_it_is_too_much() {
        let mut buffer = Buffer::default();
        buffer.push(&vec![b'a'; BYTES_MAX]);
        assert!(buffer.is_full());
        buffer.push(b"end");
        let (from, bytes) = buffer.after(0, usize::MAX);
        assert_eq!((from, bytes.len()), (3, BYTES_MAX));
        assert!(bytes.ends_with(b"aend"));
        assert_eq!(buffer.consumed(), 0, "so that the loss can be told");
    }

    #[test]
    fn an_empty_buffer_takes_no_room() {
        let mut buffer = Buffer::default();
        buffer.push(&vec![0; BYTES_MAX]);
        buffer.consume(buffer.end());
        assert_eq!(buffer.bytes.capacity(), 0);
    }

    proptest! {
        #[test]
        fn every_byte_is_where_it_was_written(
            steps in proptest::collection::vec((1_usize..BYTES_MAX, 0_u64..BYTES_MAX as u64), 1..9),
        ) {
            let mut buffer = Buffer::default();
            let mut written = Vec::new();
            for (length, taken) in steps {
                let new: Vec<u8> = (written.len()..written.len() + length).map(|n| n as u8).collect();
                written.extend_from_slice(&new);
                buffer.push(&new);
                buffer.consume(buffer.consumed() + taken);
                prop_assert_eq!(buffer.end(), written.len() as u64);
                let (from, bytes) = buffer.after(buffer.consumed(), usize::MAX);
                prop_assert_eq!(&written[usize::try_from(from).unwrap()..], &bytes[..]);
                prop_assert!(bytes.len() <= BYTES_MAX);
            }
        }
    }
}
