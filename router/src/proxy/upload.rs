//! The request on its way to the endpoint: head, then body, piece by piece, never held.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Sleep;

use super::client::Client;
use super::exchange::Exchange;
use crate::connections::Lease;
use crate::h1::Body;
use crate::h1::transfer::Transfer;
use crate::verdict::{Failure, Trouble};
use crate::wire::{Broken, poll_flush, poll_transfer};

/// How long an endpoint may take to say `100 Continue` before the body is asked for regardless.
const CONTINUE_WAIT: Duration = Duration::from_secs(1);
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The upload.
#[derive(Debug)]
pub(crate) struct Upload {
    pub(crate) body: Transfer,
    head_sent: usize,
    gate: Gate,
    pub(crate) state: State,
}

/// How far an upload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Something is left to send.
    Going,
    /// All was sent.
    Done,
    /// The endpoint takes no more; it may answer all the same.
    Abandoned,
}

/// Holds a body back until the endpoint says that it wants it.
#[derive(Debug)]
enum Gate {
    Open,
    Closed,
    Waiting(Pin<Box<Sleep>>),
}

// === impl Upload ===

impl Upload {
    /// At the head's first byte; the body gathers in this memory.
    pub(crate) fn new(memory: Vec<u8>, body: Body, waits_for_continue: bool) -> Self {
        let mut transfer = Transfer::new(memory);
        transfer.begin(body, body == Body::Chunked);
        let gate = if waits_for_continue { Gate::Closed } else { Gate::Open };
        Self { body: transfer, head_sent: 0, gate, state: State::Going }
    }

    /// Begins again; only while no byte of the body was sent.
    pub(crate) fn restart(&mut self) {
        self.head_sent = 0;
        self.state = State::Going;
    }

    /// Lets the body pass.
    pub(crate) fn open(&mut self) {
        self.gate = Gate::Open;
    }

    /// Whether the client waits to be told to send its body.
    pub(crate) fn is_held(&self) -> bool {
        !matches!(self.gate, Gate::Open)
    }

    /// Whether all of this head is sent.
    pub(crate) fn has_sent(&self, head: &[u8]) -> bool {
        self.head_sent == head.len()
    }

    /// Whether nothing is read from the client for this request now.
    pub(crate) fn rests(&self) -> bool {
        self.state != State::Going || self.is_held()
    }
}

/// Sends what can be sent now. Ready when all is sent, or nothing more can be.
pub(crate) fn poll(
    cx: &mut Context<'_>,
    exchange: &mut Exchange,
    client: &mut Client,
    lease: &Lease,
) -> Poll<Result<(), Failure>> {
    if exchange.up.state != State::Going {
        return Poll::Ready(Ok(()));
    }
    if exchange.up.is_held() {
        ready!(poll_held(cx, exchange, lease))?;
    }
    let (up, sent) = (&mut exchange.up, exchange.outbound.bytes());
    let mut head = &sent[up.head_sent..];
    let (watch, before) = (&client.watch, up.body.moved());
    let flow = (&exchange.worker.memory, || watch.moved());
    let to = &lease.wire.stream;
    let outcome = poll_transfer(cx, (&mut head, &mut up.body), &mut client.wire, to, flow);
    up.head_sent = sent.len() - head.len();
    let max = exchange.worker.shared.limits.body_bytes_max;
    if max > 0 && up.body.moved() > max {
        return Poll::Ready(Err(Failure::BodyTooLarge { max }));
    }
    if up.body.moved() > before {
        watch.uploaded(up.body.moved(), exchange.worker.shared.limits.upload_timeout);
    }
    match ready!(outcome) {
        Ok(()) => up.state = State::Done,
        Err(Broken::Source(_)) => return Poll::Ready(Err(Failure::ClientGone)),
        Err(Broken::Malformed(violation)) => return Poll::Ready(Err(violation.into())),
        Err(Broken::Sink) if !head.is_empty() => return Poll::Ready(Err(unsent())),
        Err(Broken::Sink) => up.state = State::Abandoned,
    }
    Poll::Ready(Ok(()))
}

/// Sends the head alone, and waits until the body may follow.
fn poll_held(
    cx: &mut Context<'_>,
    exchange: &mut Exchange,
    lease: &Lease,
) -> Poll<Result<(), Failure>> {
    let (up, sent) = (&mut exchange.up, exchange.outbound.bytes());
    let mut head = &sent[up.head_sent..];
    let flushed = poll_flush(cx, &lease.wire.stream, &mut head);
    up.head_sent = sent.len() - head.len();
    if ready!(flushed).is_err() {
        return Poll::Ready(Err(unsent()));
    }
    if let Gate::Closed = up.gate {
        up.gate = Gate::Waiting(Box::pin(tokio::time::sleep(CONTINUE_WAIT)));
    }
    if let Gate::Waiting(patience) = &mut up.gate {
        ready!(patience.as_mut().poll(cx));
        up.gate = Gate::Open;
        exchange.down.before().extend_from_slice(CONTINUE);
    }
    Poll::Ready(Ok(()))
}

fn unsent() -> Failure {
    Failure::Endpoint(Trouble::DeadConnection)
}
