//! What a router is told at its start: where to listen, which hosts are the platform's own, and
//! every limit it keeps.

pub(crate) mod duration;

use core::net::{IpAddr, SocketAddr};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use lattice_model::route::RESERVED_TCP_PORTS;
use serde::Deserialize;

use crate::Keeper;
pub use crate::access_log::{ExtraField, Query};
pub use crate::challenges::Challenges;
pub use crate::error_page::ErrorPage;
pub use crate::pool::Balance;
pub use crate::records::Records;
pub use crate::services::Services;
pub use crate::tls::{BackendTls, FrontTls};

/// Everything a router needs to know. [`Config::new`] has the defaults.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen from the start; more can follow by [`crate::Handle::listen`].
    pub listeners: Vec<Listener>,
    /// The domain apps live under, e.g. `lattice.localhost`.
    pub domain: String,
    /// `NAME.` and this suffix is looked up as `NAME.` and [`Config::domain`].
    pub apps_internal_suffix: String,
    /// Hosts that belong to the platform, each with the only endpoint that may serve it.
    pub reserved: Vec<Reserved>,
    /// Whether reserved hosts are served to instances as well.
    pub platform_to_instances: bool,
    /// Threads that carry requests, each with its own runtime, listeners and connections.
    pub workers: usize,
    /// What is spoken on listeners under TLS.
    pub front_tls: Option<Arc<FrontTls>>,
    /// What authorities are answered that ask whether a host is ours.
    pub challenges: Arc<Challenges>,
    /// What is spoken to endpoints under TLS; without it nobody is trusted.
    pub backend_tls: Option<BackendTls>,
    /// Endpoints that registered for HTTP/2 are offered it, under TLS.
    pub http2_to_endpoints: bool,
    /// What is known about route services; without it routes that have one are not served.
    pub services: Option<Services>,
    /// Whether a client's connection may begin with a header of the PROXY protocol, which is
    /// believed: true only where none but load balancers connect.
    pub reads_preamble: bool,
    /// The zone whose endpoints get the first attempt of each request, if any of them can.
    pub zone: Option<String>,
    /// Sockets may be handed over to a successor.
    pub hands_over: bool,
    /// Who keeps the listening sockets while no router runs.
    pub keeper: Option<Arc<dyn Keeper>>,
    /// How the router speaks of itself on the bus.
    pub identity: Identity,
    /// Which registrations are carried.
    pub sharding: Sharding,
    /// How routes age.
    pub freshness: Freshness,
    /// How requests are spread where a registration does not say it.
    pub balance: Balance,
    /// The requests of each app are measured, by the `source_id` of its registrations' tags.
    pub measures_apps: bool,
    /// Which requests get an access line.
    pub lines: AccessLines,
    /// Where access lines go in place of the log.
    pub records: Option<Records>,
    /// What lines show beside the usual, and what of the usual they do not.
    pub line_rules: LineRules,
    /// What is said in headers beyond what always is.
    pub headers: HeaderRules,
    /// What a client is shown that asks for what is not there.
    pub error_page: Option<ErrorPage>,
    /// Which cookies keep a client with its instance.
    pub sticky: Sticky,
    /// What one connection, one request and one endpoint may use.
    pub limits: Limits,
    /// Where TCP routes are listened for.
    pub tcp: TcpRules,
}

/// Which TCP routes are carried, and where they are listened for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpRules {
    /// The addresses; without any no TCP route is carried.
    pub addrs: Vec<IpAddr>,
    /// The external ports that routes may have.
    pub ports: RangeInclusive<u16>,
    /// Those among them that routes may not have. The router's own are refused in any case.
    pub reserved: BTreeSet<u16>,
    /// The most ports that are open at once.
    pub ports_max: usize,
    /// Client connections over all workers; at the limit new ones wait.
    pub connections_max: usize,
    /// Those to one port; at the limit its new ones wait, and no other port's do.
    pub connections_per_port_max: usize,
    /// How long a connection may stand still, with no byte either way.
    pub idle_timeout: Duration,
    /// How long a client may take to say by the greeting of TLS which name it asks for, where that
    /// decides.
    pub greeting_timeout: Duration,
}

/// One address to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listener {
    /// The address; port 0 picks a free one.
    pub addr: SocketAddr,
    /// Who comes in here.
    pub side: Side,
    /// They speak TLS, as [`Config::front_tls`] says.
    pub is_tls: bool,
}

/// Who comes in through a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// People and their programs: every host is served.
    Public,
    /// Instances: the platform's hosts are refused, unless allowed.
    Instances,
}

/// A host that belongs to the platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reserved {
    /// The host name, without port or path.
    pub host: String,
    /// The one endpoint whose registration is accepted.
    pub endpoint: SocketAddr,
}

/// How a router speaks of itself on the bus, in `router.start` and to who greets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its place among routers.
    pub index: u32,
    /// Its place and a guid of this life.
    pub id: String,
    /// Its addresses.
    pub hosts: Vec<String>,
    /// How often emitters should repeat themselves.
    pub register_interval: Duration,
}

/// Which registrations a router carries, by their isolation segment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Sharding {
    /// All.
    #[default]
    All,
    /// Those of the listed segments.
    Segments(Vec<String>),
    /// Those, and those without a segment.
    SharedAndSegments(Vec<String>),
}

/// Which requests get an access line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AccessLines {
    /// Those that went to an app, into its log.
    #[default]
    OfApps,
    /// Every one.
    All,
    /// None.
    None,
}

/// What access lines show beside the usual, and what of the usual they do not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LineRules {
    /// Further fields, in their order.
    pub extra: Vec<ExtraField>,
    /// Names of headers, whose values are shown as endpoints saw them.
    pub headers: Vec<String>,
    /// `X-Forwarded-For` is not shown.
    pub hides_forwarded_for: bool,
    /// The client's address is not shown.
    pub hides_client: bool,
    /// What is shown of what stands behind the `?` of a GET.
    pub query: Query,
}

/// How routes age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Freshness {
    /// An endpoint unheard of for this long is forgotten. A registration may ask for less.
    #[serde(with = "duration")]
    pub stale_after: Duration,
    /// How often that is looked into; 0 for never.
    #[serde(with = "duration")]
    pub prune_interval: Duration,
    /// A route without endpoints answers 503 for this long, and 404 afterwards.
    #[serde(with = "duration")]
    pub empty_route_kept: Duration,
    /// Forget nothing while no registration of anyone arrives: then it is the bus that fell
    /// silent, and absence is not an order.
    pub keep_when_silent: bool,
    /// Forget nothing while the bus is not reached, and take every endpoint for fresh when it is
    /// again.
    pub keep_when_cut: bool,
    /// The most routes (host and path) the table holds; more are refused and counted.
    pub routes_max: usize,
    /// How long new endpoints were on their way is not measured for so long after the start: at
    /// first all of them are told again, however old.
    #[serde(with = "duration")]
    pub arrivals_unmeasured: Duration,
}

/// What is said in headers beyond what always is (facts 1.7 and 1.8).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HeaderRules {
    /// What endpoints are told of the client's scheme.
    pub forwarded_proto: ForwardedProto,
    /// Names that a client's `Connection` cannot take away from what endpoints get.
    pub not_of_hop: Vec<String>,
    /// Names taken out of every answer, the router's own included.
    pub removed_from_answers: Vec<String>,
    /// Name and value of lines added to every answer that has no such name.
    pub added_to_answers: Vec<(String, String)>,
    /// The `X-Vcap-Trace` that asks which router and endpoint answered, and the router's address.
    pub trace_key: Option<(String, String)>,
    /// Which trace ids endpoints get.
    pub tracing: Tracing,
    /// What endpoints are told of the client's certificate.
    pub client_certificate: ForwardedCertificate,
    /// A connection on which an endpoint was asked for a `100 Continue` is not used again.
    pub closes_after_continue: bool,
    /// The `User-Agent` of a load balancer that asks whether the router is well.
    pub health_check_user_agent: Option<String>,
}

/// What endpoints are told of the client's certificate, in `X-Forwarded-Client-Cert`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForwardedCertificate {
    /// What the client says.
    #[default]
    AlwaysForward,
    /// What a client says that has shown a certificate itself.
    Forward,
    /// The certificate that the client has shown, and nothing that it says.
    SanitizeSet,
}

/// What endpoints are told of the client's scheme.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ForwardedProto {
    /// What the client says, and the connection's scheme if it says nothing.
    #[default]
    Keep,
    /// The connection's scheme.
    Sanitize,
    /// `https`, whatever it is.
    Https,
}

/// Which trace ids endpoints get.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tracing {
    /// Zipkin's B3 headers.
    pub zipkin: bool,
    /// W3C's `traceparent` and `tracestate`.
    pub w3c: bool,
    /// Who signs a `tracestate` beside the router's name.
    pub w3c_tenant: Option<String>,
}

/// Which cookies keep a client with its instance (facts 1.6).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sticky {
    /// Cookies of apps whose presence asks for the same instance again.
    pub cookies: Vec<String>,
    /// The cookie that names the instance is for https only, whatever the app's is.
    pub secure: bool,
    /// A client that negotiates its authentication stays with one instance, and gets 502 when that
    /// is gone: half an authentication is worth nothing elsewhere.
    pub negotiate: bool,
}

/// What one connection, one request and one endpoint may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Client connections over all workers; at the limit new ones wait in the kernel's queue.
    pub connections_max: usize,
    /// Bytes of a request's head; more is answered 431.
    pub header_bytes_max: usize,
    /// Header lines in a request; never more than 256.
    pub headers_max: usize,
    /// Bytes of a request's body; more is answered 413, or cut where the answer has begun. 0 for any
    /// number: bodies pass through and are held nowhere.
    pub body_bytes_max: u64,
    /// Bytes of an answer's head; more is answered 502.
    pub answer_header_bytes_max: usize,
    /// Header lines in an answer; never more than 256.
    pub answer_headers_max: usize,
    /// From a connection's begin to the end of the header by which a load balancer says for whom it
    /// speaks; who has sent none by then speaks for himself.
    #[serde(with = "duration")]
    pub proxy_header_timeout: Duration,
    /// From the first byte of a request's head to its last.
    #[serde(with = "duration")]
    pub header_read_timeout: Duration,
    /// How long a client's connection may rest between requests.
    #[serde(with = "duration")]
    pub keep_alive_idle: Duration,
    /// How long a request may stand still, with no byte either way; upgraded connections may.
    #[serde(with = "duration")]
    pub stream_idle: Duration,
    /// Until an endpoint has accepted a connection.
    #[serde(with = "duration")]
    pub dial_timeout: Duration,
    /// The same where the request asks for an upgrade.
    #[serde(with = "duration::optional")]
    pub upgrade_dial_timeout: Option<Duration>,
    /// Until an endpoint has proved itself.
    #[serde(with = "duration")]
    pub handshake_timeout: Duration,
    /// From the request, or the last byte of its upload, to the head of the answer, for each endpoint
    /// that is asked.
    #[serde(with = "duration")]
    pub endpoint_timeout: Duration,
    /// How long a body may take to come; beyond that it must bring 1 KiB a second.
    #[serde(with = "duration")]
    pub upload_timeout: Duration,
    /// How long a silent client is left alone before the system asks whether it is still there.
    #[serde(with = "duration")]
    pub client_probe: Duration,
    /// The same for an endpoint.
    #[serde(with = "duration")]
    pub endpoint_probe: Duration,
    /// Endpoints that are tried for one request.
    pub attempts_max: usize,
    /// Requests under way to one endpoint, over all workers; beyond it others are chosen, and 503
    /// is answered when all have enough. 0 for any number.
    pub in_flight_per_endpoint_max: u32,
    /// How long an endpoint that failed is passed over.
    #[serde(with = "duration")]
    pub failed_for: Duration,
    /// Idle connections kept to one endpoint by each worker.
    pub idle_per_endpoint_max: usize,
    /// Idle connections kept to all endpoints by each worker.
    pub idle_max: usize,
    /// How long an idle connection to an endpoint is kept.
    #[serde(with = "duration")]
    pub endpoint_idle: Duration,
    /// How long it may have been idle for what cannot be asked twice: the endpoint may be about to
    /// close it.
    #[serde(with = "duration")]
    pub endpoint_rest: Duration,
    /// Requests at once on one connection in HTTP/2.
    pub streams_max: u32,
    /// How long requests under way may take to finish at shutdown.
    #[serde(with = "duration")]
    pub drain: Duration,
}

// === impl Config ===

impl Config {
    /// The defaults for a domain, listening nowhere yet.
    pub fn new(domain: impl Into<String>) -> Self {
        Self {
            listeners: Vec::new(),
            domain: domain.into(),
            apps_internal_suffix: "apps.internal".to_owned(),
            reserved: Vec::new(),
            platform_to_instances: false,
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            front_tls: None,
            challenges: Arc::default(),
            backend_tls: None,
            http2_to_endpoints: true,
            services: None,
            reads_preamble: false,
            zone: None,
            hands_over: false,
            keeper: None,
            identity: Identity::default(),
            sharding: Sharding::default(),
            freshness: Freshness::default(),
            balance: Balance::default(),
            measures_apps: false,
            lines: AccessLines::default(),
            records: None,
            line_rules: LineRules::default(),
            headers: HeaderRules::default(),
            error_page: None,
            sticky: Sticky::default(),
            limits: Limits::default(),
            tcp: TcpRules::default(),
        }
    }
}

impl Default for TcpRules {
    fn default() -> Self {
        Self {
            addrs: Vec::new(),
            ports: 1..=u16::MAX,
            reserved: RESERVED_TCP_PORTS.into(),
            ports_max: 1024,
            connections_max: 10_000,
            connections_per_port_max: 2_500,
            idle_timeout: Duration::from_secs(3600),
            greeting_timeout: Duration::from_secs(5),
        }
    }
}

impl Default for Identity {
    fn default() -> Self {
        Self {
            index: 0,
            id: "lattice-router".to_owned(),
            hosts: Vec::new(),
            register_interval: Duration::from_secs(20),
        }
    }
}

impl Sharding {
    /// Whether a registration of this segment, empty for none, is carried.
    pub fn carries(&self, segment: &str) -> bool {
        let is_among = |listed: &[String]| listed.iter().any(|one| one == segment);
        match self {
            Self::All => true,
            Self::Segments(listed) => is_among(listed),
            Self::SharedAndSegments(listed) => segment.is_empty() || is_among(listed),
        }
    }
}

impl Default for Freshness {
    fn default() -> Self {
        Self {
            stale_after: Duration::from_secs(120),
            prune_interval: Duration::from_secs(30),
            empty_route_kept: Duration::from_secs(30),
            keep_when_silent: true,
            keep_when_cut: true,
            routes_max: 250_000,
            arrivals_unmeasured: Duration::from_secs(30),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 20_000,
            header_bytes_max: 64 * 1024,
            headers_max: 100,
            body_bytes_max: 0,
            answer_header_bytes_max: 64 * 1024,
            answer_headers_max: 100,
            proxy_header_timeout: Duration::from_millis(100),
            header_read_timeout: Duration::from_secs(30),
            keep_alive_idle: Duration::from_secs(120),
            stream_idle: Duration::from_secs(900),
            dial_timeout: Duration::from_secs(5),
            upgrade_dial_timeout: None,
            handshake_timeout: Duration::from_secs(10),
            endpoint_timeout: Duration::from_secs(900),
            upload_timeout: Duration::from_secs(900),
            client_probe: Duration::from_secs(15),
            endpoint_probe: Duration::from_secs(15),
            attempts_max: 3,
            in_flight_per_endpoint_max: 0,
            failed_for: Duration::from_secs(30),
            idle_per_endpoint_max: 256,
            idle_max: 4096,
            endpoint_idle: Duration::from_secs(60),
            endpoint_rest: Duration::from_secs(1),
            streams_max: 100,
            drain: Duration::from_secs(5),
        }
    }
}

impl Default for Sticky {
    fn default() -> Self {
        Self { cookies: vec!["JSESSIONID".to_owned()], secure: false, negotiate: false }
    }
}
