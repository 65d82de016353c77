//! Reads one registration message, and says why it is ignored if it is.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use lattice_model::Time;
use lattice_model::wire::registration::{Options, Registration, TcpRegistration};
use serde::Deserialize;

use crate::metrics::Components;
use crate::pool::{Balance, Facts, HashBy, Tag};
use crate::reserved::ReservedHosts;
use crate::table::Announcement;
use crate::table::key::Key;
use crate::tcp::ports;

/// The longest name of an endpoint's host, so that its label fits.
const NAME_BYTES_MAX: usize = 240;

/// Why a registration is ignored.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ignored {
    #[error("not a registration: {0}")]
    NotJson(serde_json::Error),
    #[error("`{host}` is not an IP address")]
    NotAnAddress { host: String },
    #[error("`{host}` is neither an IP address nor the name of a host")]
    NotAHost { host: String },
    #[error("{addr} has no port")]
    NoPort { addr: IpAddr },
    #[error("{addr} asks for the route service `{url}`, which is not a URL of https")]
    RouteService { addr: SocketAddr, url: String },
    #[error("{addr} has an app, instance guid or index that does not fit into a header")]
    Unprintable { addr: SocketAddr },
    #[error("`{uri}` is not a host name with an optional path")]
    NotAUri { uri: String },
    #[error("`{host}` belongs to the platform and is served by {rightful} only, not by {addr}")]
    Reserved { host: String, rightful: SocketAddr, addr: SocketAddr },
    #[error(
        "`{asked}` is no way to spread requests, and the route keeps its own; take round-robin, least-connection, or hash with a hash_header and a \
         hash_balance of 0 or at least 1"
    )]
    Balance { asked: String },
    #[error("the table is full with {routes} routes")]
    Full { routes: usize },
    #[error(transparent)]
    Tcp(#[from] ports::Refused),
}

/// What a message says about one endpoint.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) uris: Vec<String>,
    /// What is ignored of a message that counts all the same.
    pub(super) odd: Option<Ignored>,
    /// The isolation segment; empty for none.
    pub(super) segment: String,
    /// When the endpoint changed, where that was told.
    pub(super) changed_at: Option<Time>,
    told: Announcement,
}

/// What gorouter's JSON holds beside a [`Registration`].
#[derive(Deserialize)]
struct Tagged {
    #[serde(default)]
    modification_tag: Option<Tag>,
}

// === impl Read ===

impl Read {
    /// Notes who registers.
    pub(super) fn name(&mut self, components: &Components) {
        let facts = &mut self.told.facts;
        facts.component = components.place(facts.tags.get("component").unwrap_or_default());
    }

    /// Takes it for one of HTTP/1 unless endpoints may be asked for more.
    pub(super) fn limit(&mut self, http2_to_endpoints: bool) {
        self.told.facts.speaks_http2 &= http2_to_endpoints;
    }

    /// The key and announcement for one of the uris. A reserved host's endpoint never goes stale:
    /// the configuration names it.
    pub(super) fn for_uri(
        &self,
        uri: &str,
        reserved: &ReservedHosts,
    ) -> Result<(Key, Cow<'_, Announcement>), Ignored> {
        let key = Key::parse(uri).ok_or_else(|| Ignored::NotAUri { uri: uri.to_owned() })?;
        let mut told = Cow::Borrowed(&self.told);
        if let Some(rightful) = reserved.endpoint_of(&key.host) {
            if rightful != told.addr {
                return Err(Ignored::Reserved { host: key.host, rightful, addr: told.addr });
            }
            told.to_mut().facts.stale_after = None;
        }
        Ok((key, told))
    }
}

/// Reads a message. An unregistration needs no more than the endpoint and the uris.
pub(super) fn read(
    payload: &[u8],
    stale_after_max: Duration,
    is_register: bool,
) -> Result<Read, Ignored> {
    let mut told: Registration = serde_json::from_slice(payload).map_err(Ignored::NotJson)?;
    let port = if told.tls_port == 0 { told.port } else { told.tls_port };
    let (addr, name) = located(&told.host, port)?;
    let url = std::mem::take(&mut told.route_service_url);
    if is_register && !url.is_empty() && !url.starts_with("https") {
        return Err(Ignored::RouteService { addr, url });
    }
    let mut announcement =
        Announcement::new(addr, &told.app, &told.private_instance_id, &told.private_instance_index)
            .ok_or(Ignored::Unprintable { addr })?;
    if let Some(name) = name {
        announcement = announcement.at(&name, port);
    }
    (announcement.balance, announcement.hash_by) = balance(&told.options);
    announcement.tls =
        (told.tls_port != 0).then(|| std::mem::take(&mut told.server_cert_domain_san));
    announcement.tag = tag_of(payload);
    announcement.service = (!url.is_empty()).then(|| url.into());
    let asked = told.options.loadbalancing.clone();
    let odd =
        (!asked.is_empty() && announcement.balance.is_none()).then_some(Ignored::Balance { asked });
    let (uris, segment) = (std::mem::take(&mut told.uris), told.isolation_segment.clone());
    let changed_at = Some(Time(told.endpoint_updated_at_ns)).filter(|at| at.0 > 0);
    let stale_after = stale_after(told.stale_threshold_in_seconds, stale_after_max);
    announcement.facts = facts(told, stale_after);
    Ok(Read { uris, odd, segment, changed_at, told: announcement })
}

/// Reads a message about a TCP route, and until when its endpoint counts.
pub(super) fn read_tcp(
    payload: &[u8],
    stale_after_max: Duration,
) -> Result<(TcpRegistration, SocketAddr, Duration), Ignored> {
    let told: TcpRegistration = serde_json::from_slice(payload).map_err(Ignored::NotJson)?;
    let addr = address_of(&told.host, told.port)?;
    let stale_after = stale_after(told.stale_threshold_in_seconds, stale_after_max);
    Ok((told, addr, stale_after))
}

/// What is said of more than this endpoint.
fn facts(told: Registration, stale_after: Duration) -> Facts {
    Facts {
        app: told.app.into(),
        tags: told.tags.into_iter().collect(),
        availability_zone: told.availability_zone.into(),
        isolation_segment: told.isolation_segment.into(),
        stale_after: Some(stale_after),
        component: 0,
        speaks_http2: told.protocol == "http2",
    }
}

fn address_of(host: &str, port: u16) -> Result<SocketAddr, Ignored> {
    let ip = match host {
        "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        host => host.parse().map_err(|_| Ignored::NotAnAddress { host: host.to_owned() })?,
    };
    match port {
        0 => Err(Ignored::NoPort { addr: ip }),
        port => Ok(SocketAddr::new(ip, port)),
    }
}

/// An endpoint at an address, or at the name of a host.
fn located(host: &str, port: u16) -> Result<(SocketAddr, Option<String>), Ignored> {
    match address_of(host, port) {
        Err(Ignored::NotAnAddress { host }) if !is_name(&host) => Err(Ignored::NotAHost { host }),
        Err(Ignored::NotAnAddress { host }) => {
            let nowhere = address_of("0.0.0.0", port)?;
            Ok((nowhere, Some(host.to_ascii_lowercase())))
        }
        other => other.map(|addr| (addr, None)),
    }
}

/// Whether it can be the name of a host; names of none but digits and dots are misspelt addresses.
fn is_name(host: &str) -> bool {
    let is_letter = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let is_label = |label: &str| !label.is_empty() && label.bytes().all(is_letter);
    host.len() <= NAME_BYTES_MAX
        && host.trim_end_matches('.').split('.').all(is_label)
        && host.bytes().any(|b| b.is_ascii_alphabetic())
}

/// How requests are to be spread, and what decides for a hash, which must have a header and no
/// share below the average.
fn balance(options: &Options) -> (Option<Balance>, Option<Arc<HashBy>>) {
    match options.loadbalancing.as_str() {
        "round-robin" => (Some(Balance::RoundRobin), None),
        "least-connection" => (Some(Balance::LeastConnection), None),
        "hash" if is_hashable(options) => {
            let (header, factor) = (options.hash_header.clone(), options.hash_balance);
            (Some(Balance::Hash), Some(Arc::new(HashBy { header, factor })))
        }
        _ => (None, None),
    }
}

fn is_hashable(options: &Options) -> bool {
    let factor = options.hash_balance;
    !options.hash_header.is_empty() && (factor == 0.0 || factor >= 1.0)
}

fn stale_after(asked_secs: u32, max: Duration) -> Duration {
    match asked_secs {
        0 => max,
        secs => Duration::from_secs(secs.into()).min(max),
    }
}

/// The modification tag, looked for only where the word occurs: heartbeats are many.
fn tag_of(payload: &[u8]) -> Option<Tag> {
    const NAME: &[u8] = b"\"modification_tag\"";
    payload.windows(NAME.len()).any(|window| window == NAME).then_some(())?;
    serde_json::from_slice::<Tagged>(payload).ok()?.modification_tag
}
