//! A machine for real containers: a root filesystem of Debian's static busybox, network namespaces
//! of their own, and this test program as the containers' init.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use lattice_cell::runtime::oci::{Engine, OciConfig, OciRuntime};
use lattice_cell::runtime::{ContainerBlueprint, ContainerId, Runtime, init};
use lattice_model::Limit;
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_bind, mount_change, unmount};
use rustix::thread::{UnshareFlags, unshare_unsafe};

const BUSYBOX: &str = "/bin/busybox";

/// Programs that the tests use; all of them are busybox.
const PROGRAMS: [&str; 13] = [
    "sh", "cat", "echo", "grep", "head", "id", "kill", "mount", "sleep", "tail", "true", "ulimit",
    "wc",
];

/// In a container this program is PID 1, and beside it, it is what holds it. Both are told before
/// the test harness reads its arguments.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = before_main;

extern "C" fn before_main() {
    let mut words = std::env::args_os();
    if words.next().is_some_and(|name| name == *init::PATH_INSIDE) {
        init::run();
        std::process::exit(0);
    }
    let outcome = match words.next().unwrap_or_default().to_str() {
        Some("shim") => lattice_shim::run(&words.next().unwrap_or_default()),
        Some("oci") => lattice_shim::embedded::run(words),
        _ => return,
    };
    std::process::exit(i32::from(outcome != ExitCode::SUCCESS));
}

/// The machine of one test.
pub(crate) struct Machine {
    /// Removed at the end, after what is mounted in it.
    dir: tempfile::TempDir,
    engine: Engine,
}

impl Machine {
    pub(crate) fn with(engine: Engine) -> Self {
        let machine = Self { dir: tempfile::tempdir().unwrap(), engine };
        fs::create_dir(machine.path("netns")).unwrap();
        machine
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn runtime(&self) -> OciRuntime {
        runtime_in(&self.path("data"), self.engine)
    }

    pub(crate) fn blueprint(&self, name: &str) -> ContainerBlueprint {
        blueprint_in(self.dir.path(), name)
    }
}

impl Drop for Machine {
    /// Also a test that failed leaves nothing behind.
    fn drop(&mut self) {
        let data_dirs = [self.path("data"), self.path("owned")];
        std::thread::scope(|scope| {
            scope.spawn(|| data_dirs.iter().for_each(|dir| delete_all(dir)));
        });
        for entry in fs::read_dir(self.path("netns")).unwrap().flatten() {
            let _ = unmount(entry.path(), UnmountFlags::DETACH);
        }
    }
}

fn delete_all(data_dir: &Path) {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio.block_on(async {
        let runtime = runtime_in(data_dir, Engine::Embedded);
        for id in runtime.list().await.unwrap() {
            runtime.delete(&id).await.unwrap();
        }
    });
}

pub(crate) fn runtime_in(data_dir: &Path, engine: Engine) -> OciRuntime {
    let config =
        OciConfig { data_dir: data_dir.to_owned(), engine, own_program: "/proc/self/exe".into() };
    OciRuntime::new(config).unwrap_or_else(|e| panic!("{e}"))
}

/// A container with 64 MiB, 64 processes and a root filesystem of its own.
pub(crate) fn blueprint_in(dir: &Path, name: &str) -> ContainerBlueprint {
    let rootfs = dir.join("rootfs").join(name);
    if !rootfs.exists() {
        write_rootfs(&rootfs);
    }
    let netns = dir.join("netns").join(name);
    if !netns.exists() {
        make_netns(&netns);
    }
    ContainerBlueprint {
        id: ContainerId::new(name),
        hostname: format!("{name}-host"),
        rootfs,
        netns,
        files: Vec::new(),
        memory_bytes: Limit::AtMost(64 << 20),
        cpu_shares: 1024,
        pids: Limit::AtMost(64),
        privileged: false,
    }
}

fn write_rootfs(rootfs: &Path) {
    let bin = rootfs.join("bin");
    fs::create_dir_all(&bin).unwrap();
    fs::create_dir_all(rootfs.join("etc")).unwrap();
    let busybox = bin.join("busybox");
    let copied = fs::copy(BUSYBOX, &busybox);
    copied.unwrap_or_else(|e| panic!("{BUSYBOX}: {e}; apt-get install busybox-static"));
    fs::set_permissions(&busybox, fs::Permissions::from_mode(0o755)).unwrap();
    for program in PROGRAMS {
        symlink("busybox", bin.join(program)).unwrap();
    }
    fs::write(rootfs.join("etc/passwd"), "root:x:0:0::/:/bin/sh\n").unwrap();
}

/// Binds a new network namespace to a file.
fn make_netns(path: &Path) {
    fs::write(path, "").unwrap();
    let path = path.to_owned();
    let made = std::thread::spawn(move || {
        // SAFETY: this thread ends right after, so nothing sees the change.
        unsafe { unshare_unsafe(UnshareFlags::NEWNET) }?;
        mount_bind("/proc/thread-self/ns/net", &path)?;
        mount_change(&path, MountPropagationFlags::PRIVATE)
    });
    made.join().unwrap().unwrap();
}
