//! A domain of one's own, which is not under `localhost`: names are found by DNS, which `/etc/hosts`
//! stands for here.

use lattice_tests::appliance::{Appliance, Options, Said};
use lattice_tests::web::Web;
use lattice_tests::{PATIENCE, eventually, expect, image, machine};

const DOMAIN: &str = "lattice.test.example";

#[test]
fn an_app_is_pushed_to_and_reached_under_a_domain_of_ones_own() {
    machine::isolate();
    let lattice = Appliance::start_as(Options { domain: DOMAIN, ..Options::default() });
    let web = Web::new();
    let target = format!("{DOMAIN}:8080");
    let password = lattice.scratch().join("password");
    std::fs::write(&password, lattice.admin().password).unwrap();

    // Who may read it here is not let in by that: the name may lead anywhere.
    let refused = ltc(&lattice, &["target", &target]);
    assert_eq!(refused.code, 10, "{refused:?}");
    let file = ["--password-file", password.to_str().unwrap()];
    let targeted = ltc(&lattice, &[["target", &*target].as_slice(), &file].concat());
    assert_eq!(targeted.code, 0, "{targeted:?}");

    // The platform does not know these names, and must know its own registry all the same.
    let layout = image::layout(lattice.scratch(), "lattice-app", &[]);
    let created = ltc(&lattice, &["create", "web", layout.to_str().unwrap()]);
    assert_eq!(created.code, 0, "{created:?}\n{}", lattice.log());
    assert!(created.out.contains(&format!("http://web.{DOMAIN}:8080")), "{created:?}");
    assert_eq!(web.get_host(&format!("web.{DOMAIN}"), "/index").unwrap().body, "0");
    let elsewhere = web.get_host("web.lattice.localhost", "/index").unwrap();
    assert_eq!(elsewhere.router_error.as_deref(), Some("unknown_route"));

    // Apps know it too, though no name server does; this one asks, and ends.
    let question = ["get", &format!("web.{DOMAIN}:8080"), "/index", ":"];
    let asker = image::layout(lattice.scratch(), "fixture-app", &question);
    ltc(&lattice, &["create", "asker", asker.to_str().unwrap(), "--timeout", "1s"]);
    eventually("the app has its answer", PATIENCE, || {
        let said = ltc(&lattice, &["logs", "asker", "--recent"]).out;
        expect(said.contains("status 200"), said)
    });

    let pushed = format!("registry.{DOMAIN}:8080/team/app:v1");
    let account = lattice.account();
    machine::with_hosts(&names(), || copy(&layout, &pushed, &account));
    let by_tag = ltc(&lattice, &["create", "by-tag", &pushed]);
    assert_eq!(by_tag.code, 0, "{by_tag:?}\n{}", lattice.log());
    assert_eq!(web.get_host(&format!("by-tag.{DOMAIN}"), "/index").unwrap().body, "0");
}

/// `ltc` of somebody whose name server knows the domain.
fn ltc(lattice: &Appliance, args: &[&str]) -> Said {
    let command = lattice.ltc_command(args);
    machine::with_hosts(&names(), || Said::of(command))
}

fn names() -> Vec<String> {
    let hosts = ["receptor", "doppler", "registry", "web", "by-tag"];
    hosts.map(|host| format!("{host}.{DOMAIN}")).to_vec()
}

fn copy(layout: &std::path::Path, to: &str, account: &str) {
    let from = format!("oci:{}", layout.display());
    let to = format!("docker://{to}");
    let args = ["--insecure-policy", "copy", "--dest-tls-verify=false", "--dest-creds", account];
    machine::run("skopeo", &[args.as_slice(), &[&from, &to]].concat());
}
