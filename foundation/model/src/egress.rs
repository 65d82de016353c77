//! What an instance may reach beyond its cell (Receptor API B.4).
//!
//! The serde form is the Receptor's.

use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

/// Allows one kind of traffic to some destinations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EgressRule {
    /// Which traffic.
    pub protocol: Protocol,
    /// Where to; at least one.
    pub destinations: Vec<Destination>,
    /// For TCP and UDP: these ports, where there is no range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<Vec<u16>>,
    /// For TCP and UDP: the ports of a range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port_range: Option<PortRange>,
    /// For ICMP: which messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp_info: Option<IcmpInfo>,
    /// True when the kernel's log tells of each new connection.
    #[serde(default)]
    pub log: bool,
}

/// Which traffic a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP.
    Icmp,
    /// Every protocol.
    All,
}

/// Where a rule leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Destination {
    /// One address.
    Address(IpAddr),
    /// From one address to another, both included; without a sensible order it leads nowhere.
    Range(IpAddr, IpAddr),
    /// A CIDR block: an address in it, and how many bits name the block.
    Block(IpAddr, u8),
}

/// Ports from one to another, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortRange {
    /// The first.
    pub start: u16,
    /// The last.
    pub end: u16,
}

/// Which ICMP messages; a negative number means every one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IcmpInfo {
    /// The message's type.
    #[serde(rename = "type")]
    pub kind: i64,
    /// Its code.
    pub code: i64,
}

/// Why a text is no destination, in the Receptor's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DestinationError {
    /// `FIRST-LAST` that are not two addresses.
    #[error("Invalid IP range, {0}")]
    Range(String),
    /// Neither an address nor a block.
    #[error("Invalid IP, invalid CIDR address: {0}")]
    Block(String),
}

// === impl Protocol ===

impl Protocol {
    /// The protocol of that name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "tcp" => Some(Self::Tcp),
            "udp" => Some(Self::Udp),
            "icmp" => Some(Self::Icmp),
            "all" => Some(Self::All),
            _ => None,
        }
    }
}

// === impl Destination ===

impl FromStr for Destination {
    type Err = DestinationError;

    fn from_str(text: &str) -> Result<Self, DestinationError> {
        if let Some((first, last)) = text.split_once('-') {
            return match (first.parse(), last.parse()) {
                (Ok(first), Ok(last)) => Ok(Self::Range(first, last)),
                _ => Err(DestinationError::Range(text.to_owned())),
            };
        }
        let bad = || DestinationError::Block(text.to_owned());
        let Some((address, bits)) = text.split_once('/') else {
            return text.parse().map(Self::Address).map_err(|_| bad());
        };
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let bits: u8 = bits.parse().map_err(|_| bad())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        if bits <= most { Ok(Self::Block(address, bits)) } else { Err(bad()) }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Range(first, last) => write!(f, "{first}-{last}"),
            Self::Block(address, bits) => write!(f, "{address}/{bits}"),
        }
    }
}

impl TryFrom<String> for Destination {
    type Error = DestinationError;

    fn try_from(text: String) -> Result<Self, DestinationError> {
        text.parse()
    }
}

impl From<Destination> for String {
    fn from(destination: Destination) -> Self {
        destination.to_string()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rule_is_written_as_the_receptor_writes_it() {
        for body in [
            json!({"protocol": "tcp", "destinations": ["1.2.3.4", "10.0.0.0/8"], "ports": [80, 443],
                "log": true}),
            json!({"protocol": "udp", "destinations": ["1.2.3.4-1.2.3.9"],
                "port_range": {"start": 1, "end": 9}, "log": false}),
            json!({"protocol": "icmp", "destinations": ["::/0"],
                "icmp_info": {"type": 8, "code": -1}, "log": false}),
            json!({"protocol": "all", "destinations": ["::1"], "log": false}),
        ] {
            let rule: EgressRule = serde_json::from_value(body.clone()).unwrap();
            assert_eq!(serde_json::to_value(&rule).unwrap(), body);
        }
    }

    #[test]
    fn what_is_no_destination_is_named() {
        for (text, why) in [
            ("", "Invalid IP, invalid CIDR address: "),
            ("a", "Invalid IP, invalid CIDR address: a"),
            ("1.2.3", "Invalid IP, invalid CIDR address: 1.2.3"),
            ("1.2.3.4/33", "Invalid IP, invalid CIDR address: 1.2.3.4/33"),
            ("::/129", "Invalid IP, invalid CIDR address: ::/129"),
            ("1.2.3.4/", "Invalid IP, invalid CIDR address: 1.2.3.4/"),
            ("1.2.3.4-", "Invalid IP range, 1.2.3.4-"),
            ("1.2.3.4-5", "Invalid IP range, 1.2.3.4-5"),
        ] {
            assert_eq!(text.parse::<Destination>().unwrap_err().to_string(), why);
        }
    }
}
