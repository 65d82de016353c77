//! The request's body on its way to the endpoint: frame by frame, counted, never held.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::Sleep;

/// How long an endpoint may take to say `100 Continue` before the body is sent regardless.
const CONTINUE_WAIT: Duration = Duration::from_secs(1);

/// What was seen of the request's body.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Bytes taken from the client.
    pub(crate) received: Cell<u64>,
    /// The client broke off, or its body was malformed.
    pub(crate) is_broken: Cell<bool>,
}

/// The body.
#[derive(Debug)]
pub(crate) struct Upload {
    body: Option<Incoming>,
    tally: Rc<Tally>,
    gate: Option<Arc<Gate>>,
    patience: Option<Pin<Box<Sleep>>>,
}

/// Holds a body back until the endpoint says that it wants it.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    is_open: AtomicBool,
    waker: AtomicWaker,
}

// === impl Upload ===

impl Upload {
    pub(crate) fn new(body: Option<Incoming>, tally: Rc<Tally>, gate: Option<Arc<Gate>>) -> Self {
        Self { body, tally, gate, patience: None }
    }

    /// The client's body again; only for an upload that hyper never took up.
    pub(crate) fn into_unread(self) -> Option<Incoming> {
        self.body
    }

    fn poll_gate(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(gate) = &self.gate else { return Poll::Ready(()) };
        gate.waker.register(cx.waker());
        if !gate.is_open.load(Ordering::Acquire) {
            let sleep = || Box::pin(tokio::time::sleep(CONTINUE_WAIT));
            ready!(self.patience.get_or_insert_with(sleep).as_mut().poll(cx));
        }
        (self.gate, self.patience) = (None, None);
        Poll::Ready(())
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        ready!(this.poll_gate(cx));
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
                this.tally.received.set(this.tally.received.get() + bytes);
            }
            Some(Err(_)) => this.tally.is_broken.set(true),
            None => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}

// === impl Gate ===

impl Gate {
    /// Lets the body pass.
    pub(crate) fn open(&self) {
        self.is_open.store(true, Ordering::Release);
        self.waker.wake();
    }
}
