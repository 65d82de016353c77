//! Second stage: host and path to a route, within what the client's side may ask for.

use std::borrow::Cow;
use std::sync::Arc;

use super::exchange::Exchange;
use super::intake::Asked;
use crate::pool::Route;
use crate::verdict::Failure;

/// The route that serves the request. A wildcard never serves a host of the platform: an app must
/// not receive what is meant for it while it is not there.
pub(crate) fn route(exchange: &mut Exchange, asked: &Asked) -> Result<Arc<Route>, Failure> {
    let shared = &exchange.worker.shared;
    let host = shared.reserved.translate(Cow::Borrowed(&asked.host));
    let is_platform = shared.reserved.contains(&host);
    if !shared.reserved.is_served(&host, exchange.peer.side) {
        return Err(Failure::PlatformHost { host: asked.host.clone() });
    }
    let table = &shared.table;
    let found = if is_platform {
        table.find_exact(&host, &asked.path)
    } else {
        table.find(&host, &asked.path)
    };
    exchange.is_platform = is_platform;
    match found {
        None => Err(Failure::UnknownRoute { host: asked.host.clone() }),
        Some(route) if route.is_empty() => Err(Failure::NoEndpoints { host: asked.host.clone() }),
        Some(route) => {
            exchange.host_asked.clone_from(&asked.host);
            Ok(route)
        }
    }
}
