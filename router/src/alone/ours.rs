//! Our own file: TOML, in which every key must be known.

mod nats;
mod tcp;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::access::{Access, Syslog};
use super::metron::Metron;
use super::reload::{CertificateFiles, Reload};
use super::report::Report;
use super::route_services::RouteServices;
use super::settings::{self, Judge, Lifecycle, Read, Refused, Settings};
use super::stdout::{Logging, Timestamps};
use crate::config::{
    AccessLines, Balance, Config, Freshness, HeaderRules, Limits, LineRules, Listener, Sharding,
    Side, Sticky, duration,
};
use crate::http::Status;
use crate::tls::{BackendTls, Clients, Front, FrontTls, Version, Versions};
use nats::Nats;
use tcp::Tcp;

/// The file. What is left out is as in `lattice up`.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    /// Where to listen.
    listen: Vec<SocketAddr>,
    /// `NAME.apps.internal` means `NAME.` and this; empty for nothing.
    domain: String,
    /// Where to listen for TLS.
    listen_tls: Vec<SocketAddr>,
    /// What is shown there; the first to who asks for no name that another has.
    certificates: Vec<CertificateFiles>,
    tls: Tls,
    backends: Backends,
    /// Without it routes with a service are not served.
    route_services: Option<RouteServices>,
    /// Threads that carry requests; one for each core if left out.
    workers: Option<usize>,
    /// Its place among routers.
    index: u32,
    /// How requests are spread where no registration says it.
    balance: Balance,
    /// The zone whose endpoints get the first attempt of each request.
    zone: Option<String>,
    /// Load balancers may say by the PROXY protocol for whom they speak.
    proxy_header: bool,
    /// Which registrations are carried: all, or those of these segments.
    isolation_segments: Vec<String>,
    /// Also those without a segment.
    carry_shared: bool,
    nats: Nats,
    status: Shown,
    /// A template of what clients are shown that ask for what is not there.
    error_page: Option<PathBuf>,
    log: Log,
    access_log: AccessLog,
    lifecycle: Times,
    freshness: Freshness,
    headers: HeaderRules,
    sticky: Sticky,
    limits: Limits,
    tcp: Tcp,
}

/// What is spoken to clients under TLS.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Tls {
    min: Version,
    max: Version,
    /// By their names in OpenSSL or in RFCs; all that are safe if empty.
    cipher_suites: Vec<String>,
    /// HTTP/2 is spoken to clients that ask for it.
    http2: bool,
    /// Who vouches for clients, in PEM; without it none is asked for a certificate.
    client_ca: Option<PathBuf>,
    /// Clients without a certificate are not served.
    client_required: bool,
}

/// What is spoken to endpoints under TLS.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Backends {
    /// Who vouches for them and for route services, in PEM.
    ca: Option<PathBuf>,
    /// What they are shown if they ask.
    certificate: Option<CertificateFiles>,
    /// Everyone is believed.
    trust_all: bool,
    /// Those that registered for HTTP/2 are offered it.
    http2: bool,
}

/// Where status is shown; what is left out is not.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Shown {
    /// `/health`.
    health: Option<SocketAddr>,
    /// `/routes`, to who knows the password.
    routes: Option<SocketAddr>,
    /// `/metrics`.
    metrics: Option<SocketAddr>,
    /// The UDP address of a metron agent, which is told what is counted.
    metron: Option<String>,
    /// How long the requests of each app took is among them.
    metrics_per_app: bool,
    user: String,
    password: String,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Log {
    /// `debug`, `info`, `warn` or `error`.
    level: String,
    timestamps: Timestamps,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct AccessLog {
    file: Option<PathBuf>,
    syslog: Option<Syslog>,
    metron: Option<String>,
    /// What lines show beside the usual, and what of it they do not.
    rules: LineRules,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Times {
    /// Listeners open this long after registrations were asked for.
    #[serde(with = "duration")]
    start_delay: Duration,
    /// Load balancers are told this long before listeners close.
    #[serde(with = "duration")]
    drain_wait: Duration,
    /// How often emitters should repeat themselves.
    #[serde(with = "duration")]
    register_interval: Duration,
}

/// Reads a file's text.
pub(super) fn read(text: &str) -> Read {
    let file: File = toml::from_str(text).map_err(|error| Refused::Malformed(error.to_string()))?;
    let mut judge = Judge::default();
    refuse_contradictions(&file, &mut judge);
    let reload = reload(&file, &mut judge);
    let front_tls = reload.as_ref().and_then(|reload| front(&file.tls, reload, &mut judge));
    let backend_tls = judge.found("backends", backends(&file.backends));
    let services = file
        .route_services
        .as_ref()
        .and_then(|section| judge.found("route_services", section.services(&file.backends)));
    let page = file.error_page.as_deref().map(settings::error_page).transpose();
    let error_page = judge.found("error_page", page).flatten();
    let defaults = Config::new(&file.domain);
    let router = Config {
        listeners: listeners(&file),
        front_tls,
        backend_tls,
        http2_to_endpoints: file.backends.http2,
        error_page,
        services,
        workers: file.workers.unwrap_or(defaults.workers),
        identity: settings::identity(file.index, file.lifecycle.register_interval),
        sharding: sharding(file.isolation_segments, file.carry_shared),
        freshness: file.freshness,
        balance: file.balance,
        zone: file.zone,
        reads_preamble: file.proxy_header,
        lines: AccessLines::All,
        line_rules: file.access_log.rules.clone(),
        measures_apps: file.status.metrics_per_app,
        headers: file.headers,
        sticky: file.sticky,
        limits: file.limits,
        tcp: file.tcp.rules(file.status.addrs()),
        ..defaults
    };
    let index = router.identity.index;
    let nats = file.nats.config(&mut judge);
    let report = file.status.metron.clone().map(|agent| Report { agent });
    let AccessLog { file: path, syslog, metron, .. } = file.access_log;
    let lines_to = |address| Metron { address, index, tells_lines: true, ..Metron::default() };
    let metron = metron.map(lines_to);
    let Times { start_delay, drain_wait, .. } = file.lifecycle;
    judge.over(Settings {
        router,
        nats,
        reload,
        status: file.status.into(),
        logging: Logging { level: file.log.level, timestamps: file.log.timestamps },
        access: Access { file: path, syslog, metron },
        report,
        routing_api: None,
        lifecycle: Lifecycle { start_delay, drain_wait },
        handover: None,
        remarks: Vec::new(),
        unknown_keys: Vec::new(),
    })
}

fn refuse_contradictions(file: &File, judge: &mut Judge) {
    if file.listen.is_empty() && file.listen_tls.is_empty() {
        judge.refuse("listen is empty: name an address, such as 0.0.0.0:80");
    }
    if file.carry_shared && file.isolation_segments.is_empty() {
        judge.refuse("carry_shared without isolation_segments: name some, or leave it out");
    }
    if file.status.routes.is_some() && file.status.password.is_empty() {
        judge.refuse("status.routes without status.password: nobody could see them");
    }
    file.tcp.refuse_contradictions(judge);
    if !["debug", "info", "warn", "error"].contains(&&*file.log.level) {
        judge.refuse(format!("log.level is `{}`: take debug, info, warn or error", file.log.level));
    }
}

fn listeners(file: &File) -> Vec<Listener> {
    let listener = |is_tls| move |&addr: &SocketAddr| Listener { addr, side: Side::Public, is_tls };
    let tls = file.listen_tls.iter().map(listener(true));
    file.listen.iter().map(listener(false)).chain(tls).collect()
}

fn sharding(segments: Vec<String>, carries_shared: bool) -> Sharding {
    match (segments.is_empty(), carries_shared) {
        (true, _) => Sharding::All,
        (false, true) => Sharding::SharedAndSegments(segments),
        (false, false) => Sharding::Segments(segments),
    }
}

impl Shown {
    /// Where status is shown.
    fn addrs(&self) -> impl Iterator<Item = SocketAddr> {
        [self.health, self.routes, self.metrics].into_iter().flatten()
    }
}

impl From<Shown> for Status {
    fn from(Shown { health, routes, metrics, user, password, .. }: Shown) -> Self {
        Self { health, routes, metrics, user, password, ..Self::default() }
    }
}

fn reload(file: &File, judge: &mut Judge) -> Option<Reload> {
    match (file.listen_tls.is_empty(), file.certificates.is_empty()) {
        (true, true) => None,
        (true, false) => {
            judge.refuse("certificates without listen_tls: nobody would see them");
            None
        }
        (false, true) => {
            judge.refuse("listen_tls without certificates: name a cert and its key");
            None
        }
        (false, false) => judge.found("certificates", Reload::new(file.certificates.clone())),
    }
}

fn front(tls: &Tls, reload: &Reload, judge: &mut Judge) -> Option<Arc<FrontTls>> {
    if tls.min > tls.max {
        judge.refuse("tls.min is newer than tls.max: nothing would be spoken");
        return None;
    }
    let clients = match &tls.client_ca {
        None => Clients::Unasked,
        Some(path) => {
            let roots = read_pem(path)
                .and_then(|pem| crate::tls::roots(&pem).map_err(|error| error.to_string()));
            let roots = judge.found("tls.client_ca", roots)?;
            if tls.client_required { Clients::Required(roots) } else { Clients::Asked(roots) }
        }
    };
    let front = Front {
        certificates: reload.certificates.clone(),
        clients,
        subject_rules: Vec::new(),
        versions: Versions { min: tls.min, max: tls.max },
        cipher_suites: tls.cipher_suites.clone(),
        speaks_http2: tls.http2,
        answers_challenges: false,
    };
    judge.found("tls", front.config().map_err(|error| error.to_string())).map(Arc::new)
}

fn backends(backends: &Backends) -> Result<BackendTls, String> {
    backends.spoken(backends.certificate.as_ref())
}

impl Backends {
    /// What is spoken to who must be vouched for here, with a certificate of ours.
    pub(super) fn spoken(&self, own: Option<&CertificateFiles>) -> Result<BackendTls, String> {
        let roots = match &self.ca {
            None => Vec::new(),
            Some(path) => crate::tls::certificates(&read_pem(path)?).map_err(|e| e.to_string())?,
        };
        let identity = own.map(CertificateFiles::read).transpose()?;
        BackendTls::new(&roots, identity, !self.trust_all).map_err(|error| error.to_string())
    }
}

fn read_pem(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))
}

impl Default for Backends {
    fn default() -> Self {
        Self { ca: None, certificate: None, trust_all: false, http2: true }
    }
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            min: Version::Tls12,
            max: Version::Tls13,
            cipher_suites: Vec::new(),
            http2: true,
            client_ca: None,
            client_required: false,
        }
    }
}

impl Default for File {
    fn default() -> Self {
        Self {
            listen: vec![([0, 0, 0, 0], 80).into()],
            domain: String::new(),
            listen_tls: Vec::new(),
            certificates: Vec::new(),
            tls: Tls::default(),
            backends: Backends::default(),
            route_services: None,
            workers: None,
            index: 0,
            balance: Balance::default(),
            zone: None,
            proxy_header: false,
            isolation_segments: Vec::new(),
            carry_shared: false,
            nats: Nats::default(),
            status: Shown::default(),
            error_page: None,
            log: Log::default(),
            access_log: AccessLog::default(),
            lifecycle: Times::default(),
            freshness: Freshness::default(),
            headers: HeaderRules::default(),
            sticky: Sticky::default(),
            limits: Limits::default(),
            tcp: Tcp::default(),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned(), timestamps: Timestamps::Rfc3339 }
    }
}

impl Default for Times {
    fn default() -> Self {
        Self {
            start_delay: Duration::from_secs(5),
            drain_wait: Duration::ZERO,
            register_interval: Duration::from_secs(20),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_file_says_what_is_to_be() {
        let text = r#"
            listen = ["127.0.0.1:8080"]
            domain = "example.com"
            workers = 3
            balance = "least-connection"
            isolation_segments = ["is1"]
            [nats]
            servers = ["nats1:4222", "nats2:4222"]
            [limits]
            dial_timeout = "2s"
            [freshness]
            stale_after = "1m"
            [status]
            metrics = "127.0.0.1:9100"
            [tcp]
            listen = ["0.0.0.0"]
            ports = [9000, 9999]
            reserved = [9500]
            idle_timeout = "1m"
            [access_log.syslog]
            network = "tcp"
            address = "logs:514"
        "#;
        let settings = read(text).unwrap();
        assert_eq!(settings.router.workers, 3);
        assert_eq!(settings.router.balance, Balance::LeastConnection);
        assert_eq!(settings.router.sharding, Sharding::Segments(vec!["is1".to_owned()]));
        assert_eq!(settings.router.limits.dial_timeout, Duration::from_secs(2));
        assert_eq!(settings.router.limits.attempts_max, Limits::default().attempts_max);
        assert_eq!(settings.router.freshness.stale_after, Duration::from_secs(60));
        assert_eq!(settings.nats.servers, ["nats1:4222", "nats2:4222"]);
        let tcp = &settings.router.tcp;
        assert_eq!((tcp.addrs.len(), &tcp.ports), (1, &(9000..=9999)));
        assert_eq!(tcp.reserved, [9100, 9500].into());
        assert_eq!((tcp.idle_timeout.as_secs(), tcp.connections_per_port_max), (60, 2_500));
        assert_eq!(settings.access.syslog.unwrap().tag, "gorouter");
        assert_eq!(settings.router.identity.hosts.len(), 1);
    }

    #[test]
    fn mistakes_are_told_at_once() {
        let text = "listen = []\ncarry_shared = true\n[log]\nlevel = \"loud\"\n[status]\n\
                    routes = \"[::1]:1\"\n[tcp]\nports = [2, 1]\nconnections_max = 0";
        let Err(Refused::Wrong(mistakes)) = read(text) else { panic!("it is wrong") };
        assert_eq!(mistakes.len(), 6, "{mistakes:?}");
        let text = "listen = [\"[::1]:1\"]\n[nats.tls]\nca = \"/nowhere/ca.pem\"";
        let Err(Refused::Wrong(mistakes)) = read(text) else { panic!("it is wrong") };
        assert!(mistakes[0].starts_with("nats.tls: cannot read /nowhere/ca.pem"), "{mistakes:?}");
        for (text, part) in [
            ("colour = 1", "unknown field `colour`"),
            ("[limits]\ndial_timeout = \"soon\"", "`soon` is no duration"),
            ("[nats]\nserver = \"a\"", "unknown field `server`"),
            ("listen = [\"here\"]", "invalid socket address"),
            ("[nats.tls]\nca = \"ca.pem\"\nkey = \"k\"", "unknown field `key`"),
        ] {
            let Err(Refused::Malformed(why)) = read(text) else { panic!("{text}") };
            assert!(why.contains(part), "{why}");
        }
    }
}
