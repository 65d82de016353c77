//! What the brain is told at its start.

use std::path::PathBuf;
use std::time::Duration;

use lattice_api::brain::Version;
use lattice_model::RegistryCredentials;

use crate::auction::Policy;
use crate::callbacks::QueueLimits;
use crate::events::HistoryLimits;

/// The file's name in the data directory.
pub const STORE_FILE: &str = "brain.db";

/// How a brain is set up.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the store's file is.
    pub data_dir: PathBuf,
    /// What `/v1/version` tells.
    pub version: Version,
    /// For cells to pull from the registry that this brain serves itself
    /// (`registry.DOMAIN[:PORT]`); kept in memory only.
    pub own_registry: Option<RegistryCredentials>,
    /// Hosts that belong to the platform, and are nobody's custom domains.
    pub platform_hosts: Vec<String>,
    /// The router shows certificates.
    pub serves_https: bool,
    /// An authority is asked for certificates, by [`crate::acme`].
    pub orders_certificates: bool,
    /// How the auction weighs cells.
    pub auction: Policy,
    /// Bounds of everything that could grow.
    pub limits: Limits,
    /// How long cells and callbacks may take.
    pub timeouts: Timeouts,
}

/// Bounds of everything that could grow; reaching one is a `TooManyRequests` refusal.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Desired LRPs.
    pub desired_lrps_max: usize,
    /// Instances of one LRP.
    pub instances_per_lrp_max: u32,
    /// Instances wanted in all.
    pub instances_total_max: usize,
    /// Tasks, ended ones included.
    pub tasks_max: usize,
    /// Domains.
    pub domains_max: usize,
    /// Commands that wait for their turn.
    pub commands_queued_max: usize,
    /// Events kept for readers that come back, and for slow ones.
    pub events: HistoryLimits,
    /// Owners of tasks being told at once.
    pub callbacks: QueueLimits,
}

/// How long others may take.
#[derive(Debug, Clone)]
pub struct Timeouts {
    /// For a cell to answer anything.
    pub cell: Duration,
    /// For the owner of a task to take the news, each try.
    pub callback: Duration,
    /// Between full convergences.
    pub convergence_interval: Duration,
}

// === impl Config ===

impl Config {
    /// The defaults, with the store in this directory.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            version: Version::default(),
            own_registry: None,
            auction: Policy::default(),
            platform_hosts: Vec::new(),
            serves_https: true,
            orders_certificates: false,
            limits: Limits::default(),
            timeouts: Timeouts::default(),
        }
    }
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            desired_lrps_max: 100_000,
            instances_per_lrp_max: lattice_model::desired_lrp::INSTANCES_MAX,
            instances_total_max: 1_000_000,
            tasks_max: 100_000,
            domains_max: 10_000,
            commands_queued_max: 8_192,
            events: HistoryLimits { events_max: 16_384, bytes_max: 32 * 1024 * 1024 },
            callbacks: QueueLimits { total_max: 64, per_host_max: 8 },
        }
    }
}

// === impl Timeouts ===

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            cell: Duration::from_secs(10),
            callback: Duration::from_secs(8),
            convergence_interval: Duration::from_secs(30),
        }
    }
}
