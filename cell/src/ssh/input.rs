//! What a client writes to its process. It waits here until the process reads it, so that one that
//! reads nothing holds up neither its own channel nor the others of its connection; and not without
//! bound.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// The most that waits for one process, in bytes.
pub(super) const WAITING_BYTES_MAX: usize = 4 << 20;
/// What a piece takes besides its bytes: many small ones are not to take more than a few large ones.
const PIECE_BYTES: usize = 256;
/// How long a process that has so much before it may read nothing. The connection is held up
/// meanwhile: its library has no other way to make a client wait.
pub(super) const STALL_MAX: Duration = Duration::from_secs(30);
/// What ends a terminal's input.
const END_OF_TRANSMISSION: &[u8] = &[4];

/// The client's side.
pub(super) struct Input {
    /// `None` once there is nothing more to come.
    pieces: Option<mpsc::UnboundedSender<Piece>>,
    space: Arc<Semaphore>,
    /// How many bytes the process has read.
    read: Arc<AtomicU64>,
    is_terminal: bool,
    stall_max: Duration,
}

/// The process's side.
pub(super) struct Feed {
    pieces: mpsc::UnboundedReceiver<Piece>,
    stream: Box<dyn AsyncWrite + Send + Unpin>,
    read: Arc<AtomicU64>,
}

/// The process has read nothing for too long, with too much before it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stalled;

struct Piece {
    bytes: Bytes,
    _space: OwnedSemaphorePermit,
}

/// Both sides of a process's input.
pub(super) fn input(
    stream: Box<dyn AsyncWrite + Send + Unpin>,
    is_terminal: bool,
) -> (Input, Feed) {
    let (sender, pieces) = mpsc::unbounded_channel();
    let space = Arc::new(Semaphore::new(WAITING_BYTES_MAX));
    let read = Arc::<AtomicU64>::default();
    let feed = Feed { pieces, stream, read: Arc::clone(&read) };
    (Input { pieces: Some(sender), space, read, is_terminal, stall_max: STALL_MAX }, feed)
}

// === impl Input ===

impl Input {
    /// Leaves it for the process; waits while too much is left already.
    pub(super) async fn write(&mut self, bytes: Bytes) -> Result<(), Stalled> {
        let Some(pieces) = &self.pieces else { return Ok(()) };
        if bytes.is_empty() {
            return Ok(());
        }
        let wanted = (bytes.len() + PIECE_BYTES).min(WAITING_BYTES_MAX);
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
        let mut space = pin!(Arc::clone(&self.space).acquire_many_owned(wanted));
        let mut read = self.read.load(Ordering::Relaxed);
        let space = loop {
            if let Ok(space) = tokio::time::timeout(self.stall_max, &mut space).await {
                break space;
            }
            // One that reads slowly reads.
            let before = std::mem::replace(&mut read, self.read.load(Ordering::Relaxed));
            if read == before {
                return Err(Stalled);
            }
        };
        // Nobody closes it.
        let Ok(space) = space else { return Ok(()) };
        if pieces.send(Piece { bytes, _space: space }).is_err() {
            // It reads no more; that is its affair.
            self.pieces = None;
        }
        Ok(())
    }

    /// Nothing more comes.
    pub(super) async fn end(&mut self) -> Result<(), Stalled> {
        if self.is_terminal {
            return self.write(Bytes::from_static(END_OF_TRANSMISSION)).await;
        }
        self.pieces = None;
        Ok(())
    }
}

// === impl Feed ===

impl Feed {
    /// Gives the process what comes, as it reads it, to the end.
    pub(super) async fn run(mut self) {
        while let Some(piece) = self.pieces.recv().await {
            let mut left = piece.bytes.as_ref();
            while !left.is_empty() {
                let Ok(count @ 1..) = self.stream.write(left).await else { return };
                self.read.fetch_add(count as u64, Ordering::Relaxed);
                left = &left[count..];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, duplex};

    use super::*;

    const PIECE: usize = 32 << 10;

    fn piece(n: usize) -> Bytes {
        vec![u8::try_from(n % 251).unwrap(); PIECE].into()
    }

    #[tokio::test]
    async fn all_arrives_in_order_and_then_the_end() {
        let (far, mut process) = duplex(100);
        let (mut input, feed) = input(Box::new(far), false);
        let count = 3 * WAITING_BYTES_MAX / PIECE;
        let write = async {
            for n in 0..count {
                input.write(piece(n)).await.unwrap();
            }
            input.end().await.unwrap();
            input.write(piece(0)).await.expect("what comes after the end goes nowhere");
        };
        let mut read = Vec::new();
        let ((), (), all) = tokio::join!(write, feed.run(), process.read_to_end(&mut read));
        assert_eq!(all.unwrap(), count * PIECE);
        assert!(read == (0..count).flat_map(|n| piece(n).to_vec()).collect::<Vec<u8>>());
    }

    #[tokio::test]
    async fn one_that_reads_nothing_is_waited_for_with_so_much_before_it_and_no_longer() {
        let (far, process) = duplex(100);
        let (mut input, feed) = input(Box::new(far), false);
        input.stall_max = Duration::from_millis(1);
        let feeding = tokio::spawn(feed.run());
        for n in 0..WAITING_BYTES_MAX / (PIECE + PIECE_BYTES) {
            input.write(piece(n)).await.expect("there is space for it");
        }
        assert_eq!(input.write(piece(0)).await, Err(Stalled));
        drop(process);
        feeding.await.unwrap();
        input.write(piece(0)).await.expect("one that reads no more holds nobody up");
    }

    #[tokio::test]
    async fn many_small_pieces_wait_for_no_more_than_a_few_large_ones() {
        let (far, _process) = duplex(1);
        let (mut input, _feed) = input(Box::new(far), false);
        input.stall_max = Duration::from_millis(1);
        for _ in 0..2 * WAITING_BYTES_MAX {
            input.write(Bytes::new()).await.expect("nothing takes no space");
        }
        let mut count = 0;
        while input.write(Bytes::from_static(b"x")).await.is_ok() {
            count += 1;
        }
        assert_eq!(count, WAITING_BYTES_MAX / (PIECE_BYTES + 1));
    }

    #[tokio::test]
    async fn a_terminals_input_ends_with_a_sign() {
        let (far, mut process) = duplex(100);
        let (mut input, feed) = input(Box::new(far), true);
        input.write(Bytes::from_static(b"x")).await.unwrap();
        input.end().await.unwrap();
        drop(input);
        feed.run().await;
        let mut read = Vec::new();
        process.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, b"x\x04");
    }
}
