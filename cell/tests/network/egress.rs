//! What egress rules let through, and what they do not, each against another machine.

use std::net::UdpSocket;
use std::os::fd::FromRawFd as _;
use std::time::Duration;

use lattice_cell::network::egress::EgressPolicy;
use lattice_cell::network::routed::{NetworkConfig, RoutedNetwork};
use lattice_cell::network::{Attachment, Network};
use lattice_model::EgressRule;
use serde_json::{Value, json};

use crate::place::{
    Folder, apart, ask, config, id, inside, is_out_of_reach, neighbour, run, serve, start,
};

/// Another machine, and a network under a policy.
struct Place {
    dir: Folder,
    outside: std::path::PathBuf,
    network: RoutedNetwork,
}

impl Place {
    async fn with(egress: EgressPolicy) -> Self {
        let dir = Folder::new();
        let outside = neighbour(dir.path());
        inside(&outside, || run("ip addr add 192.0.2.9/24 dev in0"));
        let config = NetworkConfig { egress, router_ports: vec![8000], ..config(dir.path()) };
        Self { network: start(config).await, outside, dir }
    }

    async fn attach(&self, name: &str, rules: Value) -> Attachment {
        let rules: Vec<EgressRule> = serde_json::from_value(rules).unwrap();
        self.network.attach(&id(name), &[], &rules).await.unwrap()
    }

    /// Servers of the other machine.
    fn serve(&self, ports: &[u16]) {
        for port in ports {
            serve(Some(&self.outside), &format!("0.0.0.0:{port}"), "outside for");
        }
    }

    /// Whether a datagram comes to the other machine.
    fn udp(&self, from: &Attachment, port: u16, is_open: bool) {
        let server = inside(&self.outside, || UdpSocket::bind(("192.0.2.2", port)).unwrap());
        server.set_read_timeout(Some(patience(is_open))).unwrap();
        inside(&from.netns, || {
            let client = UdpSocket::bind("0.0.0.0:0").unwrap();
            // What is dropped on the way is an error on some kernels and none on others.
            let _ = client.send_to(b"hello", ("192.0.2.2", port));
        });
        assert_eq!(server.recv(&mut [0; 8]).is_ok(), is_open, "UDP to port {port}");
    }
}

/// What comes may be late on a busy machine; what does not is not waited for as long.
fn patience(is_open: bool) -> Duration {
    if is_open { Duration::from_secs(20) } else { Duration::from_millis(400) }
}

/// Whether a connection comes about.
#[track_caller]
fn tcp(from: &Attachment, address: &str, is_open: bool) {
    if is_open {
        ask(Some(&from.netns), address).unwrap_or_else(|e| panic!("{address}: {e}"));
    } else {
        assert!(is_out_of_reach(Some(&from.netns), address), "{address}");
    }
}

/// Whether an echo comes back.
#[track_caller]
fn ping(from: &Attachment, address: &str, is_open: bool) {
    let came = inside(&from.netns, || {
        // SAFETY: the descriptor is new and nobody else's.
        let socket = unsafe {
            let fd = libc::socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP);
            assert!(fd >= 0, "{}", std::io::Error::last_os_error());
            UdpSocket::from_raw_fd(fd)
        };
        socket.set_read_timeout(Some(patience(is_open))).unwrap();
        // An echo request with its checksum, for the identifier 1 and the number 1.
        let request = [8, 0, 0xf7, 0xfd, 0, 1, 0, 1];
        if socket.send_to(&request, (address, 0)).is_err() {
            return false;
        }
        let mut answer = [0; 64];
        socket.recv(&mut answer).is_ok_and(|length| length >= 28 && answer[20] == 0)
    });
    assert_eq!(came, is_open, "an echo from {address}");
}

#[test]
fn under_a_closed_policy_only_what_a_rule_names_is_reached() {
    apart(async || {
        let place = Place::with(EgressPolicy::Closed).await;
        place.serve(&[80, 81, 443, 8080, 8085, 8091]);
        let none = place.attach("none", json!([])).await;
        let rules = json!([
            {"protocol": "tcp", "destinations": ["192.0.2.2"], "ports": [80, 443]},
            {"protocol": "tcp", "destinations": ["192.0.2.1-192.0.2.5", "198.51.100.0/24"],
                "port_range": {"start": 8080, "end": 8090}},
        ]);
        let some = place.attach("some", rules).await;
        for (address, is_open) in [
            ("192.0.2.2:80", true),
            ("192.0.2.2:443", true),
            ("192.0.2.2:81", false),
            ("192.0.2.9:80", false),
            ("192.0.2.2:8080", true),
            ("192.0.2.2:8085", true),
            ("192.0.2.2:8091", false),
            ("192.0.2.9:8085", false),
        ] {
            tcp(&some, address, is_open);
            tcp(&none, address, false);
        }
        ping(&some, "192.0.2.2", false);
        place.udp(&some, 80, false);
        let block = json!([{"protocol": "all", "destinations": ["192.0.2.8/29"]}]);
        let block = place.attach("block", block).await;
        for (address, is_open) in [("192.0.2.9", true), ("192.0.2.2", false)] {
            tcp(&block, &format!("{address}:80"), is_open);
            tcp(&block, &format!("{address}:8091"), is_open);
            ping(&block, address, is_open);
        }
        place.network.remove_all().await.unwrap();
    });
}

#[test]
fn udp_and_icmp_have_rules_of_their_own() {
    apart(async || {
        let place = Place::with(EgressPolicy::Closed).await;
        place.serve(&[53]);
        let udp = json!([{"protocol": "udp", "destinations": ["0.0.0.0/0"], "ports": [53]}]);
        let udp = place.attach("udp", udp).await;
        place.udp(&udp, 53, true);
        place.udp(&udp, 54, false);
        tcp(&udp, "192.0.2.2:53", false);
        ping(&udp, "192.0.2.2", false);
        let rule = |kind: i64| {
            json!([{"protocol": "icmp", "destinations": ["192.0.2.2"],
                "icmp_info": {"type": kind, "code": -1}}])
        };
        let echo = place.attach("echo", rule(8)).await;
        ping(&echo, "192.0.2.2", true);
        ping(&echo, "192.0.2.9", false);
        place.udp(&echo, 53, false);
        tcp(&echo, "192.0.2.2:53", false);
        let every = place.attach("every", rule(-1)).await;
        ping(&every, "192.0.2.2", true);
        let timestamp = place.attach("timestamp", rule(13)).await;
        ping(&timestamp, "192.0.2.2", false);
        place.network.remove_all().await.unwrap();
    });
}

#[test]
fn no_rule_opens_this_host_or_other_instances_and_none_but_its_own_the_metadata_service() {
    apart(async || {
        let place = Place::with(EgressPolicy::Closed).await;
        place.serve(&[80]);
        let all = json!([{"protocol": "all", "log": true,
            "destinations": ["0.0.0.0/0", "10.255.0.0/20", "192.0.2.1", "127.0.0.1"]}]);
        let all = place.attach("all", all).await;
        let other = place.attach("other", json!([])).await;
        serve(Some(&other.netns), "0.0.0.0:8080", "other for");
        for port in [8000, 8888] {
            serve(None, &format!("0.0.0.0:{port}"), "host for");
        }
        tcp(&all, "192.0.2.2:80", true);
        tcp(&all, "10.255.0.1:8000", true);
        for address in ["10.255.0.1:8888", "192.0.2.1:8888", "192.0.2.1:8000"] {
            tcp(&all, address, false);
        }
        tcp(&all, &format!("{}:8080", other.address), false);
        assert!(ask(None, "169.254.169.254:80").is_ok(), "the test would see it if it were open");
        tcp(&all, "169.254.169.254:80", false);
        let named =
            json!([{"protocol": "tcp", "destinations": ["169.254.169.254"], "ports": [80]}]);
        let named = place.attach("named", named).await;
        tcp(&named, "169.254.169.254:80", true);
        tcp(&named, "192.0.2.2:80", false);
        place.network.remove_all().await.unwrap();
    });
}

#[test]
fn under_an_open_policy_rules_take_nothing_away() {
    apart(async || {
        let place = Place::with(EgressPolicy::Open).await;
        place.serve(&[80, 81]);
        let rules = json!([{"protocol": "tcp", "destinations": ["192.0.2.2"], "ports": [80]}]);
        let ruled = place.attach("ruled", rules).await;
        for address in ["192.0.2.2:80", "192.0.2.2:81", "192.0.2.9:80"] {
            tcp(&ruled, address, true);
        }
        tcp(&ruled, "169.254.169.254:80", false);
        place.network.remove_all().await.unwrap();
    });
}

#[test]
fn a_restart_keeps_the_rules_and_a_detached_address_loses_them() {
    apart(async || {
        let place = Place::with(EgressPolicy::Closed).await;
        place.serve(&[80]);
        let rules = json!([{"protocol": "tcp", "destinations": ["192.0.2.2"], "ports": [80]}]);
        let first = place.attach("first", rules.clone()).await;
        drop(place.network);
        let config = NetworkConfig { egress: EgressPolicy::Closed, ..config(place.dir.path()) };
        let network = start(config).await;
        tcp(&first, "192.0.2.2:80", true);

        // Somebody has flushed all of it; the next change makes it again.
        run("nft flush ruleset");
        let rules: Vec<EgressRule> = serde_json::from_value(rules).unwrap();
        let second = network.attach(&id("second"), &[8080], &rules).await.unwrap();
        let plain = network.attach(&id("plain"), &[], &[]).await.unwrap();
        tcp(&first, "192.0.2.2:80", true);
        tcp(&second, "192.0.2.2:80", true);
        tcp(&plain, "192.0.2.2:80", false);
        for name in ["first", "second", "plain"] {
            network.detach(&id(name)).await.unwrap();
        }
        let left = run("nft list ruleset");
        assert!(!left.contains("egress_10") && !left.contains("192.0.2.2"), "{left}");
        network.remove_all().await.unwrap();
    });
}
