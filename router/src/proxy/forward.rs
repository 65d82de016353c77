//! Fourth stage: chooses an endpoint, sends, and reads the head of the answer; another endpoint is
//! tried only while no byte of the request can have been used.

use std::fmt::Display;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use super::answer::{self, Passage};
use super::client::Client;
use super::exchange::Exchange;
use super::upload;
use crate::config::ExtraField;
use crate::connections::{Lease, Offer};
use crate::h1::head::{HeadEnd, LineEnds, Slots};
use crate::h1::response::ResponseHead;
use crate::h1::{Version, Violation};
use crate::http2;
use crate::metrics::count;
use crate::pool::{Balance, Endpoint, Route};
use crate::select::{self, Asked, Choice};
use crate::verdict::{Failure, Trouble};
use crate::wire::{Broken, poll_transfer};

/// How many informational answers one request may have.
const INFORMATIONAL_MAX: u32 = 5;
/// How long endpoints that are gone cost a request no attempt.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// An answer whose head was read, and stands before the body on its way to the client.
pub(crate) struct Answered {
    pub(crate) lease: Lease,
    pub(crate) head: Read,
}

/// What a head comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Read {
    /// A 101: what follows is not HTTP.
    pub(crate) is_switch: bool,
    /// The endpoint takes another request on this connection.
    pub(crate) endpoint_keeps: bool,
    /// So does the client's connection.
    pub(crate) client_keeps: bool,
    /// The client sees the body's end only by the connection's.
    pub(crate) until_close: bool,
}

/// Counts a request whose answer has not begun.
struct InFlight<'e>(&'e Endpoint);

/// Sends to an endpoint of the route, and to others if need be.
pub(crate) async fn send(
    exchange: &mut Exchange,
    client: &mut Client,
    route: &Route,
) -> Result<Answered, Failure> {
    let limits = exchange.worker.shared.limits;
    let mut tried = Vec::new();
    let mut failure = None;
    let mut left = attempts_max(exchange);
    while left > 0 {
        let endpoint = match choose(exchange, route, &tried) {
            Choice::Endpoint(endpoint) => endpoint,
            Choice::Nobody => break,
            Choice::Busy => {
                failure.get_or_insert_with(|| exchange.nobody(true));
                break;
            }
        };
        if failure.is_some() {
            count(&exchange.worker.traffic.retries);
        }
        exchange.goes_to(&endpoint);
        let trouble = match attempt(exchange, client, &endpoint).await {
            Ok(answer) => return Ok(answer),
            Err(Failure::Endpoint(trouble)) => trouble,
            Err(failure) => return Err(failure),
        };
        exchange.course.fails();
        if trouble.marks_endpoint() {
            let now = exchange.worker.shared.clock.now();
            endpoint.backend.mark_failed(now + limits.failed_for);
        }
        let is_unmasked = endpoint.backend.tls().is_some() && trouble.unmasks_endpoint();
        if is_unmasked {
            exchange.worker.shared.suspect(&endpoint.backend);
        }
        // Who is not there any more costs no attempt: his departure may have been lost, and that of
        // many at once. He is asked no second time.
        let is_service = endpoint.backend.service().is_some();
        let is_gone = is_unmasked && !is_service && trouble != Trouble::DialTimeout;
        if !is_gone || exchange.course.has_sought_for(GONE_WITHIN) {
            left -= 1;
        }
        // What was sent of a body is gone.
        let may_retry = trouble.may_retry(exchange.asks.shape) && !exchange.up.body.has_begun();
        failure = Some(Failure::Endpoint(trouble));
        if !may_retry {
            break;
        }
        if !is_service {
            tried.push(endpoint.backend.id);
        }
    }
    Err(failure.unwrap_or_else(|| exchange.nobody(false)))
}

/// Chooses an endpoint and does not ask it: the line of a request that is refused names it.
pub(crate) fn appoint(exchange: &mut Exchange, route: &Route) {
    if let Choice::Endpoint(endpoint) = choose(exchange, route, &[]) {
        exchange.goes_to(&endpoint);
    }
}

/// How many endpoints may be tried; a route service is the only one, and tried again.
fn attempts_max(exchange: &Exchange) -> usize {
    let shared = &exchange.worker.shared;
    match &shared.services {
        Some(services) if exchange.is_outing() => services.attempts_max,
        _ => shared.limits.attempts_max,
    }
}

fn choose(exchange: &Exchange, route: &Route, tried: &[u64]) -> Choice {
    let shared = &exchange.worker.shared;
    let sought = &exchange.sought;
    let in_flight_max = match exchange.is_outing() {
        true => 0,
        false => shared.limits.in_flight_per_endpoint_max,
    };
    let balance = match (route.balance(), sought.hashed) {
        // Without what decides it is spread as where nothing is said.
        (Balance::Hash, None) => shared.balance,
        (balance, _) => balance,
    };
    let asked = |turn| Asked {
        balance,
        turn,
        tried,
        preferred: sought.stickiness.wish(),
        hashed: sought.hashed,
        zone: shared.zone.as_deref(),
        in_flight_max,
        // The first attempt begins when the request comes.
        now: if tried.is_empty() { exchange.at } else { shared.clock.now() },
    };
    match &sought.narrowed {
        // The round is that of all endpoints.
        Some(narrowed) => {
            select::select(narrowed, &asked(rand::random_range(0..narrowed.len().max(1))))
        }
        None => select::choose(route, &route.pool.load(), &asked(route.next_turn())),
    }
}

/// One endpoint: a kept connection first, and a new one if that turns out dead.
async fn attempt(
    exchange: &mut Exchange,
    client: &mut Client,
    endpoint: &Arc<Endpoint>,
) -> Result<Answered, Failure> {
    let _in_flight = InFlight::new(endpoint);
    let (shape, offer) = (exchange.asks.shape, offer_to(endpoint, exchange));
    let now = exchange.course.attempt();
    if let Some(lease) = exchange.worker.connections.reuse(&endpoint.backend, offer, shape, now) {
        match send_on(exchange, client, lease).await {
            Err(Failure::Endpoint(trouble)) if trouble.is_of_old_age(shape) => {}
            outcome => return outcome,
        }
    }
    exchange.course.local = None;
    let lease = dial(exchange, client, (endpoint, offer)).await?;
    exchange.course.effort = lease.effort;
    send_on(exchange, client, lease).await
}

/// HTTP/2 where an endpoint that proves itself has registered for it and it has words for the
/// request; what becomes of an upgrade has none (facts 1.2).
fn offer_to(endpoint: &Endpoint, exchange: &Exchange) -> Offer {
    let is_offered = endpoint.facts.speaks_http2 && endpoint.backend.tls().is_some();
    if !is_offered || exchange.asks.is_upgrade {
        return Offer::Nothing;
    }
    let (sent, marks) = (&exchange.outbound, &exchange.outbound.marks);
    let origin = Some(sent.at(&marks.target)).filter(|origin| !origin.is_empty());
    match http2::has_words_for(origin.unwrap_or(b"/"), sent.at(&marks.host)) {
        true => Offer::Http2,
        false => Offer::Nothing,
    }
}

async fn dial(
    exchange: &Exchange,
    client: &mut Client,
    (endpoint, offer): (&Endpoint, Offer),
) -> Result<Lease, Failure> {
    let worker = &exchange.worker;
    let limits = &worker.shared.limits;
    let of_upgrades = limits.upgrade_dial_timeout.filter(|_| exchange.asks.is_upgrade);
    let patience = of_upgrades.unwrap_or(limits.dial_timeout);
    // Few requests dial; the others are not to carry what that takes.
    let mut dialing = Box::pin(worker.connections.dial(&endpoint.backend, offer, patience));
    poll_fn(|cx| {
        if let Poll::Ready(dialed) = dialing.as_mut().poll(cx) {
            return Poll::Ready(dialed.map_err(Failure::Endpoint));
        }
        client.poll_gone(cx, &worker.memory).map(|()| Err(Failure::ClientGone))
    })
    .await
}

async fn send_on(
    exchange: &mut Exchange,
    client: &mut Client,
    mut lease: Lease,
) -> Result<Answered, Failure> {
    exchange.up.restart();
    // Each endpoint that is asked has its own time.
    client.watch.goes_on();
    if exchange.worker.shared.line_rules.extra.contains(&ExtraField::LocalAddress) {
        exchange.course.local = lease.wire.stream.local_addr();
    }
    let mut informed = 0;
    let head = poll_fn(|cx| poll_answer(cx, exchange, client, &mut lease, &mut informed)).await?;
    Ok(Answered { lease, head })
}

/// Sends, passes on what comes before the answer, and reads the answer's head.
fn poll_answer(
    cx: &mut Context<'_>,
    exchange: &mut Exchange,
    client: &mut Client,
    lease: &mut Lease,
    informed: &mut u32,
) -> Poll<Result<Read, Failure>> {
    if client.watch.take_overdue() {
        lease.wire.stream.retire();
        return Poll::Ready(Err(Failure::Endpoint(Trouble::Timeout)));
    }
    loop {
        if let Poll::Ready(Err(failure)) = upload::poll(cx, exchange, client, lease) {
            return Poll::Ready(Err(failure));
        }
        if let Poll::Ready(Err(_)) = poll_inform(cx, exchange, client, lease) {
            return Poll::Ready(Err(Failure::ClientGone));
        }
        let length = match poll_head(cx, exchange, lease, *informed > 0) {
            Poll::Ready(length) => length?,
            Poll::Pending if !exchange.up.rests() => return Poll::Pending,
            Poll::Pending => {
                let gone = client.poll_gone(cx, &exchange.worker.memory);
                return gone.map(|()| Err(Failure::ClientGone));
            }
        };
        let read = read_head(exchange, client, lease, (length, informed))?;
        lease.wire.input.consume(length);
        lease.head_end = HeadEnd::default();
        if let Some(read) = read {
            return Poll::Ready(Ok(read));
        }
    }
}

/// Passes on what stands before the answer.
fn poll_inform(
    cx: &mut Context<'_>,
    exchange: &mut Exchange,
    client: &Client,
    lease: &mut Lease,
) -> Poll<Result<(), Broken>> {
    if !exchange.down.is_waiting() {
        return Poll::Ready(Ok(()));
    }
    let flow = (&exchange.worker.memory, || client.watch.moved());
    let (from, to) = (&mut lease.wire, &client.wire.stream);
    poll_transfer(cx, (&mut [].as_slice(), &mut exchange.down), from, to, flow)
}

/// The length of a whole head at the start of what the endpoint sent.
fn poll_head(
    cx: &mut Context<'_>,
    exchange: &Exchange,
    lease: &mut Lease,
    has_begun: bool,
) -> Poll<Result<usize, Failure>> {
    let max = exchange.worker.shared.limits.answer_header_bytes_max;
    loop {
        let there = lease.wire.input.filled().len();
        match lease.head_end.find(lease.wire.input.filled(), LineEnds::Lenient) {
            Ok(Some(length)) if length <= max => return Poll::Ready(Ok(length)),
            Ok(None) if there <= max => {}
            Ok(_) => return Poll::Ready(Err(garbled("the head is too large"))),
            Err(violation) => return Poll::Ready(Err(garbled(violation))),
        }
        if lease.wire.input.has_memory() && lease.wire.input.is_full() {
            lease.wire.input.grow((2 * there).min(max + 1));
        }
        let is_asked = exchange.up.has_sent(exchange.outbound.bytes());
        let trouble = match lease.wire.poll_read(cx, &exchange.worker.memory) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(0)) => Trouble::of_end(is_asked),
            Poll::Ready(Ok(_)) => continue,
            Poll::Ready(Err(error)) => Trouble::of_reading(&error, is_asked),
        };
        let failure = match trouble {
            Trouble::Ended if has_begun || there > 0 => unfit("unexpected EOF"),
            trouble => Failure::Endpoint(trouble),
        };
        return Poll::Ready(Err(failure));
    }
}

/// Reads a head and writes what the client gets of it; none for one that another follows.
fn read_head(
    exchange: &mut Exchange,
    client: &Client,
    lease: &Lease,
    (length, informed): (usize, &mut u32),
) -> Result<Option<Read>, Failure> {
    let (asks, limits) = (exchange.asks, &exchange.worker.shared.limits);
    let mut slots = Slots::new();
    let bytes = &lease.wire.input.filled()[..length];
    let head = ResponseHead::parse(bytes, limits.answer_headers_max, asks.is_head, &mut slots);
    let head = head.map_err(|violation| match violation {
        Violation::TooLarge => unfit("Too many response headers"),
        other => garbled(other),
    })?;
    match head.status {
        101 if !asks.is_upgrade => Err(garbled("101 to a request that asks for no upgrade")),
        // What is left of it could be taken for the other protocol.
        101 if exchange.up.state != upload::State::Done => {
            Err(garbled("101 before the request was read"))
        }
        101 => {
            exchange.answered(101);
            let cookie = exchange.cookie(&head);
            let (added, out) = exchange.heading(cookie.as_deref(), false);
            answer::switch(out, &head, added);
            Ok(Some(Read {
                is_switch: true,
                endpoint_keeps: false,
                client_keeps: false,
                until_close: true,
            }))
        }
        100..=199 if *informed == INFORMATIONAL_MAX => {
            Err(garbled("more informational answers than 5"))
        }
        100..=199 => {
            *informed += 1;
            if asks.version == Version::Http11 {
                answer::inform(exchange.down.before(), &head);
            }
            if head.status == 100 {
                exchange.up.open();
            }
            Ok(None)
        }
        _ => Ok(Some(relay(exchange, client, &head))),
    }
}

/// Writes the final head before the body.
fn relay(exchange: &mut Exchange, client: &Client, head: &ResponseHead<'_, '_>) -> Read {
    let asks = exchange.asks;
    if asks.is_websocket {
        count(&exchange.worker.traffic.upgrades_failed);
    }
    let passage = Passage::of(head.body, asks.version);
    // What came in after an upgrade's request may be meant for after the upgrade.
    let is_premature = asks.is_upgrade && !client.wire.input.is_empty();
    let client_keeps = asks.keeps_alive
        && !passage.until_close
        && !is_premature
        && !exchange.up.is_held()
        && !client.watch.is_finishing();
    let cookie = exchange.cookie(head);
    let (added, out) = exchange.heading(cookie.as_deref(), client_keeps);
    answer::relay(out, head, added);
    exchange.down.begin(head.body, passage.in_chunks);
    exchange.answered(head.status);
    Read {
        is_switch: false,
        endpoint_keeps: head.keeps_alive && !asks.ends_endpoint,
        client_keeps,
        until_close: passage.until_close,
    }
}

fn garbled(why: impl Display) -> Failure {
    unfit(&format!("not a valid answer: {why}"))
}

/// As [`garbled`], in gorouter's own words.
fn unfit(why: &str) -> Failure {
    Failure::Endpoint(Trouble::Garbled(why.to_owned()))
}

// === impl InFlight ===

impl<'e> InFlight<'e> {
    fn new(endpoint: &'e Endpoint) -> Self {
        endpoint.backend.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(endpoint)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.backend.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
