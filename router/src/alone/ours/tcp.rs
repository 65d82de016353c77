//! `[tcp]` of our own file.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::Semaphore;

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
    /// Those to one port; a quarter of all if left out.
    connections_per_port_max: Option<usize>,
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
        // So that one port leaves places to the others.
        let quarter = (self.connections_max / 4).max(1);
        let mut reserved = self.reserved;
        reserved.extend(shown.map(|addr| addr.port()));
        TcpRules {
            addrs: self.listen,
            ports: self.ports.0..=self.ports.1,
            reserved,
            ports_max: self.ports_max,
            connections_max: self.connections_max,
            connections_per_port_max: self.connections_per_port_max.unwrap_or(quarter),
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
        if self.idle_timeout.is_zero() {
            judge.refuse(
                "tcp.idle_timeout is 0: every connection would be broken off at once; write a \
                 time such as 1h, or leave it out",
            );
        }
        self.refuse_amounts(judge);
    }

    fn refuse_amounts(&self, judge: &mut Judge) {
        let (all, most) = (self.connections_max, Semaphore::MAX_PERMITS);
        if all == 0 || self.connections_per_port_max == Some(0) {
            judge.refuse(
                "tcp.connections_max or tcp.connections_per_port_max is 0: nobody could connect; \
                 leave listen out to carry no TCP routes",
            );
            return;
        }
        if all > most {
            judge.refuse(format!(
                "tcp.connections_max is {all}: no more than {most} can be counted; write less"
            ));
        }
        if let Some(one) = self.connections_per_port_max.filter(|&one| one > all) {
            judge.refuse(format!(
                "tcp.connections_per_port_max is {one}, and tcp.connections_max is {all}: write \
                 {all} or less, or leave it out for a quarter of them"
            ));
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
            connections_per_port_max: None,
            idle_timeout: rules.idle_timeout,
            greeting_timeout: rules.greeting_timeout,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::alone::ours::{Refused, read};

    #[test]
    fn one_port_has_a_quarter_of_the_places_unless_it_is_told() {
        for (lines, expected) in [
            ("connections_max = 400", 100),
            ("connections_max = 3", 1),
            ("connections_max = 1", 1),
            ("connections_max = 400\nconnections_per_port_max = 400", 400),
        ] {
            let rules = read(&format!("[tcp]\n{lines}")).unwrap().router.tcp;
            assert_eq!(rules.connections_per_port_max, expected, "{lines}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_key_and_amounts() {
        for (lines, parts) in [
            ("idle_timeout = \"0s\"", ["tcp.idle_timeout is 0", "1h"]),
            ("connections_max = 0", ["tcp.connections_max", "is 0"]),
            ("connections_per_port_max = 0", ["tcp.connections_per_port_max", "is 0"]),
            (
                "connections_max = 4000000000000000000",
                ["tcp.connections_max is 4000000000000000000", "write less"],
            ),
            (
                "connections_max = 5\nconnections_per_port_max = 6",
                ["tcp.connections_per_port_max is 6, and tcp.connections_max is 5", "write 5 or"],
            ),
        ] {
            let Err(Refused::Wrong(mistakes)) = read(&format!("[tcp]\n{lines}")) else {
                panic!("{lines}")
            };
            assert_eq!(mistakes.len(), 1, "{mistakes:?}");
            for part in parts {
                assert!(mistakes[0].contains(part), "{mistakes:?}");
            }
        }
    }
}
