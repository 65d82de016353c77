//! Second stage: host and path to a route, within what the client's side may ask for.

use std::borrow::Cow;
use std::sync::Arc;

use super::intake::Asked;
use crate::config::Side;
use crate::pool::Route;
use crate::verdict::Failure;
use crate::worker::Shared;

/// A route, and whether it is the platform's own, whose targets may hold secrets.
pub(crate) struct Found {
    pub(crate) route: Arc<Route>,
    pub(crate) is_platform: bool,
}

/// The route that serves the request. A wildcard never serves a host of the platform: an app must
/// not receive what is meant for it while it is not there.
pub(crate) fn route(shared: &Shared, side: Side, asked: &Asked<'_>) -> Result<Found, Failure> {
    let told = || asked.host.to_string();
    let host = shared.reserved.translate(Cow::Borrowed(&asked.host));
    let is_platform = shared.reserved.contains(&host);
    if !shared.reserved.is_served(&host, side) {
        return Err(Failure::PlatformHost { host: told() });
    }
    let table = &shared.table;
    let found = if is_platform {
        table.find_exact(&host, &asked.path)
    } else {
        table.find(&host, &asked.path)
    };
    match found {
        None => Err(Failure::UnknownRoute { host: told() }),
        Some(route) if route.is_empty() => Err(Failure::NoEndpoints { host: told() }),
        Some(route) => Ok(Found { route, is_platform }),
    }
}
