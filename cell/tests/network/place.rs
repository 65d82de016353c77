//! A place to test networks in: namespaces of their own, servers and connections in any of them.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use lattice_cell::network::routed::{NetworkConfig, RoutedNetwork};
use lattice_cell::runtime::ContainerId;
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_change, unmount};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

/// How long a connection that must come about may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a connection that must not come about is given.
const REFUSAL: Duration = Duration::from_millis(400);

/// A directory of a test's own; what is mounted in it goes before it does.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let mounts = std::fs::read_to_string("/proc/thread-self/mounts").unwrap_or_default();
        let places = mounts.lines().filter_map(|line| line.split(' ').nth(1));
        for place in places.filter(|place| Path::new(place).starts_with(self.path())) {
            let _ = unmount(place, UnmountFlags::DETACH);
        }
    }
}

/// Runs a test on a thread with network and mount namespaces of its own, and a tokio runtime on
/// that thread alone.
pub(crate) fn apart(test: impl AsyncFnOnce() + Send + 'static) {
    let outcome = std::thread::spawn(move || {
        // SAFETY: only this thread, and those it starts, work in the new namespaces.
        unsafe { unshare_unsafe(UnshareFlags::NEWNET | UnshareFlags::NEWNS) }.unwrap();
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
        run("ip link set lo up");
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio.block_on(test());
    });
    if let Err(panic) = outcome.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Runs a command of words and returns what it says.
pub(crate) fn run(command: &str) -> String {
    let words: Vec<&str> = command.split(' ').collect();
    let output = Command::new(words[0])
        .args(&words[1..])
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .output()
        .unwrap_or_else(|e| panic!("{command}: {e}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    said
}

pub(crate) fn config(dir: &Path) -> NetworkConfig {
    NetworkConfig { bridge: "lat-test".to_owned(), ..NetworkConfig::new(dir) }
}

pub(crate) async fn start(config: NetworkConfig) -> RoutedNetwork {
    RoutedNetwork::start(config).await.unwrap_or_else(|e| panic!("{e}"))
}

pub(crate) fn id(name: &str) -> ContainerId {
    ContainerId::new(name)
}

/// Does something inside a network namespace.
pub(crate) fn inside<T: Send>(netns: &Path, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let namespace = File::open(netns).unwrap();
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            work()
        });
        thread.join().unwrap()
    })
}

/// A server that answers every connection with `words` and the address it came from. Where
/// `netns` is `None` it is the host's. It lives as long as the test.
pub(crate) fn serve(netns: Option<&Path>, address: &str, words: &'static str) {
    let bind = || TcpListener::bind(address).unwrap_or_else(|e| panic!("{address}: {e}"));
    let listener = netns.map_or_else(bind, |netns| inside(netns, bind));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream: TcpStream = stream.unwrap();
            let peer = stream.peer_addr().unwrap().ip();
            let _ = write!(stream, "{words} {peer}");
        }
    });
}

/// Connects from a namespace (`None` is the host) and reads all that is said.
pub(crate) fn ask(netns: Option<&Path>, address: &str) -> io::Result<String> {
    connect(netns, address, PATIENCE)
}

/// True when no connection comes about.
pub(crate) fn is_out_of_reach(netns: Option<&Path>, address: &str) -> bool {
    connect(netns, address, REFUSAL).is_err()
}

fn connect(netns: Option<&Path>, address: &str, patience: Duration) -> io::Result<String> {
    let address: SocketAddr = address.parse().unwrap();
    let talk = || {
        let mut stream = TcpStream::connect_timeout(&address, patience)?;
        stream.set_read_timeout(Some(patience))?;
        let mut said = String::new();
        stream.read_to_string(&mut said)?;
        Ok(said)
    };
    netns.map_or_else(talk, |netns| inside(netns, talk))
}

/// Another machine at 192.0.2.2, which knows only this one, at 192.0.2.1.
pub(crate) fn neighbour(dir: &Path) -> PathBuf {
    let netns = dir.join("neighbour");
    File::create_new(&netns).unwrap();
    let bind = netns.clone();
    std::thread::spawn(move || {
        // SAFETY: this thread ends right after.
        unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.unwrap();
        rustix::mount::mount_bind("/proc/thread-self/ns/net", &bind).unwrap();
    })
    .join()
    .unwrap();
    run("ip link add out0 type veth peer name in0");
    let parent = File::open("/proc/thread-self/ns/net").unwrap();
    inside(&netns, || {
        run("ip link set lo up");
        drop(parent);
    });
    move_link("in0", &netns);
    run("ip addr add 192.0.2.1/24 dev out0");
    run("ip link set out0 up");
    inside(&netns, || {
        run("ip addr add 192.0.2.2/24 dev in0");
        run("ip addr add 169.254.169.254/32 dev in0");
        run("ip link set in0 up");
        run("ip route add 10.0.0.0/8 via 192.0.2.1");
    });
    run("ip route add 169.254.169.254/32 via 192.0.2.2");
    netns
}

fn move_link(link: &str, netns: &Path) {
    run(&format!("ip link set {link} netns {}", netns.display()));
}
