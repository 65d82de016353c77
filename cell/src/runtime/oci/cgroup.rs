//! The containers' cgroups, version 1 and 2: where they are, what they count, and their end.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::process::{Pid, Signal, kill_process};
use sha2::{Digest, Sha256};

use crate::runtime::{ContainerId, RuntimeError, Usage};

/// Where this data directory's containers are among the cgroups.
#[derive(Debug, Clone)]
pub(super) struct Cgroups {
    hierarchies: Arc<Hierarchies>,
    /// One directory for all, named for the data directory.
    parent: String,
}

/// One container's cgroups.
#[derive(Debug, Clone)]
pub(super) struct Leaf {
    hierarchies: Arc<Hierarchies>,
    /// Relative to each hierarchy's mount point.
    path: PathBuf,
}

/// Which cgroup file systems are mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hierarchies {
    /// All mount points, those without a controller included.
    all: Vec<PathBuf>,
    counters: Counters,
}

/// Where the numbers are read.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Counters {
    V1 { memory: PathBuf, cpu: PathBuf, pids: PathBuf },
    V2(PathBuf),
}

// === impl Cgroups ===

impl Cgroups {
    /// Finds the mounted hierarchies.
    pub(super) fn detect(data_dir: &Path) -> Result<Self, RuntimeError> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let hierarchies = Hierarchies::parse(&mounts).ok_or_else(|| {
            RuntimeError::Unavailable(
                "cannot limit containers: no cgroup file system with memory, cpu and pids is \
                 mounted; mount -t cgroup2 none /sys/fs/cgroup"
                    .to_owned(),
            )
        })?;
        let hash = Sha256::digest(data_dir.as_os_str().as_encoded_bytes());
        let parent = format!("lattice-{}", hex::encode(&hash[..4]));
        Ok(Self { hierarchies: Arc::new(hierarchies), parent })
    }

    /// What the OCI runtime is told.
    pub(super) fn path_inside(&self, id: &ContainerId) -> String {
        format!("/{}/{id}", self.parent)
    }

    /// Where the hierarchies are mounted.
    pub(super) fn mounts(&self) -> Vec<PathBuf> {
        self.hierarchies.all.clone()
    }

    pub(super) fn leaf(&self, id: &ContainerId) -> Leaf {
        let path = Path::new(&self.parent).join(id.as_str());
        Leaf { hierarchies: self.hierarchies.clone(), path }
    }

    /// The names of all containers that have a cgroup.
    pub(super) fn leaves(&self) -> Vec<String> {
        let parents = self.hierarchies.all.iter().map(|mount| mount.join(&self.parent));
        parents.flat_map(|parent| subdirectories(&parent)).filter_map(file_name).collect()
    }

    /// Removes the parent from every hierarchy where no container is left in it.
    pub(super) fn remove_parent_when_empty(&self) {
        for mount in &self.hierarchies.all {
            // One that is absent or in use is as it should be.
            let _ = fs::remove_dir(mount.join(&self.parent));
        }
    }

    /// True when a container's swap can be bound. Version 2 needs no question: there the OCI
    /// runtime leaves out what the kernel does not have.
    pub(super) fn has_swap_limit(&self) -> bool {
        match &self.hierarchies.counters {
            Counters::V1 { memory, .. } => memory.join("memory.memsw.limit_in_bytes").exists(),
            Counters::V2(_) => true,
        }
    }
}

// === impl Leaf ===

impl Leaf {
    /// What the container uses.
    pub(super) fn usage(&self) -> io::Result<Usage> {
        match &self.hierarchies.counters {
            Counters::V1 { memory, cpu, pids } => {
                let memory = memory.join(&self.path);
                let used = number(&memory.join("memory.usage_in_bytes"))?;
                let cache = field(&memory.join("memory.stat"), "total_inactive_file")?;
                Ok(Usage {
                    cpu_ns: number(&cpu.join(&self.path).join("cpuacct.usage"))?,
                    memory_bytes: used.saturating_sub(cache),
                    memory_peak_bytes: number(&memory.join("memory.max_usage_in_bytes"))?,
                    pids: number(&pids.join(&self.path).join("pids.current"))?,
                })
            }
            Counters::V2(root) => {
                let dir = root.join(&self.path);
                let used = number(&dir.join("memory.current"))?;
                let cache = field(&dir.join("memory.stat"), "inactive_file")?;
                Ok(Usage {
                    cpu_ns: field(&dir.join("cpu.stat"), "usage_usec")?.saturating_mul(1000),
                    memory_bytes: used.saturating_sub(cache),
                    // Kernels before 5.19 do not keep the peak.
                    memory_peak_bytes: number(&dir.join("memory.peak")).unwrap_or(used),
                    pids: number(&dir.join("pids.current"))?,
                })
            }
        }
    }

    /// Tells all that is in it to stand still, or to run, and says whether all of it stands still.
    pub(super) fn freeze(&self, frozen: bool) -> io::Result<bool> {
        let has = |file: &str| self.dirs().into_iter().find(|dir| dir.join(file).exists());
        if let Some(v1) = has("freezer.state") {
            let state = v1.join("freezer.state");
            fs::write(&state, if frozen { "FROZEN" } else { "THAWED" })?;
            return Ok(fs::read_to_string(&state)?.trim() == "FROZEN");
        }
        let v2 = has("cgroup.freeze").ok_or_else(|| {
            io::Error::other("no control group that can freeze is mounted on this machine")
        })?;
        fs::write(v2.join("cgroup.freeze"), if frozen { "1" } else { "0" })?;
        Ok(field(&v2.join("cgroup.events"), "frozen")? == 1)
    }

    /// The file where the kernel counts what it killed in it for want of memory.
    pub(super) fn memory_events(&self) -> PathBuf {
        match &self.hierarchies.counters {
            Counters::V1 { memory, .. } => memory.join(&self.path).join("memory.oom_control"),
            Counters::V2(root) => root.join(&self.path).join("memory.events"),
        }
    }

    /// The processes in it, those of cgroups that it made itself included.
    pub(super) fn processes(&self) -> Vec<i32> {
        let mut found: Vec<i32> = self.dirs().iter().flat_map(|dir| processes_below(dir)).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Sends SIGKILL to all that is in it, which what stands still in version 1 would not take.
    pub(super) fn kill_all(&self) {
        // One that cannot be frozen is not.
        let _ = self.freeze(false);
        for pid in self.processes().into_iter().filter_map(Pid::from_raw) {
            // One that has ended meanwhile is what was wanted.
            let _ = kill_process(pid, Signal::KILL);
        }
    }

    /// Sends SIGTERM to all that is in it but one.
    pub(super) fn terminate_all_but(&self, spared: Option<i32>) {
        let _ = self.freeze(false);
        let targets = self.processes().into_iter().filter(|pid| Some(*pid) != spared);
        for pid in targets.filter_map(Pid::from_raw) {
            // One that has ended meanwhile is what was wanted.
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    /// Removes it; an error while something lives in it, none when there is nothing.
    pub(super) fn remove(&self) -> io::Result<()> {
        self.dirs().iter().try_for_each(|dir| remove_tree(dir))
    }

    /// Where it is, in each hierarchy.
    pub(super) fn dirs(&self) -> Vec<PathBuf> {
        self.hierarchies.all.iter().map(|mount| mount.join(&self.path)).collect()
    }
}

// === impl Hierarchies ===

impl Hierarchies {
    /// Reads a `/proc/PID/mountinfo`. Where version 1 has the memory controller (a "hybrid"
    /// machine), version 2 has none.
    fn parse(mountinfo: &str) -> Option<Self> {
        let mounts: Vec<Mount<'_>> = mountinfo.lines().filter_map(Mount::parse).collect();
        let with = |controller: &str| {
            let mut v1 = mounts.iter().filter(|mount| mount.kind == "cgroup");
            v1.find(|mount| mount.options.split(',').any(|option| option == controller))
        };
        let v2 = mounts.iter().find(|mount| mount.kind == "cgroup2");
        let counters = match (with("memory"), with("cpuacct"), with("pids"), v2) {
            (Some(memory), Some(cpu), Some(pids), _) => Counters::V1 {
                memory: memory.point.into(),
                cpu: cpu.point.into(),
                pids: pids.point.into(),
            },
            (None, _, _, Some(v2)) => Counters::V2(v2.point.into()),
            _ => return None,
        };
        let mut all: Vec<PathBuf> = mounts.iter().map(|mount| mount.point.into()).collect();
        all.sort();
        all.dedup();
        Some(Self { all, counters })
    }
}

/// A cgroup file system in mountinfo.
struct Mount<'a> {
    point: &'a str,
    kind: &'a str,
    options: &'a str,
}

impl<'a> Mount<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut fields = file_system.split(' ');
        let kind = fields.next()?;
        let options = fields.nth(1)?;
        let is_cgroup = kind == "cgroup" || kind == "cgroup2";
        is_cgroup.then_some(())?;
        Some(Self { point: mount.split(' ').nth(4)?, kind, options })
    }
}

fn number(file: &Path) -> io::Result<u64> {
    let text = fs::read_to_string(file)?;
    text.trim().parse().map_err(|_| odd(file))
}

/// The number after `name` in a file of `name number` lines.
fn field(file: &Path, name: &str) -> io::Result<u64> {
    let text = fs::read_to_string(file)?;
    let line = text.lines().filter_map(|line| line.split_once(' ')).find(|(key, _)| *key == name);
    line.and_then(|(_, value)| value.trim().parse().ok()).ok_or_else(|| odd(file))
}

fn odd(file: &Path) -> io::Error {
    io::Error::other(format!("{} is not as expected", file.display()))
}

fn processes_below(dir: &Path) -> Vec<i32> {
    let text = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    let mut found: Vec<i32> = text.lines().filter_map(|line| line.parse().ok()).collect();
    found.extend(subdirectories(dir).iter().flat_map(|inner| processes_below(inner)));
    found
}

fn remove_tree(dir: &Path) -> io::Result<()> {
    for inner in subdirectories(dir) {
        remove_tree(&inner)?;
    }
    match fs::remove_dir(dir) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

fn subdirectories(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let entries = entries.flatten();
    let dirs = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    dirs.map(|entry| entry.path()).collect()
}

fn file_name(path: PathBuf) -> Option<String> {
    Some(path.file_name()?.to_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
        30 23 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
        31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
        32 30 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
        33 30 0:29 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n\
        34 30 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

    #[test]
    fn a_hybrid_machine_counts_in_version_1() {
        let found = Hierarchies::parse(HYBRID).unwrap();
        let at = |name: &str| PathBuf::from("/sys/fs/cgroup").join(name);
        let (memory, cpu, pids) = (at("memory"), at("cpu,cpuacct"), at("pids"));
        assert_eq!(found.counters, Counters::V1 { memory, cpu, pids });
        assert_eq!(found.all.len(), 4, "the hierarchy without controllers is cleared as well");
    }

    #[test]
    fn a_machine_with_version_2_alone_counts_there() {
        let found = Hierarchies::parse("30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
        assert_eq!(found.unwrap().counters, Counters::V2("/sys/fs/cgroup".into()));
    }

    #[test]
    fn a_machine_without_cgroups_is_refused() {
        assert_eq!(Hierarchies::parse("30 23 0:26 / / rw - ext4 /dev/vda rw\n"), None);
    }

    fn leaf_v2(root: &Path) -> Leaf {
        let hierarchies =
            Hierarchies { all: vec![root.to_owned()], counters: Counters::V2(root.to_owned()) };
        Leaf { hierarchies: Arc::new(hierarchies), path: "p/c".into() }
    }

    #[test]
    fn version_2_files_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let leaf = leaf_v2(dir.path());
        let at = dir.path().join("p/c");
        fs::create_dir_all(&at).unwrap();
        fs::write(at.join("memory.current"), "5000\n").unwrap();
        fs::write(at.join("memory.stat"), "anon 1\ninactive_file 1000\n").unwrap();
        fs::write(at.join("cpu.stat"), "usage_usec 7\nuser_usec 3\n").unwrap();
        fs::write(at.join("pids.current"), "3\n").unwrap();
        let mut expected =
            Usage { cpu_ns: 7000, memory_bytes: 4000, memory_peak_bytes: 5000, pids: 3 };
        assert_eq!(leaf.usage().unwrap(), expected);
        fs::write(at.join("memory.peak"), "9000\n").unwrap();
        expected.memory_peak_bytes = 9000;
        assert_eq!(leaf.usage().unwrap(), expected);
        assert_eq!(leaf.memory_events(), at.join("memory.events"));
    }

    #[test]
    fn version_2_is_frozen_by_its_files() {
        let dir = tempfile::tempdir().unwrap();
        let leaf = leaf_v2(dir.path());
        assert!(leaf.freeze(true).unwrap_err().to_string().contains("can freeze"));
        let at = dir.path().join("p/c");
        fs::create_dir_all(&at).unwrap();
        fs::write(at.join("cgroup.freeze"), "0\n").unwrap();
        fs::write(at.join("cgroup.events"), "populated 1\nfrozen 0\n").unwrap();
        assert!(!leaf.freeze(true).unwrap(), "it takes a while");
        assert_eq!(fs::read_to_string(at.join("cgroup.freeze")).unwrap(), "1");
        fs::write(at.join("cgroup.events"), "populated 1\nfrozen 1\n").unwrap();
        assert!(leaf.freeze(true).unwrap());
    }

    #[test]
    fn a_cgroup_that_is_gone_can_be_removed_again() {
        let dir = tempfile::tempdir().unwrap();
        let leaf = leaf_v2(dir.path());
        leaf.remove().unwrap();
        assert!(leaf.usage().is_err());
    }
}
