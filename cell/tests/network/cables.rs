//! Cables between the host and its instances: nothing that is sent is lost, nobody need ask who is
//! at the other end, and nobody is taken for another one.

use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use lattice_cell::network::routed::NetworkConfig;
use lattice_cell::network::{Attachment, Network};

use crate::place::{Folder, apart, ask, config, id, inside, run, serve, start};

/// How long a datagram may take that must arrive, and how long one is given that must not.
const PATIENCE: Duration = Duration::from_secs(30);
const REFUSAL: Duration = Duration::from_millis(300);

#[test]
fn the_very_first_datagram_arrives() {
    apart(async || {
        let dir = Folder::new();
        let network = start(config(dir.path())).await;
        for n in 0..20 {
            let one = network.attach(&id(&format!("i{n}")), &[], &[]).await.unwrap();
            let server = inside(&one.netns, || UdpSocket::bind("0.0.0.0:80").unwrap());
            let client = UdpSocket::bind("0.0.0.0:0").unwrap();
            client.send_to(b"hello", (one.address, 80)).unwrap();
            assert!(arrives(&server, PATIENCE), "at instance {n}");
        }
        network.remove_all().await.unwrap();
    });
}

#[test]
fn host_and_instance_know_each_other_without_asking_until_it_is_gone() {
    apart(async || {
        let dir = Folder::new();
        let network = start(config(dir.path())).await;
        let one = network.attach(&id("one"), &[80], &[]).await.unwrap();
        serve(Some(&one.netns), "0.0.0.0:80", "one for");
        assert!(ask(None, &format!("{}:80", one.address)).is_ok());
        assert!(ask(None, &format!("127.0.0.1:{}", one.ports[0].host_port)).is_ok());
        let outside = run("ip neigh show nud all");
        assert_eq!(known(&outside), [format!("{} PERMANENT", one.address)], "{outside}");
        let within = inside(&one.netns, || run("ip neigh show nud all"));
        assert_eq!(known(&within), [format!("{} PERMANENT", network.gateway())], "{within}");
        network.detach(&id("one")).await.unwrap();
        assert_eq!(known(&run("ip neigh show nud all")), <[String; 0]>::default());
        assert!(!run("ip route show").contains(&one.address.to_string()));
        network.remove_all().await.unwrap();
    });
}

/// Who is known, and for how long; but not the machine itself, and no group of addresses, which the
/// kernel works out.
fn known(neighbours: &str) -> Vec<String> {
    let lines = neighbours.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let others = lines.filter(|words| !words.contains(&"lo") && !words.contains(&"NOARP"));
    others.map(|words| format!("{} {}", words[0], words.last().unwrap())).collect()
}

#[test]
fn an_instance_is_not_heard_under_another_ones_address() {
    apart(async || {
        let dir = Folder::new();
        let network = start(NetworkConfig { serves_names: true, ..config(dir.path()) }).await;
        let honest = network.attach(&id("honest"), &[], &[]).await.unwrap();
        let liar = network.attach(&id("liar"), &[], &[]).await.unwrap();
        let to = (IpAddr::V4(network.gateway()), 53);
        let server = UdpSocket::bind(to).unwrap();
        let send = |from: &Attachment, under: IpAddr| {
            inside(&from.netns, || UdpSocket::bind((under, 0)).unwrap().send_to(b"hello", to))
                .unwrap()
        };
        send(&honest, honest.address);
        assert!(arrives(&server, PATIENCE), "the test would see it");
        inside(&liar.netns, || run(&format!("ip addr add {}/32 dev eth0", honest.address)));
        send(&liar, honest.address);
        assert!(!arrives(&server, REFUSAL));
        send(&liar, liar.address);
        assert!(arrives(&server, PATIENCE), "under its own it is heard");
        network.remove_all().await.unwrap();
    });
}

#[test]
fn what_an_earlier_version_plugged_into_a_bridge_is_reached_on() {
    apart(async || {
        let dir = Folder::new();
        let network = start(config(dir.path())).await;
        let one = network.attach(&id("one"), &[80], &[]).await.unwrap();
        serve(Some(&one.netns), "0.0.0.0:80", "one for");
        drop(network);
        let routes = run("ip route show");
        let route = routes.lines().find(|line| line.starts_with(&one.address.to_string())).unwrap();
        let cable = route.split(' ').nth(2).unwrap();
        run(&format!("ip route del {}", one.address));
        run(&format!("ip link set {cable} address 02:00:00:00:00:07 master lat-test"));

        let network = start(config(dir.path())).await;
        assert!(run("ip link show master lat-test").is_empty());
        assert!(ask(None, &format!("{}:80", one.address)).is_ok());
        assert!(ask(None, &format!("127.0.0.1:{}", one.ports[0].host_port)).is_ok());
        network.remove_all().await.unwrap();
    });
}

fn arrives(server: &UdpSocket, patience: Duration) -> bool {
    server.set_read_timeout(Some(patience)).unwrap();
    server.recv(&mut [0; 8]).is_ok()
}
