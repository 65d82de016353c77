//! What is made, what is left, and what is taken away.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::{AsRawFd as _, FromRawFd as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use lattice_cell::network::routed::{NetworkConfig, RoutedNetwork};
use lattice_cell::network::{Attachment, Network};
use lattice_cell::userns::IDS;
use tokio_util::sync::CancellationToken;

use crate::place::{Folder, apart, ask, config, id, run, serve, start};

/// Names the data directory to an owner that is started to be killed.
const OWNER: &str = "LATTICE_TEST_NETWORK_OWNER";

/// All that a network could leave behind, as this thread sees it.
fn traces() -> Vec<String> {
    let devices = fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    let links = devices.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name);
    let mut all: Vec<String> = links.map(|name| name.trim().to_owned()).collect();
    all.extend(run("nft list tables").lines().map(str::to_owned));
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    all.extend(mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(str::to_owned));
    all.sort();
    all
}

#[test]
fn removing_all_leaves_no_trace() {
    apart(async || {
        let dir = Folder::new();
        let data = dir.path().join("data");
        let before = traces();
        let network = start(config(&data)).await;
        network.attach(&id("a"), &[80, 81], &[]).await.unwrap();
        network.attach(&id("b"), &[], &[]).await.unwrap();
        assert_ne!(traces(), before, "the test would see a trace");
        network.remove_all().await.unwrap();
        assert_eq!(traces(), before);
        assert_eq!(fs::read_dir(&data).unwrap().count(), 0);
        network.remove_all().await.expect_err("its directories have gone");
    });
}

#[test]
fn no_two_instances_have_the_same_users_and_a_successor_keeps_them() {
    apart(async || {
        let dir = Folder::new();
        let users = |attachment: &Attachment| attachment.users.clone().unwrap();
        let network = start(config(dir.path())).await;
        let a = users(&network.attach(&id("a"), &[], &[]).await.unwrap());
        let b = users(&network.attach(&id("b"), &[], &[]).await.unwrap());
        assert!(a.first_id.abs_diff(b.first_id) >= IDS, "{a:?} {b:?}");
        let netns = fs::File::open(dir.path().join("netns/a")).unwrap();
        assert_eq!(
            owner_of(&netns),
            fs::metadata(&a.path).unwrap().ino(),
            "its network is its own"
        );
        drop((netns, network));

        let network = start(config(dir.path())).await;
        network.detach(&id("b")).await.unwrap();
        let c = users(&network.attach(&id("c"), &[], &[]).await.unwrap());
        assert!(a.first_id.abs_diff(c.first_id) >= IDS, "a lives");
        assert!(!b.path.exists() && a.path.exists());

        let shared = NetworkConfig { own_users: false, ..config(dir.path()) };
        let network = start(shared).await;
        assert_eq!(network.attach(&id("d"), &[], &[]).await.unwrap().users, None);
        network.detach(&id("a")).await.unwrap();
        assert!(!a.path.exists(), "also where new ones have none");
    });
}

#[test]
fn spares_are_given_away_and_nothing_stays_of_them() {
    apart(async || {
        let dir = Folder::new();
        let before = traces();
        let network = start(config(dir.path())).await;
        let idle = traces();
        let shutdown = CancellationToken::new();
        let keeping = tokio::spawn(network.keep_spares(3, shutdown.clone()));
        let cables = || traces().len() - idle.len();
        until(|| cables() >= 3 * 3).await;
        assert_eq!(network.list().await.unwrap(), [], "no container has them yet");
        let a = network.attach(&id("a"), &[8080], &[]).await.unwrap();
        let b = network.attach(&id("b"), &[], &[]).await.unwrap();
        assert!(a.netns.ends_with("-spare-0002"), "{a:?}");
        assert_eq!(network.list().await.unwrap(), [id("a"), id("b")]);
        assert_ne!((a.address, &a.users), (b.address, &b.users));
        serve(Some(&a.netns), "0.0.0.0:8080", "from a");
        let port = a.ports[0].host_port;
        assert!(ask(None, &format!("127.0.0.1:{port}")).unwrap().starts_with("from a"));
        assert!(network.listening(&id("a")).await.unwrap()[0].port() == 8080);

        // As after a crash: what is ready then is a leftover like any other.
        until(|| cables() >= 5 * 3).await;
        keeping.abort();
        let _ = keeping.await;
        drop(network);
        let network = start(config(dir.path())).await;
        let left = network.list().await.unwrap();
        assert_eq!(left.len(), 5, "{left:?}");
        let again = network.attach(&id("c"), &[], &[]).await.unwrap();
        assert!(again.address != a.address && again.users != a.users, "a has its place still");
        for id in left.iter().filter(|left| **left != id("a")) {
            network.detach(id).await.unwrap();
        }
        assert!(ask(None, &format!("127.0.0.1:{port}")).unwrap().starts_with("from a"));
        network.detach(&id("a")).await.unwrap();
        network.detach(&id("c")).await.unwrap();
        assert_eq!(traces(), idle);

        let shutdown = CancellationToken::new();
        let keeping = tokio::spawn(network.keep_spares(2, shutdown.clone()));
        until(|| traces() != idle).await;
        shutdown.cancel();
        keeping.await.unwrap();
        assert_eq!(traces(), idle, "they go with the process that keeps them");
        network.remove_all().await.unwrap();
        assert_eq!(traces(), before);
    });
}

#[test]
fn a_spare_that_could_not_be_given_away_is_the_next_ones() {
    apart(async || {
        let dir = Folder::new();
        let before = traces();
        let network = start(config(dir.path())).await;
        let idle = traces();
        let shutdown = CancellationToken::new();
        let keeping = tokio::spawn(network.keep_spares(2, shutdown.clone()));
        until(|| traces().len() >= idle.len() + 2 * 3).await;
        let (records, elsewhere) = (dir.path().join("network"), dir.path().join("elsewhere"));
        fs::rename(&records, &elsewhere).unwrap();
        let refused = network.attach(&id("a"), &[8080], &[]).await;
        refused.expect_err("it cannot be written down");
        fs::rename(&elsewhere, &records).unwrap();
        let a = network.attach(&id("a"), &[8080], &[]).await.unwrap();
        assert!(a.netns.ends_with("-spare-0002"), "{a:?}");
        network.detach(&id("a")).await.unwrap();
        shutdown.cancel();
        keeping.await.unwrap();
        assert_eq!(traces(), idle);
        network.remove_all().await.unwrap();
        assert_eq!(traces(), before);
    });
}

/// Waits until something is so.
async fn until(is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "it is never so");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The number of the user namespace that a namespace belongs to.
fn owner_of(namespace: &fs::File) -> u64 {
    const NS_GET_USERNS: libc::c_ulong = 0xb701;
    // SAFETY: it takes nothing and returns a descriptor that nobody else has.
    let owner = unsafe {
        let fd = libc::ioctl(namespace.as_raw_fd(), NS_GET_USERNS);
        assert!(fd >= 0, "{}", std::io::Error::last_os_error());
        fs::File::from_raw_fd(fd)
    };
    owner.metadata().unwrap().ino()
}

fn forwarding() -> String {
    fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap()
}

#[test]
fn the_machines_own_network_is_not_touched_by_these_tests() {
    let before = traces();
    let forwarded = forwarding();
    removing_all_leaves_no_trace();
    apart(async || {
        let dir = Folder::new();
        let network = start(config(dir.path())).await;
        network.attach(&id("kept"), &[80], &[]).await.unwrap();
        assert_eq!(forwarding(), "1\n");
    });
    let ours = |all: Vec<String>| -> Vec<String> {
        all.into_iter().filter(|trace| trace.contains("lat-test")).collect()
    };
    assert_eq!(ours(traces()), ours(before));
    assert_eq!(forwarding(), forwarded);
}

#[test]
fn what_is_detached_is_free_again_and_may_be_detached_twice() {
    apart(async || {
        let dir = Folder::new();
        let narrow = NetworkConfig {
            subnet: "10.9.8.0/29".parse().unwrap(),
            host_port_range: 62000..=62002,
            ..config(dir.path())
        };
        let network = start(narrow).await;
        assert_eq!(network.gateway().to_string(), "10.9.8.1");
        let idle = traces();
        for round in 0..4 {
            let a = network.attach(&id("a"), &[80, 81], &[]).await.unwrap();
            assert!(network.attach(&id("a"), &[], &[]).await.is_err(), "a name is used once");
            serve(Some(&a.netns), "0.0.0.0:80", "a for");
            assert!(ask(None, &format!("127.0.0.1:{}", a.ports[0].host_port)).is_ok(), "{round}");
            let error = network.attach(&id("b"), &[1, 2], &[]).await.unwrap_err().to_string();
            assert_eq!(error, "no host port is left; 2 are in use");
            assert_eq!(network.list().await.unwrap(), [id("a")]);
            network.detach(&id("a")).await.unwrap();
            network.detach(&id("a")).await.expect("twice is no error");
            assert_eq!(network.list().await.unwrap(), []);
            assert_eq!(traces(), idle);
        }
        network.remove_all().await.unwrap();
    });
}

#[test]
fn an_address_that_is_handed_on_answers_at_once() {
    apart(async || {
        let dir = Folder::new();
        // So few addresses that they soon come round again.
        let subnet = "10.9.8.0/29".parse().unwrap();
        let network = start(NetworkConfig { subnet, ..config(dir.path()) }).await;
        let mut seen = Vec::new();
        for _ in 0..8 {
            let one = network.attach(&id("one"), &[], &[]).await.unwrap();
            serve(Some(&one.netns), "0.0.0.0:80", "hello");
            let address = format!("{}:80", one.address);
            // The very first packet may be lost while the link comes up; it is sent again after
            // a second. A neighbour remembered wrongly costs many.
            let begun = Instant::now();
            let answer = ask(None, &address);
            assert!(answer.is_ok(), "{address} after {seen:?}: {answer:?}");
            assert!(begun.elapsed() < Duration::from_secs(3), "{address} after {seen:?}");
            seen.push(one.address);
            network.detach(&id("one")).await.unwrap();
        }
        assert!(seen[1..].contains(&seen[0]), "an address came twice: {seen:?}");
        network.remove_all().await.unwrap();
    });
}

#[test]
fn many_at_once_get_addresses_and_ports_of_their_own() {
    apart(async || {
        let dir = Folder::new();
        let network = start(config(dir.path())).await;
        let ids: Vec<_> = (0..20).map(|n| id(&format!("c{n}"))).collect();
        let all = join_all(ids.iter().map(|id| network.attach(id, &[80, 81], &[]))).await;
        let all: Vec<_> = all.into_iter().map(|a| a.unwrap_or_else(|e| panic!("{e}"))).collect();
        let addresses: BTreeSet<_> = all.iter().map(|a| a.address).collect();
        let ports: BTreeSet<_> = all.iter().flat_map(|a| &a.ports).map(|p| p.host_port).collect();
        assert_eq!((addresses.len(), ports.len()), (20, 40));
        for (n, attached) in all.iter().enumerate() {
            serve(Some(&attached.netns), "0.0.0.0:80", "here for");
            let mapped = format!("127.0.0.1:{}", attached.ports[0].host_port);
            assert!(ask(None, &mapped).is_ok(), "c{n}");
        }
        network.remove_all().await.unwrap();
    });
}

#[test]
fn a_port_of_a_server_of_this_host_is_not_mapped() {
    apart(async || {
        let dir = Folder::new();
        let network =
            start(NetworkConfig { host_port_range: 62000..=62001, ..config(dir.path()) }).await;
        serve(None, "0.0.0.0:62000", "host for");
        let a = network.attach(&id("a"), &[80], &[]).await.unwrap();
        assert_eq!(a.ports[0].host_port, 62001);
        network.remove_all().await.unwrap();
    });
}

#[test]
fn what_an_instance_listens_on_is_told() {
    apart(async || {
        let dir = Folder::new();
        let network = start(config(dir.path())).await;
        let a = network.attach(&id("a"), &[], &[]).await.unwrap();
        assert_eq!(network.listening(&id("a")).await.unwrap(), []);
        serve(Some(&a.netns), "127.0.0.1:3000", "x");
        serve(Some(&a.netns), "[::]:80", "y");
        serve(None, "0.0.0.0:4000", "the host's own is not told");
        let mut told = network.listening(&id("a")).await.unwrap();
        told.sort();
        let told: Vec<String> = told.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["127.0.0.1:3000", "[::]:80"]);
        assert!(network.listening(&id("nobody")).await.is_err());
        network.remove_all().await.unwrap();
    });
}

#[test]
fn what_an_instance_sends_and_receives_is_counted_from_its_side() {
    apart(async || {
        let dir = Folder::new();
        let network = start(config(dir.path())).await;
        let a = network.attach(&id("a"), &[], &[]).await.unwrap();
        let before = network.traffic(&id("a")).await.unwrap();
        let words = Box::leak("x".repeat(100_000).into_boxed_str());
        serve(Some(&a.netns), "0.0.0.0:8080", words);
        ask(None, &format!("{}:8080", a.address)).unwrap();
        let after = network.traffic(&id("a")).await.unwrap();
        assert!(after.sent >= before.sent + 100_000, "{before:?} {after:?}");
        assert!(after.received > before.received, "{before:?} {after:?}");
        assert!(after.received < before.received + 100_000, "{before:?} {after:?}");
        let error = network.traffic(&id("b")).await.unwrap_err().to_string();
        assert_eq!(error, "cannot count what b sends: it is not attached");
    });
}

#[test]
fn leftovers_of_a_killed_owner_stay_in_use_until_they_are_detached() {
    apart(async || {
        let dir = Folder::new();
        let data = dir.path().join("data");
        let before = traces();
        kill_an_owner(&data);
        fs::write(data.join("network/half"), "{").unwrap();
        let network = start(config(&data)).await;
        assert_eq!(network.list().await.unwrap(), [id("left-1"), id("left-2")]);
        let fresh = network.attach(&id("fresh"), &[80], &[]).await.unwrap();
        assert_eq!(fresh.address.to_string(), "10.255.0.4", "two addresses are in use");
        assert_eq!(fresh.ports[0].host_port, 61002, "two ports are in use");
        let netns = data.join("netns/left-1");
        serve(Some(&netns), "0.0.0.0:80", "left for");
        assert_eq!(ask(None, "127.0.0.1:61000").unwrap(), "left for 10.255.0.1", "still mapped");
        network.detach(&id("left-1")).await.unwrap();
        assert_eq!(network.list().await.unwrap(), [id("fresh"), id("left-2")]);
        network.remove_all().await.unwrap();
        assert_eq!(traces(), before);
    });
}

/// Lets another process attach two containers, and kills it.
fn kill_an_owner(data: &Path) {
    let mut owner = Command::new("/proc/self/exe")
        .args(["--exact", "lifecycle::an_owner_lives_until_it_is_killed", "--nocapture"])
        .env(OWNER, data)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !data.join("ready").exists() {
        assert!(Instant::now() < deadline, "the owner never got ready");
        std::thread::sleep(Duration::from_millis(10));
    }
    owner.kill().unwrap();
    owner.wait().unwrap();
    fs::remove_file(data.join("ready")).unwrap();
}

/// Not a test by itself: without a directory to own it has nothing to do. Its process runs in the
/// namespaces of the test that started it.
#[tokio::test]
async fn an_owner_lives_until_it_is_killed() {
    let Some(data) = std::env::var_os(OWNER) else { return };
    let network = start(config(Path::new(&data))).await;
    network.attach(&id("left-1"), &[80], &[]).await.unwrap();
    network.attach(&id("left-2"), &[80], &[]).await.unwrap();
    fs::write(Path::new(&data).join("ready"), "").unwrap();
    std::future::pending::<()>().await;
}

#[test]
fn mistakes_are_told_all_at_once() {
    apart(async || {
        let wrong = NetworkConfig {
            bridge: "a-name-that-is-too-long".to_owned(),
            subnet: "10.0.0.0/30".parse().unwrap(),
            host_port_range: 0..=9,
            ..NetworkConfig::new("/nowhere")
        };
        let error = RoutedNetwork::start(wrong).await.err().unwrap().to_string();
        for part in ["a-name-that-is-too-long", "15", "10.0.0.0/30", "0..=9"] {
            assert!(error.contains(part), "{part}: {error}");
        }
    });
}

#[test]
fn a_subnet_that_this_host_is_in_already_is_refused() {
    apart(async || {
        let dir = Folder::new();
        run("ip link add other type bridge");
        run("ip addr add 10.255.3.7/24 dev other");
        let error = RoutedNetwork::start(config(dir.path())).await.err().unwrap().to_string();
        let expected = "cannot set up the bridge lat-test: 10.255.3.7 of this host is in \
                        10.255.0.0/20; choose another subnet";
        assert_eq!(error, expected);
        let taken = NetworkConfig {
            bridge: "lo".to_owned(),
            subnet: "10.9.0.0/20".parse().unwrap(),
            ..config(dir.path())
        };
        let error = RoutedNetwork::start(taken).await.err().unwrap().to_string();
        assert!(error.contains("lo exists and is not a bridge"), "{error}");
    });
}
