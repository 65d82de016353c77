//! `[nats]` of our own file.

use std::path::PathBuf;
use std::time::Duration;

use lattice_daemon::bus::nats::NatsConfig;
use serde::Deserialize;

use super::super::reload::CertificateFiles;
use super::{Judge, read_pem};
use crate::config::duration;
use crate::tls;

/// Where registrations come from.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Nats {
    /// `host:port` of each server.
    servers: Vec<String>,
    user: String,
    password: String,
    /// How often a silent connection is tried.
    #[serde(with = "duration")]
    ping_interval: Duration,
    /// In clear without.
    tls: Option<NatsTls>,
}

/// Who the servers must be, and as whom the router speaks to them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NatsTls {
    /// Who vouches for them.
    ca: PathBuf,
    /// What the router shows who asks for a certificate.
    certificate: Option<CertificateFiles>,
}

// === impl Nats ===

impl Nats {
    /// What is to be connected to.
    pub(super) fn config(self, judge: &mut Judge) -> NatsConfig {
        let Self { servers, user, password, ping_interval, tls } = self;
        let tls = tls.and_then(|tls| judge.found("nats.tls", tls.spoken()));
        NatsConfig { servers, user, password, tls, ping_interval }
    }
}

impl Default for Nats {
    fn default() -> Self {
        Self {
            servers: vec!["localhost:4222".to_owned()],
            user: String::new(),
            password: String::new(),
            ping_interval: Duration::from_secs(20),
            tls: None,
        }
    }
}

// === impl NatsTls ===

impl NatsTls {
    fn spoken(&self) -> Result<rustls::ClientConfig, String> {
        let roots = tls::certificates(&read_pem(&self.ca)?).map_err(|error| error.to_string())?;
        let identity = self.certificate.as_ref().map(CertificateFiles::read).transpose()?;
        tls::client(&roots, identity, true).map_err(|error| error.to_string())
    }
}
