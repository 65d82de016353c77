//! One worker's memory for bytes on their way, lent and given back: a connection that stands still
//! holds none.

use std::cell::RefCell;

/// What one read takes at most, unless a head needs more.
pub(crate) const BUFFER_BYTES: usize = 32 * 1024;
/// So many of each kind are kept.
const KEPT_MAX: usize = 256;
/// A text that grew beyond this is not kept.
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// The memory.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    buffers: RefCell<Vec<Vec<u8>>>,
    texts: RefCell<Vec<Vec<u8>>>,
}

// === impl Memory ===

impl Memory {
    /// [`BUFFER_BYTES`] of initialised memory.
    pub(crate) fn lend_buffer(&self) -> Vec<u8> {
        self.buffers.borrow_mut().pop().unwrap_or_else(|| vec![0; BUFFER_BYTES])
    }

    /// Takes it back.
    pub(crate) fn take_buffer(&self, buffer: Vec<u8>) {
        let mut buffers = self.buffers.borrow_mut();
        if buffer.len() == BUFFER_BYTES && buffers.len() < KEPT_MAX {
            buffers.push(buffer);
        }
    }

    /// An empty vector that grows.
    pub(crate) fn lend_text(&self) -> Vec<u8> {
        self.texts.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes it back.
    pub(crate) fn take_text(&self, mut text: Vec<u8>) {
        let mut texts = self.texts.borrow_mut();
        if (1..=TEXT_BYTES_MAX).contains(&text.capacity()) && texts.len() < KEPT_MAX {
            text.clear();
            texts.push(text);
        }
    }
}
