//! Where containers are made, ours and others': one small root filesystem, one network and one range
//! of users for all of them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use lattice_cell::runtime::oci::{Engine, OciConfig, OciRuntime};
use lattice_cell::runtime::{ContainerBlueprint, ContainerId, ProcessSpec};
use lattice_cell::userns::{self, UserNamespace};
use lattice_model::Limit;
use rustix::mount::{UnmountFlags, unmount};
use serde_json::{Value, json};

/// Where containers are made: one root filesystem, one network namespace and one range of users for
/// all of them.
pub(super) struct Place {
    pub(super) dir: PathBuf,
    users: UserNamespace,
    _scratch: tempfile::TempDir,
}

// === impl Place ===

impl Place {
    pub(super) fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path().to_owned();
        let bin = dir.join("rootfs/bin");
        fs::create_dir_all(&bin).unwrap();
        let busybox = bin.join("busybox");
        fs::copy("/bin/busybox", &busybox).expect("script/bootstrap installs busybox-static");
        fs::set_permissions(&busybox, fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["echo", "sleep"] {
            std::os::unix::fs::symlink("busybox", bin.join(name)).unwrap();
        }
        // crun refuses a machine with both versions of control groups; this one's mounts are its own.
        let _ = unmount("/sys/fs/cgroup/unified", UnmountFlags::DETACH);
        let users = UserNamespace { path: dir.join("userns"), first_id: 0x1000_0000 };
        userns::make(&users, &dir.join("netns")).unwrap();
        give(&dir.join("rootfs"), &users);
        Self { dir, users, _scratch: scratch }
    }

    pub(super) fn runtime(&self) -> OciRuntime {
        let config = OciConfig { data_dir: self.dir.join("data"), engine: Engine::Embedded };
        OciRuntime::new(config).unwrap()
    }

    /// What a start runs of ours.
    pub(super) fn programs(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.dir.join("data/program")).unwrap();
        files.map(|file| file.unwrap().path()).collect()
    }

    pub(super) fn blueprint(&self, id: &ContainerId) -> ContainerBlueprint {
        ContainerBlueprint {
            id: id.clone(),
            hostname: id.to_string(),
            rootfs: self.dir.join("rootfs"),
            netns: self.dir.join("netns"),
            files: Vec::new(),
            volumes: Vec::new(),
            memory_bytes: Limit::AtMost(64 << 20),
            cpu_shares: 1024,
            cpu_limit_percent: Limit::Unlimited,
            pids: Limit::AtMost(64),
            privileged: false,
            users: Some(self.users.clone()),
        }
    }

    /// What our container was made from is what the others get.
    pub(super) fn keep_config(&self, id: &ContainerId) {
        let config = self.dir.join("data/containers").join(id.as_str()).join("config.json");
        let kept = self.dir.join("config.json");
        if !kept.exists() {
            fs::copy(config, kept).unwrap();
        }
    }

    /// Writes what a container in this control group is made from.
    pub(super) fn write_bundle(&self, bundle: &Path, group: &str, argv: &[&str]) {
        let config = fs::read(self.dir.join("config.json")).expect("ours has started before");
        let mut config: Value = serde_json::from_slice(&config).unwrap();
        config["process"]["args"] = json!(argv);
        config["linux"]["cgroupsPath"] = json!(group);
        fs::create_dir_all(bundle).unwrap();
        fs::write(bundle.join("config.json"), config.to_string()).unwrap();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for name in ["netns", "userns"] {
            let _ = unmount(self.dir.join(name), UnmountFlags::DETACH);
        }
        for mount in fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            for group in ["lattice-bench/daemons", "lattice-bench"] {
                let _ = fs::remove_dir(mount.path().join(group));
            }
        }
    }
}

pub(super) fn spec(argv: &[&str]) -> ProcessSpec {
    let path = lattice_model::action::EnvVar { name: "PATH".into(), value: "/bin".into() };
    let argv = argv.iter().map(|&word| word.to_owned()).collect();
    ProcessSpec { env: vec![path], ..ProcessSpec::plain(argv) }
}

/// Gives a tree to the root of the containers.
fn give(tree: &Path, users: &UserNamespace) {
    let owner = Some(users.first_id);
    std::os::unix::fs::lchown(tree, owner, owner).unwrap();
    if tree.symlink_metadata().unwrap().is_dir() {
        fs::read_dir(tree).unwrap().flatten().for_each(|entry| give(&entry.path(), users));
    }
}
