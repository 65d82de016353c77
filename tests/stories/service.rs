//! Under a service manager: it is told when Lattice is ready, and when it stops.

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use lattice_tests::appliance::{Appliance, Options, Said};
use lattice_tests::web::Web;
use lattice_tests::{machine, program};
use rustix::process::Signal;

#[test]
fn a_service_manager_is_told_when_it_is_ready_and_when_it_stops() {
    machine::isolate();
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("notify");
    let manager = UnixDatagram::bind(&place).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let env = [("NOTIFY_SOCKET", place.to_str().unwrap())];
    let mut lattice = Appliance::start_as(Options { env: &env, ..Options::default() });
    assert_eq!(heard(&manager), "READY=1");
    assert_eq!(Web::new().get("receptor", "/v1/cells").unwrap().status, 401, "it is ready");
    assert!(lattice.stop(Signal::TERM).success());
    assert_eq!(heard(&manager), "STOPPING=1");
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

/// The next thing the service manager is told.
fn heard(manager: &UnixDatagram) -> String {
    let mut bytes = [0; 256];
    let count = manager.recv(&mut bytes).expect("the service manager is told something");
    String::from_utf8_lossy(&bytes[..count]).trim().to_owned()
}
