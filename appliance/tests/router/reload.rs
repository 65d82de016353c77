//! Certificates in files, which a running router follows.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::authority::certificates;
use crate::nats::{Nats, free_port};
use crate::process::{Router, eventually};

/// Whether who believes the authority of this directory believes the router.
fn is_believed(dir: &Path, port: u16) -> bool {
    let url = format!("https://127.0.0.1:{port}/");
    let mut curl = Command::new("curl");
    curl.current_dir(dir).args(["-s", "-o", "answer", "--cacert", "ca.pem", &url]);
    curl.status().expect("curl is installed: script/bootstrap").success()
}

#[test]
fn certificates_are_replaced_without_a_restart_and_only_by_what_can_be_used() {
    let nats = Nats::start();
    let (dir, first, second) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    certificates(first.path());
    certificates(second.path());
    let place = |name: &str| dir.path().join(name);
    let put = |from: &Path| {
        for name in ["key.pem", "cert.pem"] {
            fs::copy(from.join(name), place(name)).unwrap();
        }
    };
    put(first.path());
    let (port, tls, path) = (free_port(), free_port(), place("router.toml"));
    let text = format!(
        "listen = [\"127.0.0.1:{port}\"]\nlisten_tls = [\"127.0.0.1:{tls}\"]\n\
         certificates = [{{cert = \"{}\", key = \"{}\"}}]\n[lifecycle]\nstart_delay = \"0s\"\n\
         [nats]\nservers = [\"localhost:{}\"]\nuser = \"nats\"\npassword = \"12345\"\n",
        place("cert.pem").display(),
        place("key.pem").display(),
        nats.port
    );
    fs::write(&path, text).unwrap();
    let (cert, args) = (place("cert.pem"), path.to_str().unwrap().to_owned());
    let key = place("key.pem");
    let router = Router::run(dir, port, &["router", "--config", &args]);
    router.has_eventually_said("gorouter.started");
    assert!(is_believed(first.path(), tls) && !is_believed(second.path(), tls));
    fs::write(&cert, "half of a certifi").unwrap();
    router.has_eventually_said("certificates stay as they were");
    assert!(is_believed(first.path(), tls), "what cannot be used changes nothing");
    fs::copy(second.path().join("key.pem"), &key).unwrap();
    fs::copy(second.path().join("cert.pem"), &cert).unwrap();
    eventually("the new one is shown", || is_believed(second.path(), tls));
    assert!(!is_believed(first.path(), tls));
}
