//! The answer's body on its way to the client: frame by frame, never held. A body that breaks off
//! breaks the client's connection too; a truncated answer never looks complete.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::exchange::Exchange;
use crate::connections::Lease;

/// The body of an answer.
pub(crate) enum Reply {
    /// Of the router's own.
    Own(Full<Bytes>),
    /// Of an endpoint.
    Relayed(Download),
}

/// An endpoint's body, with what is let go at its end.
pub(crate) struct Download {
    body: Incoming,
    lease: Option<Lease>,
    exchange: Box<Exchange>,
}

// === impl Download ===

impl Download {
    pub(crate) fn new(body: Incoming, lease: Lease, exchange: Box<Exchange>) -> Self {
        Self { body, lease: Some(lease), exchange }
    }

    fn note(&mut self, frame: Option<&Result<Frame<Bytes>, hyper::Error>>) {
        match frame {
            Some(Ok(frame)) => {
                self.exchange.sent += frame.data_ref().map_or(0, Bytes::len) as u64;
            }
            Some(Err(error)) => {
                self.lease = None;
                self.exchange.broke_off(error);
            }
            None => self.complete(),
        }
    }

    /// The whole body was read: the connection can serve again.
    fn complete(&mut self) {
        self.exchange.completed();
        if let Some(lease) = self.lease.take() {
            self.exchange.worker.connections.keep(lease);
        }
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        if self.body.is_end_stream() {
            self.complete();
        }
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Own(body) => {
                let frame = ready!(Pin::new(body).poll_frame(cx));
                Poll::Ready(frame.map(|frame| Ok(frame.unwrap_or_else(|never| match never {}))))
            }
            Self::Relayed(download) => {
                let frame = ready!(Pin::new(&mut download.body).poll_frame(cx));
                download.note(frame.as_ref());
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(body) => body.is_end_stream(),
            Self::Relayed(download) => download.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(body) => body.size_hint(),
            Self::Relayed(download) => download.body.size_hint(),
        }
    }
}
