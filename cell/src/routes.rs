//! Route heartbeats: what this cell announces to routers, and what changed; pure.

use core::net::IpAddr;
use std::collections::BTreeMap;
use std::hash::Hash;

use lattice_model::wire::registration::{
    REGISTER, REGISTER_TCP, Registration, TcpRegistration, UNREGISTER, UNREGISTER_TCP,
};
use lattice_model::{DesiredLrp, LrpKey, NetInfo};

/// Which address of an instance routers are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announce {
    /// The container's own address and port: for a router on this machine.
    ContainerAddress,
    /// The cell's address and the mapped port: for routers elsewhere.
    HostPort,
}

/// What leads to an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Announced {
    /// A host name.
    Http(Box<Registration>),
    /// A port of the router.
    Tcp(TcpRegistration),
}

/// What routers are to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Here it is.
    Register(Announced),
    /// It is no more.
    Unregister(Announced),
}

/// All that is announced, by instance.
#[derive(Debug)]
pub struct Table<K> {
    announced: BTreeMap<K, Vec<Announced>>,
}

impl<K> Default for Table<K> {
    fn default() -> Self {
        Self { announced: BTreeMap::new() }
    }
}

// === impl Table ===

impl<K: Ord + Clone + Hash> Table<K> {
    /// Replaces what is announced for an instance.
    pub fn announce(&mut self, instance: &K, wanted: Vec<Announced>) -> Vec<Change> {
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
    pub fn all(&self) -> impl Iterator<Item = &Announced> {
        self.announced.values().flatten()
    }
}

// === impl Change ===

impl Change {
    /// The subject and the message.
    pub fn message(&self) -> (&'static str, Vec<u8>) {
        let (subject, json) = match self {
            Self::Register(Announced::Http(told)) => (REGISTER, serde_json::to_vec(told)),
            Self::Register(Announced::Tcp(told)) => (REGISTER_TCP, serde_json::to_vec(told)),
            Self::Unregister(Announced::Http(told)) => (UNREGISTER, serde_json::to_vec(told)),
            Self::Unregister(Announced::Tcp(told)) => (UNREGISTER_TCP, serde_json::to_vec(told)),
        };
        (subject, json.expect("text and numbers are JSON"))
    }
}

/// One registration for each host name of each HTTP route, and one for each TCP route, whose port
/// the instance has.
pub fn registrations(
    lrp: &DesiredLrp,
    key: &LrpKey,
    instance_guid: &str,
    net: &NetInfo,
    announce: Announce,
) -> Vec<Announced> {
    let mut found = Vec::new();
    for route in lrp.routes.http() {
        let Some((host, port)) = endpoint(net, route.port, announce) else { continue };
        for hostname in route.hostnames {
            found.push(Announced::Http(Box::new(Registration {
                host: host.clone(),
                port,
                uris: vec![hostname],
                app: lrp.log.log_guid.clone(),
                private_instance_id: instance_guid.to_owned(),
                private_instance_index: key.index.to_string(),
                tags: BTreeMap::from([("component".to_owned(), "route-emitter".to_owned())]),
                route_service_url: route.route_service_url.clone().unwrap_or_default(),
                ..Registration::default()
            })));
        }
    }
    for route in lrp.routes.tcp() {
        let Some((host, port)) = endpoint(net, route.container_port, announce) else { continue };
        found.push(Announced::Tcp(TcpRegistration {
            host,
            port,
            external_port: route.external_port,
            sni_hostname: route.sni_hostname.unwrap_or_default(),
            app: lrp.log.log_guid.clone(),
            private_instance_id: instance_guid.to_owned(),
            private_instance_index: key.index.to_string(),
            stale_threshold_in_seconds: 0,
        }));
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

fn is_same_endpoint(a: &Announced, b: &Announced) -> bool {
    match (a, b) {
        (Announced::Http(a), Announced::Http(b)) => {
            a.host == b.host && a.port == b.port && a.uris == b.uris
        }
        (Announced::Tcp(a), Announced::Tcp(b)) => {
            (&a.host, a.port, a.external_port, &a.sni_hostname)
                == (&b.host, b.port, b.external_port, &b.sni_hostname)
        }
        (Announced::Http(_), Announced::Tcp(_)) | (Announced::Tcp(_), Announced::Http(_)) => false,
    }
}

#[cfg(test)]
mod tests;
