//! What the OCI runtime sees of this machine while it makes a container. The container's root is
//! nobody here, and cannot pass directories that are closed to others: what it needs from behind
//! them is shown at the same place, in open directories that are there for this one call.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use lattice_shim_protocol::Settings;
use rustix::fs::{AtFlags, CWD, Mode};
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount,
    mount_change, move_mount, open_tree, unmount,
};
use rustix::process::umask;
use rustix::thread::{UnshareFlags, unshare_unsafe};
use serde_json::Value;

/// What others may do with the directories in which things are shown: pass.
const OPEN: u32 = 0o711;

/// Enters a view of its own where one is needed. For the child that is about to become the OCI
/// runtime with `bundle` as its working directory; of a process of one thread, as it allocates.
pub(crate) fn enter(settings: &Settings, bundle: &Path, makes: bool) -> io::Result<()> {
    let mounts = match settings.hides_cgroup2 {
        true => fs::read_to_string("/proc/self/mountinfo")?,
        false => String::new(),
    };
    let hidden = cgroup2_beside_version_1(&mounts);
    let shown = if makes { needed(bundle, &settings.root)? } else { Vec::new() };
    let closed: BTreeSet<PathBuf> = shown.iter().filter_map(|path| closed_above(path)).collect();
    if hidden.is_empty() && closed.is_empty() {
        return Ok(());
    }
    // SAFETY: only the mount namespace of this process, which has one thread, changes.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }?;
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
    hidden.into_iter().try_for_each(|place| unmount(place, UnmountFlags::DETACH))?;
    // Whatever this process was started with, what is made here can be passed.
    let usual = umask(Mode::empty());
    let outcome = closed.iter().try_for_each(|directory| open_up(directory, &shown));
    umask(usual);
    outcome?;
    std::env::set_current_dir(bundle)
}

/// What a container in users of its own, and the program that makes it, must find. Nothing for a
/// container whose root is this host's.
fn needed(bundle: &Path, root: &Path) -> io::Result<Vec<PathBuf>> {
    let config: Value = serde_json::from_slice(&fs::read(bundle.join("config.json"))?)?;
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let namespaces = list(&config["linux"]["namespaces"]);
    if !namespaces.iter().any(|namespace| namespace["type"] == "user") {
        return Ok(Vec::new());
    }
    let binds = list(&config["mounts"]).into_iter().filter(|mount| mount["type"] == "bind");
    let named = namespaces.into_iter().map(|namespace| namespace["path"].clone());
    let named = named.chain(binds.map(|bind| bind["source"].clone()));
    let named = named.chain([config["root"]["path"].clone()]);
    let named = named.filter_map(|path| path.as_str().map(PathBuf::from));
    let named = named.chain([bundle.to_owned(), root.to_owned()]);
    // Of what is not there the OCI runtime speaks itself.
    let mut all: Vec<PathBuf> = named.filter_map(|path| path.canonicalize().ok()).collect();
    // What is within another thing is shown with it.
    all.sort();
    all.dedup_by(|path, before| path.starts_with(before));
    Ok(all)
}

/// The first directory on the way to `path` that others cannot pass.
fn closed_above(path: &Path) -> Option<PathBuf> {
    let way: Vec<&Path> = path.parent()?.ancestors().collect();
    let is_closed = |dir: &&Path| fs::metadata(dir).is_ok_and(|found| found.mode() & 1 == 0);
    way.into_iter().rev().find(is_closed).map(Path::to_owned)
}

/// Puts an open directory in the place of a closed one, with those of `shown` that are in it.
fn open_up(closed: &Path, shown: &[PathBuf]) -> io::Result<()> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let flags = flags | OpenTreeFlags::AT_RECURSIVE;
    let within = shown.iter().filter(|path| path.starts_with(closed));
    let trees: Vec<(&PathBuf, OwnedFd)> =
        within.map(|path| Ok((path, open_tree(CWD, path, flags)?))).collect::<io::Result<_>>()?;
    let data = CString::new(format!("mode={OPEN:o}")).map_err(io::Error::other)?;
    mount("tmpfs", closed, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, data.as_c_str())?;
    for (path, tree) in trees {
        let is_dir = rustix::fs::statat(&tree, "", AtFlags::EMPTY_PATH)
            .map(|found| found.st_mode & libc::S_IFMT == libc::S_IFDIR)?;
        let mut directories = DirBuilder::new();
        directories.recursive(true).mode(OPEN);
        if is_dir {
            directories.create(path)?;
        } else {
            directories.create(path.parent().unwrap_or(closed))?;
            File::create(path)?;
        }
        move_mount(&tree, "", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    }
    Ok(())
}

/// Where version 2 is mounted on a machine that has version 1 as well.
fn cgroup2_beside_version_1(mountinfo: &str) -> Vec<&str> {
    let mounts = mountinfo.lines().filter_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        Some((mount.split(' ').nth(4)?, kind.split(' ').next()?))
    });
    let mounts: Vec<(&str, &str)> = mounts.collect();
    if !mounts.iter().any(|(_, kind)| *kind == "cgroup") {
        return Vec::new();
    }
    mounts.iter().filter(|(_, kind)| *kind == "cgroup2").map(|(place, _)| *place).collect()
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use serde_json::json;

    use super::*;

    #[test]
    fn version_2_is_found_where_it_stands_beside_version_1() {
        let v1 = "31 30 0:27 / /sys/fs/cgroup/cpu rw shared:9 - cgroup cgroup rw,cpu\n";
        let v2 = "34 30 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        assert_eq!(cgroup2_beside_version_1(&format!("{v1}{v2}")), ["/sys/fs/cgroup/unified"]);
        assert_eq!(cgroup2_beside_version_1(v2), [] as [&str; 0]);
        assert_eq!(cgroup2_beside_version_1(v1), [] as [&str; 0]);
    }

    #[test]
    fn only_users_of_its_own_need_anything_shown() {
        let dir = std::env::temp_dir().join(format!("lattice-view-{}", std::process::id()));
        let bundle = dir.join("a/b");
        fs::create_dir_all(&bundle).unwrap();
        let mut config = json!({
            "root": {"path": "/usr"},
            "mounts": [{"type": "bind", "source": "/etc/passwd"}, {"type": "proc", "source": "/"}],
            "linux": {"namespaces": [{"type": "pid"}, {"type": "network", "path": "/etc/group"}]},
        });
        let mut ask = |kind: Option<&str>| {
            let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
            namespaces.extend(kind.map(|kind| json!({"type": kind, "path": "/no/such/file"})));
            fs::write(bundle.join("config.json"), config.to_string()).unwrap();
            needed(&bundle, Path::new("/usr/bin")).unwrap()
        };
        assert_eq!(ask(None), [] as [PathBuf; 0]);
        let mut expected = ["/etc/group", "/etc/passwd", "/usr"].map(PathBuf::from).to_vec();
        expected.push(bundle.clone());
        expected.sort();
        assert_eq!(ask(Some("user")), expected, "what is there, and nothing twice");

        fs::set_permissions(&dir, Permissions::from_mode(0o755)).unwrap();
        assert_eq!(closed_above(&bundle), None);
        fs::set_permissions(bundle.parent().unwrap(), Permissions::from_mode(0o750)).unwrap();
        assert_eq!(closed_above(&bundle), Some(dir.join("a")));
        fs::set_permissions(&dir, Permissions::from_mode(0o700)).unwrap();
        assert_eq!(closed_above(&bundle), Some(dir.clone()));
        fs::remove_dir_all(&dir).unwrap();
    }
}
