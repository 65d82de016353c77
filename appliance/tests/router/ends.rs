//! How a router's process begins and ends (family S18), and what it writes meanwhile.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Output;

use crate::nats::{Nats, free_port};
use crate::process::{PATIENCE, Router, ask, eventually, file, instance, lattice, registration};

/// An instance that answers when it is told to; its listener.
fn slow_instance(nats: &Nats, router: &Router) -> TcpListener {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    nats.client().publish("router.register", &registration("slow.test", port, ""));
    eventually("it is known", || router.has_said("slow.test"));
    listener
}

/// A request under way: the client's end and the instance's.
fn request_under_way(nats: &Nats, router: &Router) -> (TcpStream, TcpStream) {
    let listener = slow_instance(nats, router);
    let mut client = TcpStream::connect(("127.0.0.1", router.port)).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: slow.test\r\n\r\n").unwrap();
    let (mut instance, _) = listener.accept().unwrap();
    assert!(instance.read(&mut [0; 4096]).unwrap() > 0);
    (client, instance)
}

#[test]
fn a_drained_router_ends_what_is_under_way_and_takes_nothing_new() {
    let nats = Nats::start();
    let router = Router::start(&[&nats], "drain_wait: 3s\ndrain_timeout: 10s");
    let checker = "GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: HTTP-Monitor/1.1\r\n\
                   Connection: close\r\n\r\n";
    assert_eq!(ask(router.port, checker).status, 200);
    let (mut client, mut instance) = request_under_way(&nats, &router);
    router.signal("USR1");
    eventually("load balancers are told", || ask(router.port, checker).status == 503);
    assert_eq!(router.get("nobody.test").status, 404, "it still serves");
    eventually("it listens no more", || TcpStream::connect(("127.0.0.1", router.port)).is_err());
    instance.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok"), "{answer}");
    assert_eq!(router.wait().code(), Some(0));
}

#[test]
fn a_drain_has_its_end() {
    let nats = Nats::start();
    let router = Router::start(&[&nats], "drain_wait: 0s\ndrain_timeout: 200ms");
    let (mut client, _instance) = request_under_way(&nats, &router);
    router.signal("USR1");
    assert_eq!(router.wait().code(), Some(0));
    assert_eq!(client.read(&mut [0; 64]).unwrap_or(0), 0, "the request is cut");
}

#[test]
fn a_drain_goes_on_whatever_is_signalled_meanwhile() {
    let nats = Nats::start();
    let router = Router::start(&[&nats], "drain_wait: 60s\ndrain_timeout: 60s");
    let (mut client, mut instance) = request_under_way(&nats, &router);
    router.signal("USR1");
    router.has_eventually_said("gorouter-draining");
    for name in ["USR1", "TERM", "INT"] {
        router.signal(name);
        router.has_eventually_said(&format!("\"SIG{name}\""));
        assert_eq!(router.get("nobody.test").status, 404, "{name}");
    }
    instance.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
    let mut answer = [0; 15];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    assert_eq!(router.get("nobody.test").status, 404, "it still waits");
    assert!(!router.has_said("gorouter.stopped"), "{}", router.said());
}

#[test]
fn a_terminated_router_answers_what_is_under_way() {
    let nats = Nats::start();
    let router = Router::start(&[&nats], "drain_wait: 600s\ndrain_timeout: 600s");
    let (mut client, mut instance) = request_under_way(&nats, &router);
    router.signal("TERM");
    eventually("it listens no more", || TcpStream::connect(("127.0.0.1", router.port)).is_err());
    instance.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok"), "{answer}");
    assert_eq!(router.wait().code(), Some(0));
}

#[test]
fn a_terminated_router_does_not_wait_for_what_never_ends() {
    let nats = Nats::start();
    let router = Router::start(&[&nats], "drain_wait: 600s\ndrain_timeout: 600s");
    let (mut client, _instance) = request_under_way(&nats, &router);
    router.signal("TERM");
    assert_eq!(router.wait().code(), Some(0));
    assert_eq!(client.read(&mut [0; 64]).unwrap_or(0), 0, "the request is cut");
}

#[test]
fn a_terminated_router_is_gone_within_seconds() {
    for name in ["TERM", "INT"] {
        let nats = Nats::start();
        let router = Router::start(&[&nats], "drain_wait: 60s\ndrain_timeout: 60s");
        router.signal(name);
        eventually("it says so", || router.has_said("gorouter.stopped"));
        assert_eq!(router.wait().code(), Some(0));
    }
}

#[test]
fn our_own_file_does_as_well() {
    let nats = Nats::start();
    let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
    let path = dir.path().join("router.toml");
    let text = format!(
        "listen = [\"127.0.0.1:{port}\"]\n[lifecycle]\nstart_delay = \"0s\"\n\
         [nats]\nservers = [\"localhost:{}\"]\nuser = \"nats\"\npassword = \"12345\"\n",
        nats.port
    );
    fs::write(&path, text).unwrap();
    let router = Router::run(dir, port, &["router", "--config", path.to_str().unwrap()]);
    eventually("it serves", || router.has_said("gorouter.started"));
    nats.client().publish("router.register", &registration("web.test", instance("web"), ""));
    router.answers("web.test", 200);
}

fn run_with(name: &str, text: &str, option: &str) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    fs::write(&path, text).unwrap();
    lattice().args(["router", option]).arg(&path).output().unwrap()
}

#[test]
fn a_file_of_ours_that_cannot_be_used_is_a_mistake_of_usage() {
    let output = run_with("router.toml", "colour = 1", "--config");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("unknown field `colour`"), "{said}");
    assert_eq!(output.status.code(), Some(64));
}

#[test]
fn without_nats_a_router_does_not_start() {
    let nats = Nats::start();
    let text = file(&[&nats], free_port(), "");
    drop(nats);
    let output = run_with("gorouter.yml", &text, "-c");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("could be reached in 3 attempts"), "{said}");
    assert_eq!(output.status.code(), Some(1));
}
