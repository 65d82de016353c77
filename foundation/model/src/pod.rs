//! What an instance holds besides its main process: sidecars, further containers, and the volumes
//! that containers share.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::action::Action;
use crate::desired_lrp::ContainerSpec;
use crate::resources::Limit;

/// The main container's name.
pub const MAIN: &str = "main";
/// The most containers and sidecars of one instance, the main one included.
pub const MEMBERS_MAX: usize = 16;
/// The most mounts of one container.
pub const MOUNTS_MAX: usize = 16;
/// The longest name of a container, a sidecar or a volume, in bytes.
pub const NAME_BYTES_MAX: usize = 32;
/// The longest path of a mount, in bytes.
pub const PATH_BYTES_MAX: usize = 256;

/// What the platform puts into every container itself.
const TAKEN: [&str; 4] = ["/proc", "/sys", "/dev", "/.lattice"];

/// A process beside a container's own, in the same root filesystem and network (Diego's sidecar).
/// When it ends, be it well, the instance ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sidecar {
    /// Unique among the instance's containers and sidecars.
    pub name: String,
    /// What it does.
    pub action: Action,
    /// Its own bound, in MiB; without one it lives within the container's.
    pub memory_mb: Limit,
    /// What it adds to the container's disk, in MiB: they share one root filesystem.
    pub disk_mb: Limit,
}

/// A volume as a container sees it. A volume is there as long as its instance, and every container
/// of the instance that names it has the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// The volume's name.
    pub volume: String,
    /// Where it is seen: an absolute path.
    pub path: String,
    /// True when this container may not write to it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub read_only: bool,
}

// === impl Mount ===

impl Mount {
    /// What is wrong with it by itself.
    fn fault(&self) -> Option<String> {
        if let Err(why) = check_name(&self.volume) {
            return Some(format!("volume '{}': {why}", self.volume));
        }
        let path = self.path.as_str();
        let has_odd_part = path.split('/').skip(1).any(|part| ["", ".", ".."].contains(&part));
        let bytes = path.len();
        if bytes > PATH_BYTES_MAX {
            return Some(format!("a path of {bytes} bytes is longer than {PATH_BYTES_MAX}"));
        }
        if !path.starts_with('/') || has_odd_part || path.contains(['\0', '\n']) {
            return Some(format!("'{path}' is not an absolute path without . and .."));
        }
        let taken = TAKEN.into_iter().find(|taken| path.strip_prefix(taken).is_some_and(is_end));
        taken.map(|taken| format!("'{path}' is within {taken}, which is the platform's"))
    }
}

/// What is wrong with an instance's containers, as far as it is about more than one field; the
/// first of them is the main one.
pub fn faults(containers: &[ContainerSpec]) -> Vec<String> {
    let mut faults = Vec::new();
    let names: Vec<&str> = containers.iter().flat_map(names_of).collect();
    if names.len() > MEMBERS_MAX {
        let count = names.len();
        faults.push(format!("{count} containers and sidecars are more than {MEMBERS_MAX}"));
    }
    let mut known = BTreeSet::new();
    for name in names {
        if let Err(why) = check_name(name) {
            faults.push(format!("name '{name}': {why}"));
        } else if !known.insert(name) {
            faults.push(format!("name '{name}' is there twice"));
        }
    }
    let mut ports = BTreeSet::new();
    for port in containers.iter().flat_map(|container| &container.ports) {
        // The main one's may be there twice, as the Receptor allows; the others share its network.
        if !ports.insert(port) && !containers[0].ports.contains(port) {
            faults.push(format!("port {port} is there twice"));
        }
    }
    for container in containers {
        faults.extend(mount_faults(container));
    }
    faults
}

fn names_of(container: &ContainerSpec) -> impl Iterator<Item = &str> {
    let sidecars = container.sidecars.iter().map(|sidecar| sidecar.name.as_str());
    std::iter::once(container.name.as_str()).chain(sidecars)
}

fn mount_faults(container: &ContainerSpec) -> Vec<String> {
    let (mounts, name) = (&container.mounts, &container.name);
    let mut faults: Vec<String> = mounts.iter().filter_map(Mount::fault).collect();
    if mounts.len() > MOUNTS_MAX {
        let count = mounts.len();
        faults.push(format!("{count} mounts of {name} are more than {MOUNTS_MAX}"));
    }
    let mut paths = BTreeSet::new();
    for mount in mounts {
        if !paths.insert(&mount.path) {
            faults.push(format!("'{}' of {name} is there twice", mount.path));
        }
    }
    faults
}

fn check_name(name: &str) -> Result<(), &'static str> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let is_name = !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(allowed);
    if is_name { Ok(()) } else { Err("1 to 32 letters, digits, - and _ are a name") }
}

fn is_end(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with('/')
}

fn is_false(truth: &bool) -> bool {
    !truth
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Run;
    use crate::desired_lrp::ContainerLimits;

    fn action() -> Action {
        Action::Run(Run { path: "/app".into(), user: "u".into(), ..Run::default() })
    }

    fn container(name: &str) -> ContainerSpec {
        ContainerSpec {
            name: name.into(),
            rootfs: "docker:///app".into(),
            env: vec![],
            setup: None,
            action: action(),
            monitor: None,
            checks: Default::default(),
            stop: Default::default(),
            limits: ContainerLimits::default(),
            ports: vec![],
            privileged: false,
            sidecars: vec![],
            mounts: vec![],
        }
    }

    fn sidecar(name: &str) -> Sidecar {
        let (memory_mb, disk_mb) = (Limit::Unlimited, Limit::Unlimited);
        Sidecar { name: name.into(), action: action(), memory_mb, disk_mb }
    }

    fn mounted(path: &str) -> Vec<String> {
        let mount = Mount { volume: "data".into(), path: path.into(), read_only: false };
        faults(&[ContainerSpec { mounts: vec![mount], ..container(MAIN) }])
    }

    #[test]
    fn names_are_unique_over_containers_and_sidecars() {
        let mut main = container(MAIN);
        main.sidecars = vec![sidecar("proxy"), sidecar("log")];
        assert_eq!(faults(&[main.clone(), container("db")]), [] as [String; 0]);
        assert_eq!(
            faults(&[main.clone(), container("proxy"), container("")]),
            ["name 'proxy' is there twice", "name '': 1 to 32 letters, digits, - and _ are a name"]
        );
        main.sidecars = (0..16).map(|n| sidecar(&format!("s{n}"))).collect();
        assert_eq!(faults(&[main]), ["17 containers and sidecars are more than 16"]);
    }

    #[test]
    fn ports_are_shared_and_so_taken_once() {
        let with =
            |name: &str, ports: &[u16]| ContainerSpec { ports: ports.to_vec(), ..container(name) };
        assert_eq!(faults(&[with(MAIN, &[80, 80]), with("b", &[81])]), [] as [String; 0]);
        let twice = faults(&[with(MAIN, &[80]), with("b", &[81]), with("c", &[81])]);
        assert_eq!(twice, ["port 81 is there twice"]);
    }

    #[test]
    fn a_mount_has_a_path_of_its_own() {
        for (path, fault) in [
            ("/data", None),
            ("/var/lib/app", None),
            ("/developers", None),
            ("data", Some("'data' is not an absolute path without . and ..")),
            ("/", Some("'/' is not an absolute path without . and ..")),
            ("/a/../etc", Some("'/a/../etc' is not an absolute path without . and ..")),
            ("/a//b", Some("'/a//b' is not an absolute path without . and ..")),
            ("/dev", Some("'/dev' is within /dev, which is the platform's")),
            ("/proc/sys", Some("'/proc/sys' is within /proc, which is the platform's")),
        ] {
            assert_eq!(mounted(path), fault.into_iter().collect::<Vec<_>>(), "{path}");
        }
        let long = format!("/{}", "x".repeat(PATH_BYTES_MAX));
        assert_eq!(mounted(&long), ["a path of 257 bytes is longer than 256"]);
    }
}
