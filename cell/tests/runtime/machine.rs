//! A machine for real containers: a root filesystem of Debian's static busybox, network namespaces
//! of their own, and this test program as one that containers can run.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use lattice_cell::runtime::oci::{Engine, OciConfig, OciRuntime};
use lattice_cell::runtime::{ContainerBlueprint, ContainerId, Runtime};
use lattice_cell::userns::{self, UserNamespace};
use lattice_model::Limit;
use rustix::mount::{UnmountFlags, unmount};

const BUSYBOX: &str = "/bin/busybox";

/// Programs that the tests use; all of them are busybox.
const PROGRAMS: [&str; 21] = [
    "sh", "cat", "chown", "echo", "grep", "head", "id", "insmod", "kill", "ls", "mknod", "mount",
    "rm", "sleep", "stat", "stty", "tail", "true", "tty", "ulimit", "wc",
];

/// In a container this program does what is asked of it before the test harness reads its arguments.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = before_main;

extern "C" fn before_main() {
    let mut words = std::env::args_os();
    if words.nth(1).is_some_and(|word| word == *"call") {
        call(&words.collect::<Vec<_>>());
    }
}

/// Makes a system call with these numbers, and says which error it ended with.
fn call(words: &[OsString]) -> ! {
    let word = |at: usize| words.get(at).and_then(|word| word.to_str());
    let number = |at: usize| word(at).map_or(0, |word| word.parse::<libc::c_long>().unwrap());
    let name = word(0).unwrap_or_default();
    let calls = [
        ("delete_module", libc::SYS_delete_module),
        ("finit_module", libc::SYS_finit_module),
        ("init_module", libc::SYS_init_module),
        ("kill", libc::SYS_kill),
        ("pidfd_open", libc::SYS_pidfd_open),
        ("ptrace", libc::SYS_ptrace),
    ];
    let known = calls.iter().find(|(known, _)| *known == name).expect("it is one of these");
    // SAFETY: nothing is given an address but the null one, where nobody reads or writes.
    let answer = unsafe { libc::syscall(known.1, number(1), number(2), number(3), 0, 0, 0) };
    let error = std::io::Error::last_os_error().raw_os_error().unwrap_or_default();
    let said = if answer < 0 { format!("error {error}\n") } else { "allowed\n".to_owned() };
    rustix::io::write(rustix::stdio::stdout(), said.as_bytes()).unwrap();
    std::process::exit(0);
}

/// The machine of one test.
pub(crate) struct Machine {
    /// Removed at the end, after what is mounted in it.
    dir: tempfile::TempDir,
    engine: Engine,
}

impl Machine {
    pub(crate) fn with(engine: Engine) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // As a data directory is; the root of a container cannot pass it.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        Self { dir, engine }
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
        let dirs = ["netns", "userns"].map(|kind| fs::read_dir(self.path(kind)));
        for entry in dirs.into_iter().flatten().flatten().flatten() {
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
    let config = OciConfig { data_dir: data_dir.to_owned(), engine };
    OciRuntime::new(config).unwrap_or_else(|e| panic!("{e}"))
}

/// A container with 64 MiB, 64 processes, and users and a root filesystem of its own. A second one
/// of the same name takes their places.
pub(crate) fn blueprint_in(dir: &Path, name: &str) -> ContainerBlueprint {
    let path = |kind: &str| dir.join(kind).join(name);
    let (rootfs, netns, first) = (path("rootfs"), path("netns"), path("first-id"));
    let users = |first_id| UserNamespace { path: path("userns"), first_id };
    let users = match fs::read_to_string(&first) {
        Ok(id) => users(id.parse().unwrap()),
        Err(_) => {
            let users = users(next_first_id());
            for kind in ["netns", "userns", "first-id"] {
                fs::create_dir_all(dir.join(kind)).unwrap();
            }
            fs::write(first, users.first_id.to_string()).unwrap();
            userns::make(&users, &netns).unwrap();
            write_rootfs(&rootfs, &users);
            users
        }
    };
    ContainerBlueprint {
        id: ContainerId::new(name),
        hostname: format!("{name}-host"),
        rootfs,
        netns,
        files: Vec::new(),
        volumes: Vec::new(),
        memory_bytes: Limit::AtMost(64 << 20),
        cpu_shares: 1024,
        cpu_limit_percent: Limit::Unlimited,
        pids: Limit::AtMost(64),
        privileged: false,
        users: Some(users),
    }
}

/// No other container of this run has these.
fn next_first_id() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let place = std::process::id() % 0x100 * 0x100;
    0x1000_0000 + (place + NEXT.fetch_add(1, Ordering::Relaxed)) % 0x1000 * userns::IDS
}

fn write_rootfs(rootfs: &Path, users: &UserNamespace) {
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
    give(rootfs, users);
}

/// Gives a tree to an instance's root.
pub(crate) fn give(tree: &Path, users: &UserNamespace) {
    let owner = Some(users.first_id);
    lchown(tree, owner, owner).unwrap();
    if tree.symlink_metadata().unwrap().is_dir() {
        fs::read_dir(tree).unwrap().flatten().for_each(|entry| give(&entry.path(), users));
    }
}
