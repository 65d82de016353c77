//! The hosts that belong to the platform: who may serve them, and to whom. Pure.

use core::net::SocketAddr;
use std::borrow::Cow;
use std::collections::HashMap;

use crate::config::{Config, Side};

/// The platform's hosts, and the names under which instances reach each other.
#[derive(Debug)]
pub struct ReservedHosts {
    endpoints: HashMap<String, SocketAddr>,
    internal_suffix: String,
    domain: String,
    to_instances: bool,
}

impl ReservedHosts {
    /// Reads them from the configuration.
    pub fn new(config: &Config) -> Self {
        let endpoints = config.reserved.iter();
        let suffix = config.apps_internal_suffix.trim_matches('.').to_ascii_lowercase();
        Self {
            endpoints: endpoints.map(|r| (r.host.to_ascii_lowercase(), r.endpoint)).collect(),
            internal_suffix: format!(".{suffix}"),
            domain: config.domain.trim_matches('.').to_ascii_lowercase(),
            to_instances: config.platform_to_instances,
        }
    }

    /// The one endpoint that may serve a host, if the host is reserved.
    pub fn endpoint_of(&self, host: &str) -> Option<SocketAddr> {
        self.endpoints.get(host).copied()
    }

    /// Whether a host belongs to the platform.
    pub fn contains(&self, host: &str) -> bool {
        self.endpoints.contains_key(host)
    }

    /// Whether a host is served to who comes in at a side.
    pub fn is_served(&self, host: &str, side: Side) -> bool {
        match side {
            Side::Public => true,
            Side::Instances => self.to_instances || !self.contains(host),
        }
    }

    /// The host that is looked up: `NAME.apps.internal` means `NAME.DOMAIN`.
    pub fn translate<'h>(&self, host: Cow<'h, str>) -> Cow<'h, str> {
        match host.strip_suffix(&self.internal_suffix) {
            Some(name) if !name.is_empty() => Cow::Owned(format!("{name}.{}", self.domain)),
            Some(_) | None => host,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Reserved;

    fn hosts(to_instances: bool) -> ReservedHosts {
        let endpoint = "127.0.0.1:8888".parse().unwrap();
        let mut config = Config::new("Lattice.localhost");
        config.reserved = vec![Reserved { host: "Receptor.lattice.localhost".into(), endpoint }];
        config.platform_to_instances = to_instances;
        ReservedHosts::new(&config)
    }

    #[test]
    fn instances_are_not_served_the_platforms_hosts_unless_allowed() {
        let host = "receptor.lattice.localhost";
        for (allowed, side, served) in [
            (false, Side::Public, true),
            (false, Side::Instances, false),
            (true, Side::Instances, true),
        ] {
            assert_eq!(hosts(allowed).is_served(host, side), served, "{allowed} {side:?}");
        }
        assert!(hosts(false).is_served("web.lattice.localhost", Side::Instances));
    }

    #[test]
    fn internal_names_mean_the_domains() {
        for (asked, meant) in [
            ("web.apps.internal", "web.lattice.localhost"),
            ("receptor.apps.internal", "receptor.lattice.localhost"),
            ("a.b.apps.internal", "a.b.lattice.localhost"),
            ("apps.internal", "apps.internal"),
            (".apps.internal", ".apps.internal"),
            ("webapps.internal", "webapps.internal"),
            ("web.example.com", "web.example.com"),
        ] {
            assert_eq!(hosts(false).translate(asked.into()), meant);
        }
    }
}
