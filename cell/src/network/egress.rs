//! What instances reach beyond this host, as rules for `nft`: what everyone does, by the policy,
//! and what single instances do besides. Pure; text.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr};
use core::str::FromStr;
use std::fmt::Write as _;

use ipnet::Ipv4Net;
use lattice_model::egress::{Destination, EgressRule, IcmpInfo, Protocol};

/// Where clouds keep their metadata services, and nothing that is anybody's business.
pub(super) const LINK_LOCAL: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16);

/// What instances reach whose rules say nothing of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EgressPolicy {
    /// Everything outside of this host but link-local addresses.
    #[default]
    Open,
    /// Nothing.
    Closed,
}

/// What a rule is about, as `nft` matches it: destinations that instances may have.
struct Target {
    matches: String,
    is_link_local: bool,
}

impl FromStr for EgressPolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "open" => Ok(Self::Open),
            "closed" => Ok(Self::Closed),
            other => Err(format!("'{other}' is neither open nor closed")),
        }
    }
}

impl fmt::Display for EgressPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Closed => "closed",
        })
    }
}

impl EgressPolicy {
    /// What becomes of traffic that no rule speaks of.
    pub(super) const fn verdict(self) -> &'static str {
        match self {
            Self::Open => "accept",
            Self::Closed => "drop",
        }
    }
}

/// The chain of one instance's rules.
pub(super) fn chain_of(address: Ipv4Addr) -> String {
    format!("egress_{}", address.to_string().replace('.', "_"))
}

/// The rules of an instance's chain, a line each. Only a destination that is wholly link-local opens
/// something of that: whoever allows the world does not mean the metadata service. Rules for IPv6
/// lead nowhere, as instances have none.
pub(super) fn rules_of(rules: &[EgressRule], log_prefix: &str) -> Vec<String> {
    let (mut of_link, mut of_world) = (Vec::new(), Vec::new());
    for rule in rules {
        for target in rule.destinations.iter().filter_map(target) {
            let mut line = target.matches;
            for part in [traffic(rule), logging(rule, log_prefix), "accept".to_owned()] {
                if !part.is_empty() {
                    let space = if line.is_empty() { "" } else { " " };
                    // Writing to a String cannot fail.
                    let _ = write!(line, "{space}{part}");
                }
            }
            if target.is_link_local { &mut of_link } else { &mut of_world }.push(line);
        }
    }
    of_link.push(format!("ip daddr {LINK_LOCAL} drop"));
    of_link.extend(of_world);
    of_link
}

fn target(destination: &Destination) -> Option<Target> {
    let (first, last, matches) = match *destination {
        Destination::Address(IpAddr::V4(address)) => {
            (address, address, format!("ip daddr {address}"))
        }
        Destination::Range(IpAddr::V4(first), IpAddr::V4(last)) if first == last => {
            (first, last, format!("ip daddr {first}"))
        }
        Destination::Range(IpAddr::V4(first), IpAddr::V4(last)) if first < last => {
            (first, last, format!("ip daddr {first}-{last}"))
        }
        Destination::Block(IpAddr::V4(address), bits) => {
            let block = Ipv4Net::new(address, bits).ok()?.trunc();
            let matches = match bits {
                0 => String::new(),
                _ => format!("ip daddr {block}"),
            };
            (block.network(), block.broadcast(), matches)
        }
        Destination::Address(IpAddr::V6(_))
        | Destination::Range(..)
        | Destination::Block(IpAddr::V6(_), _) => return None,
    };
    let is_link_local = LINK_LOCAL.contains(&first) && LINK_LOCAL.contains(&last);
    Some(Target { matches, is_link_local })
}

fn traffic(rule: &EgressRule) -> String {
    match rule.protocol {
        Protocol::All => String::new(),
        Protocol::Tcp => format!("tcp dport {}", ports(rule)),
        Protocol::Udp => format!("udp dport {}", ports(rule)),
        Protocol::Icmp => messages(rule.icmp_info),
    }
}

/// Without a range, every port once: a set must not hold one twice. A rule without either, which
/// validation does not admit, is about no port.
fn ports(rule: &EgressRule) -> String {
    if let Some(range) = rule.port_range {
        return format!("{}-{}", range.start, range.end);
    }
    let mut ports = rule.ports.clone().unwrap_or_default();
    ports.sort_unstable();
    ports.dedup();
    if ports.is_empty() {
        return "0".to_owned();
    }
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    format!("{{ {} }}", ports.join(", "))
}

fn messages(info: Option<IcmpInfo>) -> String {
    let of = |what: &str, number: i64| match u8::try_from(number) {
        Ok(number) => format!(" icmp {what} {number}"),
        Err(_) => String::new(),
    };
    let info = info.unwrap_or(IcmpInfo { kind: -1, code: -1 });
    format!("ip protocol icmp{}{}", of("type", info.kind), of("code", info.code))
}

/// Only new connections are told, and no more than a kernel's log bears.
fn logging(rule: &EgressRule, prefix: &str) -> String {
    if !rule.log {
        return String::new();
    }
    format!("ct state new limit rate 10/second log prefix \"{prefix} \"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(json: serde_json::Value) -> EgressRule {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn each_kind_of_rule_becomes_a_line_for_each_destination() {
        let check = |json: serde_json::Value, expected: &[&str]| {
            let lines = rules_of(&[rule(json.clone())], "web-1");
            let (fence, lines) = lines.split_first().unwrap();
            assert_eq!(fence, "ip daddr 169.254.0.0/16 drop");
            assert_eq!(lines, expected, "{json}");
        };
        use serde_json::json;
        check(
            json!({"protocol": "tcp", "destinations": ["10.0.0.1", "10.1.2.3/16"],
                "ports": [443, 80, 443]}),
            &[
                "ip daddr 10.0.0.1 tcp dport { 80, 443 } accept",
                "ip daddr 10.1.0.0/16 tcp dport { 80, 443 } accept",
            ],
        );
        check(
            json!({"protocol": "udp", "destinations": ["10.0.0.1-10.0.0.9", "10.0.0.1-10.0.0.1"],
                "port_range": {"start": 1000, "end": 2000}}),
            &[
                "ip daddr 10.0.0.1-10.0.0.9 udp dport 1000-2000 accept",
                "ip daddr 10.0.0.1 udp dport 1000-2000 accept",
            ],
        );
        check(
            json!({"protocol": "icmp", "destinations": ["10.0.0.1"],
                "icmp_info": {"type": 8, "code": 0}}),
            &["ip daddr 10.0.0.1 ip protocol icmp icmp type 8 icmp code 0 accept"],
        );
        check(
            json!({"protocol": "icmp", "destinations": ["0.0.0.0/0"],
                "icmp_info": {"type": -1, "code": -1}}),
            &["ip protocol icmp accept"],
        );
        check(json!({"protocol": "all", "destinations": ["0.0.0.0/0"]}), &["accept"]);
        check(
            json!({"protocol": "all", "destinations": ["10.0.0.1"], "log": true}),
            &["ip daddr 10.0.0.1 ct state new limit rate 10/second log prefix \"web-1 \" accept"],
        );
    }

    #[test]
    fn what_leads_nowhere_opens_nothing() {
        for json in [
            serde_json::json!({"protocol": "all", "destinations": ["::1", "::/0", "::1-::2"]}),
            serde_json::json!({"protocol": "all", "destinations": ["10.0.0.9-10.0.0.1"]}),
            serde_json::json!({"protocol": "all", "destinations": ["10.0.0.9-::1"]}),
        ] {
            assert_eq!(rules_of(&[rule(json)], "x"), ["ip daddr 169.254.0.0/16 drop"]);
        }
        let without = serde_json::json!({"protocol": "tcp", "destinations": ["10.0.0.1"]});
        assert_eq!(rules_of(&[rule(without)], "x")[1], "ip daddr 10.0.0.1 tcp dport 0 accept");
    }

    #[test]
    fn only_a_rule_that_is_about_link_local_addresses_opens_one() {
        let to = |destinations: &[&str]| {
            rule(serde_json::json!({"protocol": "all", "destinations": destinations}))
        };
        let lines = rules_of(&[to(&["0.0.0.0/0"]), to(&["169.254.0.0-170.0.0.0"])], "x");
        assert_eq!(lines[0], "ip daddr 169.254.0.0/16 drop");
        let lines = rules_of(&[to(&["0.0.0.0/0"]), to(&["169.254.169.254"])], "x");
        let expected =
            ["ip daddr 169.254.169.254 accept", "ip daddr 169.254.0.0/16 drop", "accept"];
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_policy_is_open_or_closed() {
        for policy in [EgressPolicy::Open, EgressPolicy::Closed] {
            assert_eq!(policy.to_string().parse(), Ok(policy));
        }
        let why = "ajar".parse::<EgressPolicy>().unwrap_err();
        assert_eq!(why, "'ajar' is neither open nor closed");
        assert_eq!(EgressPolicy::default(), EgressPolicy::Open);
    }
}
