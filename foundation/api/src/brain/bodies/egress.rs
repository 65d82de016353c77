//! Egress rules (B.4): checked, kept in one form, and enforced by the cell's network policy.

use lattice_model::Refusal;
use lattice_model::egress::{Destination, EgressRule, IcmpInfo, PortRange, Protocol};

use super::Complaints;
use super::field::Object;

/// The most destinations of all rules together: each is a rule of the cell's firewall.
const DESTINATIONS_MAX: usize = 1_000;
/// ICMP types and codes; a negative one is every one.
const ICMP: std::ops::RangeInclusive<i64> = -1..=255;

/// Reads all rules; each bad one is named with what is wrong with it.
pub(super) fn decode(
    fields: &Object<'_>,
    complaints: &mut Complaints,
) -> Result<Vec<EgressRule>, Refusal> {
    let mut rules = Vec::new();
    for object in fields.objects("egress_rules")? {
        let rule = Rule::read(&object)?;
        let mut inner = Complaints::default();
        rules.extend(rule.decode(&mut inner));
        if !inner.is_empty() {
            complaints.invalid("egress_rules");
            complaints.append(inner);
        }
    }
    let destinations: usize = rules.iter().map(|rule| rule.destinations.len()).sum();
    if destinations > DESTINATIONS_MAX {
        complaints.invalid(&format!(
            "egress_rules [ {destinations} destinations, at most {DESTINATIONS_MAX} ]"
        ));
    }
    Ok(rules)
}

struct Rule {
    protocol: String,
    destinations: Vec<String>,
    ports: Option<Vec<u32>>,
    port_range: Option<(u32, u32)>,
    icmp_info: Option<(i64, i64)>,
    log: bool,
}

// === impl Rule ===

impl Rule {
    fn read(object: &Object<'_>) -> Result<Self, Refusal> {
        let port_range = match object.object("port_range")? {
            None => None,
            Some(range) => Some((
                range.integer("start")?.unwrap_or_default(),
                range.integer("end")?.unwrap_or_default(),
            )),
        };
        let icmp_info = match object.object("icmp_info")? {
            None => None,
            Some(info) => Some((
                info.integer("type")?.unwrap_or_default(),
                info.integer("code")?.unwrap_or_default(),
            )),
        };
        Ok(Self {
            protocol: object.string("protocol")?,
            destinations: object.strings("destinations")?,
            ports: object.get("ports").map(|_| object.integers("ports")).transpose()?,
            port_range,
            icmp_info,
            log: object.bool("log")?,
        })
    }

    /// The rule, complained of where it is wrong; `None` when it cannot even be written down.
    fn decode(self, complaints: &mut Complaints) -> Option<EgressRule> {
        let protocol = Protocol::named(&self.protocol);
        match protocol {
            Some(Protocol::Tcp | Protocol::Udp) => {
                self.check_ports(complaints);
                complain_if(self.icmp_info.is_some(), "icmp_info", complaints);
                complain_if(protocol == Some(Protocol::Udp) && self.log, "log", complaints);
            }
            Some(Protocol::Icmp | Protocol::All) => {
                let is_icmp = protocol == Some(Protocol::Icmp);
                complain_if(self.port_range.is_some(), "port_range", complaints);
                complain_if(self.ports.is_some(), "ports", complaints);
                let is_told = |(kind, code)| ICMP.contains(&kind) && ICMP.contains(&code);
                let is_good = self.icmp_info.map_or(!is_icmp, |info| is_icmp && is_told(info));
                complain_if(!is_good, "icmp_info", complaints);
                complain_if(is_icmp && self.log, "log", complaints);
            }
            None => complaints.invalid("protocol"),
        }
        let destinations = self.destinations(complaints);
        let port = |port: u32| u16::try_from(port).ok();
        let ports = self.ports.map(|ports| ports.into_iter().filter_map(port).collect());
        let range = self.port_range.map(|(start, end)| (port(start), port(end)));
        let port_range = match range {
            Some((Some(start), Some(end))) => Some(PortRange { start, end }),
            Some(_) | None => None,
        };
        let icmp_info = self.icmp_info.map(|(kind, code)| IcmpInfo { kind, code });
        let log = self.log;
        Some(EgressRule { protocol: protocol?, destinations, ports, port_range, icmp_info, log })
    }

    fn check_ports(&self, complaints: &mut Complaints) {
        let is_port = |port: &u32| (1..=65_535).contains(port);
        match (&self.ports, &self.port_range) {
            (None, None) => complaints.say("Missing required field: ports or port_range"),
            (Some(_), Some(_)) => complaints.say("Invalid: ports and port_range provided"),
            (None, Some((start, end))) => {
                let is_range = is_port(start) && is_port(end) && start <= end;
                complain_if(!is_range, "port_range", complaints);
            }
            (Some(ports), None) => {
                let are_ports = !ports.is_empty() && ports.iter().all(is_port);
                complain_if(!are_ports, "ports", complaints);
            }
        }
    }

    fn destinations(&self, complaints: &mut Complaints) -> Vec<Destination> {
        if self.destinations.is_empty() {
            complaints.invalid("destinations [ Must have at least 1 destination ]");
        }
        let mut good = Vec::new();
        for text in &self.destinations {
            match text.parse() {
                Ok(Destination::Range(first, last))
                    if first > last || first.is_ipv4() != last.is_ipv4() =>
                {
                    complaints.invalid(&format!("destinations [ Invalid IP range, {text} ]"));
                }
                Ok(destination) => good.push(destination),
                Err(why) => complaints.invalid(&format!("destinations [ {why} ]")),
            }
        }
        good
    }
}

fn complain_if(is_wrong: bool, field: &str, complaints: &mut Complaints) {
    if is_wrong {
        complaints.invalid(field);
    }
}
