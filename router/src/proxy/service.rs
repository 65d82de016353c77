//! How a request stands to the route service of its route: it goes there, or has been there, or
//! there is none (facts 1.12). Pure.

use std::sync::Arc;

use lattice_model::Time;

use super::intake::Target;
use crate::h1::name::Name;
use crate::h1::request::RequestHead;
use crate::pool::{Endpoint, Route};
use crate::reserved::ReservedHosts;
use crate::services::place::Place;
use crate::services::signature::{Signed, Unsigned};
use crate::services::{Service, Services};
use crate::table::{Table, key};
use crate::verdict::{Failure, Obstacle};

/// How it stands.
#[derive(Debug, Default)]
pub(crate) enum Passage {
    /// It goes to its endpoint.
    #[default]
    Straight,
    /// It goes to the service first.
    To(Box<Outing>),
    /// It has been there.
    Returned,
}

/// The way to a service.
#[derive(Debug)]
pub(crate) struct Outing {
    service: Arc<Service>,
    /// The lines that come back.
    pub(crate) lines: String,
    /// The route of the service, where it is one of our own.
    pub(crate) hairpin: Option<Arc<Route>>,
}

/// What decides beside the request.
#[derive(Clone, Copy)]
pub(crate) struct Standing<'a> {
    pub(crate) services: Option<&'a Services>,
    pub(crate) table: &'a Table,
    pub(crate) reserved: &'a ReservedHosts,
    pub(crate) now: Time,
}

impl Standing<'_> {
    /// How a request for this route stands. The nonce is for a signature, and must be a new one.
    pub(crate) fn of(
        self,
        head: &RequestHead<'_, '_>,
        route: &Arc<Route>,
        nonce: impl FnOnce() -> [u8; 12],
    ) -> Result<Passage, Failure> {
        let passage = match route.service() {
            None => self.without_service(head),
            Some(service) => self.with_service(head, route, service, nonce),
        };
        passage.map_err(Failure::Service)
    }

    fn without_service(self, head: &RequestHead<'_, '_>) -> Result<Passage, Obstacle> {
        let strict = self.services.filter(|services| services.is_strict);
        if let Some(services) = strict
            && head.fields.has(Name::ProxySignature)
        {
            self.signed(services, head).map_err(Obstacle::Stray)?;
        }
        Ok(Passage::Straight)
    }

    fn with_service(
        self,
        head: &RequestHead<'_, '_>,
        route: &Arc<Route>,
        service: Arc<Service>,
        nonce: impl FnOnce() -> [u8; 12],
    ) -> Result<Passage, Obstacle> {
        let services = self.services.ok_or(Obstacle::Disabled)?;
        if head.upgrade.is_some_and(|protocol| protocol.eq_ignore_ascii_case(b"websocket")) {
            return Err(Obstacle::Websocket);
        }
        if head.fields.values(Name::ProxySignature).any(|signature| !signature.is_empty()) {
            let url = self.signed(services, head).map_err(Obstacle::Unsigned)?;
            self.is_of(&url, route).map_err(Obstacle::Unsigned)?;
            return Ok(Passage::Returned);
        }
        let place = &service.reached.as_ref().ok_or(Obstacle::NoPlace)?.place;
        let url = url_of(head, services);
        let Signed { signature, metadata } = services.keys.sign(&url, self.now, nonce());
        let lines = format!(
            "X-CF-Proxy-Signature: {signature}\r\nX-CF-Proxy-Metadata: {metadata}\r\n\
             X-CF-Forwarded-Url: {url}\r\n"
        );
        let hairpin = self.hairpin(services, place);
        Ok(Passage::To(Box::new(Outing { service, lines, hairpin })))
    }

    /// The URL that a router has signed for this request.
    fn signed(self, services: &Services, head: &RequestHead<'_, '_>) -> Result<String, Unsigned> {
        let first = |name| head.fields.values(name).next().unwrap_or_default();
        let (signature, metadata) = (first(Name::ProxySignature), first(Name::ProxyMetadata));
        services.keys.verify(signature, metadata, (self.now, services.timeout))
    }

    /// Whether a URL leads to this route.
    fn is_of(self, url: &str, route: &Route) -> Result<(), Unsigned> {
        let target = Target::read(url.as_bytes());
        let parts = target.and_then(|target| Some((target.authority?, target.origin)));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (host, path) = parts.map(|(host, path)| (text(host), text(path))).unwrap_or_default();
        let host = key::host_of(&host);
        let path = path.split('?').next().unwrap_or_default();
        let signed = format!("{host}{path}");
        match self.table.find(&host, path) {
            None => Err(Unsigned::NoRoute(signed)),
            Some(found) if found.uri == route.uri => Ok(()),
            Some(_) => Err(Unsigned::OtherRoute { asked: route.uri.to_string(), signed }),
        }
    }

    /// The route of a service that is one of our own apps, if it may be asked for here. One that
    /// has a service itself is asked for over the network: the request comes back for it. So is a
    /// host of the platform, which then decides by itself whom it serves.
    fn hairpin(self, services: &Services, place: &Place) -> Option<Arc<Route>> {
        let host = key::host_of(&place.host);
        if self.reserved.contains(&host) {
            return None;
        }
        let route = self.table.find(&host, place.path())?;
        (services.hairpins.allow(route.host()) && route.service().is_none()).then_some(route)
    }
}

// === impl Outing ===

impl Outing {
    /// Where the service is.
    pub(crate) fn place(&self) -> Option<&Place> {
        self.service.reached.as_ref().map(|reached| &reached.place)
    }

    /// The service as the only endpoint that will do; none where it is a route of our own.
    pub(crate) fn endpoint(&self) -> Option<&Arc<Endpoint>> {
        let reached = self.service.reached.as_ref().filter(|_| self.hairpin.is_none());
        reached.map(|reached| &reached.endpoint)
    }
}

/// Where a service is to send a request when it is done with it.
fn url_of(head: &RequestHead<'_, '_>, services: &Services) -> String {
    let scheme = if services.recommends_https { "https" } else { "http" };
    let host = head.fields.values(Name::Host).next().unwrap_or_default();
    let host = host.split(|&b| b == b':').next().unwrap_or_default();
    let target = Target::read(head.target).map_or(head.target, |target| target.origin);
    format!("{scheme}://{}{}", String::from_utf8_lossy(host), String::from_utf8_lossy(target))
}
