//! What happens to one request, stage by stage.
//!
//! | Stage | Does |
//! |---|---|
//! | [`intake`] | refuses what could be read in two ways; finds host and path |
//! | [`lookup`] | host and path to a route |
//! | [`headers`] | what the endpoint is told, and what stays on this hop |
//! | [`forward`] | chooses an endpoint, sends, tries another if nothing can have been used |
//! | [`upgrade`] | after a 101: bytes both ways |
//! | [`relay`] | the answer's head, and its body in [`download`] |
//!
//! [`exchange`] is the request's record, which ends as a line in the app's log. A client that
//! leaves drops the future or the body, and with it the connection to the endpoint.

pub(crate) mod download;
pub(crate) mod exchange;
pub(crate) mod forward;
pub(crate) mod headers;
pub(crate) mod intake;
pub(crate) mod lookup;
pub(crate) mod outbound;
pub(crate) mod relay;
pub(crate) mod sticky;
pub(crate) mod upgrade;
pub(crate) mod upload;

use std::convert::Infallible;
use std::rc::Rc;

use http::{HeaderValue, StatusCode, Version, header};
use hyper::body::Incoming;
use hyper::{Request, Response};

use crate::verdict::Failure;
use crate::worker::{Peer, Worker};
use download::Reply;
use exchange::Exchange;

/// Answers one request.
pub(crate) async fn handle(
    worker: Rc<Worker>,
    peer: Rc<Peer>,
    request: Request<Incoming>,
) -> Result<Response<Reply>, Infallible> {
    let asks_upgrade =
        request.version() == Version::HTTP_11 && request.headers().contains_key(header::UPGRADE);
    let mut exchange = Exchange::begin(worker, peer.clone(), &request);
    let mut response = match serve(&mut exchange, request).await {
        Ok(Served::Answer(answer)) => relay::answer(exchange, answer),
        Ok(Served::Upgraded(upgraded)) => upgrade::switch(exchange, *upgraded),
        Err(failure) => relay::refusal(exchange, &failure),
    };
    if asks_upgrade {
        let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if !peer.wire.upgrade_decided(switched) {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }
    Ok(response)
}

/// What came of a request.
enum Served {
    Answer(forward::Answer),
    Upgraded(Box<upgrade::Upgraded>),
}

async fn serve(exchange: &mut Exchange, request: Request<Incoming>) -> Result<Served, Failure> {
    let asked = intake::read(&request, &exchange.peer)?;
    let route = lookup::route(exchange, &asked)?;
    let wish = sticky::wish(request.headers());
    let mut outbound = headers::prepare(exchange, request);
    exchange.stickiness = sticky::Stickiness::new(&route, wish);
    let answer = forward::send(exchange, &route, &mut outbound).await?;
    if answer.response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let upgraded = upgrade::accept(outbound, answer)?;
        return Ok(Served::Upgraded(Box::new(upgraded)));
    }
    Ok(Served::Answer(answer))
}
