//! NATS under TLS: whom the router believes, and whom the server lets in.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::authority::certificates;
use crate::nats::{Nats, free_port};
use crate::process::{Router, ask, eventually, file, instance, lattice, registration};

/// A server that shows a certificate and wants one, except from who speaks in clear, as the tests'
/// own client does; and the port on which it tells who is connected.
fn secured(dir: &Path) -> (Nats, u16) {
    certificates(dir);
    let (port, monitor) = (free_port(), free_port());
    let path = dir.join("nats.conf");
    let place = dir.display();
    let told = format!(
        "http: \"127.0.0.1:{monitor}\"\nallow_non_tls: true\n\
         authorization {{ user: nats, password: \"12345\" }}\n\
         tls {{ cert_file: \"{place}/cert.pem\", key_file: \"{place}/key.pem\", \
         ca_file: \"{place}/ca.pem\", verify: true }}\n"
    );
    fs::write(&path, told).unwrap();
    (Nats::start_with(port, &["-c", path.to_str().unwrap()]), monitor)
}

/// gorouter's keys, with PEM from these files.
fn keys(files: &[(&str, &Path)]) -> String {
    let mut keys = ", tls_enabled: true".to_owned();
    for (key, path) in files {
        let pem = Value::from(fs::read_to_string(path).unwrap());
        keys.push_str(&format!(", {key}: {pem}"));
    }
    keys
}

/// Which TLS the router speaks to the server; null for none.
fn spoken(monitor: u16) -> Value {
    let page = ask(monitor, "GET /connz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").body;
    let page: Value = serde_json::from_str(&page).unwrap();
    let connections = page["connections"].as_array().unwrap();
    let ours = connections.iter().find(|connection| connection["name"] == "lattice-router");
    ours.map_or(Value::Null, |connection| connection["tls_version"].clone())
}

#[test]
fn registrations_come_under_tls_with_gorouters_file() {
    let dir = tempfile::tempdir().unwrap();
    let (mut nats, monitor) = secured(dir.path());
    let [ca, cert, key] = ["ca.pem", "cert.pem", "key.pem"].map(|name| dir.path().join(name));
    nats.keys = keys(&[("ca_certs", &ca), ("cert_chain", &cert), ("private_key", &key)]);
    let router = Router::start(&[&nats], "");
    eventually("it speaks TLS", || spoken(monitor) == "1.3");
    nats.client().publish("router.register", &registration("web.test", instance("web"), ""));
    router.answers("web.test", 200);
}

#[test]
fn registrations_come_under_tls_with_our_file() {
    let dir = tempfile::tempdir().unwrap();
    let (nats, monitor) = secured(dir.path());
    let (port, place) = (free_port(), dir.path().display());
    let path = dir.path().join("router.toml");
    let told = format!(
        "listen = [\"127.0.0.1:{port}\"]\n[lifecycle]\nstart_delay = \"0s\"\n[nats]\n\
         servers = [\"localhost:{}\"]\nuser = \"nats\"\npassword = \"12345\"\n[nats.tls]\n\
         ca = \"{place}/ca.pem\"\n\
         certificate = {{cert = \"{place}/cert.pem\", key = \"{place}/key.pem\"}}\n",
        nats.port
    );
    fs::write(&path, told).unwrap();
    let words = ["router", "--config", path.to_str().unwrap()];
    let router = Router::run(tempfile::tempdir().unwrap(), port, &words);
    eventually("it serves", || router.has_said("gorouter.started"));
    assert_eq!(spoken(monitor), "1.3");
    nats.client().publish("router.register", &registration("web.test", instance("web"), ""));
    router.answers("web.test", 200);
}

#[test]
fn who_is_not_trusted_ends_the_start_with_the_reason() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (mut nats, _) = secured(dir.path());
    certificates(other.path());
    let of = |name: &str| (dir.path().join(name), other.path().join(name));
    let [(ca, stranger), (cert, not_ours), (key, not_ours_key)] =
        ["ca.pem", "cert.pem", "key.pem"].map(of);
    for (files, expected) in [
        (
            &[("ca_certs", &*stranger), ("cert_chain", &*cert), ("private_key", &*key)][..],
            "invalid peer certificate",
        ),
        // The server's reason, an alert, may be lost with the connection that it ends.
        (&[("ca_certs", &*ca)], ""),
        (&[("ca_certs", &*ca), ("cert_chain", &*not_ours), ("private_key", &*not_ours_key)], ""),
    ] {
        nats.keys = keys(files);
        let path = dir.path().join("gorouter.yml");
        fs::write(&path, file(&[&nats], free_port(), "")).unwrap();
        let mut command = lattice();
        let command = command.args(["router", "-c", path.to_str().unwrap()]);
        let output = command.stdout(Stdio::null()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        let servers = format!("none of localhost:{} could be reached in 3 attempts", nats.port);
        assert!(said.contains(&servers) && said.contains(expected), "{expected} in {said}");
    }
}
