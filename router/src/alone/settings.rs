//! All that a router of its own is told, whichever kind of file it comes from.

use core::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lattice_daemon::bus::nats::NatsConfig;

use super::access::Access;
use super::reload::Reload;
use super::report::Report;
use super::routing_api::RoutingApi;
use super::stdout::Logging;
use super::{gorouter, ours};
use crate::config::{Config, ErrorPage, Identity};
use crate::http::{Secured, Status};
use crate::tls::{self, PemError};

/// The settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The router itself.
    pub router: Config,
    /// Its bus.
    pub nats: NatsConfig,
    /// Its own log.
    pub logging: Logging,
    /// Certificates that are read again when their files change.
    pub reload: Option<Reload>,
    /// Where status is shown.
    pub status: Status,
    /// Where access lines go.
    pub access: Access,
    /// Who is told what is counted, beside those who ask.
    pub report: Option<Report>,
    /// Where routes come from beside the bus.
    pub routing_api: Option<RoutingApi>,
    /// Its first and last moments.
    pub lifecycle: Lifecycle,
    /// Where the listening sockets pass from one process to the next.
    pub handover: Option<PathBuf>,
    /// What the file asks for and does not get, with the reason.
    pub remarks: Vec<String>,
    /// Keys of the file that nobody knows.
    pub unknown_keys: Vec<String>,
}

/// A router's first and last moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifecycle {
    /// Listeners open this long after the bus was asked for registrations.
    pub start_delay: Duration,
    /// Load balancers are told this long before listeners close.
    pub drain_wait: Duration,
}

/// Why a file cannot be used; all of it at once.
#[derive(Debug, thiserror::Error)]
pub enum Mistakes {
    /// It cannot be read.
    #[error("Error loading config: cannot read {path}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not of its kind, or a value is of the wrong kind.
    #[error("Error loading config: {path}: {why}")]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Where and why.
        why: String,
    },
    /// What it says cannot be.
    #[error("Error loading config: {path}: {}", .mistakes.join("; "))]
    Wrong {
        /// Which.
        path: PathBuf,
        /// Each mistake, with what to do.
        mistakes: Vec<String>,
    },
}

/// What was read, and what of it cannot be.
pub(crate) type Read = Result<Settings, Refused>;

/// Why a text is refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Malformed(String),
    Wrong(Vec<String>),
}

impl Settings {
    /// Reads gorouter's own file.
    pub fn of_gorouter(path: &Path) -> Result<Self, Mistakes> {
        load(path, gorouter::read)
    }

    /// Reads ours.
    pub fn of_toml(path: &Path) -> Result<Self, Mistakes> {
        load(path, ours::read)
    }
}

fn load(path: &Path, read: fn(&str) -> Read) -> Result<Settings, Mistakes> {
    let path_buf = path.to_owned();
    let text = std::fs::read_to_string(path)
        .map_err(|source| Mistakes::Unreadable { path: path_buf.clone(), source })?;
    read(&text).map_err(|refused| match refused {
        Refused::Malformed(why) => Mistakes::Malformed { path: path_buf, why },
        Refused::Wrong(mistakes) => Mistakes::Wrong { path: path_buf, mistakes },
    })
}

/// Collects mistakes, so that all are told at once.
#[derive(Debug, Default)]
pub(super) struct Judge {
    pub(super) mistakes: Vec<String>,
}

impl Judge {
    /// Notes a mistake.
    pub(super) fn refuse(&mut self, mistake: impl Into<String>) {
        self.mistakes.push(mistake.into());
    }

    /// The value; where it cannot be, a mistake and what stands in its place.
    pub(super) fn take<T>(&mut self, value: Result<T, String>, instead: T) -> T {
        value.unwrap_or_else(|mistake| {
            self.refuse(mistake);
            instead
        })
    }

    /// The value of a key; where it cannot be, a mistake that names the key.
    pub(super) fn found<T>(&mut self, key: &str, value: Result<T, String>) -> Option<T> {
        value.map_err(|mistake| self.refuse(format!("{key}: {mistake}"))).ok()
    }

    /// What was made, unless there is a mistake.
    pub(super) fn over<T>(self, made: T) -> Result<T, Refused> {
        if self.mistakes.is_empty() { Ok(made) } else { Err(Refused::Wrong(self.mistakes)) }
    }
}

/// The page of a template in a file.
pub(super) fn error_page(path: &Path) -> Result<ErrorPage, String> {
    let of = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("Could not read HTML error template file: open {of}: {error}"))?;
    ErrorPage::parse(&text).map_err(|why| format!("HTML error template file {of}: {why}"))
}

/// The name of a router's new life.
pub(super) fn identity(index: u32, register_interval: Duration) -> Identity {
    let hosts = own_address().into_iter().collect();
    Identity { index, id: format!("{index}-{}", uuid::Uuid::new_v4()), hosts, register_interval }
}

/// The address from which this machine reaches others; nothing is sent to find it.
pub(super) fn own_address() -> Option<String> {
    // An address of documentation (RFC 5737): it only has to be elsewhere.
    let socket = std::net::UdpSocket::bind(("0.0.0.0", 0)).ok()?;
    let found = socket.connect(("192.0.2.1", 9)).and_then(|()| socket.local_addr());
    Some(found.map_or_else(|_| "127.0.0.1".to_owned(), |addr| addr.ip().to_string()))
}

/// A status port that speaks TLS, with a certificate, its key, and who vouches for clients.
pub(super) fn secured(
    addr: SocketAddr,
    (certificate, key): (&str, &str),
    clients: Option<&str>,
) -> Result<Secured, PemError> {
    let identity = tls::Identity::of_pem(certificate, key)?;
    let clients = clients.map(tls::roots).transpose()?;
    Ok(Secured { addr, tls: Arc::new(tls::status_server(identity, clients)?) })
}
