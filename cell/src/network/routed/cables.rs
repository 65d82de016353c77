//! The host's ends of the instances' cables: how they are called, and what they have in common; pure.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::network::links::{Cable, Ends};

/// What the host's ends of all cables have in common, and no other link of the host.
#[derive(Debug, Clone)]
pub(super) struct Cables {
    /// What their names begin with, different for two networks of one host.
    pub(super) prefix: String,
    subnet: Ipv4Net,
    /// Their hardware address, which instances send to: fixed, and locally administered.
    pub(super) mac: [u8; 6],
}

impl Cables {
    /// Those of a network with this hash.
    pub(super) fn new(subnet: Ipv4Net, hash: &[u8; 32]) -> Self {
        let mac = [0x02, hash[0], hash[1], hash[2], hash[3], hash[4]];
        Self { prefix: format!("v{}-", hex::encode(&hash[..3])), subnet, mac }
    }

    /// The name of an instance's.
    pub(super) fn name(&self, address: Ipv4Addr) -> String {
        format!("{}{:04x}", self.prefix, self.offset(address))
    }

    /// The address of the instance at the other end; `None` where the name is not from here.
    pub(super) fn address(&self, name: &str) -> Option<Ipv4Addr> {
        let offset = u32::from_str_radix(name.strip_prefix(&self.prefix)?, 16).ok()?;
        let address = u32::from(self.subnet.network()).checked_add(offset).map(Ipv4Addr::from);
        address.filter(|address| self.subnet.contains(address) && self.name(*address) == name)
    }

    /// Where in the subnet an address is.
    pub(super) fn offset(&self, address: Ipv4Addr) -> u32 {
        u32::from(address) - u32::from(self.subnet.network())
    }

    /// The one that is called so, from `host`, as instances see it, to an instance.
    pub(super) fn cable<'a>(&self, name: &'a str, instance: Ipv4Addr, host: Ipv4Addr) -> Cable<'a> {
        Cable { name, ends: Ends { instance, host, host_mac: self.mac } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cables_name_says_whose_it_is() {
        let cables = Cables::new("10.255.0.0/20".parse().unwrap(), &[0xab; 32]);
        let address = Ipv4Addr::new(10, 255, 4, 3);
        assert_eq!(cables.name(address), "vababab-0403");
        assert_eq!(cables.address("vababab-0403"), Some(address));
        for other in ["vcdcdcd-0403", "vababab-403", "vababab-1000", "vababab-", "eth0"] {
            assert_eq!(cables.address(other), None, "{other}");
        }
    }
}
