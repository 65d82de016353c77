//! A network without Linux: loopback addresses and port numbers, for tests of what drives it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use ipnet::Ipv4Net;
use lattice_model::{EgressRule, PortMapping};

use super::addresses::{Addresses, Ports, gateway};
use super::{Attachment, Network, NetworkError, Traffic};
use crate::runtime::ContainerId;

/// Addresses that every Linux machine answers itself.
const SUBNET: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(127, 255, 0, 0), 20);

/// A network of names and numbers. Clones share everything.
#[derive(Clone)]
pub struct FakeNetwork {
    world: Arc<Mutex<World>>,
}

struct World {
    addresses: Addresses,
    ports: Ports,
    attached: BTreeMap<ContainerId, (Ipv4Addr, Vec<u16>)>,
    egress: BTreeMap<ContainerId, Vec<EgressRule>>,
    listening: BTreeMap<ContainerId, Vec<SocketAddr>>,
    attach_error: Option<String>,
}

// === impl FakeNetwork ===

impl FakeNetwork {
    /// With nobody attached.
    pub fn new() -> Self {
        let world = World {
            addresses: Addresses::new(SUBNET),
            ports: Ports::new(61000..=65535),
            attached: BTreeMap::new(),
            egress: BTreeMap::new(),
            listening: BTreeMap::new(),
            attach_error: None,
        };
        Self { world: Arc::new(Mutex::new(world)) }
    }

    /// Says what a container listens on from now on.
    pub fn set_listening(&self, id: &ContainerId, sockets: Vec<SocketAddr>) {
        self.world().listening.insert(id.clone(), sockets);
    }

    /// Lets the next `attach` fail.
    pub fn fail_next_attach(&self, why: &str) {
        self.world().attach_error = Some(why.to_owned());
    }

    /// What a container may reach besides what everyone may.
    pub fn egress_of(&self, id: &ContainerId) -> Vec<EgressRule> {
        self.world().egress.get(id).cloned().unwrap_or_default()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for FakeNetwork {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Network for FakeNetwork {
    async fn attach(
        &self,
        id: &ContainerId,
        ports: &[u16],
        egress: &[EgressRule],
    ) -> Result<Attachment, NetworkError> {
        let mut world = self.world();
        let known = world.attached.contains_key(id).then(|| "it is attached already".to_owned());
        if let Some(why) = known.or_else(|| world.attach_error.take()) {
            return Err(NetworkError::Failed { what: format!("attach {id}"), why });
        }
        let address = world.addresses.take()?;
        let host_ports = world.ports.take(ports.len(), |_| true).inspect_err(|_| {
            // Both or nothing.
            world.addresses.release(address);
        })?;
        world.attached.insert(id.clone(), (address, host_ports.clone()));
        world.egress.insert(id.clone(), egress.to_vec());
        let pairs = ports.iter().zip(host_ports);
        let ports = pairs
            .map(|(&container_port, host_port)| PortMapping { container_port, host_port })
            .collect();
        let netns = PathBuf::from("/nowhere").join(id.as_str());
        Ok(Attachment { netns, address: address.into(), ports, users: None })
    }

    async fn detach(&self, id: &ContainerId) -> Result<(), NetworkError> {
        let mut world = self.world();
        world.listening.remove(id);
        world.egress.remove(id);
        if let Some((address, ports)) = world.attached.remove(id) {
            world.addresses.release(address);
            world.ports.release(&ports);
        }
        Ok(())
    }

    async fn listening(&self, id: &ContainerId) -> Result<Vec<SocketAddr>, NetworkError> {
        Ok(self.world().listening.get(id).cloned().unwrap_or_default())
    }

    async fn traffic(&self, _: &ContainerId) -> Result<Traffic, NetworkError> {
        Ok(Traffic::default())
    }

    async fn list(&self) -> Result<Vec<ContainerId>, NetworkError> {
        Ok(self.world().attached.keys().cloned().collect())
    }

    fn gateway(&self) -> Ipv4Addr {
        gateway(SUBNET)
    }

    async fn remove_all(&self) -> Result<(), NetworkError> {
        for id in self.list().await? {
            self.detach(&id).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_detached_is_free_again() {
        let network = FakeNetwork::new();
        let (a, b) = (ContainerId::new("a"), ContainerId::new("b"));
        let first = network.attach(&a, &[80, 81], &[]).await.unwrap();
        let second = network.attach(&b, &[80], &[]).await.unwrap();
        assert_ne!(first.address, second.address);
        assert_eq!(first.ports[1], PortMapping { container_port: 81, host_port: 61001 });
        assert_eq!(second.ports[0].host_port, 61002);
        assert!(network.attach(&a, &[], &[]).await.is_err());
        network.remove_all().await.unwrap();
        assert_eq!(network.list().await.unwrap(), []);
        network.attach(&a, &[], &[]).await.unwrap();
    }

    #[tokio::test]
    async fn a_failure_is_told_once() {
        let network = FakeNetwork::new();
        let id = ContainerId::new("a");
        network.fail_next_attach("no cable");
        let error = network.attach(&id, &[], &[]).await.unwrap_err().to_string();
        assert_eq!(error, "cannot attach a: no cable");
        network.attach(&id, &[], &[]).await.unwrap();
    }
}
