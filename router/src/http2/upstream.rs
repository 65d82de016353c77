//! One stream of a connection in HTTP/2 to an endpoint, as if it were a connection in HTTP/1 for
//! one request: what is written to it are the bytes of the request, what is read from it those of
//! the answer. The other way round than a `Substream`.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream};
use http::Response;

use super::head;
use super::inflow::{self, Inflow};
use super::outflow::{Outflow, WAITING_BYTES_MAX};
use super::trunk::Place;
use crate::h1::Body;
use crate::h1::head::{HeadEnd, LINES_CEILING, LineEnds, Slots};
use crate::h1::request::RequestHead;

/// The stream.
pub(crate) struct Upstream(RefCell<Ends>);

struct Ends {
    requests: SendRequest<Bytes>,
    /// What was written and not yet sent.
    waiting: BytesMut,
    request: Sending,
    /// Something of the body was taken, and is with nobody else any more.
    has_body: bool,
    /// A head that waits to be read.
    head: Bytes,
    answer: Receiving,
    place: Place,
}

enum Sending {
    /// The head is awaited.
    Head(HeadEnd),
    Body(Outflow),
    /// All is sent.
    Done,
}

enum Receiving {
    /// Nothing was asked yet.
    Nothing,
    /// A head is awaited, the last one or one before it.
    Head {
        answer: ResponseFuture,
        to_head: bool,
    },
    Body(Inflow),
}

// === impl Upstream ===

impl Upstream {
    pub(super) fn new(requests: SendRequest<Bytes>, place: Place) -> Self {
        Self(RefCell::new(Ends {
            requests,
            waiting: BytesMut::new(),
            request: Sending::Head(HeadEnd::default()),
            has_body: false,
            head: Bytes::new(),
            answer: Receiving::Nothing,
            place,
        }))
    }

    /// Ready when something can be read, if only the end.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut ends = self.0.borrow_mut();
        let polled = ready!(ends.poll_answer(cx));
        Poll::Ready(polled.map_err(|error| ends.failed(error)))
    }

    /// Reads once; 0 is the end.
    pub(crate) fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        self.0.borrow_mut().take(into)
    }

    /// Takes all of the parts, unless much waits.
    pub(crate) fn poll_write(
        &self,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut ends = self.0.borrow_mut();
        if ends.waiting.len() >= WAITING_BYTES_MAX {
            ready!(ends.poll_send(cx))?;
        }
        for part in parts {
            ends.waiting.extend_from_slice(part);
        }
        ends.send_head()?;
        ends.has_body |= !matches!(ends.request, Sending::Head(_)) && !ends.waiting.is_empty();
        if let Poll::Ready(Err(error)) = ends.poll_send(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(parts.iter().map(|part| part.len()).sum()))
    }

    /// Ready when all that was written is on its way, as far as it makes a whole.
    pub(crate) fn poll_drained(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_send(cx)
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").finish_non_exhaustive()
    }
}

// === impl Ends ===

impl Ends {
    /// Sends the head, once it is whole.
    fn send_head(&mut self) -> io::Result<()> {
        let Sending::Head(end) = &mut self.request else { return Ok(()) };
        let found = end.find(&self.waiting, LineEnds::Strict).map_err(io::Error::other)?;
        let Some(length) = found else { return Ok(()) };
        let bytes = self.waiting.split_to(length);
        let mut slots = Slots::new();
        let head = RequestHead::parse(&bytes, LINES_CEILING, &mut slots);
        let head = head.map_err(io::Error::other)?;
        let request = head::to_endpoint(&head).ok_or_else(|| io::Error::other("beyond words"))?;
        let is_all = head.body == Body::Empty;
        let sent = self.requests.send_request(request, is_all);
        let (answer, to) = sent.inspect_err(|_| self.place.is_last()).map_err(super::broken)?;
        self.answer = Receiving::Head { answer, to_head: head.method == "HEAD" };
        self.request =
            if is_all { Sending::Done } else { Sending::Body(Outflow::new(to, head.body)) };
        Ok(())
    }

    /// Sends what can be sent. Ready when only the rest of something is missing.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.request {
            Sending::Head(_) => {}
            Sending::Done => self.waiting.clear(),
            Sending::Body(body) => {
                ready!(body.poll(cx, &mut self.waiting))?;
                if body.is_done() {
                    self.request = Sending::Done;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Ready when something of the answer can be read, if only its end.
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        while self.head.is_empty() {
            let (answer, to_head) = match &mut self.answer {
                Receiving::Nothing => return Poll::Pending,
                Receiving::Body(body) if body.is_ended() && !body.is_waiting() => break,
                Receiving::Body(body) => return body.poll(cx),
                Receiving::Head { answer, to_head } => (answer, *to_head),
            };
            match ready!(answer.poll_informational(cx)) {
                Some(before) => self.head = head::informational(&before?),
                None => {
                    let answer = ready!(Pin::new(answer).poll(cx))?;
                    self.answered(answer, to_head);
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn answered(&mut self, answer: Response<RecvStream>, to_head: bool) {
        let (head, body) = answer.into_parts();
        let (head, framing) = head::answer(&head, !body.is_end_stream(), to_head);
        self.head = head;
        self.answer = Receiving::Body(Inflow::new(body, framing));
    }

    fn take(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if !self.head.is_empty() {
            return Ok(inflow::copy(&mut self.head, into));
        }
        match &mut self.answer {
            Receiving::Body(body) if body.is_waiting() => body.take(into).map_err(super::broken),
            Receiving::Body(body) if body.is_ended() => Ok(0),
            Receiving::Nothing | Receiving::Head { .. } | Receiving::Body(_) => {
                Err(io::ErrorKind::WouldBlock.into())
            }
        }
    }

    /// What the end of a stream means, in the words that sockets have.
    fn failed(&self, error: h2::Error) -> io::Error {
        // Streams that are named as not begun, one by one or all from one on (RFC 9113 8.7).
        let is_refused = error.is_remote()
            && (error.is_go_away() || error.reason() == Some(Reason::REFUSED_STREAM));
        if error.is_go_away() {
            self.place.is_last();
        }
        if is_refused && !self.has_body {
            return io::Error::new(io::ErrorKind::NotConnected, error);
        }
        match error.get_io().map(io::Error::kind) {
            // `h2` has no other word for a connection that ended.
            Some(io::ErrorKind::BrokenPipe) => io::ErrorKind::UnexpectedEof.into(),
            Some(kind) => io::Error::new(kind, error),
            None => io::Error::other(error),
        }
    }
}
