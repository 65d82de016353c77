//! Second stage: host and path to a route, within what the client's side may ask for, and what of
//! it the request asks for.

use std::borrow::Cow;
use std::sync::Arc;

use lattice_model::Time;

use super::instance::Wanted;
use super::intake::{self, Asked};
use super::service::{Passage, Standing};
use super::sticky::Stickiness;
use crate::config::Side;
use crate::h1::name::Name;
use crate::h1::request::RequestHead;
use crate::pool::{Balance, Endpoint, Route};
use crate::select::{Hashed, hash_of};
use crate::verdict::Failure;
use crate::worker::{Peer, Shared};

/// A route, and whether it is the platform's own, whose targets may hold secrets.
struct Found {
    route: Arc<Route>,
    is_platform: bool,
}

/// What of a route a request asks for.
#[derive(Debug, Default)]
pub(crate) struct Sought {
    /// The request is for a host of the platform, whose targets may hold secrets.
    pub(crate) is_platform: bool,
    pub(crate) stickiness: Stickiness,
    /// Its place on a route that spreads by a hash.
    pub(crate) hashed: Option<Hashed>,
    /// The only endpoints it may go to, if it asks for certain ones.
    pub(crate) narrowed: Option<Vec<Arc<Endpoint>>>,
    /// How it stands to the route's service.
    pub(crate) passage: Passage,
}

/// Finds the route that serves a request that came at a moment, and what of it the request asks for.
pub(crate) fn seek(
    shared: &Shared,
    peer: &Peer,
    head: &RequestHead<'_, '_>,
    at: Time,
) -> Result<(Sought, Arc<Route>), Failure> {
    let checker = shared.headers.health_check_user_agent.as_deref().map(str::as_bytes);
    if checker.is_some() && head.fields.values(Name::UserAgent).next() == checker {
        return Err(Failure::HealthCheck { is_ending: shared.is_ending() });
    }
    let asked = intake::read(head, peer.addr.ip())?;
    if let Some(answer) = shared.challenges.file(&asked.host, &asked.path) {
        return Err(Failure::Challenge { answer });
    }
    let max = shared.limits.body_bytes_max;
    if max > 0 && head.length.is_some_and(|length| length > max) {
        return Err(Failure::BodyTooLarge { max });
    }
    let wanted = Wanted::read(head)?;
    let found = find(shared, peer.side, &asked);
    let Found { route, is_platform } = found.map_err(|failure| match (&wanted, failure) {
        // There is no such instance, either, and that is what was asked for.
        (Some(wanted), Failure::UnknownRoute { host } | Failure::NoEndpoints { host }) => {
            wanted.unknown(host)
        }
        (_, failure) => failure,
    })?;
    let narrowed = wanted.map(|wanted| wanted.among(&route, asked.named)).transpose()?;
    let (services, table, reserved) = (shared.services.as_ref(), &shared.table, &shared.reserved);
    let standing = Standing { services, table, reserved, now: at };
    let passage = standing.of(head, &route, rand::random)?;
    let mut sought = Sought { is_platform, passage, ..Sought::default() };
    if let Passage::To(outing) = &sought.passage {
        sought.narrowed = outing.endpoint().map(|endpoint| vec![endpoint.clone()]);
        let way = outing.hairpin.clone().unwrap_or(route);
        return Ok((sought, way));
    }
    sought.hashed = hashed(head, &route);
    sought.stickiness = Stickiness::of(&shared.sticky, head, route.clone());
    sought.narrowed = narrowed;
    sought.demand(&route);
    Ok((sought, route))
}

impl Sought {
    /// Leaves only the instance that a sticky client demands.
    fn demand(&mut self, route: &Route) {
        if let Some(only) = self.stickiness.demand() {
            let pool = self.narrowed.take().unwrap_or_else(|| route.pool.load().to_vec());
            let is_meant = |e: &Arc<Endpoint>| e.backend.instance_id() == only;
            self.narrowed = Some(pool.into_iter().filter(is_meant).collect());
        }
    }
}

/// The place of a request on a route that spreads by a hash, if it has what decides; an empty value
/// is none.
fn hashed(head: &RequestHead<'_, '_>, route: &Route) -> Option<Hashed> {
    let by = (route.balance() == Balance::Hash).then(|| route.hash_by())??;
    let name = by.header.as_bytes();
    let mut lines = head.fields.lines();
    let (_, _, value) = lines.find(|(_, text, _)| text.eq_ignore_ascii_case(name))?;
    let value = Some(value).filter(|value| !value.is_empty())?;
    Some(Hashed { key: hash_of(value), factor: by.factor })
}

/// The route that serves the request. A wildcard never serves a host of the platform: an app must
/// not receive what is meant for it while it is not there.
fn find(shared: &Shared, side: Side, asked: &Asked<'_>) -> Result<Found, Failure> {
    let told = || asked.named.to_owned();
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
