//! The instances' network: an address and a cable for each instance, mapped ports; behind one seam,
//! [`Network`].

mod addresses;
pub mod egress;
pub mod fake;
mod firewall;
pub mod host_ports;
mod links;
mod listening;
mod namespaces;
mod records;
pub mod routed;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use async_trait::async_trait;
use lattice_model::{EgressRule, PortMapping};
use serde::{Deserialize, Serialize};

use crate::runtime::ContainerId;
use crate::userns::UserNamespace;

/// Gives containers a place on the network.
#[async_trait]
pub trait Network: Send + Sync {
    /// Makes a network namespace with users and an address of its own, maps host ports to `ports`,
    /// and lets through what `egress` allows besides what everyone may.
    async fn attach(
        &self,
        id: &ContainerId,
        ports: &[u16],
        egress: &[EgressRule],
    ) -> Result<Attachment, NetworkError>;
    /// Takes all that away; no error when there is nothing.
    async fn detach(&self, id: &ContainerId) -> Result<(), NetworkError>;
    /// The TCP sockets that are listened on in the container's network namespace.
    async fn listening(&self, id: &ContainerId) -> Result<Vec<SocketAddr>, NetworkError>;
    /// What the container has received and sent.
    async fn traffic(&self, id: &ContainerId) -> Result<Traffic, NetworkError>;
    /// Every container that has a network namespace here, leftovers included.
    async fn list(&self) -> Result<Vec<ContainerId>, NetworkError>;
    /// The address instances see this host under: where the router listens for them.
    fn gateway(&self) -> Ipv4Addr;
    /// Takes the bridge, the tables and all namespaces of this data directory away.
    async fn remove_all(&self) -> Result<(), NetworkError>;
}

/// A container's place on the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The network namespace to join.
    pub netns: PathBuf,
    /// The container's own address, reachable from this host.
    pub address: IpAddr,
    /// The mapped ports, in the order asked for.
    pub ports: Vec<PortMapping>,
    /// The users that the network namespace belongs to, nobody else's; `None` where instances have
    /// the host's, as those had from before this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<UserNamespace>,
}

/// What a container has received and sent since it was attached, in bytes, with all headers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// What came to it.
    pub received: u64,
    /// What came from it.
    pub sent: u64,
}

/// Why a network operation failed.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// A step of it failed.
    #[error("cannot {what}: {why}")]
    Failed {
        /// What was tried, as a verb.
        what: String,
        /// What the machine said.
        why: String,
    },
    /// All addresses or ports are in use.
    #[error("no {what} is left; {in_use} are in use")]
    Exhausted {
        /// Of what.
        what: &'static str,
        /// How many there are.
        in_use: usize,
    },
}
