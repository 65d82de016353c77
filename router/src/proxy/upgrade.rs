//! After a 101: the client's and the endpoint's connections become one, byte by byte, until both
//! ends have closed. Nothing is parsed, and a tunnel that stands still holds no memory.

use std::future::poll_fn;
use std::task::{Context, Poll};

use tracing::debug;

use super::client::Client;
use super::exchange::Exchange;
use crate::connections::Lease;
use crate::h1::Body;
use crate::h1::transfer::Transfer;
use crate::memory::Memory;
use crate::metrics::count;
use crate::wire::{Broken, Wire, poll_transfer};

/// Copies until the end, which is when the access line is written.
pub(crate) async fn tunnel(exchange: &mut Exchange, client: &mut Client, mut lease: Lease) {
    if exchange.asks.is_websocket {
        count(&exchange.worker.traffic.upgrades);
    }
    exchange.completed(None);
    exchange.up.body.begin(Body::UntilClose, false);
    exchange.down.begin(Body::UntilClose, false);
    let (mut up_ended, mut down_ended) = (false, false);
    let (up, down, memory) = (&mut exchange.up.body, &mut exchange.down, &exchange.worker.memory);
    let ended = poll_fn(|cx| {
        let (near, far) = (&mut client.wire, &mut lease.wire);
        poll_way(cx, up, (&mut *near, &*far), (memory, || ()), &mut up_ended)?;
        poll_way(cx, down, (far, near), (memory, || ()), &mut down_ended)?;
        if up_ended && down_ended { Poll::Ready(Ok::<(), Broken>(())) } else { Poll::Pending }
    });
    if let Err(why) = ended.await {
        debug!(?why, "upgraded connection broke off");
    }
}

/// Copies one way; its end is passed on, and each move is told to `moved`.
pub(crate) fn poll_way(
    cx: &mut Context<'_>,
    way: &mut Transfer,
    (from, to): (&mut Wire, &Wire),
    (memory, moved): (&Memory, impl Fn()),
    is_ended: &mut bool,
) -> Result<(), Broken> {
    if *is_ended {
        return Ok(());
    }
    if poll_transfer(cx, (&mut [].as_slice(), way), from, &to.stream, (memory, moved))?.is_ready() {
        *is_ended = to.stream.poll_shutdown(cx).is_ready();
    }
    if !way.is_waiting() {
        memory.take_text(way.take_memory());
    }
    Ok(())
}
