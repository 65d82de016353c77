//! After a 101: the client's and the endpoint's connections become one, byte by byte, until both
//! ends have closed.

use bytes::Bytes;
use http::{Response, Version};
use http_body_util::Full;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tracing::debug;

use super::download::Reply;
use super::exchange::Exchange;
use super::forward::Answer;
use super::headers;
use super::outbound::Outbound;
use crate::metrics::count;
use crate::verdict::{Failure, Trouble};

/// Both ends, and the head that tells the client.
pub(crate) struct Upgraded {
    head: Response<()>,
    client: OnUpgrade,
    endpoint: OnUpgrade,
}

/// Takes the endpoint's 101, if the client asked for one.
pub(crate) fn accept(outbound: Outbound, answer: Answer) -> Result<Upgraded, Failure> {
    let Some(client) = outbound.client else {
        let why = "101 to a request that asks for no upgrade".to_owned();
        return Err(Failure::Endpoint(Trouble::Garbled(why)));
    };
    let mut response = answer.response;
    let endpoint = hyper::upgrade::on(&mut response);
    let (parts, _) = response.into_parts();
    Ok(Upgraded { head: Response::from_parts(parts, ()), client, endpoint })
}

/// Answers 101 and copies until the end, which is when the access line is written.
pub(crate) fn switch(mut exchange: Box<Exchange>, upgraded: Upgraded) -> Response<Reply> {
    let (mut parts, ()) = upgraded.head.into_parts();
    parts.version = Version::HTTP_11;
    headers::strip_response(&mut parts.headers, true);
    let id = exchange.request_id.clone();
    parts.headers.entry(headers::X_VCAP_REQUEST_ID).or_insert(id);
    count(&exchange.worker.traffic.upgrades);
    exchange.answered(parts.status.as_u16());
    exchange.completed();
    tokio::task::spawn_local(tunnel(exchange, upgraded.client, upgraded.endpoint));
    Response::from_parts(parts, Reply::Own(Full::new(Bytes::new())))
}

async fn tunnel(mut exchange: Box<Exchange>, client: OnUpgrade, endpoint: OnUpgrade) {
    let (client, endpoint) = match tokio::try_join!(client, endpoint) {
        Ok(ends) => ends,
        Err(error) => {
            debug!(%error, "upgrade was not completed");
            return;
        }
    };
    let (mut client, mut endpoint) = (TokioIo::new(client), TokioIo::new(endpoint));
    match tokio::io::copy_bidirectional(&mut client, &mut endpoint).await {
        Ok((received, sent)) => {
            exchange.tally.received.set(exchange.tally.received.get() + received);
            exchange.sent += sent;
        }
        Err(error) => debug!(%error, "upgraded connection broke off"),
    }
}
