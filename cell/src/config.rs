//! What a cell is told when it starts.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lattice_model::cell::CellLabels;
use lattice_model::{CellId, Resources};

use crate::hosts_files;
use crate::logs::limit::LogLimits;
pub use crate::routes::Announce;
pub use crate::self_check::SelfCheck;

/// Containers an "auto" capacity has, whatever the machine.
pub const CONTAINERS_DEFAULT: u64 = 250;
/// What the process that holds a container has of the machine's memory, in MiB and rounded up
/// (docs/figures.md); it is outside of the container's own limit.
pub const HOLDER_MB: u64 = 1;
/// The least memory of a container that is reckoned with where all of a small machine is offered.
const SMALL_CONTAINER_MB: u64 = 32;

/// What a cell is told when it starts.
#[derive(Debug, Clone)]
pub struct Config {
    /// Its name.
    pub cell_id: CellId,
    /// Its zone.
    pub zone: String,
    /// Where its rep answers; empty when that is in the brain's process.
    pub rep_url: String,
    /// What it offers; `None` is what the machine has, see [`capacity_of`].
    pub capacity: Option<Resources>,
    /// Work must ask for these tags.
    pub placement_tags: Vec<String>,
    /// Work may ask for these tags.
    pub optional_placement_tags: Vec<String>,
    /// What placement rules may ask about (`disk=ssd`).
    pub labels: CellLabels,
    /// What this machine cannot do for instances that others can, for people.
    pub warnings: Vec<String>,
    /// Holds the instances' small files and the download cache.
    pub data_dir: PathBuf,
    /// The cell's address as others see it; mapped ports are there.
    pub external_address: IpAddr,
    /// Which address of an instance routers are told.
    pub announce: Announce,
    /// How long an app may take to end after SIGTERM.
    pub stop_grace: Duration,
    /// Whom instances ask for names; `None` is the host's own servers that are not on loopback.
    pub dns_servers: Option<Vec<IpAddr>>,
    /// More names in every instance's `/etc/hosts`.
    pub hosts: Vec<(IpAddr, String)>,
    /// When the cell looks whether it can still do its work.
    pub self_check: SelfCheck,
    /// Every bound.
    pub limits: Limits,
}

/// Every bound of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// What one instance may log.
    pub logs: LogLimits,
    /// Instances that are pulled, mounted and created at once; others wait.
    pub starts_at_once: usize,
    /// Containers that are removed at once; others wait.
    pub removals_at_once: usize,
    /// When what could not be removed is tried again for the first time; the pause doubles with
    /// each failure, up to 64 times this.
    pub removal_again_after: Duration,
    /// Downloads at once; others wait.
    pub downloads_at_once: usize,
    /// The largest download, in bytes, packed and unpacked.
    pub download_bytes_max: u64,
    /// The largest upload, in bytes; it is held in memory.
    pub upload_bytes_max: u64,
    /// The most bytes of cached downloads; the least recently used go first.
    pub download_cache_bytes_max: u64,
    /// How long one download or upload may take.
    pub transfer_timeout: Duration,
    /// How long one step of making or removing a container may take.
    pub container_step: Duration,
}

/// Why a cell's capacity cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum CapacityError {
    /// The machine's memory is not to be had.
    #[error("cannot read the machine's memory from /proc/meminfo: {0}; set the capacity by hand")]
    Memory(String),
    /// The disk's free space is not to be had.
    #[error("cannot read the free space of {dir}: {why}; set the capacity by hand")]
    Disk {
        /// Where.
        dir: String,
        /// What the machine said.
        why: String,
    },
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            logs: LogLimits::default(),
            starts_at_once: 16,
            removals_at_once: 16,
            removal_again_after: Duration::from_secs(1),
            downloads_at_once: 5,
            download_bytes_max: 4 << 30,
            upload_bytes_max: 256 << 20,
            download_cache_bytes_max: 10 << 30,
            transfer_timeout: Duration::from_secs(15 * 60),
            container_step: Duration::from_secs(60),
        }
    }
}

// === impl Config ===

impl Config {
    /// A cell of this name and place, all else by default.
    pub fn new(cell_id: CellId, data_dir: PathBuf, external_address: IpAddr) -> Self {
        Self {
            cell_id,
            zone: "z1".to_owned(),
            rep_url: String::new(),
            capacity: None,
            placement_tags: Vec::new(),
            optional_placement_tags: Vec::new(),
            labels: CellLabels::new(),
            warnings: Vec::new(),
            data_dir,
            external_address,
            announce: Announce::ContainerAddress,
            stop_grace: Duration::from_secs(10),
            dns_servers: None,
            hosts: Vec::new(),
            self_check: SelfCheck::default(),
            limits: Limits::default(),
        }
    }

    /// Where the small files of instances are.
    pub(crate) fn instances_dir(&self) -> PathBuf {
        self.data_dir.join("instances")
    }

    /// Where downloads are kept.
    pub(crate) fn downloads_dir(&self) -> PathBuf {
        self.data_dir.join("downloads")
    }

    /// Whom instances ask for names.
    pub(crate) fn resolved_dns_servers(&self) -> Vec<IpAddr> {
        self.dns_servers.clone().unwrap_or_else(|| {
            let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
            hosts_files::host_dns_servers(&text)
        })
    }
}

/// What the machine has for so many containers: its memory without what holds them, the free
/// space where `dir` is.
pub fn capacity_of(dir: &Path, containers: u64) -> Result<Resources, CapacityError> {
    let meminfo = std::fs::read_to_string("/proc/meminfo")
        .map_err(|error| CapacityError::Memory(error.to_string()))?;
    let total_mb = total_memory_mb(&meminfo)
        .ok_or_else(|| CapacityError::Memory("there is no MemTotal".to_owned()))?;
    let disk = rustix::fs::statvfs(dir).map_err(|error| CapacityError::Disk {
        dir: dir.display().to_string(),
        why: error.to_string(),
    })?;
    let disk_mb = disk.f_bavail.saturating_mul(disk.f_frsize) >> 20;
    let memory_mb = total_mb.saturating_sub(holders_mb(total_mb, containers));
    Ok(Resources { memory_mb, disk_mb, containers })
}

/// What the holders have of a machine's memory when it is full: of so many containers, or of as many
/// small ones as there is memory for.
fn holders_mb(total_mb: u64, containers: u64) -> u64 {
    HOLDER_MB * containers.min(total_mb / (HOLDER_MB + SMALL_CONTAINER_MB))
}

fn total_memory_mb(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_as_the_kernel_writes_it() {
        for (text, expected) in [
            ("MemTotal:        2048000 kB\nMemFree: 1 kB\n", Some(2000)),
            ("MemFree: 1 kB\n", None),
            ("MemTotal: lots\n", None),
        ] {
            assert_eq!(total_memory_mb(text), expected, "{text}");
        }
    }

    #[test]
    fn this_machine_has_memory_and_disk() {
        let capacity = capacity_of(Path::new("/"), 7).unwrap();
        assert!(capacity.memory_mb > 0 && capacity.containers == 7);
        let more = capacity_of(Path::new("/"), 8).unwrap();
        assert_eq!(more.memory_mb + HOLDER_MB, capacity.memory_mb, "each has its holder");
        assert!(capacity_of(Path::new("/no/such/place"), 7).is_err());
    }

    #[test]
    fn holders_take_their_share_of_a_large_machine_and_of_a_small_one() {
        for (total_mb, containers, expected) in
            [(24_000, 250, 250), (24_000, 1, 1), (1_000, 250, 30), (16, 250, 0), (0, 250, 0)]
        {
            assert_eq!(holders_mb(total_mb, containers), expected, "{containers} in {total_mb}");
        }
    }
}
