//! What every part of a cell needs to do its work: its configuration and its seams.

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;

use lattice_api::brain::Bbs;
use lattice_daemon::bus::Bus;
use lattice_daemon::clock::Clock;
use lattice_daemon::log_ingress::LogIngress;
use lattice_model::{NetInfo, Time};
use tokio::sync::Semaphore;

use crate::config::Config;
use crate::downloads::Transfers;
use crate::entitlement::Entitlements;
use crate::images::Images;
use crate::logs::LogWriter;
use crate::network::{Attachment, Network};
use crate::rootfs_files::RootfsFiles;
use crate::runtime::Runtime;
use crate::work::Work;

/// What a cell is built upon.
#[derive(Clone)]
pub struct Seams {
    /// The brain.
    pub bbs: Arc<dyn Bbs>,
    /// Carries route heartbeats.
    pub bus: Arc<dyn Bus>,
    /// Takes logs and metrics.
    pub logs: Arc<dyn LogIngress>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Runs containers.
    pub runtime: Arc<dyn Runtime>,
    /// Fetches and mounts images.
    pub images: Arc<dyn Images>,
    /// Connects containers.
    pub network: Arc<dyn Network>,
    /// Reaches into root filesystems.
    pub files: Arc<dyn RootfsFiles>,
}

/// All of it, once for a cell.
pub(crate) struct Tools {
    pub(crate) config: Config,
    pub(crate) seams: Seams,
    pub(crate) transfers: Arc<Transfers>,
    pub(crate) dns_servers: Vec<IpAddr>,
    pub(crate) starts: Semaphore,
    pub(crate) removals: Semaphore,
    pub(crate) cpu: Entitlements,
}

// === impl Tools ===

impl Tools {
    pub(crate) fn new(config: Config, seams: Seams) -> Result<Arc<Self>, String> {
        let transfers = Transfers::new(config.downloads_dir(), &config.limits)?;
        Ok(Arc::new(Self {
            transfers,
            dns_servers: config.resolved_dns_servers(),
            starts: Semaphore::new(config.limits.starts_at_once),
            removals: Semaphore::new(config.limits.removals_at_once),
            cpu: Entitlements::of_this_machine(),
            config,
            seams,
        }))
    }

    pub(crate) fn now(&self) -> Time {
        self.seams.clock.now()
    }

    /// How an instance is reached.
    pub(crate) fn net_info(&self, attachment: &Attachment) -> NetInfo {
        NetInfo {
            address: self.config.external_address.to_string(),
            instance_address: attachment.address.to_string(),
            ports: attachment.ports.clone(),
            unready: false,
        }
    }

    /// The log of a piece of work.
    pub(crate) fn log_of(&self, work: &Work) -> LogWriter {
        let seams = (Arc::clone(&self.seams.logs), Arc::clone(&self.seams.clock));
        LogWriter::new(work.log(), &work.index().to_string(), self.config.limits.logs, seams)
    }

    /// Does one step of making or removing a container, in bounded time; errors are words.
    pub(crate) async fn step<T, E: std::fmt::Display>(
        &self,
        what: &str,
        step: impl Future<Output = Result<T, E>>,
    ) -> Result<T, String> {
        let limit = self.config.limits.container_step;
        match tokio::time::timeout(limit, step).await {
            Ok(outcome) => outcome.map_err(|error| error.to_string()),
            Err(_) => Err(format!("cannot {what} within {} seconds", limit.as_secs())),
        }
    }
}
