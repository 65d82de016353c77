//! Names inside instances: apps by name, and the world by the host's own name servers.

use std::net::UdpSocket;

use lattice_tests::appliance::Appliance;
use lattice_tests::inside::from_container;
use lattice_tests::web::Web;
use lattice_tests::{image, machine};
use rustix::mount::mount_bind;

/// The host's name server; on its loopback, where no instance reaches it.
const HOSTS_OWN: &str = "127.0.0.53:53";

#[test]
fn apps_reach_each_other_and_the_world_by_name() {
    machine::isolate();
    let _resolv_conf = ask_at("nameserver 127.0.0.53\n");
    std::thread::spawn(|| answer(&UdpSocket::bind(HOSTS_OWN).unwrap()));
    let lattice = Appliance::start(&[]);
    let web = Web::new();
    let layout = image::layout(lattice.scratch(), "lattice-app", &[]);
    lattice.ltc_ok(&["create", "web", layout.to_str().unwrap()]);

    let said =
        from_container(&lattice, &web, &["get", "web.apps.internal:8080", "/index", ":"], &[]);
    assert!(said.contains("|0 status 200"), "{said}");
    // Another name for the platform's own hosts opens no door.
    let args = ["get", "receptor.apps.internal:8080", "/v1/cells", &lattice.account()];
    let said = from_container(&lattice, &web, &args, &[]);
    assert!(said.contains("|0 status 403"), "{said}");
    let said = from_container(&lattice, &web, &["resolve", "db.example.net"], &[]);
    assert!(said.ends_with("|0 resolved {192.0.2.7}"), "{said}");
}

#[test]
fn where_the_port_is_taken_apps_ask_the_hosts_name_servers_as_before() {
    machine::isolate();
    let _resolv_conf = ask_at("nameserver 192.0.2.53\n");
    let _other = UdpSocket::bind("0.0.0.0:53").unwrap();
    let lattice = Appliance::start(&[]);
    let web = Web::new();
    let said = from_container(&lattice, &web, &["connect", "10.255.0.1:53"], &[]);
    assert!(said.contains("|0 not connected"), "{said}");
    assert!(lattice.log().contains("apps do not know NAME.apps.internal"), "{}", lattice.log());
}

/// What this machine's `/etc/resolv.conf` says from now on.
fn ask_at(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    mount_bind(file.path(), "/etc/resolv.conf").expect("/etc/resolv.conf can be covered");
    file
}

/// Answers every question for an IPv4 address with 192.0.2.7, and others with nothing.
fn answer(socket: &UdpSocket) {
    const HEADER_BYTES: usize = 12;
    let mut buffer = [0; 512];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).unwrap();
        let query = &buffer[..length];
        let name = query[HEADER_BYTES..].iter().position(|byte| *byte == 0).expect("a name");
        let question = &query[HEADER_BYTES..HEADER_BYTES + name + 5];
        let is_v4 = question[name + 1..].starts_with(&[0, 1]);
        let record: &[u8] = &[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7];
        let record = if is_v4 { record } else { &[] };
        let header = [query[0], query[1], 0x81, 0x80, 0, 1, 0, u8::from(is_v4), 0, 0, 0, 0];
        socket.send_to(&[&header, question, record].concat(), from).unwrap();
    }
}
