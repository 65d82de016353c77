//! Fourth stage: chooses an endpoint and sends; another one is tried only while no byte of the
//! request can have been used.

use std::error::Error as _;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hyper::Response;
use hyper::body::Incoming;

use super::exchange::Exchange;
use super::outbound::Outbound;
use crate::connections::Lease;
use crate::metrics::count;
use crate::pool::{Endpoint, Route};
use crate::select::select;
use crate::verdict::{Failure, Trouble};

/// An endpoint's answer, and the connection it comes on.
pub(crate) struct Answer {
    pub(crate) response: Response<Incoming>,
    pub(crate) lease: Lease,
}

/// Counts a request whose answer has not begun.
struct InFlight<'e>(&'e Endpoint);

/// Sends to an endpoint of the route, and to others if need be.
pub(crate) async fn send(
    exchange: &mut Exchange,
    route: &Route,
    outbound: &mut Outbound,
) -> Result<Answer, Failure> {
    let limits = exchange.worker.shared.limits;
    let turn = route.next_turn();
    let mut tried = Vec::new();
    let mut failure = None;
    while tried.len() < limits.attempts_max {
        let Some(endpoint) = choose(exchange, route, turn, &tried) else { break };
        if failure.is_some() {
            count(&exchange.worker.traffic.retries);
        }
        exchange.goes_to(&endpoint);
        let trouble = match attempt(exchange, &endpoint, outbound).await {
            Ok(answer) => return Ok(answer),
            Err(Failure::Endpoint(trouble)) => trouble,
            Err(failure) => return Err(failure),
        };
        if trouble.marks_endpoint() {
            let now = exchange.worker.shared.clock.now();
            endpoint.backend.mark_failed(now + limits.failed_for);
        }
        let may_retry = trouble.may_retry(outbound.shape);
        failure = Some(Failure::Endpoint(trouble));
        if !may_retry {
            break;
        }
        tried.push(endpoint.backend.id);
    }
    Err(failure.unwrap_or_else(|| Failure::NoEndpoints { host: exchange.host_asked.clone() }))
}

fn choose(exchange: &Exchange, route: &Route, turn: usize, tried: &[u64]) -> Option<Arc<Endpoint>> {
    let now = exchange.worker.shared.clock.now();
    select(&route.pool.load(), turn, tried, exchange.stickiness.wish(), now).cloned()
}

/// One endpoint: a kept connection first, and a new one if that turns out dead.
async fn attempt(
    exchange: &Exchange,
    endpoint: &Arc<Endpoint>,
    outbound: &mut Outbound,
) -> Result<Answer, Failure> {
    let connections = &exchange.worker.connections;
    let _in_flight = InFlight::new(endpoint);
    if !outbound.shape.is_idempotent || outbound.shape.has_body {
        // What cannot be sent twice goes only into connections whose latest news were heard.
        tokio::task::yield_now().await;
    }
    if let Some(lease) = connections.reuse(&endpoint.backend) {
        match send_on(exchange, lease, endpoint, outbound).await {
            Err(Failure::Endpoint(trouble @ (Trouble::DeadConnection | Trouble::Closed(_))))
                if trouble.may_retry(outbound.shape) => {}
            outcome => return outcome,
        }
    }
    let lease = connections.dial(&endpoint.backend).await.map_err(Failure::Endpoint)?;
    send_on(exchange, lease, endpoint, outbound).await
}

async fn send_on(
    exchange: &Exchange,
    mut lease: Lease,
    endpoint: &Endpoint,
    outbound: &mut Outbound,
) -> Result<Answer, Failure> {
    let request = outbound.request(endpoint);
    let answering = lease.sender.try_send_request(request);
    let mut error = match in_time(exchange, answering).await {
        Some(Ok(response)) => return Ok(Answer { response, lease }),
        Some(Err(error)) => error,
        None => return Err(Failure::Endpoint(Trouble::Timeout)),
    };
    if let Some(unsent) = error.take_message() {
        outbound.recover(unsent);
        return Err(Failure::Endpoint(Trouble::DeadConnection));
    }
    if exchange.tally.is_broken.get() {
        return Err(Failure::BadBody);
    }
    Err(Failure::Endpoint(trouble(error.error())))
}

/// The answer's head, unless it stays out for too long while no byte of the upload moves: a slow
/// upload is not a slow endpoint.
async fn in_time<T>(exchange: &Exchange, answering: impl Future<Output = T>) -> Option<T> {
    let patience = exchange.worker.shared.limits.endpoint_timeout;
    let mut answering = pin!(answering);
    loop {
        let received = exchange.tally.received.get();
        match tokio::time::timeout(patience, &mut answering).await {
            Ok(answer) => return Some(answer),
            Err(_) if exchange.tally.received.get() != received => {}
            Err(_) => return None,
        }
    }
}

fn trouble(error: &hyper::Error) -> Trouble {
    let why = match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    let io = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    let is_closed = error.is_incomplete_message() || error.is_canceled() || error.is_closed();
    if is_closed || io.is_some() { Trouble::Closed(why) } else { Trouble::Garbled(why) }
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
