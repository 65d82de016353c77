//! One stream of a connection in HTTP/2, as if it were a connection in HTTP/1 with one request:
//! what is read from it are the bytes of the request's body, what is written to it those of the
//! answer. So the stages of a request are the same for both.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{Reason, RecvStream};

use super::head::{self, Framing};
use super::inflow::Inflow;
use super::outflow::{Outflow, WAITING_BYTES_MAX};
use super::{Conduct, broken};
use crate::h1::Body;
use crate::h1::head::{HeadEnd, LINES_CEILING, LineEnds, Slots};
use crate::h1::response::ResponseHead;

/// The stream.
pub(crate) struct Substream {
    /// The request's body.
    receiving: RefCell<Inflow>,
    sending: RefCell<Sending>,
    /// The client took its request back.
    is_gone: Cell<bool>,
    conduct: Rc<Conduct>,
}

/// The answer.
struct Sending {
    respond: SendResponse<Bytes>,
    to_head: bool,
    /// What was written and not yet sent.
    waiting: BytesMut,
    state: State,
}

enum State {
    /// A head is awaited, the last one or one before it.
    Head(HeadEnd),
    Body(Outflow),
    /// All is sent.
    Done,
    /// The client was told that it gets no more.
    Cut,
}

// === impl Substream ===

impl Substream {
    pub(super) fn new(
        from: RecvStream,
        framing: Framing,
        respond: SendResponse<Bytes>,
        to_head: bool,
        conduct: Rc<Conduct>,
    ) -> Self {
        let receiving = Inflow::new(from, framing, None);
        let state = State::Head(HeadEnd::default());
        let sending = Sending { respond, to_head, waiting: BytesMut::new(), state };
        let (receiving, sending) = (RefCell::new(receiving), RefCell::new(sending));
        Self { receiving, sending, is_gone: Cell::new(false), conduct }
    }

    /// Ready when something can be read, if only the end: once all was read and answered, or the
    /// client wants no answer any more.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut receiving = self.receiving.borrow_mut();
        let outcome = match receiving.poll(cx) {
            Poll::Pending if !receiving.is_ended() => return Poll::Pending,
            Poll::Pending if self.is_done() => Ok(()),
            Poll::Pending => {
                ready!(self.sending.borrow_mut().poll_reset(cx));
                self.is_gone.set(true);
                Ok(())
            }
            Poll::Ready(outcome) => outcome.map_err(|error| {
                self.is_gone.set(true);
                broken(error)
            }),
        };
        Poll::Ready(outcome)
    }

    /// Reads once; 0 is the end.
    pub(crate) fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        let mut receiving = self.receiving.borrow_mut();
        match receiving.is_waiting() {
            true => receiving.take(into).map_err(broken),
            false if self.is_gone.get() || (receiving.is_ended() && self.is_done()) => Ok(0),
            false => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Takes all of the parts, unless much waits.
    pub(crate) fn poll_write(
        &self,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut sending = self.sending.borrow_mut();
        if sending.waiting.len() >= WAITING_BYTES_MAX {
            ready!(self.poll_send(cx, &mut sending))?;
        }
        let length = parts.iter().map(|part| part.len()).sum();
        sending.waiting.reserve(length);
        for part in parts {
            sending.waiting.extend_from_slice(part);
        }
        if let Poll::Ready(Err(error)) = self.poll_send(cx, &mut sending) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(length))
    }

    /// Ready when all that was written is on its way, as far as it makes a whole.
    pub(crate) fn poll_drained(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_send(cx, &mut self.sending.borrow_mut())
    }

    /// Says that nothing more will be written; what is not complete does not look so.
    pub(crate) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let drained = self.poll_drained(cx);
        let is_cut = matches!(self.sending.borrow().state, State::Cut);
        if let Poll::Ready(Ok(())) = drained
            && !self.is_done()
            && !is_cut
        {
            self.reset();
        }
        drained
    }

    /// Tells the client that there will be no answer, or not all of it.
    pub(crate) fn reset(&self) {
        let mut sending = self.sending.borrow_mut();
        sending.respond.send_reset(Reason::INTERNAL_ERROR);
        sending.state = State::Cut;
    }

    fn is_done(&self) -> bool {
        matches!(self.sending.borrow().state, State::Done)
    }

    fn poll_send(&self, cx: &mut Context<'_>, sending: &mut Sending) -> Poll<io::Result<()>> {
        let sent = sending.poll(cx);
        let is_cut = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionReset;
        if let Poll::Ready(Err(error)) = &sent {
            self.is_gone.set(is_cut(error));
        }
        sent
    }
}

impl Drop for Substream {
    fn drop(&mut self) {
        self.conduct.ended(self.is_gone.get() && !self.is_done());
    }
}

impl fmt::Debug for Substream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Substream").finish_non_exhaustive()
    }
}

// === impl Sending ===

impl Sending {
    /// Sends what can be sent. Ready when only the rest of something is missing.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while matches!(self.state, State::Head(_)) && self.send_head()? {}
        match &mut self.state {
            State::Head(_) => {}
            State::Done | State::Cut => self.waiting.clear(),
            State::Body(body) => {
                ready!(body.poll(cx, &mut self.waiting))?;
                if body.is_done() {
                    self.state = State::Done;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Sends a head; false if none is complete.
    fn send_head(&mut self) -> io::Result<bool> {
        let State::Head(end) = &mut self.state else { return Ok(false) };
        let found = end.find(&self.waiting, LineEnds::Strict).map_err(io::Error::other)?;
        let Some(length) = found else { return Ok(false) };
        let bytes = self.waiting.split_to(length).freeze();
        // Until it is sent there is nothing that anyone could go on with.
        self.state = State::Cut;
        let sent = self.send_whole(&bytes);
        if sent.is_err() {
            self.respond.send_reset(Reason::INTERNAL_ERROR);
        }
        sent.map(|()| true)
    }

    fn send_whole(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut slots = Slots::new();
        let head = ResponseHead::parse(bytes, LINES_CEILING, self.to_head, &mut slots);
        let head = head.map_err(io::Error::other)?;
        let response =
            head::response(&head).ok_or_else(|| io::Error::other("a head beyond words"))?;
        self.state = if (100..200).contains(&head.status) {
            self.respond.send_informational(response).map_err(broken)?;
            State::Head(HeadEnd::default())
        } else {
            let is_all = head.body == Body::Empty;
            let to = self.respond.send_response(response, is_all).map_err(broken)?;
            if is_all { State::Done } else { State::Body(Outflow::new(to, head.body)) }
        };
        Ok(())
    }

    /// Ready when the client wants no answer any more.
    fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.state {
            State::Head(_) => self.respond.poll_reset(cx).map(|_| ()),
            State::Body(body) => body.poll_reset(cx),
            State::Done | State::Cut => Poll::Pending,
        }
    }
}
