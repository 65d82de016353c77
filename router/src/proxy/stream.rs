//! Last stage: the answer's body, piece by piece, while the rest of the request still goes up. A
//! body that breaks off breaks the client's connection too; a truncated answer never looks
//! complete.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Instant;

use super::client::{After, Client};
use super::exchange::Exchange;
use super::forward::Answered;
use super::upload::{self, State};
use crate::connections::Lease;
use crate::watch::Phase;
use crate::wire::{Broken, poll_transfer};

/// Why an answer did not come to its end.
enum Cut {
    /// The client left, or its own body was malformed.
    Client,
    /// The endpoint ended it early.
    Endpoint(String),
}

/// Passes the body on; what becomes of the client's connection.
pub(crate) async fn relay(
    exchange: &mut Exchange,
    client: &mut Client,
    answered: Answered,
) -> After {
    let Answered { mut lease, head } = answered;
    client.watch.enters(Phase::Streaming);
    match poll_fn(|cx| poll_relay(cx, exchange, client, &mut lease)).await {
        Ok(()) => {}
        Err(Cut::Client) => return After::Close,
        Err(Cut::Endpoint(why)) => {
            exchange.broke_off(&why);
            return if head.until_close { After::Reset } else { After::Close };
        }
    }
    let now = Instant::now();
    exchange.completed(Some(now));
    let is_sent = exchange.up.state == State::Done;
    if head.endpoint_keeps && is_sent {
        lease.wire.rest(&exchange.worker.memory);
        exchange.worker.connections.keep(lease, now);
    }
    match (head.client_keeps, is_sent && client.wire.input.is_empty()) {
        (true, _) if is_sent => After::Keep,
        (false, true) => After::Close,
        (true, _) | (false, false) => After::Linger,
    }
}

fn poll_relay(
    cx: &mut Context<'_>,
    exchange: &mut Exchange,
    client: &mut Client,
    lease: &mut Lease,
) -> Poll<Result<(), Cut>> {
    if let Poll::Ready(Err(_)) = upload::poll(cx, exchange, client, lease) {
        return Poll::Ready(Err(Cut::Client));
    }
    let watch = &client.watch;
    let flow = (&exchange.worker.memory, || watch.moved());
    let (from, to) = (&mut lease.wire, &client.wire.stream);
    match poll_transfer(cx, (&mut [].as_slice(), &mut exchange.down), from, to, flow) {
        Poll::Ready(Ok(())) => Poll::Ready(Ok(())),
        Poll::Ready(Err(Broken::Sink)) => Poll::Ready(Err(Cut::Client)),
        Poll::Ready(Err(Broken::Source(why))) => Poll::Ready(Err(Cut::Endpoint(why))),
        Poll::Ready(Err(Broken::Malformed(why))) => {
            Poll::Ready(Err(Cut::Endpoint(why.to_string())))
        }
        Poll::Pending if !exchange.up.rests() => Poll::Pending,
        Poll::Pending => client.poll_gone(cx, &exchange.worker.memory).map(|()| Err(Cut::Client)),
    }
}
