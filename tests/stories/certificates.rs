//! Certificates that are ordered: from Pebble, an authority that looks for itself whether a host is
//! ours, and that this story can ask to look elsewhere.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use lattice_tests::appliance::{Appliance, HTTP_PORT};
use lattice_tests::{PATIENCE, eventually, expect, image, machine};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};

/// Where Pebble is asked, and where it is told what.
const DIRECTORY: &str = "https://127.0.0.1:14000/dir";
const ADMIN: &str = "https://127.0.0.1:15000";
/// Where its names are told.
const NAMES: &str = "http://127.0.0.1:8055";

/// Pebble and its name server; both end with it.
struct Authority {
    processes: Vec<Child>,
    dir: PathBuf,
}

impl Authority {
    /// Starts both; every name leads to 127.0.0.1 unless something else is said of it.
    fn start(dir: &Path) -> Self {
        let mut authority = Self { processes: Vec::new(), dir: dir.to_owned() };
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "The story's own");
        let root = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        let leaf_key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let leaf = leaf.signed_by(&leaf_key, &issuer).unwrap().pem();
        let config = json!({"pebble": {
            "listenAddress": "127.0.0.1:14000",
            "managementListenAddress": "127.0.0.1:15000",
            "certificate": authority.write("pebble.pem", &leaf),
            "privateKey": authority.write("pebble.key", &leaf_key.serialize_pem()),
            "httpPort": HTTP_PORT,
            "tlsPort": 443,
        }});
        authority.write("root.pem", &root);
        let config = authority.write("pebble.json", &config.to_string());
        authority.run(
            "pebble-challtestsrv",
            &[
                "-dns01",
                "127.0.0.1:8053",
                "-management",
                "127.0.0.1:8055",
                "-defaultIPv6",
                "",
                "-http01",
                "",
                "-https01",
                "",
                "-tlsalpn01",
                "",
            ],
        );
        authority.run("pebble", &["-config", &config, "-dnsserver", "127.0.0.1:8053"]);
        eventually("the authority answers", PATIENCE, || {
            expect(!authority.ask(DIRECTORY).is_empty(), "nothing")
        });
        authority.lead("named.test", &["127.0.0.1"]);
        authority
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.dir.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn run(&mut self, program: &str, args: &[&str]) {
        let log = std::fs::File::create(self.dir.join(format!("{program}.log"))).unwrap();
        let mut command = Command::new(program);
        // It looks at once, and takes every number that it gave out.
        command.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_WFE_NONCEREJECT", "0");
        command.env("PEBBLE_AUTHZREUSE", "0");
        command.args(args).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let process = command.spawn();
        let hint = "script/bootstrap installs it";
        self.processes
            .push(process.unwrap_or_else(|e| panic!("cannot run {program}: {e}; {hint}")));
    }

    fn ask(&self, url: &str) -> String {
        let mut curl = Command::new("curl");
        curl.arg("-s").arg("--cacert").arg(self.dir.join("root.pem")).arg(url);
        String::from_utf8(curl.output().unwrap().stdout).unwrap()
    }

    /// Has a name lead there.
    fn lead(&self, host: &str, addresses: &[&str]) {
        let body = json!({"host": host, "addresses": addresses}).to_string();
        eventually("a name is told", PATIENCE, || {
            let mut curl = Command::new("curl");
            curl.args(["-s", "-f", "-d", &body, &format!("{NAMES}/add-a")]);
            expect(curl.status().unwrap().success(), "curl failed")
        });
    }

    /// How `lattice up` is told of it.
    fn up_args(&self) -> Vec<String> {
        let root = self.dir.join("root.pem").to_str().unwrap().to_owned();
        let args = [
            "--acme-accept-terms",
            "--acme-email",
            "ops@example.com",
            "--acme-directory",
            DIRECTORY,
        ];
        args.map(str::to_owned).into_iter().chain(["--acme-root".to_owned(), root]).collect()
    }

    /// The status of a request to who shows a certificate of this authority for the host.
    fn status(&self, host: &str) -> String {
        let roots = self.write("issued-by.pem", &self.ask(&format!("{ADMIN}/roots/0")));
        let mut curl = Command::new("curl");
        curl.args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "--cacert", &roots]);
        curl.args(["--resolve", &format!("{host}:443:127.0.0.1"), &format!("https://{host}/")]);
        String::from_utf8(curl.output().unwrap().stdout).unwrap()
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Passes on to the router's port 443 what comes to this address, and nothing else: there, a proof
/// by a file fails, and one in a handshake does not.
fn only_tls(address: &str) {
    let listener = TcpListener::bind((address, 443)).unwrap();
    let pass = |mut from: TcpStream, mut to: TcpStream| {
        let mut chunk = [0; 4096];
        while let Ok(n @ 1..) = from.read(&mut chunk) {
            if to.write_all(&chunk[..n]).is_err() {
                return;
            }
        }
        let _ = to.shutdown(std::net::Shutdown::Write);
    };
    thread::spawn(move || {
        for client in listener.incoming() {
            let (client, router) = (client.unwrap(), TcpStream::connect("127.0.0.1:443").unwrap());
            let (back, forth) = (router.try_clone().unwrap(), client.try_clone().unwrap());
            thread::spawn(move || pass(client, router));
            thread::spawn(move || pass(back, forth));
        }
    });
}

fn host<'l>(listed: &'l Value, name: &str) -> &'l Value {
    let mut hosts = listed.as_array().unwrap().iter();
    hosts.find(|host| host["host"] == name).unwrap_or_else(|| panic!("no {name} in {listed}"))
}

#[test]
fn a_host_without_a_certificate_gets_one_from_an_authority_that_looks_for_itself() {
    machine::isolate();
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::start(dir.path());
    let args = authority.up_args();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut lattice = Appliance::start(&args);
    let layout = image::layout(lattice.scratch(), "lattice-app", &[]);
    let layout = layout.to_str().unwrap();
    lattice.ltc_ok(&["create", "shop", layout, "-R", "shop.test", "-R", "tls.test"]);

    let said = lattice.ltc(&["domain", "add", "shop.test"]);
    assert_eq!(said.code, 0, "{}\n{}", said.all(), lattice.log());
    eventually("the certificate is shown", PATIENCE, || {
        let status = authority.status("shop.test");
        expect(status == "200", status)
    });

    only_tls("127.0.0.3");
    authority.lead("tls.test", &["127.0.0.3"]);
    let said = lattice.ltc(&["domain", "add", "tls.test"]);
    assert_eq!(said.code, 0, "{}\n{}", said.all(), lattice.log());
    eventually("the certificate is shown", PATIENCE, || {
        let status = authority.status("tls.test");
        expect(status == "200", status)
    });

    // Nobody listens there, so that both proofs fail, and the authority says why.
    authority.lead("gone.test", &["127.0.0.2"]);
    let said = lattice.ltc(&["domain", "add", "gone.test"]);
    assert_eq!(said.code, 14, "{}", said.all());
    for words in ["http-01: ", "tls-alpn-01: ", "ltc domain add gone.test"] {
        assert!(said.err.contains(words), "{words}: {}", said.all());
    }
    let listed = lattice.ltc_json(&["domain", "list"]);
    assert_eq!(host(&listed, "shop.test")["state"], "valid");
    assert_eq!(host(&listed, "tls.test")["state"], "valid");
    let gone = host(&listed, "gone.test");
    assert_eq!((&gone["state"], &gone["order"]["failures"]), (&"failed".into(), &1.into()));
    assert!(!listed.to_string().contains("PRIVATE"), "{listed}");
    let log = lattice.log();
    assert!(log.contains("certificate came") && !log.contains("PRIVATE"), "{log}");

    // The authority forgets everything when it starts anew; the platform keeps what it got.
    lattice.stop(rustix::process::Signal::TERM);
    drop(authority);
    let authority = Authority::start(dir.path());
    lattice.up();
    let listed = lattice.ltc_json(&["domain", "list"]);
    assert_eq!(host(&listed, "shop.test")["state"], "valid");
    assert_eq!(host(&listed, "gone.test")["order"]["failures"], 1, "{listed}");
    authority.lead("gone.test", &["127.0.0.1"]);
    let said = lattice.ltc(&["domain", "add", "gone.test"]);
    assert_eq!(said.code, 0, "{}\n{}", said.all(), lattice.log());
    lattice.ltc_ok(&["domain", "remove", "gone.test"]);
    let listed = lattice.ltc_json(&["domain", "list"]);
    assert_eq!(listed.as_array().unwrap().len(), 2, "{listed}");
}

#[test]
fn what_cannot_be_ordered_is_refused_with_what_to_do() {
    machine::isolate();
    let mut lattice = Appliance::start(&[]);
    let refused = |lattice: &Appliance, args: &[&str], words: &str| {
        let said = lattice.ltc(&[&["domain", "add"], args].concat());
        assert!(said.code != 0 && said.err.contains(words), "{words}: {}", said.all());
    };
    refused(&lattice, &["shop.test"], "--acme-accept-terms");
    lattice.stop(rustix::process::Signal::TERM);
    drop(lattice);
    let lattice = Appliance::start(&["--https-port", "0", "--acme-accept-terms"]);
    refused(&lattice, &["shop.test"], "--https-port 0");
    refused(&lattice, &["receptor.lattice.localhost"], "belongs to the platform");
}
