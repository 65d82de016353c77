//! Egress rules (B.4): checked, kept in one form, and enforced by the cell's network policy.

use core::net::IpAddr;

use lattice_model::Refusal;
use serde_json::{Map, Value, json};

use super::Complaints;
use super::field::Object;

/// Reads all rules; each bad one is named with what is wrong with it.
pub(super) fn decode(
    fields: &Object<'_>,
    complaints: &mut Complaints,
) -> Result<Vec<Value>, Refusal> {
    let mut rules = Vec::new();
    for object in fields.objects("egress_rules")? {
        let rule = Rule::read(&object)?;
        let inner = rule.complaints();
        if !inner.is_empty() {
            complaints.invalid("egress_rules");
            complaints.append(inner);
        }
        rules.push(rule.into_value());
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

    fn complaints(&self) -> Complaints {
        let mut complaints = Complaints::default();
        match self.protocol.as_str() {
            "tcp" | "udp" => {
                self.check_ports(&mut complaints);
                complain_if(self.icmp_info.is_some(), "icmp_info", &mut complaints);
                complain_if(self.protocol == "udp" && self.log, "log", &mut complaints);
            }
            "icmp" | "all" => {
                let is_icmp = self.protocol == "icmp";
                complain_if(self.port_range.is_some(), "port_range", &mut complaints);
                complain_if(self.ports.is_some(), "ports", &mut complaints);
                complain_if(self.icmp_info.is_some() != is_icmp, "icmp_info", &mut complaints);
                complain_if(is_icmp && self.log, "log", &mut complaints);
            }
            _ => complaints.invalid("protocol"),
        }
        self.check_destinations(&mut complaints);
        complaints
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

    fn check_destinations(&self, complaints: &mut Complaints) {
        if self.destinations.is_empty() {
            complaints.invalid("destinations [ Must have at least 1 destination ]");
        }
        for destination in &self.destinations {
            if let Some(why) = bad_destination(destination) {
                complaints.invalid(&format!("destinations [ {why} ]"));
            }
        }
    }

    fn into_value(self) -> Value {
        let mut rule = Map::new();
        rule.insert("protocol".into(), self.protocol.into());
        rule.insert("destinations".into(), self.destinations.into());
        if let Some(ports) = self.ports {
            rule.insert("ports".into(), ports.into());
        }
        if let Some((start, end)) = self.port_range {
            rule.insert("port_range".into(), json!({"start": start, "end": end}));
        }
        if let Some((kind, code)) = self.icmp_info {
            rule.insert("icmp_info".into(), json!({"type": kind, "code": code}));
        }
        rule.insert("log".into(), self.log.into());
        Value::Object(rule)
    }
}

fn complain_if(is_wrong: bool, field: &str, complaints: &mut Complaints) {
    if is_wrong {
        complaints.invalid(field);
    }
}

/// Why a text is neither an address, nor `FIRST-LAST`, nor a CIDR block.
fn bad_destination(text: &str) -> Option<String> {
    let is_ip = |text: &str| text.parse::<IpAddr>().is_ok();
    if let Some((first, last)) = text.split_once('-') {
        return (!is_ip(first) || !is_ip(last)).then(|| format!("Invalid IP range, {text}"));
    }
    let is_good = match text.split_once('/') {
        None => is_ip(text),
        Some((address, prefix)) => match (address.parse(), prefix.parse::<u8>()) {
            (Ok(IpAddr::V4(_)), Ok(bits)) => bits <= 32,
            (Ok(IpAddr::V6(_)), Ok(bits)) => bits <= 128,
            _ => false,
        },
    };
    (!is_good).then(|| format!("Invalid IP, invalid CIDR address: {text}"))
}
