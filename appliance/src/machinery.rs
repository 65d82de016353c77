//! The container machinery of one data directory: made for `lattice up`, taken apart for
//! `lattice down --purge`, which therefore remembers how it was made.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use lattice_api::registry::OwnRegistry;
use lattice_cell::dns;
use lattice_cell::images::rootfs::quota;
use lattice_cell::images::{ImageStore, Images as _, ImagesConfig, Mirror};
use lattice_cell::network::Network as _;
use lattice_cell::network::egress::EgressPolicy;
use lattice_cell::network::host_ports::HostPorts;
use lattice_cell::network::routed::{NetworkConfig, RoutedNetwork};
use lattice_cell::runtime::oci::{Engine, OciConfig, OciRuntime};
use lattice_cell::runtime::{ContainerId, Runtime as _};
use lattice_cell::userns;
use serde::{Deserialize, Serialize};

use crate::Usage;

/// The file in the data directory.
pub const FILE: &str = "settings.json";

/// The kernel lets whoever removes wait, more than it has to do.
const REMOVALS_AT_ONCE: usize = 16;

/// How long instances that ran on alone have between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(7);

/// What has to be known of an earlier start to remove what it made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// The bridge.
    pub bridge: String,
    /// The addresses on it.
    pub subnet: String,
    /// The router's port.
    pub http_port: u16,
    /// Where mapped ports are reached from outside, when they are.
    pub external_address: Option<Ipv4Addr>,
    /// Registries that may be spoken to in plain HTTP.
    pub insecure_registries: Vec<String>,
    /// The platform's own registry as images name it; it is behind the router's port.
    #[serde(default)]
    pub own_registry: Option<String>,
    /// Where images are looked for first.
    #[serde(skip)]
    pub mirrors: Vec<Mirror>,
    /// What is to stay free of images on the disk, in MiB.
    #[serde(skip)]
    pub disk_free_mb: Option<u64>,
    /// Which ports of this machine lead to ports of instances.
    #[serde(skip)]
    pub host_ports: HostPorts,
    /// What instances reach whose rules say nothing of it.
    #[serde(skip)]
    pub egress: EgressPolicy,
    /// What this machine can do for instances.
    #[serde(skip)]
    pub abilities: Abilities,
}

/// What not every machine can do for instances.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Abilities {
    /// Each gets users of its own.
    own_users: bool,
    /// What each may write has a bound.
    bounded_disks: bool,
}

/// The three parts of the real machinery.
pub struct Machinery {
    /// Containers.
    pub runtime: Arc<OciRuntime>,
    /// Images.
    pub images: Arc<ImageStore>,
    /// Addresses and ports.
    pub network: Arc<RoutedNetwork>,
    /// Where instances ask for names; `None` when somebody else has the port.
    pub names: Option<dns::Sockets>,
}

impl Settings {
    /// What the last start wrote; `None` when there was none.
    pub fn load(data_dir: &Path) -> anyhow::Result<Option<Self>> {
        let path = data_dir.join(FILE);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .with_context(|| format!("{} is not what `lattice up` wrote", path.display())),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Remembers; whoever reads finds these or those before, never a half.
    pub fn store(&self, data_dir: &Path) -> anyhow::Result<()> {
        let (path, new) = (data_dir.join(FILE), data_dir.join(format!("{FILE}.new")));
        let json = serde_json::to_vec_pretty(self)?;
        let write = || {
            let mut file = fs::File::create(&new)?;
            file.write_all(&json)?;
            file.sync_all()?;
            fs::rename(&new, &path)
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }
}

impl Machinery {
    /// Makes what is not there yet.
    pub async fn start(
        engine: Engine,
        data_dir: &Path,
        settings: &Settings,
    ) -> anyhow::Result<Self> {
        let runtime = OciRuntime::new(OciConfig { data_dir: data_dir.to_owned(), engine })?;
        let mut images = ImagesConfig::new(data_dir, settings.insecure_registries.clone());
        images.registry.own = settings.own_registry.clone().map(|host| OwnRegistry {
            host,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, settings.http_port)),
        });
        images.mirrors = settings.mirrors.clone();
        images.bounds_disks = settings.abilities.bounded_disks;
        images.free_min_bytes = settings.disk_free_mb.map(|mb| mb.saturating_mul(1 << 20));
        let images = ImageStore::open(images)?;
        let mut network = network_config(data_dir, settings)?;
        let names = take_names(network.gateway());
        network.serves_names = names.is_some();
        let network = RoutedNetwork::start(network).await?;
        Ok(Self {
            runtime: Arc::new(runtime),
            images: Arc::new(images),
            network: Arc::new(network),
            names,
        })
    }

    /// Containers end by their control groups. No OCI runtime is run for that, so the one that made
    /// them may be gone already.
    async fn start_to_remove(data_dir: &Path, settings: &Settings) -> anyhow::Result<Self> {
        Self::start(Engine::Embedded, data_dir, settings).await
    }

    /// Removes every container with its network and root filesystem; gives what failed.
    async fn remove_instances(&self) -> anyhow::Result<Vec<String>> {
        // What a container uses goes after it.
        let containers = self.runtime.list().await?;
        let mut failures = each(containers, async |id| self.runtime.delete(id).await).await;
        let mounted = self.images.list().await?;
        failures.extend(each(mounted, async |id| self.images.unmount(id).await).await);
        let attached = self.network.list().await?;
        failures.extend(each(attached, async |id| self.network.detach(id).await).await);
        Ok(failures)
    }
}

/// Removes something of each, of some at the same time; gives what failed.
async fn each<E: ToString>(
    ids: Vec<ContainerId>,
    remove: impl AsyncFn(&ContainerId) -> Result<(), E>,
) -> Vec<String> {
    let remove = &remove;
    let removals = ids.into_iter().map(|id| async move { remove(&id).await.err() });
    let failures = stream::iter(removals).buffer_unordered(REMOVALS_AT_ONCE);
    failures.filter_map(async |error| error.map(|error| error.to_string())).collect().await
}

/// The port where instances ask for names, unless somebody else has it.
fn take_names(gateway: Ipv4Addr) -> Option<dns::Sockets> {
    let address = SocketAddr::from((gateway, dns::PORT));
    dns::take(address)
        .inspect_err(|why| {
            let without = dns::zone::APPS_INTERNAL;
            let fix = "keep the other name server to addresses of its own";
            tracing::warn!(%address, %why, fix, "apps do not know NAME.{without}");
        })
        .ok()
}

/// What the network is told.
pub fn network_config(data_dir: &Path, settings: &Settings) -> Result<NetworkConfig, Usage> {
    let subnet = settings.subnet.parse().map_err(|_| {
        let subnet = &settings.subnet;
        Usage(format!("--subnet {subnet:?} is not an IPv4 network, such as 10.255.0.0/20"))
    })?;
    let mut network = NetworkConfig::new(data_dir);
    network.bridge = settings.bridge.clone();
    network.subnet = subnet;
    network.router_ports = vec![settings.http_port];
    network.external_address = settings.external_address;
    network.host_port_range = settings.host_ports.range();
    network.egress = settings.egress;
    network.own_users = settings.abilities.own_users;
    Ok(network)
}

/// Tries what this machine can do; what it cannot is said in the log, and returned for people.
pub async fn try_abilities(data_dir: &Path) -> anyhow::Result<(Abilities, Vec<String>)> {
    let dir = data_dir.to_owned();
    let tried =
        tokio::task::spawn_blocking(move || (userns::probe::try_in(&dir), quota::try_in(&dir)));
    let (users, disks) = tried.await.context("cannot try what this machine can do")?;
    let abilities = Abilities { own_users: users.is_ok(), bounded_disks: disks.is_ok() };
    let lacks = [
        (users, "the root of an instance is this machine's root, with few rights"),
        (disks, "an instance's limit on the disk is not enforced"),
    ];
    let lacks = lacks.into_iter().filter_map(|(outcome, lack)| Some((outcome.err()?, lack)));
    let warnings = lacks.map(|(why, lack)| {
        tracing::warn!(%why, "{lack}");
        format!("{lack}: {why}")
    });
    Ok((abilities, warnings.collect()))
}

/// Removes the network of an earlier start, and the containers on it, where this one is to have
/// another: nobody would know of it any more.
pub async fn remove_former(data_dir: &Path, settings: &Settings) -> anyhow::Result<()> {
    let Some(former) = Settings::load(data_dir)? else { return Ok(()) };
    if former.bridge == settings.bridge && former.subnet == settings.subnet {
        return Ok(());
    }
    tracing::info!(bridge = former.bridge, subnet = former.subnet, "removing the former network");
    remove_all(data_dir, &former).await.context("cannot remove the network of the last start")
}

/// Removes every container, mount, namespace, interface, table and control group of a data
/// directory: all that can be removed, whatever cannot, which the error names.
pub async fn remove_all(data_dir: &Path, settings: &Settings) -> anyhow::Result<()> {
    let machinery = Machinery::start_to_remove(data_dir, settings).await?;
    let mut failures = machinery.remove_instances().await?;
    failures.extend(machinery.network.remove_all().await.err().map(|e| e.to_string()));
    anyhow::ensure!(failures.is_empty(), "{}", failures.join("; "));
    Ok(())
}

/// Stops every instance of a data directory on which no appliance runs, with grace, and removes
/// what was made for it; gives how many there were.
pub async fn end_instances(data_dir: &Path, settings: &Settings) -> anyhow::Result<usize> {
    let machinery = Machinery::start_to_remove(data_dir, settings).await?;
    let ids = machinery.runtime.list().await?;
    join_all(ids.iter().map(|id| machinery.runtime.terminate(id, GRACE))).await;
    let failures = machinery.remove_instances().await?;
    anyhow::ensure!(failures.is_empty(), "{}", failures.join("; "));
    let instances: BTreeSet<_> = ids.iter().map(|id| id.instance().0).collect();
    Ok(instances.len())
}
