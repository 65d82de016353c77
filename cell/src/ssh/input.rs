//! What a client writes to its process. It waits here until the process reads it, so that one that
//! reads nothing holds up neither its own channel nor the others of its connection; and not without
//! bound.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// The most that waits for one process, in bytes.
pub(super) const WAITING_BYTES_MAX: usize = 4 << 20;
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
    is_terminal: bool,
    stall_max: Duration,
}

/// The process's side.
pub(super) struct Feed {
    pieces: mpsc::UnboundedReceiver<Piece>,
    stream: Box<dyn AsyncWrite + Send + Unpin>,
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
    let input = Input { pieces: Some(sender), space, is_terminal, stall_max: STALL_MAX };
    (input, Feed { pieces, stream })
}

// === impl Input ===

impl Input {
    /// Leaves it for the process; waits while too much is left already.
    pub(super) async fn write(&mut self, bytes: Bytes) -> Result<(), Stalled> {
        let Some(pieces) = &self.pieces else { return Ok(()) };
        let wanted = u32::try_from(bytes.len().min(WAITING_BYTES_MAX)).unwrap_or(u32::MAX);
        let space = Arc::clone(&self.space).acquire_many_owned(wanted);
        let space = tokio::time::timeout(self.stall_max, space).await.map_err(|_| Stalled)?;
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
            if self.stream.write_all(&piece.bytes).await.is_err() {
                return;
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
        for n in 0..WAITING_BYTES_MAX / PIECE {
            input.write(piece(n)).await.expect("there is space for it");
        }
        assert_eq!(input.write(piece(0)).await, Err(Stalled));
        drop(process);
        feeding.await.unwrap();
        input.write(piece(0)).await.expect("one that reads no more holds nobody up");
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
