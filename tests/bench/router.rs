//! Our router, nginx and haproxy in front of one and the same server, in turn.
//!
//! | Part | Measures |
//! |---|---|
//! | this | requests to an app of an appliance: without access lines in any of them, and with one for every request in all |
//! | [`fronts`] | a router alone: kinds of requests and connections, in clear and under TLS |
//! | [`held`] | 10,000 connections that stand still, and 10,000 that were upgraded |
//! | [`table`] | ours only: a table of 100,000 routes, and what changes of it cost |

mod fronts;
mod held;
mod load;
mod proxies;
mod table;

use lattice_tests::appliance::{Appliance, DOMAIN, HTTP_PORT};
use lattice_tests::image;
use lattice_tests::web::Web;
use reqwest::Method;
use serde_json::{Value, json};

use crate::alone::open_many_files;
use crate::effort::Effort;
use crate::machine::Sides;
use crate::peers::{Backend, Peer};
pub(crate) use held::{child as held_child, echo_child};
use load::Load;
use proxies::{Case, Proxy, compare};

/// A case, and the app it is measured with, which has access lines or has none.
const CASES: [(&str, &str, bool); 2] =
    [("get-1k-c50", "quiet", false), ("get-1k-log-c50", "told", true)];

/// What is asked for: a body of 1024 bytes.
const PATH: &str = "/kilobyte";

pub(crate) fn run(effort: Effort) {
    in_an_appliance(effort);
    alone(effort);
    held(effort);
    table(effort);
}

/// Kinds of requests and connections.
pub(crate) fn alone(effort: Effort) {
    aside(|sides| fronts::run(effort, sides));
}

/// Many connections at once.
pub(crate) fn held(effort: Effort) {
    let files = open_many_files();
    aside(|sides| held::run(effort, files, sides));
}

/// Runs what keeps to its side of the processors.
fn aside(run: impl FnOnce(&Sides) + Send) {
    let sides = Sides::of_machine();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            sides.step_aside();
            run(&sides);
        });
    });
}

/// Many routes.
pub(crate) fn table(effort: Effort) {
    table::run(effort);
}

/// Requests to an app, as people make it.
fn in_an_appliance(effort: Effort) {
    let lattice = Appliance::start(&[]);
    let web = Web::new();
    start_apps(&lattice, &web);
    let ours = lattice.pid().as_raw_nonzero().get();
    for (name, app, is_logged) in CASES {
        let instance = lattice.instances(&web, app).remove(0);
        let address = format!("{}:8080", instance["instance_address"].as_str().unwrap());
        let dir = lattice.scratch().join(name);
        std::fs::create_dir(&dir).unwrap();
        let backend =
            Backend { address, is_logged, certificate: None, dir: dir.clone(), workers: 2 };
        let peers = [Peer::nginx(&backend), Peer::haproxy(&backend)];
        let mut proxies: Vec<Proxy> = peers.iter().map(Proxy::of).collect();
        proxies.push(Proxy::new("lattice", HTTP_PORT, vec![ours]));
        let host = &format!("{app}.{DOMAIN}:{HTTP_PORT}");
        let load = Load::Http1 { connections: 50, words: &[], script: "" };
        let case = Case { name, scheme: "http", host, path: PATH, load };
        compare(case, &mut proxies, effort, &dir);
    }
}

/// Two apps of one image, one instance each: one as people make them, and one without a log, for
/// which our router therefore writes no access lines.
fn start_apps(lattice: &Appliance, web: &Web) {
    let layout = image::layout(lattice.scratch(), "fixture-app", &["serve", "0.0.0.0:8080"]);
    lattice.ltc_ok(&["create", "told", layout.to_str().unwrap(), "--memory-mb", "512"]);
    let told = lattice.api(web, Method::GET, "/v1/desired_lrps/told", None).body;
    let mut quiet: Value = serde_json::from_str(&told).unwrap();
    quiet["process_guid"] = json!("quiet");
    quiet["log_guid"] = json!("");
    quiet["routes"] =
        json!({"cf-router": [{"hostnames": [format!("quiet.{DOMAIN}")], "port": 8080}]});
    let posted = lattice.api(web, Method::POST, "/v1/desired_lrps", Some(quiet));
    assert_eq!(posted.status, 201, "{posted:?}");
    lattice.wait_running(web, "quiet", 1);
}
