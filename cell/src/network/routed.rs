//! The instances' network on one Linux host: a namespace, an address and a cable for each, a route
//! to every one of them, and a firewall around all.

mod cables;
mod in_use;
mod spares;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use ipnet::Ipv4Net;
use lattice_model::EgressRule;
use sha2::{Digest, Sha256};
use tokio::sync::{Mutex, Notify};

use self::cables::Cables;
use self::in_use::InUse;
use super::addresses::{IdRanges, gateway};
use super::egress::EgressPolicy;
use super::firewall::Firewall;
use super::host_ports::HostPorts;
use super::links::{self, Links};
use super::records::{Record, Records};
use super::{Attachment, Network, NetworkError, Traffic, listening, namespaces};
use crate::runtime::ContainerId;
use crate::userns::UserNamespace;

/// The directories where namespaces are bound to files, one for each container.
const NAMESPACES: [&str; 2] = ["netns", "userns"];
/// The longest name of a link.
const LINK_NAME_MAX: usize = 15;

/// What a [`RoutedNetwork`] needs to know.
#[derive(Debug, Clone)]
pub struct NetworkConfig {
    /// Where the namespaces are bound (`netns/`, `userns/`) and addresses are remembered
    /// (`network/`).
    pub data_dir: PathBuf,
    /// True when each instance is to have users of its own, see [`crate::userns::probe`].
    pub own_users: bool,
    /// The name of the bridge that has this host's own address among the instances', and no port; at
    /// most 15 characters, this network's alone.
    pub bridge: String,
    /// The instances' addresses; the first is this host's own.
    pub subnet: Ipv4Net,
    /// The host ports that may be mapped; not those the kernel takes for outgoing connections.
    pub host_port_range: RangeInclusive<u16>,
    /// The TCP ports of this host that instances may reach, at the gateway's address.
    pub router_ports: Vec<u16>,
    /// Whether instances may reach the name server at the gateway's address.
    pub serves_names: bool,
    /// The address where mapped ports are reachable from other hosts: `0.0.0.0` for all, `None`
    /// for none. This host itself always reaches them.
    pub external_address: Option<Ipv4Addr>,
    /// What instances reach whose rules say nothing of it.
    pub egress: EgressPolicy,
}

/// The instances' network on this host.
pub struct RoutedNetwork {
    shared: Arc<Shared>,
}

struct Shared {
    config: NetworkConfig,
    links: Links,
    firewall: Firewall,
    records: Records,
    cables: Cables,
    in_use: Mutex<InUse>,
    /// A spare was given away.
    spare_taken: Notify,
}

// === impl NetworkConfig ===

impl NetworkConfig {
    /// The defaults: bridge `lattice0`, 10.255.0.0/20, host ports from 61000, reachable from this
    /// host alone, and no port of it open to instances.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            own_users: true,
            bridge: "lattice0".to_owned(),
            subnet: Ipv4Net::new_assert(Ipv4Addr::new(10, 255, 0, 0), 20),
            host_port_range: HostPorts::default().range(),
            router_ports: Vec::new(),
            serves_names: false,
            external_address: None,
            egress: EgressPolicy::Open,
        }
    }

    /// The address instances see this host under.
    pub fn gateway(&self) -> Ipv4Addr {
        gateway(self.subnet.trunc())
    }

    /// All that is wrong with it.
    pub fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        let word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let length = self.bridge.len();
        if length == 0 || length > LINK_NAME_MAX || !self.bridge.chars().all(word) {
            mistakes.push(format!(
                "the bridge's name {:?} is not made of 1 to {LINK_NAME_MAX} letters, digits, - \
                 and _",
                self.bridge
            ));
        }
        if self.subnet.prefix_len() < 16 || self.subnet.prefix_len() > 29 {
            mistakes.push(format!("the subnet {} is not between /16 and /29", self.subnet));
        }
        if self.host_port_range.is_empty() || *self.host_port_range.start() == 0 {
            mistakes.push(format!("the host ports {:?} are no range", self.host_port_range));
        }
        mistakes
    }
}

// === impl RoutedNetwork ===

impl RoutedNetwork {
    /// Makes the bridge and the firewall, or adopts what an earlier process left: its addresses
    /// and ports stay in use until they are detached. Turns on forwarding between this host's
    /// links, which stays on.
    pub async fn start(config: NetworkConfig) -> Result<Self, NetworkError> {
        let mistakes = config.mistakes();
        if !mistakes.is_empty() {
            return Err(failed("set up the network", mistakes.join("; ")));
        }
        let config = NetworkConfig { subnet: config.subnet.trunc(), ..config };
        let hash: [u8; 32] = Sha256::digest(config.data_dir.as_os_str().as_encoded_bytes()).into();
        let cables = Cables::new(config.subnet, &hash);
        let firewall = Firewall {
            table: format!("lattice_{}", hex::encode(&hash[..4])),
            bridge: config.bridge.clone(),
            cables: format!("{}*", cables.prefix),
            subnet: config.subnet,
            gateway: gateway(config.subnet),
            router_ports: config.router_ports.clone(),
            serves_names: config.serves_names,
            external_address: config.external_address,
            egress: config.egress,
        };
        for dir in NAMESPACES {
            fs::create_dir_all(config.data_dir.join(dir))
                .map_err(|e| failed("make the directories of the namespaces", e))?;
        }
        let records = Records::open(config.data_dir.join("network"))
            .map_err(|e| failed("read the network's records", e))?;
        let ids = IdRanges::beginning_at(u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]));
        let in_use = InUse::restore(&config, ids, records.load());
        firewall.install(&in_use.openings()).await?;
        let links = raise_bridge(&config, &cables)
            .await
            .map_err(|e| failed(&format!("set up the bridge {}", config.bridge), e))?;
        let in_use = Mutex::new(in_use);
        let spare_taken = Notify::new();
        let shared = Shared { config, links, cables, firewall, records, in_use, spare_taken };
        Ok(Self { shared: Arc::new(shared) })
    }
}

#[async_trait]
impl Network for RoutedNetwork {
    async fn attach(
        &self,
        id: &ContainerId,
        ports: &[u16],
        egress: &[EgressRule],
    ) -> Result<Attachment, NetworkError> {
        let (shared, id) = (self.shared.clone(), id.clone());
        let (ports, egress) = (ports.to_vec(), egress.to_vec());
        to_its_end(async move { shared.attach(&id, &ports, egress).await }).await
    }

    async fn detach(&self, id: &ContainerId) -> Result<(), NetworkError> {
        let (shared, id) = (self.shared.clone(), id.clone());
        to_its_end(async move { shared.detach(&id).await }).await
    }

    async fn listening(&self, id: &ContainerId) -> Result<Vec<SocketAddr>, NetworkError> {
        let record = self.shared.in_use.lock().await.attached.get(id).cloned();
        let name = record.as_ref().map_or(id.as_str(), |record| record.namespaces(id));
        let tables = namespaces::inside(self.shared.netns(name), || {
            let v4 = fs::read_to_string("/proc/thread-self/net/tcp")?;
            // A kernel without IPv6 has no such file.
            let v6 = fs::read_to_string("/proc/thread-self/net/tcp6").unwrap_or_default();
            Ok([v4, v6])
        });
        let tables = tables.await.map_err(|e| failed(&format!("look into {id}"), e))?;
        Ok(tables.iter().flat_map(|table| listening::parse(table)).collect())
    }

    async fn traffic(&self, id: &ContainerId) -> Result<Traffic, NetworkError> {
        let record = self.shared.in_use.lock().await.attached.get(id).cloned();
        let what = format!("count what {id} sends");
        let record = record.ok_or_else(|| failed(&what, "it is not attached"))?;
        let counted = self.shared.links.traffic(&self.shared.cables.name(record.address)).await;
        // What the host's end receives the container has sent.
        let (sent, received) = counted.map_err(|e| failed(&what, e))?;
        Ok(Traffic { received, sent })
    }

    async fn list(&self) -> Result<Vec<ContainerId>, NetworkError> {
        self.shared.list().await
    }

    fn gateway(&self) -> Ipv4Addr {
        self.shared.firewall.gateway
    }

    async fn remove_all(&self) -> Result<(), NetworkError> {
        let shared = self.shared.clone();
        to_its_end(async move { shared.remove_all().await }).await
    }
}

// === impl Shared ===

impl Shared {
    async fn attach(
        &self,
        id: &ContainerId,
        ports: &[u16],
        egress: Vec<EgressRule>,
    ) -> Result<Attachment, NetworkError> {
        let record = self.reserve(id, ports, egress).await?;
        let connected = match record.made_as {
            Some(_) => Ok(()),
            None => self.connect(id, &record).await,
        };
        let opened = match connected {
            Ok(()) => self.open(id, &record).await,
            Err(why) => Err(why),
        };
        match opened {
            Ok(()) => Ok(Attachment {
                netns: self.netns(record.namespaces(id)),
                address: record.address.into(),
                users: self.users(id, &record),
                ports: record.ports,
            }),
            Err(why) => {
                self.detach(id).await?;
                Err(why)
            }
        }
    }

    /// Writes down what the container gets before any of it exists, so that whoever comes after
    /// a crash finds it.
    async fn reserve(
        &self,
        id: &ContainerId,
        ports: &[u16],
        egress: Vec<EgressRule>,
    ) -> Result<Record, NetworkError> {
        let mut in_use = self.in_use.lock().await;
        let what = format!("attach {id} to the network");
        if in_use.attached.contains_key(id) || self.netns(id.as_str()).exists() {
            return Err(failed(&what, "it is attached already; detach it first"));
        }
        let record = Record { egress, ..in_use.take(ports, self.config.own_users)? };
        self.admit(&mut in_use, id, &record)?;
        if let Some(spare) = &record.made_as {
            // Found again, it would be taken for a leftover's.
            if let Err(e) = self.records.remove(&ContainerId::new(spare)) {
                self.refuse(&mut in_use, id, record);
                return Err(failed(&what, e));
            }
            self.spare_taken.notify_one();
        }
        Ok(record)
    }

    /// Writes down who has it; nobody has what cannot be written.
    fn admit(
        &self,
        in_use: &mut InUse,
        id: &ContainerId,
        record: &Record,
    ) -> Result<(), NetworkError> {
        in_use.attached.insert(id.clone(), record.clone());
        self.records.write(id, record).map_err(|e| {
            self.refuse(in_use, id, record.clone());
            failed(&format!("attach {id} to the network"), e)
        })
    }

    /// It is not attached after all.
    fn refuse(&self, in_use: &mut InUse, id: &ContainerId, record: Record) {
        if let Err(error) = self.records.remove(id) {
            tracing::warn!(container = %id, %error, "a network record stays until the next start");
        }
        in_use.attached.remove(id);
        in_use.give_back(record);
    }

    async fn connect(&self, id: &ContainerId, record: &Record) -> Result<(), NetworkError> {
        let step = |e: io::Error| failed(&format!("attach {id} to the network"), e);
        let netns = self.netns(record.namespaces(id));
        let users = self.users(id, record);
        let namespace = namespaces::create(&netns, users).await.map_err(step)?;
        let name = self.cables.name(record.address);
        let cable = self.cables.cable(&name, record.address, self.firewall.gateway);
        self.links.lay(&cable, &namespace).await.map_err(step)?;
        let ends = cable.ends;
        namespaces::inside(netns, move || links::configure_inside(ends)).await.map_err(step)?;
        self.links.wait_until_up(&name).await.map_err(step)
    }

    async fn open(&self, id: &ContainerId, record: &Record) -> Result<(), NetworkError> {
        if !record.opens_something() {
            return Ok(());
        }
        let in_use = self.in_use.lock().await;
        self.firewall.open(&record.opening(id), &in_use.openings()).await
    }

    async fn detach(&self, id: &ContainerId) -> Result<(), NetworkError> {
        let step = |e: io::Error| failed(&format!("detach {id} from the network"), e);
        let mut in_use = self.in_use.lock().await;
        if let Some(record) = in_use.attached.get(id).cloned() {
            if record.opens_something() {
                let others = in_use.openings_without(id);
                self.firewall.close(&record.opening(id), &others).await?;
            }
            self.links.remove(&self.cables.name(record.address)).await.map_err(step)?;
            self.remove_namespaces(record.namespaces(id)).map_err(step)?;
            self.records.remove(id).map_err(step)?;
            in_use.attached.remove(id);
            in_use.spares.remove(id);
            in_use.release(&record);
        }
        // Also one whose record was lost.
        self.remove_namespaces(id.as_str()).map_err(step)?;
        self.records.remove(id).map_err(step)
    }

    async fn list(&self) -> Result<Vec<ContainerId>, NetworkError> {
        let in_use = self.in_use.lock().await;
        let mut ids: BTreeSet<ContainerId> = BTreeSet::new();
        for dir in NAMESPACES {
            let bound = fs::read_dir(self.config.data_dir.join(dir))
                .map_err(|e| failed("list the namespaces", e))?;
            let bound = bound.flatten().map(|entry| entry.file_name());
            ids.extend(bound.map(|name| ContainerId::new(&name.to_string_lossy())));
        }
        for record in in_use.attached.values() {
            if let Some(name) = &record.made_as {
                ids.remove(&ContainerId::new(name));
            }
        }
        ids.extend(in_use.attached.keys().cloned());
        Ok(ids.into_iter().filter(|id| !in_use.spares.contains_key(id)).collect())
    }

    async fn remove_all(&self) -> Result<(), NetworkError> {
        self.remove_spares().await?;
        for id in self.list().await? {
            self.detach(&id).await?;
        }
        let step = |e: io::Error| failed(&format!("remove the bridge {}", self.config.bridge), e);
        for cable in self.links.beginning_with(&self.cables.prefix).await.map_err(step)? {
            self.links.remove(&cable).await.map_err(step)?;
        }
        self.links.remove(&self.config.bridge).await.map_err(step)?;
        self.firewall.remove().await?;
        for dir in NAMESPACES.into_iter().chain(["network"]) {
            fs::remove_dir(self.config.data_dir.join(dir)).map_err(step)?;
        }
        Ok(())
    }

    fn netns(&self, name: &str) -> PathBuf {
        self.config.data_dir.join("netns").join(name)
    }

    /// The users of an instance that has its own.
    fn users(&self, id: &ContainerId, record: &Record) -> Option<UserNamespace> {
        let path = self.config.data_dir.join("userns").join(record.namespaces(id));
        record.first_id.map(|first_id| UserNamespace { path, first_id })
    }

    /// No error when they are gone.
    fn remove_namespaces(&self, name: &str) -> io::Result<()> {
        let mut dirs = NAMESPACES.iter().map(|dir| self.config.data_dir.join(dir));
        dirs.try_for_each(|dir| namespaces::remove(&dir.join(name)))
    }
}

async fn raise_bridge(config: &NetworkConfig, cables: &Cables) -> io::Result<Links> {
    let gateway = gateway(config.subnet);
    let address = Ipv4Net::new(gateway, config.subnet.prefix_len()).map_err(io::Error::other)?;
    let links = Links::open()?;
    links.ensure_bridge(&config.bridge, address, cables.mac).await?;
    links::disable_ipv6(&config.bridge)?;
    fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
    for name in links.ports_of(&config.bridge).await? {
        let Some(instance) = cables.address(&name) else { continue };
        tracing::info!(cable = name, "an instance's cable is taken out of the bridge");
        links.unplug(&cables.cable(&name, instance, gateway)).await?;
    }
    Ok(links)
}

/// Runs a step in a task of its own, so that a caller who goes away cannot stop it half-way.
async fn to_its_end<T: Send + 'static>(
    step: impl Future<Output = Result<T, NetworkError>> + Send + 'static,
) -> Result<T, NetworkError> {
    let stopping = || Err(failed("change the network", "it is being stopped"));
    tokio::spawn(step).await.unwrap_or_else(|_| stopping())
}

fn failed(what: &str, why: impl std::fmt::Display) -> NetworkError {
    NetworkError::Failed { what: what.to_owned(), why: why.to_string() }
}
