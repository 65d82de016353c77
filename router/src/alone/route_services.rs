//! What our own file says of route services.

use std::time::Duration;

use serde::Deserialize;

use super::ours::Backends;
use super::reload::CertificateFiles;
use crate::config::{Services, duration};
use crate::services::{Hairpins, Keys};

/// The section.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RouteServices {
    /// Signs requests on their way to a service; the same for all routers.
    secret: String,
    /// The one before, which is still believed.
    old_secret: Option<String>,
    /// How long a request may stay with its service.
    #[serde(with = "duration")]
    timeout: Duration,
    /// Services are to send requests back by https.
    https: bool,
    /// Services are looked for among the router's own routes first.
    hairpin: bool,
    /// Only those of these hosts, each `host.domain` or `*.domain`; all if empty.
    hairpin_hosts: Vec<String>,
    /// How often a service is asked that does not take a request.
    attempts_max: usize,
    /// A signature on a route without a service is looked at, too.
    strict: bool,
    /// What services are shown if they ask.
    certificate: Option<CertificateFiles>,
}

impl RouteServices {
    /// As the router takes it; who vouches for endpoints vouches for services.
    pub(super) fn services(&self, backends: &Backends) -> Result<Services, String> {
        if self.secret.is_empty() {
            return Err("secret is empty: give one that all routers share".to_owned());
        }
        let hairpins = match self.hairpin {
            true => Hairpins::listed(&self.hairpin_hosts)
                .map_err(|error| format!("hairpin_hosts: {error}"))?,
            false => Hairpins::Never,
        };
        Ok(Services {
            keys: Keys::new(&self.secret, self.old_secret.as_deref()),
            timeout: self.timeout,
            recommends_https: self.https,
            hairpins,
            attempts_max: self.attempts_max.max(1),
            is_strict: self.strict,
            tls: backends.spoken(self.certificate.as_ref())?,
        })
    }
}

impl Default for RouteServices {
    fn default() -> Self {
        Self {
            secret: String::new(),
            old_secret: None,
            timeout: Duration::from_secs(60),
            https: true,
            hairpin: false,
            hairpin_hosts: Vec::new(),
            attempts_max: 3,
            strict: false,
            certificate: None,
        }
    }
}

#[test]
fn the_section_says_what_is_known_about_services() {
    let read = |text: &str| {
        let section: RouteServices = toml::from_str(text).unwrap();
        section.services(&Backends::default())
    };
    let services = read("secret = \"s\"").unwrap();
    assert_eq!(services.timeout, Duration::from_secs(60));
    assert!(services.recommends_https && !services.is_strict);
    assert_eq!((services.hairpins, services.attempts_max), (Hairpins::Never, 3));
    let text = "secret = \"s\"\nhairpin = true\nhairpin_hosts = [\"*.a.b\"]\nold_secret = \"t\"";
    let services = read(text).unwrap();
    assert_eq!(services.hairpins, Hairpins::Only(vec![".a.b".to_owned()]));
    for (text, part) in [
        ("https = false", "secret is empty"),
        ("secret = \"s\"\nhairpin = true\nhairpin_hosts = [\"b\"]", "hairpin_hosts: `b`"),
        ("secret = \"s\"\ncertificate = { cert = \"/none\", key = \"/none\" }", "cannot read"),
    ] {
        assert!(read(text).unwrap_err().contains(part), "{text}");
    }
}
