//! Route heartbeats: what this cell announces to routers, and what changed; pure.

use core::net::IpAddr;
use std::collections::BTreeMap;
use std::hash::Hash;

use lattice_model::wire::registration::Registration;
use lattice_model::{DesiredLrp, LrpKey, NetInfo};

/// Which address of an instance routers are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announce {
    /// The container's own address and port: for a router on this machine.
    ContainerAddress,
    /// The cell's address and the mapped port: for routers elsewhere.
    HostPort,
}

/// What routers are to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Here it is.
    Register(Registration),
    /// It is no more.
    Unregister(Registration),
}

/// All that is announced, by instance.
#[derive(Debug)]
pub struct Table<K> {
    announced: BTreeMap<K, Vec<Registration>>,
}

impl<K> Default for Table<K> {
    fn default() -> Self {
        Self { announced: BTreeMap::new() }
    }
}

// === impl Table ===

impl<K: Ord + Clone + Hash> Table<K> {
    /// Replaces what is announced for an instance.
    pub fn announce(&mut self, instance: &K, wanted: Vec<Registration>) -> Vec<Change> {
        let before = self.announced.insert(instance.clone(), wanted).unwrap_or_default();
        let after = &self.announced[instance];
        let gone = before.iter().filter(|old| !after.iter().any(|new| is_same_endpoint(old, new)));
        let new = after.iter().filter(|new| !before.contains(new));
        let mut changes: Vec<Change> = gone.cloned().map(Change::Unregister).collect();
        changes.extend(new.cloned().map(Change::Register));
        changes
    }

    /// Withdraws all of an instance.
    pub fn withdraw(&mut self, instance: &K) -> Vec<Change> {
        let gone = self.announced.remove(instance).unwrap_or_default();
        gone.into_iter().map(Change::Unregister).collect()
    }

    /// True when something is announced for it, be it nothing.
    pub fn has(&self, instance: &K) -> bool {
        self.announced.contains_key(instance)
    }

    /// Everything, for a heartbeat.
    pub fn all(&self) -> impl Iterator<Item = &Registration> {
        self.announced.values().flatten()
    }
}

/// One registration for each host name of each HTTP route whose port the instance has.
pub fn registrations(
    lrp: &DesiredLrp,
    key: &LrpKey,
    instance_guid: &str,
    net: &NetInfo,
    announce: Announce,
) -> Vec<Registration> {
    let mut found = Vec::new();
    for route in lrp.routes.http() {
        let Some((host, port)) = endpoint(net, route.port, announce) else { continue };
        for hostname in route.hostnames {
            found.push(Registration {
                host: host.clone(),
                port,
                uris: vec![hostname],
                app: lrp.log.log_guid.clone(),
                private_instance_id: instance_guid.to_owned(),
                private_instance_index: key.index.to_string(),
                tags: BTreeMap::from([("component".to_owned(), "route-emitter".to_owned())]),
                route_service_url: route.route_service_url.clone().unwrap_or_default(),
                ..Registration::default()
            });
        }
    }
    found
}

fn endpoint(net: &NetInfo, container_port: u16, announce: Announce) -> Option<(String, u16)> {
    let mapping = net.ports.iter().find(|m| m.container_port == container_port)?;
    let (host, port) = match announce {
        Announce::ContainerAddress => (&net.instance_address, container_port),
        Announce::HostPort => (&net.address, mapping.host_port),
    };
    // An address that is none cannot be reached, whoever is told of it.
    host.parse::<IpAddr>().is_ok().then(|| (host.clone(), port))
}

fn is_same_endpoint(a: &Registration, b: &Registration) -> bool {
    a.host == b.host && a.port == b.port && a.uris == b.uris
}

#[cfg(test)]
mod tests;
