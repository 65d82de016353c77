//! The handles of a process in a container: a conversation with the process that holds it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lattice_shim_protocol::{Answer, Request, Stream};
use tokio::sync::{mpsc, watch};

use super::shim::Connection;
use crate::runtime::{Chunk, ExitStatus, Output, Process, ProcessControl, RuntimeError, Signal};

/// How long a start may take; the other side gives up sooner.
pub(super) const START_MAX: Duration = Duration::from_secs(58);

/// Why nothing was started.
pub(super) enum StartError {
    /// The OCI runtime's own log, or the holder's words.
    Refused(String),
    /// The holder cannot be spoken to.
    Unreachable(String),
}

/// A piece of output, and how many bytes of its stream come before.
type Piece = (u64, Vec<u8>);

/// What is said as long as anyone has a handle.
type Orders = mpsc::UnboundedSender<Request>;

struct Control {
    orders: Orders,
    end: watch::Receiver<Option<ExitStatus>>,
}

struct HeldOutput {
    stream: Stream,
    orders: Orders,
    /// Never more than the protocol's window.
    chunks: mpsc::UnboundedReceiver<Piece>,
    /// How far it was read, in bytes from the stream's beginning.
    position: u64,
}

/// The other end of the handles.
struct Conversation {
    connection: Connection,
    orders: mpsc::UnboundedReceiver<Request>,
    chunks: [Option<mpsc::UnboundedSender<Piece>>; 2],
    end: watch::Sender<Option<ExitStatus>>,
}

/// Starts a process, or attaches to the kept one of that name.
pub(super) async fn run(dir: &Path, name: &str, process: Vec<u8>) -> Result<Process, StartError> {
    let mut connection = Connection::open(dir).await.map_err(StartError::Unreachable)?;
    let request = Request::Run { name: name.to_owned(), process };
    connection.say(&request).await.map_err(StartError::Unreachable)?;
    started(connection).await
}

/// The handles of what was asked for.
pub(super) async fn started(mut connection: Connection) -> Result<Process, StartError> {
    let late = || format!("it was not started within {START_MAX:?}");
    let answer = tokio::time::timeout(START_MAX, connection.hear()).await;
    match answer.unwrap_or_else(|_| Err(late())).map_err(StartError::Unreachable)? {
        Answer::Started { positions } => Ok(attend(connection, positions)),
        Answer::Refused { why } => Err(StartError::Refused(why)),
        other => Err(StartError::Unreachable(format!("the answer to a start was {other:?}"))),
    }
}

fn attend(connection: Connection, positions: [u64; 2]) -> Process {
    let (orders, received) = mpsc::unbounded_channel();
    let (tell_end, end) = watch::channel(None);
    let open = |stream: Stream| {
        let (sender, chunks) = mpsc::unbounded_channel();
        let position = positions[stream.index()];
        (sender, HeldOutput { stream, orders: orders.clone(), chunks, position })
    };
    let ((out, stdout), (err, stderr)) = (open(Stream::Out), open(Stream::Err));
    let chunks = [Some(out), Some(err)];
    let conversation = Conversation { connection, orders: received, chunks, end: tell_end };
    tokio::spawn(conversation.hold());
    let control = Arc::new(Control { orders, end });
    Process { stdout: Box::new(stdout), stderr: Box::new(stderr), control }
}

// === impl Conversation ===

impl Conversation {
    /// Until nobody has a handle any more, or the other side is gone.
    async fn hold(mut self) {
        loop {
            let outcome = tokio::select! {
                order = self.orders.recv() => match order {
                    Some(order) => self.connection.say(&order).await,
                    None => return,
                },
                answer = self.connection.hear() => answer.map(|answer| self.on(answer)),
            };
            if let Err(why) = outcome {
                if self.end.borrow().is_none() {
                    tracing::error!(%why, "the end of a process will not be known");
                    self.end.send_replace(Some(ExitStatus::LOST));
                }
                return;
            }
        }
    }

    fn on(&mut self, answer: Answer) {
        match answer {
            Answer::Output { stream, position, bytes } => {
                if let Some(chunks) = &self.chunks[stream.index()] {
                    // Nobody may read it any more; what ends the process ends this.
                    let _ = chunks.send((position, bytes));
                }
            }
            Answer::Closed { stream } => self.chunks[stream.index()] = None,
            Answer::Ended { code, out_of_memory } => {
                self.end.send_replace(Some(ExitStatus { code, out_of_memory }));
            }
            Answer::Welcome { .. } | Answer::Started { .. } | Answer::Refused { .. } => {}
        }
    }
}

// === impl HeldOutput ===

#[async_trait]
impl Output for HeldOutput {
    async fn next(&mut self) -> Option<Chunk> {
        let (position, bytes) = self.chunks.recv().await?;
        let lost_before = position.saturating_sub(self.position);
        self.position = position + bytes.len() as u64;
        Some(Chunk { bytes, lost_before })
    }

    fn release(&mut self, unfinished: usize) {
        let position = self.position.saturating_sub(unfinished as u64);
        // A conversation that is over has nothing to release.
        let _ = self.orders.send(Request::Consumed { stream: self.stream, position });
    }
}

// === impl Control ===

#[async_trait]
impl ProcessControl for Control {
    async fn signal(&self, signal: Signal) -> Result<(), RuntimeError> {
        let (number, family) = match signal {
            Signal::Stop(signal) => (signal.number(), false),
            Signal::Kill => (u8::try_from(libc::SIGKILL).unwrap_or_default(), true),
        };
        // Where the holder is gone, deleting the container ends all that is in it.
        let _ = self.orders.send(Request::Signal { number, family });
        Ok(())
    }

    async fn wait(&self) -> ExitStatus {
        let mut end = self.end.clone();
        let ended = end.wait_for(Option::is_some).await;
        // The conversation only goes away without an end with the whole tokio runtime.
        ended.ok().and_then(|status| *status).unwrap_or(ExitStatus::LOST)
    }
}
