//! Addresses, ports and users: what is handed out, to whom, and what is ready.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};

use lattice_model::PortMapping;

use super::NetworkConfig;
use crate::network::NetworkError;
use crate::network::addresses::{Addresses, IdRanges, Ports};
use crate::network::firewall::Opening;
use crate::network::records::Record;
use crate::runtime::ContainerId;

/// What is handed out.
pub(super) struct InUse {
    addresses: Addresses,
    ports: Ports,
    ids: IdRanges,
    pub(super) attached: BTreeMap<ContainerId, Record>,
    /// Those of them that no container has yet; true for one that is ready.
    pub(super) spares: BTreeMap<ContainerId, bool>,
}

// === impl InUse ===

impl InUse {
    /// Counts what an earlier process left as in use.
    pub(super) fn restore(
        config: &NetworkConfig,
        mut ids: IdRanges,
        left: BTreeMap<ContainerId, Record>,
    ) -> Self {
        let mut addresses = Addresses::new(config.subnet);
        let mut ports = Ports::new(config.host_port_range.clone());
        let still_ours = |record: &Record| config.subnet.contains(&record.address);
        let attached: BTreeMap<_, _> = left.into_iter().filter(|(_, r)| still_ours(r)).collect();
        for record in attached.values() {
            addresses.claim(record.address);
            ports.claim(&record.host_ports());
            record.first_id.iter().for_each(|first_id| ids.claim(*first_id));
        }
        Self { addresses, ports, ids, attached, spares: BTreeMap::new() }
    }

    /// A place with ports; a spare one, if there is any. All or nothing.
    pub(super) fn take(
        &mut self,
        container_ports: &[u16],
        own_users: bool,
    ) -> Result<Record, NetworkError> {
        let host_ports = self.ports.take(container_ports.len(), is_unused_on_host)?;
        let placed = match self.take_spare() {
            Some(spare) => Ok(spare),
            None => self.place(own_users),
        };
        let record = placed.inspect_err(|_| self.ports.release(&host_ports))?;
        let pairs = container_ports.iter().zip(host_ports);
        let ports = pairs
            .map(|(&container_port, host_port)| PortMapping { container_port, host_port })
            .collect();
        Ok(Record { ports, ..record })
    }

    fn take_spare(&mut self) -> Option<Record> {
        let id = self.spares.iter().find(|(_, is_ready)| **is_ready)?.0.clone();
        self.spares.remove(&id);
        let record = self.attached.remove(&id)?;
        Some(Record { made_as: Some(id.to_string()), ..record })
    }

    /// Takes a place back that nobody got after all: a spare one is spare again.
    pub(super) fn give_back(&mut self, record: Record) {
        let Some(spare) = &record.made_as else { return self.release(&record) };
        self.ports.release(&record.host_ports());
        let id = ContainerId::new(spare);
        let (ports, egress, made_as) = (Vec::new(), Vec::new(), None);
        self.attached.insert(id.clone(), Record { ports, egress, made_as, ..record });
        self.spares.insert(id, true);
    }

    /// An address and users. Both or nothing.
    pub(super) fn place(&mut self, own_users: bool) -> Result<Record, NetworkError> {
        let address = self.addresses.take()?;
        let taken = own_users.then(|| self.ids.take()).transpose();
        let first_id = taken.inspect_err(|_| self.addresses.release(address))?;
        Ok(Record { address, ports: Vec::new(), egress: Vec::new(), first_id, made_as: None })
    }

    pub(super) fn release(&mut self, record: &Record) {
        self.addresses.release(record.address);
        self.ports.release(&record.host_ports());
        record.first_id.iter().for_each(|first_id| self.ids.release(*first_id));
    }

    pub(super) fn openings(&self) -> Vec<Opening> {
        self.attached.iter().map(|(id, record)| record.opening(id)).collect()
    }

    pub(super) fn openings_without(&self, id: &ContainerId) -> Vec<Opening> {
        let others = self.attached.iter().filter(|(other, _)| *other != id);
        others.map(|(id, record)| record.opening(id)).collect()
    }
}

/// True when no server of this host listens on a port, which a mapping would hide.
fn is_unused_on_host(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_nobody_got_is_whole_again() {
        let ids = IdRanges::beginning_at(7);
        let mut in_use = InUse::restore(&NetworkConfig::new("/x"), ids, BTreeMap::new());
        let spare = in_use.place(true).unwrap();
        let id = ContainerId::new("-spare-0002");
        in_use.attached.insert(id.clone(), spare.clone());
        in_use.spares.insert(id.clone(), true);
        let taken = in_use.take(&[], true).unwrap();
        assert_eq!(taken, Record { made_as: Some(id.to_string()), ..spare.clone() });
        let egress = vec![serde_json::from_str(r#"{"protocol": "all", "destinations": []}"#)];
        let taken = Record { egress: egress.into_iter().flatten().collect(), ..taken };
        in_use.give_back(taken);
        assert_eq!(in_use.attached, BTreeMap::from([(id.clone(), spare)]));
        assert_eq!(in_use.spares, BTreeMap::from([(id, true)]));
    }
}
