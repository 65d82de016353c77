//! Who reaches whom.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use lattice_cell::network::Network;
use lattice_cell::network::routed::NetworkConfig;

use crate::place::{
    Folder, apart, ask, config, id, inside, is_out_of_reach, neighbour, serve, start,
};

#[test]
fn the_host_reaches_instances_and_they_do_not_reach_each_other() {
    apart(async || {
        let dir = Folder::new();
        let network = start(config(dir.path())).await;
        let a = network.attach(&id("a"), &[], &[]).await.unwrap();
        let b = network.attach(&id("b"), &[], &[]).await.unwrap();
        assert_ne!(a.address, b.address);
        serve(Some(&a.netns), "0.0.0.0:8080", "a for");
        serve(Some(&b.netns), "0.0.0.0:8080", "b for");
        let (at_a, at_b) = (format!("{}:8080", a.address), format!("{}:8080", b.address));
        assert_eq!(ask(None, &at_a).unwrap(), "a for 10.255.0.1");
        assert_eq!(ask(None, &at_b).unwrap(), "b for 10.255.0.1");
        assert!(is_out_of_reach(Some(&a.netns), &at_b));
        assert!(is_out_of_reach(Some(&b.netns), &at_a));
        assert!(ask(Some(&a.netns), "127.0.0.1:8080").is_ok(), "its own loopback works");
        network.remove_all().await.unwrap();
    });
}

#[test]
fn a_host_port_leads_to_the_instance_from_every_address_of_this_host() {
    apart(async || {
        let dir = Folder::new();
        let network = start(config(dir.path())).await;
        let a = network.attach(&id("a"), &[8080, 9090], &[]).await.unwrap();
        let b = network.attach(&id("b"), &[8080], &[]).await.unwrap();
        serve(Some(&a.netns), "0.0.0.0:8080", "a/8080 for");
        serve(Some(&a.netns), "0.0.0.0:9090", "a/9090 for");
        serve(Some(&b.netns), "0.0.0.0:8080", "b/8080 for");
        let cases = [
            (a.ports[0].host_port, "a/8080 for 10.255.0.1"),
            (a.ports[1].host_port, "a/9090 for 10.255.0.1"),
            (b.ports[0].host_port, "b/8080 for 10.255.0.1"),
        ];
        for (port, expected) in cases {
            for address in ["127.0.0.1", "127.0.0.7", "10.255.0.1"] {
                assert_eq!(ask(None, &format!("{address}:{port}")).unwrap(), expected, "{address}");
            }
        }
        let port_of_b = b.ports[0].host_port;
        assert!(is_out_of_reach(Some(&a.netns), &format!("10.255.0.1:{port_of_b}")));
        network.remove_all().await.unwrap();
    });
}

#[test]
fn an_instance_reaches_the_router_and_nothing_else_of_this_host() {
    apart(async || {
        let dir = Folder::new();
        let outside = neighbour(dir.path());
        let network = start(NetworkConfig { router_ports: vec![8000], ..config(dir.path()) }).await;
        let a = network.attach(&id("a"), &[], &[]).await.unwrap();
        for port in [8000, 8001] {
            serve(None, &format!("0.0.0.0:{port}"), "host for");
        }
        let asks = Some(a.netns.as_path());
        assert_eq!(ask(asks, "10.255.0.1:8000").unwrap(), format!("host for {}", a.address));
        assert!(is_out_of_reach(asks, "10.255.0.1:8001"));
        assert!(is_out_of_reach(asks, "192.0.2.1:8000"), "the gateway's address alone is open");
        assert!(ask(Some(&outside), "192.0.2.1:8001").is_ok(), "the test would see it if it were");
        assert!(!udp_arrives(&a.netns), "not by UDP either");
        network.remove_all().await.unwrap();
    });
}

fn udp_arrives(netns: &std::path::Path) -> bool {
    let server = UdpSocket::bind("0.0.0.0:8000").unwrap();
    server.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    inside(netns, || {
        let client = UdpSocket::bind("0.0.0.0:0").unwrap();
        client.send_to(b"hello", "10.255.0.1:8000").unwrap();
    });
    server.recv(&mut [0; 8]).is_ok()
}

#[test]
fn an_instance_reaches_the_world_under_this_hosts_address_but_no_metadata_service() {
    apart(async || {
        let dir = Folder::new();
        let outside = neighbour(dir.path());
        let network = start(config(dir.path())).await;
        let a = network.attach(&id("a"), &[], &[]).await.unwrap();
        serve(Some(&outside), "0.0.0.0:80", "the world for");
        let asks = Some(a.netns.as_path());
        assert_eq!(ask(asks, "192.0.2.2:80").unwrap(), "the world for 192.0.2.1");
        assert!(ask(None, "169.254.169.254:80").is_ok(), "the test would see it if it were open");
        assert!(is_out_of_reach(asks, "169.254.169.254:80"));
        network.remove_all().await.unwrap();
    });
}

#[test]
fn other_hosts_reach_mapped_ports_only_where_that_is_asked_for() {
    apart(async || {
        let dir = Folder::new();
        let outside = neighbour(dir.path());
        let cases = [(None, false), (Some([192, 0, 2, 1]), true), (Some([0, 0, 0, 0]), true)];
        for (external, is_open) in cases {
            let external_address = external.map(Ipv4Addr::from);
            let data = dir.path().join("data");
            let network = start(NetworkConfig { external_address, ..config(&data) }).await;
            let a = network.attach(&id("a"), &[8080], &[]).await.unwrap();
            serve(Some(&a.netns), "0.0.0.0:8080", "a for");
            let mapped = format!("192.0.2.1:{}", a.ports[0].host_port);
            if is_open {
                assert_eq!(ask(Some(&outside), &mapped).unwrap(), "a for 192.0.2.2");
            } else {
                assert!(is_out_of_reach(Some(&outside), &mapped), "{external:?}");
            }
            let direct = format!("{}:8080", a.address);
            assert!(is_out_of_reach(Some(&outside), &direct), "routed around the mapping");
            network.remove_all().await.unwrap();
        }
    });
}
