//! What happens to one request, stage by stage.
//!
//! | Stage | Does |
//! |---|---|
//! | [`intake`] | what the request asks for; refuses what could be meant for two |
//! | [`lookup`], [`instance`] | host and path to a route, and to one instance of it |
//! | [`service`] | whether it passes a route service first, or did |
//! | [`outbound`], [`trace`] | the head that endpoints get |
//! | [`forward`] | chooses an endpoint, sends, tries another if nothing can have been used |
//! | [`answer`] | the head that the client gets, an endpoint's or the router's own |
//! | [`stream`] | the bodies |
//! | [`upgrade`] | after a 101: bytes both ways |
//!
//! [`exchange`] is the request's record, which ends as a line in the app's log; [`client`] is the
//! connection it came on, [`upload`] the request on its way. One task does all of a connection: a
//! client that leaves ends it, and with it the connection to the endpoint.

pub(crate) mod answer;
pub(crate) mod client;
mod course;
pub(crate) mod exchange;
pub(crate) mod forward;
pub(crate) mod instance;
pub(crate) mod intake;
pub(crate) mod lookup;
pub(crate) mod outbound;
pub(crate) mod service;
pub(crate) mod sticky;
pub(crate) mod stream;
pub(crate) mod trace;
pub(crate) mod upgrade;
pub(crate) mod upload;

use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tracing::{debug, error};

use crate::h1::transfer::Step;
use crate::h1::{Violation, head};
use crate::metrics::count;
use crate::verdict::{Failure, Trouble};
use crate::watch::Phase;
use crate::worker::Worker;
use answer::Added;
use client::{After, Client, Next};
use exchange::{Asks, Exchange};

/// Serves one connection until it ends.
pub(crate) async fn serve(worker: &Rc<Worker>, client: &mut Client) {
    let head_max = worker.shared.limits.header_bytes_max;
    loop {
        let after = match client.next(&worker.memory, head_max).await {
            Next::Head(length) => handle_safely(worker, client, length).await,
            Next::Bad(Violation::TooLarge) => refuse_large(worker, client).await,
            Next::Bad(violation) => refuse_unread(worker, client, violation).await,
            Next::End => After::Close,
        };
        if after != After::Keep {
            return client.end(after, &worker.memory).await;
        }
    }
}

/// As [`handle`]; a client whose request the router itself fails at is told so, and nobody else
/// notices.
async fn handle_safely(worker: &Rc<Worker>, client: &mut Client, length: usize) -> After {
    let handling = AssertUnwindSafe(handle(worker, client, length)).catch_unwind();
    match handling.await {
        Ok(after) => after,
        // Half of an answer is not to look like a whole one.
        Err(_) if client.watch.is_answering() => After::Reset,
        Err(_) => {
            error!("the router has panicked at a request; the line above says where");
            tell(worker, client, &Failure::Panicked).await
        }
    }
}

/// Answers the request whose head stands at the input's start.
async fn handle(worker: &Rc<Worker>, client: &mut Client, length: usize) -> After {
    let begun = Exchange::begin(worker, &client.peer, &client.wire.input.filled()[..length]);
    let (mut exchange, route) = match begun {
        Ok(begun) => begun,
        Err(Violation::TooLarge) => return refuse_large(worker, client).await,
        Err(violation) => {
            client.wire.input.consume(length);
            return refuse_unread(worker, client, violation).await;
        }
    };
    client.wire.input.consume(length);
    client.watch.enters(exchange.asks.awaiting());
    let answered = match route {
        Ok(route) => forward::send(&mut exchange, client, &route).await,
        Err(failure) => Err(failure),
    };
    match answered {
        Ok(answered) if answered.head.is_switch => {
            worker.leave(&client.watch);
            client.watch.enters(Phase::Through);
            upgrade::tunnel(&mut exchange, client, answered.lease).await;
            After::Close
        }
        Ok(answered) => stream::relay(&mut exchange, client, answered).await,
        Err(Failure::ClientGone) => After::Close,
        Err(failure) => refuse(&mut exchange, client, &failure).await,
    }
}

/// Tells the client what went wrong.
async fn refuse(exchange: &mut Exchange, client: &mut Client, failure: &Failure) -> After {
    let page = exchange.worker.shared.error_page.as_ref();
    let answer = failure.answer();
    let answer = match page.filter(|_| failure.is_shown_as_page()) {
        Some(page) => answer.on_page(page),
        None => answer,
    };
    count_failure(exchange, failure);
    exchange.refused(&answer);
    let is_clean = skip_body(exchange, client);
    let keeps_alive = exchange.asks.keeps_alive
        && is_clean
        && !answer.closes
        && !exchange.asks.is_upgrade
        && !client.watch.is_finishing();
    let (added, out) = exchange.heading(None, keeps_alive);
    answer::refuse(out, &answer, added);
    let [bytes, ..] = exchange.down.slices(&client.wire.input);
    let bytes = bytes.to_vec();
    if !client.answer(&bytes).await {
        return After::Close;
    }
    match (keeps_alive, is_clean && client.wire.input.is_empty()) {
        (true, _) => After::Keep,
        (false, true) => After::Close,
        (false, false) => After::Linger,
    }
}

fn count_failure(exchange: &Exchange, failure: &Failure) {
    let traffic = &exchange.worker.traffic;
    match failure {
        Failure::UnknownRoute { .. }
        | Failure::UnknownInstance { .. }
        | Failure::MalformedInstance { .. }
        | Failure::Service(_)
        | Failure::EmptyHost => count(&traffic.unrouted),
        Failure::HeadTooLarge => count(&traffic.refused),
        Failure::Busy { .. } => count(&traffic.busy),
        Failure::Endpoint(trouble) => {
            count(&traffic.failed);
            if let Trouble::Tls(distrust, _) = trouble {
                traffic.distrusted(*distrust);
            }
            if exchange.asks.is_websocket {
                count(&traffic.upgrades_failed);
            }
        }
        _ => {}
    }
}

/// Passes over the rest of a request's body, as far as it is here; whether that was all.
fn skip_body(exchange: &mut Exchange, client: &mut Client) -> bool {
    loop {
        match exchange.up.body.step(&mut client.wire.input) {
            Ok(Step::Done) => return !exchange.up.is_held(),
            Ok(Step::Write) => {
                let slices = exchange.up.body.slices(&client.wire.input);
                let all = slices.iter().map(|slice| slice.len()).sum();
                exchange.up.body.wrote(all, &mut client.wire.input);
            }
            Ok(Step::Read) | Err(_) => return false,
        }
    }
}

/// Refuses a head that is too large. What may be read of it says whose request it is, and is shown
/// in its line.
async fn refuse_large(worker: &Rc<Worker>, client: &mut Client) -> After {
    let lines_max = worker.shared.limits.headers_max;
    let begun = head::readable(client.wire.input.filled(), lines_max)
        .map(|head| Exchange::begin(worker, &client.peer, &head));
    let Some(Ok((mut exchange, route))) = begun else {
        return refuse_unread(worker, client, Violation::TooLarge).await;
    };
    exchange.asks.keeps_alive = false;
    let failure = match route {
        Err(failure) if failure.is_of_lookup() => failure,
        Err(_) => Failure::HeadTooLarge,
        Ok(route) => {
            forward::appoint(&mut exchange, &route);
            Failure::HeadTooLarge
        }
    };
    // What stands in the input is the head still, and of no use to anyone.
    refuse(&mut exchange, client, &failure).await
}

/// Refuses what could not be read as a request.
async fn refuse_unread(worker: &Rc<Worker>, client: &mut Client, violation: Violation) -> After {
    count(&worker.traffic.refused);
    debug!(%violation, "request refused");
    tell(worker, client, &violation.into()).await
}

/// Tells the client what went wrong with a request that left no record.
async fn tell(worker: &Rc<Worker>, client: &mut Client, failure: &Failure) -> After {
    let asks = Asks::nothing();
    let rules = &worker.shared.headers;
    let (at, request_id) = (worker.shared.clock.now(), b"");
    let added =
        Added { asks, request_id, at, cookie: None, endpoint: None, keeps_alive: false, rules };
    let mut bytes = worker.memory.lend_text();
    let answer = failure.answer();
    worker.traffic.ended(answer.status, 0, Duration::ZERO);
    answer::refuse(&mut bytes, &answer, added);
    let is_taken = client.answer(&bytes).await;
    worker.memory.take_text(bytes);
    if is_taken { After::Linger } else { After::Close }
}
