//! Runs containers: the authority for what runs.
//!
//! One owner task ([`actor`]) holds all instances, their reservations and their routes. Each
//! instance has a worker ([`lifecycle`]) that performs its life and reports; calls to the brain and
//! removals are tasks of their own that report as well. What is decided is decided by pure
//! functions: [`instance`], [`health`], [`routes`], [`inventory`].
//!
//! | Part | Is |
//! |---|---|
//! | [`rep`] | the brain's and the appliance's handle: state, perform, stop |
//! | [`instance`] | the instance state machine and the harmonisation table; pure |
//! | [`inventory`] | reservations; pure |
//! | [`stuck`] | containers that could not be removed yet; pure |
//! | [`pod`] | what an instance is made of: containers, and what runs in them; pure |
//! | [`actions`] | one step per file; a tree of steps runs in a container |
//! | [`health`], [`probe`] | when to check (pure), and the check itself |
//! | [`environment`], [`hosts_files`] | what processes find around them |
//! | [`journal`] | what an instance has behind it, for the process that takes it over |
//! | [`downloads`], [`rootfs_files`] | files from outside, and files inside |
//! | [`runtime`] | containers: the real one (`oci`) and the scripted one (`fake`) |
//! | [`images`] | registry client, content store, layers, root filesystems |
//! | [`dns`] | the instances' name server |
//! | [`network`] | addresses, cables, port mapping |
//! | [`userns`] | the users of each instance, which nobody else is |
//! | [`logs`] | pipes to lines to envelopes |
//! | `metrics`, `entitlement` | what instances use, and what of the cores is theirs |
//! | [`routes`] | route heartbeats; pure |
//! | `host_programs` | where `nft`, `mkfs.ext4` and their like are |
//! | `self_check` | whether the cell can still do its work |
//! | [`ssh`], [`inside`] | lets people into instances, and what carries their files and connections there |

pub mod actions;
mod actor;
pub mod cancel;
pub mod config;
pub mod dns;
pub mod downloads;
mod entitlement;
pub mod environment;
pub use lattice_model::go_duration;
pub mod health;
mod host_programs;
pub mod hosts_files;
pub mod images;
mod inside;
pub mod instance;
pub mod inventory;
pub mod journal;
mod lifecycle;
pub mod logs;
mod metrics;
pub mod network;
pub mod pod;
pub mod probe;
pub mod rep;
pub mod rootfs_files;
pub mod routes;
pub mod runtime;
mod self_check;
pub mod ssh;
pub mod stuck;
mod tools;
pub mod userns;
pub mod work;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use lattice_daemon::tasks::Tasks;
use lattice_model::CellPresence;
use lattice_model::wire::registration::START;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

pub use config::Config;
pub use instance::harmony::states_markdown;
pub use rep::Handle;
pub use tools::Seams;

use crate::actor::{Condition, INBOX_MAX, Inherited, Owner, sync};
use crate::config::{CONTAINERS_DEFAULT, CapacityError, capacity_of};
use crate::lifecycle::{adoption, removal};
use crate::tools::Tools;

/// When images that nobody uses are first looked for.
const FIRST_TIDYING: Duration = Duration::from_secs(3600);
/// How often they are looked for from then on.
const TIDY_INTERVAL: Duration = Duration::from_secs(300);

/// Why a cell cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its directory cannot be used.
    #[error("cannot use the cell's data directory {dir}: {why}")]
    DataDir {
        /// Which.
        dir: String,
        /// What the machine said.
        why: String,
    },
    /// What it offers cannot be told.
    #[error(transparent)]
    Capacity(#[from] CapacityError),
    /// What an earlier process left cannot be seen, so nothing can be trusted.
    #[error("cannot see what an earlier process left: {0}")]
    Leftovers(String),
}

/// Starts a cell: takes over the instances of an earlier process, removes what else it left, and
/// then tells the brain of itself.
pub async fn start(config: Config, seams: Seams, tasks: &Tasks) -> Result<Handle, StartError> {
    let data_dir_error =
        |why: String| StartError::DataDir { dir: config.data_dir.display().to_string(), why };
    std::fs::create_dir_all(config.instances_dir())
        .map_err(|error| data_dir_error(error.to_string()))?;
    let presence = presence(&config)?;
    let tools = Tools::new(config.clone(), seams).map_err(data_dir_error)?;
    let found = removal::find(&tools).await.map_err(StartError::Leftovers)?;
    let (adopted, left) = adoption::adopt_all(&tools, found).await;
    let leftovers = removal::remove_leftovers(&tools, left).await;
    let inherited = Inherited { adopted, leftovers };

    let (sender, messages) = mpsc::channel(INBOX_MAX);
    let router_starts = tools.seams.bus.subscribe(START);
    let (condition, conditions) = watch::channel(Condition::default());
    let parts = (Arc::clone(&tools), presence.clone());
    let owner = Owner::new(parts, tasks.clone(), sender.clone(), condition);
    tasks.critical("cell owner", owner.run(inherited, messages, router_starts));
    let handle = Handle { owner: sender, presence, departed: CancellationToken::new(), tools };
    spawn_sync(&handle, conditions, tasks);
    spawn_self_check(&handle, tasks);
    spawn_tidying(&handle, tasks);
    Ok(handle)
}

/// The first view comes before the first heartbeat, so that nobody is sent here while old records
/// still name this cell.
fn spawn_sync(handle: &Handle, conditions: watch::Receiver<Condition>, tasks: &Tasks) {
    let (first_view, viewed) = oneshot::channel();
    let (tools, owner) = (Arc::clone(&handle.tools), handle.owner.clone());
    let shutdown = tasks.shutdown().clone();
    tasks.critical("cell sync", async move {
        tokio::select! {
            () = sync::follow(tools, owner, first_view) => {}
            () = shutdown.cancelled() => {}
        }
    });
    let (tools, presence) = (Arc::clone(&handle.tools), handle.presence.clone());
    let (departed, shutdown) = (handle.departed.clone(), tasks.shutdown().clone());
    tasks.spawn("cell heartbeat", async move {
        let _ = viewed.await;
        tokio::select! {
            () = sync::heartbeat(tools, presence, conditions, departed) => {}
            () = shutdown.cancelled() => {}
        }
    });
}

fn spawn_self_check(handle: &Handle, tasks: &Tasks) {
    let (tools, owner) = (Arc::clone(&handle.tools), handle.owner.clone());
    let shutdown = tasks.shutdown().clone();
    tasks.spawn("cell self-check", async move {
        shutdown.run_until_cancelled(self_check::repeat(tools, owner)).await;
    });
}

/// The first time is an hour after the start, when what is desired has been taken into use again.
fn spawn_tidying(handle: &Handle, tasks: &Tasks) {
    let images = Arc::clone(&handle.tools.seams.images);
    let shutdown = tasks.shutdown().clone();
    let tidying = async move {
        tokio::time::sleep(FIRST_TIDYING).await;
        loop {
            if let Err(error) = images.tidy().await {
                tracing::warn!(%error, "cannot tidy the image store");
            }
            tokio::time::sleep(TIDY_INTERVAL).await;
        }
    };
    tasks.spawn("cell image tidying", async move {
        shutdown.run_until_cancelled(tidying).await;
    });
}

fn presence(config: &Config) -> Result<CellPresence, CapacityError> {
    let capacity = match config.capacity {
        Some(capacity) => capacity,
        None => capacity_of(&config.data_dir, CONTAINERS_DEFAULT)?,
    };
    Ok(CellPresence {
        cell_id: config.cell_id.clone(),
        rep_url: config.rep_url.clone(),
        zone: config.zone.clone(),
        capacity,
        rootfs_providers: [("docker".to_owned(), Vec::new())].into_iter().collect(),
        placement_tags: config.placement_tags.clone(),
        optional_placement_tags: config.optional_placement_tags.clone(),
        volume_drivers: Vec::new(),
        labels: config.labels.clone(),
        fault: String::new(),
        warnings: config.warnings.clone(),
    })
}
