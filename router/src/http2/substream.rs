//! One stream of a connection in HTTP/2, as if it were a connection in HTTP/1 with one request:
//! what is read from it are the bytes of the request's body, what is written to it those of the
//! answer. So the stages of a request are the same for both.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};

use super::Conduct;
use super::head::{self, Framing};
use crate::h1::body::Decoder;
use crate::h1::head::{HeadEnd, LINES_CEILING, LineEnds, Slots};
use crate::h1::response::ResponseHead;

/// So much of an answer waits at most for the client to take it.
const WAITING_BYTES_MAX: usize = 32 * 1024;

/// The stream.
pub(crate) struct Substream {
    receiving: RefCell<Receiving>,
    sending: RefCell<Sending>,
    /// The client took its request back.
    is_gone: Cell<bool>,
    conduct: Rc<Conduct>,
}

/// The request's body.
struct Receiving {
    from: RecvStream,
    framing: Framing,
    /// A chunk's size, or all that follows the last chunk.
    before: Bytes,
    data: Bytes,
    /// A chunk's end.
    after: &'static [u8],
    is_ended: bool,
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
    Body(SendStream<Bytes>, Decoder),
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
        let (before, data, after) = (Bytes::new(), Bytes::new(), b"".as_slice());
        let is_ended = from.is_end_stream();
        let receiving = Receiving { from, framing, before, data, after, is_ended };
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
            Poll::Pending if !receiving.is_ended => return Poll::Pending,
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
            false if self.is_gone.get() || (receiving.is_ended && self.is_done()) => Ok(0),
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
        for part in parts {
            sending.waiting.extend_from_slice(part);
        }
        if let Poll::Ready(Err(error)) = self.poll_send(cx, &mut sending) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(parts.iter().map(|part| part.len()).sum()))
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

// === impl Receiving ===

impl Receiving {
    fn is_waiting(&self) -> bool {
        self.before.has_remaining() || self.data.has_remaining() || self.after.has_remaining()
    }

    /// Ready when something waits. Pending forever once all was read.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        while !self.is_waiting() {
            if self.is_ended {
                return Poll::Pending;
            }
            match ready!(self.from.poll_data(cx)).transpose()? {
                Some(data) if data.is_empty() => {}
                Some(data) => self.gives(data),
                None => {
                    let trailers = ready!(self.from.poll_trailers(cx))?;
                    self.is_ended = true;
                    if self.framing == Framing::Chunks {
                        self.before = head::trailers(&trailers.unwrap_or_default());
                    }
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn gives(&mut self, data: Bytes) {
        if self.framing == Framing::Chunks {
            self.before = format!("{:x}\r\n", data.len()).into();
            self.after = b"\r\n";
        }
        self.data = data;
    }

    /// Takes some of what waits; the client may send as much again.
    fn take(&mut self, into: &mut [u8]) -> Result<usize, h2::Error> {
        let mut n = copy(&mut self.before, into);
        let of_data = copy(&mut self.data, &mut into[n..]);
        n += of_data;
        if !self.data.has_remaining() {
            n += copy(&mut self.after, &mut into[n..]);
        }
        self.from.flow_control().release_capacity(of_data)?;
        Ok(n)
    }
}

fn copy(from: &mut impl Buf, into: &mut [u8]) -> usize {
    let n = from.remaining().min(into.len());
    from.copy_to_slice(&mut into[..n]);
    n
}

// === impl Sending ===

impl Sending {
    /// Sends what can be sent. Ready when only the rest of something is missing.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let goes_on = match &self.state {
                State::Head(_) => self.send_head()?,
                State::Body(..) => ready!(self.poll_body(cx))?,
                State::Done | State::Cut => {
                    self.waiting.clear();
                    false
                }
            };
            if !goes_on {
                return Poll::Ready(Ok(()));
            }
        }
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
            let decoder = Decoder::new(head.body);
            let is_all = decoder.is_done();
            let to = self.respond.send_response(response, is_all).map_err(broken)?;
            if is_all { State::Done } else { State::Body(to, decoder) }
        };
        Ok(())
    }

    /// Sends a piece of the body, as far as the client takes it; false if none waits.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let State::Body(to, decoder) = &mut self.state else { return Poll::Ready(Ok(false)) };
        let next = |decoder: &mut Decoder, waiting: &mut BytesMut| {
            decoder.next(waiting).map_err(io::Error::other)
        };
        let mut data = Bytes::new();
        if let Some(length) = next(decoder, &mut self.waiting)? {
            to.reserve_capacity(length);
            let taken = match to.capacity() {
                0 => match ready!(to.poll_capacity(cx)) {
                    Some(taken) => taken.map_err(broken)?,
                    None => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                },
                taken => taken,
            };
            data = self.waiting.split_to(length.min(taken)).freeze();
            decoder.used(data.len());
            // What frames the end may be here already.
            next(decoder, &mut self.waiting)?;
        }
        if !decoder.is_done() {
            let is_some = !data.is_empty();
            if is_some {
                to.send_data(data, false).map_err(broken)?;
            }
            return Poll::Ready(Ok(is_some));
        }
        let trailers = head::fields(decoder.trailers()).unwrap_or_default();
        to.send_data(data, trailers.is_empty()).map_err(broken)?;
        if !trailers.is_empty() {
            to.send_trailers(trailers).map_err(broken)?;
        }
        self.state = State::Done;
        Poll::Ready(Ok(false))
    }

    /// Ready when the client wants no answer any more.
    fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.state {
            State::Head(_) => self.respond.poll_reset(cx).map(|_| ()),
            State::Body(to, _) => to.poll_reset(cx).map(|_| ()),
            State::Done | State::Cut => Poll::Pending,
        }
    }
}

fn broken(error: h2::Error) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, error)
}
