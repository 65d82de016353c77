//! Under a service manager: it is told when Lattice is ready, and when it stops; and it keeps what
//! is listened on while Lattice is started again.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::process::Command;

use lattice_tests::appliance::{Appliance, DOMAIN, HTTP_PORT, Options, Said};
use lattice_tests::supervisor::Supervisor;
use lattice_tests::web::Web;
use lattice_tests::{PATIENCE, eventually, expect, image, machine, program};
use rustix::process::Signal;

use crate::zero_loss::without_loss;

/// An appliance under a manager.
fn managed(manager: &Supervisor) -> Appliance {
    let env = [("NOTIFY_SOCKET", manager.place())];
    let lattice = Appliance::start_as(Options { env: &env, ..Options::default() });
    assert_eq!(manager.heard(), "READY=1");
    lattice
}

/// Starts it again, as the manager does: with the sockets that were kept.
fn start_again(lattice: &mut Appliance, manager: &Supervisor) {
    let passed = manager.pass();
    let mut env = passed.env();
    env.push(("NOTIFY_SOCKET".to_owned(), manager.place().to_owned()));
    lattice.with_env(env);
    lattice.up();
    assert_eq!(manager.heard(), "READY=1");
}

/// Begins a request, whoever is there to answer it.
fn ask(port: u16, host: &str) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("nobody is turned away");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
    BufReader::new(stream)
}

fn first_line(stream: &mut BufReader<TcpStream>) -> Result<String, String> {
    let mut line = String::new();
    stream.read_line(&mut line).map_err(|error| error.to_string())?;
    Ok(line.trim().to_owned())
}

#[test]
fn a_service_manager_is_told_when_it_is_ready_and_when_it_stops() {
    machine::isolate();
    let dir = tempfile::tempdir().unwrap();
    let manager = Supervisor::new(dir.path());
    let mut lattice = managed(&manager);
    assert_eq!(Web::new().get("receptor", "/v1/cells").unwrap().status, 401, "it is ready");
    assert!(lattice.stop(Signal::TERM).success());
    assert_eq!(manager.heard(), "STOPPING=1");
}

#[test]
fn nobody_is_turned_away_while_it_is_started_again() {
    machine::isolate();
    let dir = tempfile::tempdir().unwrap();
    let manager = Supervisor::new(dir.path());
    let mut lattice = managed(&manager);
    let layout = image::layout(lattice.scratch(), "fixture-app", &["serve", "0.0.0.0:8080"]);
    let layout = layout.to_str().unwrap();
    lattice.ltc_ok(&["create", "web", layout, "-i", "2", "-R", "web", "-T", "50000:8080"]);
    // Stopped under load, as for an upgrade: every request is answered, by this one or the next.
    let served = without_loss(|load| {
        for _ in 0..2 {
            load.goes_on(200);
            assert!(lattice.stop(Signal::TERM).success());
            assert_eq!(manager.heard(), "STOPPING=1");
            start_again(&mut lattice, &manager);
        }
        load.goes_on(200);
    });
    assert!(served >= 600);
    // Killed: who comes meanwhile waits, on every port that was there.
    lattice.kill();
    let host = format!("web.{DOMAIN}");
    let mut waiting = [HTTP_PORT, 50000].map(|port| (port, ask(port, &host)));
    start_again(&mut lattice, &manager);
    for (port, stream) in &mut waiting {
        let line = first_line(stream);
        assert_eq!(line.as_deref(), Ok("HTTP/1.1 200 OK"), "{port}: {}", lattice.log());
    }
}

#[test]
fn where_nobody_listens_any_more_nobody_waits() {
    machine::isolate();
    let dir = tempfile::tempdir().unwrap();
    let manager = Supervisor::new(dir.path());
    let mut lattice = managed(&manager);
    let layout = image::layout(lattice.scratch(), "fixture-app", &["serve", "0.0.0.0:8080"]);
    let before = manager.kept();
    assert!(before.contains(&format!("127.0.0.1_{HTTP_PORT}")), "{before:?}");
    lattice.ltc_ok(&["create", "db", layout.to_str().unwrap(), "-T", "50000:8080"]);
    let port = "127.0.0.1_50000".to_owned();
    eventually("the route's port is kept", PATIENCE, || {
        expect(manager.kept().contains(&port), manager.kept())
    });
    lattice.ltc_ok(&["remove", "db"]);
    eventually("it is kept no longer", PATIENCE, || {
        expect(manager.kept() == before, manager.kept())
    });
    let tls = before.iter().find(|name| !name.ends_with(&format!("_{HTTP_PORT}"))).unwrap();
    lattice.stop(Signal::TERM);
    assert_eq!(manager.heard(), "STOPPING=1");
    lattice.with_args(&["--https-port", "0"]);
    start_again(&mut lattice, &manager);
    assert!(!manager.kept().contains(tls), "{tls} is not served any more");
    let log = lattice.log();
    assert!(log.contains("the lattice before this one listened there"), "{log}");
}

#[test]
fn systemd_finds_no_fault_in_the_unit() {
    let dir = tempfile::tempdir().unwrap();
    let unit = dir.path().join("lattice.service");
    let mut install = Command::new(program("lattice"));
    install.arg("install").arg("--unit").arg(&unit);
    install.args(["--", "--http-port", "8080", "--domain", "lattice.test.example"]);
    let said = Said::of(install);
    assert_eq!(said.code, 0, "{said:?}");
    let mut verify = Command::new("systemd-analyze");
    verify.arg("verify").arg(&unit);
    let said = Said::of(verify);
    assert_eq!((said.code, said.all().trim()), (0, ""), "{said:?}");
}
