//! https for hosts of people's own, with certificates of theirs.

use std::path::{Path, PathBuf};
use std::process::Command;

use lattice_tests::appliance::Appliance;
use lattice_tests::{PATIENCE, eventually, expect, image, machine};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};

/// A certificate that vouches for itself, and its key, in files.
struct Files {
    cert: PathBuf,
    key: PathBuf,
}

impl Files {
    fn new(dir: &Path, name: &str, host: &str, last_year: i32) -> Self {
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.not_after = date_time_ymd(last_year, 1, 1);
        let made = KeyPair::generate().unwrap();
        let cert = dir.join(format!("{name}.pem"));
        let key = dir.join(format!("{name}.key"));
        std::fs::write(&cert, params.self_signed(&made).unwrap().pem()).unwrap();
        std::fs::write(&key, made.serialize_pem()).unwrap();
        Self { cert, key }
    }

    fn flags(&self) -> [&str; 4] {
        ["--cert", self.cert.to_str().unwrap(), "--key", self.key.to_str().unwrap()]
    }

    /// The status of a request to who shows exactly this certificate for the host.
    fn status(&self, host: &str) -> String {
        let mut curl = Command::new("curl");
        curl.args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "--cacert"]).arg(&self.cert);
        curl.args(["--resolve", &format!("{host}:443:127.0.0.1"), &format!("https://{host}/")]);
        String::from_utf8(curl.output().unwrap().stdout).unwrap()
    }
}

#[test]
fn a_host_of_ones_own_is_served_with_ones_own_certificate_until_it_is_removed() {
    machine::isolate();
    let mut lattice = Appliance::start(&[]);
    let scratch = lattice.scratch().to_owned();
    let layout = image::layout(&scratch, "lattice-app", &[]);
    lattice.ltc_ok(&["create", "shop", layout.to_str().unwrap(), "-R", "shop.example.test"]);
    let first = Files::new(&scratch, "first", "shop.example.test", 2099);
    let add = |lattice: &Appliance, host: &str, files: &Files| {
        lattice.ltc(&[&["domain", "add", host][..], &files.flags()].concat())
    };
    assert_eq!(first.status("shop.example.test"), "000", "nobody shows it yet");
    assert_eq!(add(&lattice, "shop.example.test", &first).code, 0);
    let shown = |files: &Files| {
        eventually("the certificate is shown", PATIENCE, || {
            let status = files.status("shop.example.test");
            expect(status == "200", status)
        })
    };
    shown(&first);

    let renewed = Files::new(&scratch, "renewed", "*.example.test", 2098);
    assert_eq!(add(&lattice, "shop.example.test", &renewed).code, 0);
    shown(&renewed);
    assert_eq!(renewed.status("other.example.test"), "000", "it is for its host alone");
    let listed = lattice.ltc_json(&["domain", "list"]);
    assert_eq!(listed[0]["names"], serde_json::json!(["*.example.test"]));
    assert!(!listed.to_string().contains("PRIVATE"), "{listed}");

    lattice.stop(rustix::process::Signal::TERM);
    lattice.up();
    shown(&renewed);

    lattice.ltc_ok(&["domain", "remove", "shop.example.test"]);
    eventually("the certificate is not shown", PATIENCE, || {
        let status = renewed.status("shop.example.test");
        expect(status == "000", status)
    });

    let (expired, strange) = (
        Files::new(&scratch, "expired", "shop.example.test", 2001),
        Files { cert: first.cert.clone(), key: renewed.key.clone() },
    );
    let platform = Files::new(&scratch, "platform", "receptor.lattice.localhost", 2099);
    let all = Files::new(&scratch, "all", "*.lattice.localhost", 2099);
    for (host, files, words) in [
        ("shop.example.test", &expired, "renew it"),
        ("shop.example.test", &strange, "the key does not belong to the certificate"),
        ("other.test", &first, "is for shop.example.test, and not for other.test"),
        ("receptor.lattice.localhost", &platform, "belongs to the platform"),
        ("*.lattice.localhost", &all, "belongs to the platform"),
    ] {
        let refused = add(&lattice, host, files);
        assert!(refused.code != 0 && refused.err.contains(words), "{}", refused.all());
    }
    assert_eq!(lattice.ltc_ok(&["domain", "list"]), "no custom domains\n");
}
