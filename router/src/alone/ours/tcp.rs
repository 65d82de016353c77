//! `[tcp]` of our own file.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::Deserialize;

use super::Judge;
use crate::config::{TcpRules, duration};

/// Which TCP routes are carried; none if left out.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Tcp {
    /// Where their ports are listened on.
    listen: Vec<IpAddr>,
    /// The first and the last port that routes may have.
    ports: (u16, u16),
    /// Those among them that routes may not have.
    reserved: BTreeSet<u16>,
    /// The most ports that are open at once.
    ports_max: usize,
    /// Client connections over all workers.
    connections_max: usize,
    /// Those to one port.
    connections_per_port_max: usize,
    /// How long a connection may stand still.
    #[serde(with = "duration")]
    idle_timeout: Duration,
    /// How long a client may take to say by TLS which name it asks for, where that decides.
    #[serde(with = "duration")]
    greeting_timeout: Duration,
}

// === impl Tcp ===

impl Tcp {
    /// The rules; ports where status is shown are no route's.
    pub(super) fn rules(self, shown: impl Iterator<Item = SocketAddr>) -> TcpRules {
        let mut reserved = self.reserved;
        reserved.extend(shown.map(|addr| addr.port()));
        TcpRules {
            addrs: self.listen,
            ports: self.ports.0..=self.ports.1,
            reserved,
            ports_max: self.ports_max,
            connections_max: self.connections_max,
            connections_per_port_max: self.connections_per_port_max,
            idle_timeout: self.idle_timeout,
            greeting_timeout: self.greeting_timeout,
        }
    }

    pub(super) fn refuse_contradictions(&self, judge: &mut Judge) {
        let (first, last) = self.ports;
        if first > last || first == 0 {
            let why = "the first comes first, and is not 0";
            judge.refuse(format!("tcp.ports is [{first}, {last}]: {why}"));
        }
        if self.connections_per_port_max == 0 || self.connections_max == 0 {
            judge.refuse(
                "tcp.connections_max or tcp.connections_per_port_max is 0: nobody could connect; \
                 leave listen out to carry no TCP routes",
            );
        }
    }
}

impl Default for Tcp {
    fn default() -> Self {
        let rules = TcpRules::default();
        Self {
            listen: rules.addrs,
            ports: rules.ports.into_inner(),
            reserved: rules.reserved,
            ports_max: rules.ports_max,
            connections_max: rules.connections_max,
            connections_per_port_max: rules.connections_per_port_max,
            idle_timeout: rules.idle_timeout,
            greeting_timeout: rules.greeting_timeout,
        }
    }
}
