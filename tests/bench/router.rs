//! Requests through our router, nginx and haproxy to one and the same instance, in turn: without
//! access lines in any of them, and with one for every request in all.

use std::time::Duration;

use lattice_tests::appliance::{Appliance, DOMAIN, HTTP_PORT};
use lattice_tests::web::Web;
use lattice_tests::{image, machine as tools};
use reqwest::Method;
use serde_json::{Value, json};

use crate::effort::Effort;
use crate::figure::Figure;
use crate::machine::{cpu_time, undisturbed};
use crate::peers::{Backend, Peer};

/// A case, and the app it is measured with, which has access lines or has none.
const CASES: [(&str, &str, bool); 2] =
    [("get-1k-c50", "quiet", false), ("get-1k-log-c50", "told", true)];

/// What is asked for: a body of 1024 bytes.
const PATH: &str = "/kilobyte";

/// A proxy to be measured.
struct Proxy {
    name: &'static str,
    host: String,
    port: u16,
    pids: Vec<i32>,
    per_second: Vec<f64>,
    per_cpu_second: Vec<f64>,
}

pub(crate) fn run(effort: Effort) {
    let lattice = Appliance::start(&[]);
    let web = Web::new();
    start_apps(&lattice, &web);
    let ours = lattice.pid().as_raw_nonzero().get();
    for (case, app, is_logged) in CASES {
        let instance = lattice.instances(&web, app).remove(0);
        let address = format!("{}:8080", instance["instance_address"].as_str().unwrap());
        let dir = lattice.scratch().join(case);
        std::fs::create_dir(&dir).unwrap();
        let backend = Backend { address, is_logged, dir };
        let peers = [Peer::nginx(&backend), Peer::haproxy(&backend)];
        let proxy = |name, port, pids| Proxy::new(name, app, port, pids);
        let theirs = peers.iter().map(|peer| proxy(peer.name, peer.port, peer.pids()));
        let mut proxies: Vec<Proxy> = theirs.collect();
        proxies.push(proxy("lattice", HTTP_PORT, vec![ours]));
        for round in 1..=effort.rounds {
            for proxy in &mut proxies {
                eprintln!("{case}: round {round} of {}: {}", effort.rounds, proxy.name);
                let (per_second, per_cpu_second) = undisturbed(|| proxy.measure(effort.seconds));
                proxy.per_second.push(per_second);
                proxy.per_cpu_second.push(per_cpu_second);
            }
        }
        print(case, &proxies);
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

fn print(case: &'static str, proxies: &[Proxy]) {
    let Some((ours, peers)) = proxies.split_last() else { return };
    for peer in peers {
        let figure = |metric| Figure { bench: "router", case, metric, unit: "1/s" };
        figure("requests_per_s").print_beside(&ours.per_second, peer.name, &peer.per_second);
        let (our_cpu, their_cpu) = (&ours.per_cpu_second, &peer.per_cpu_second);
        figure("requests_per_cpu_s").print_beside(our_cpu, peer.name, their_cpu);
    }
}

impl Proxy {
    fn new(name: &'static str, app: &str, port: u16, pids: Vec<i32>) -> Self {
        let host = format!("Host: {app}.{DOMAIN}:{HTTP_PORT}");
        Self { name, host, port, pids, per_second: Vec::new(), per_cpu_second: Vec::new() }
    }

    /// Requests a second, and a second of the proxy's own CPU time.
    fn measure(&self, time: Duration) -> (f64, f64) {
        let cpu = || self.pids.iter().map(|pid| cpu_time(*pid)).sum::<Duration>();
        let before = cpu();
        let url = format!("http://127.0.0.1:{}{PATH}", self.port);
        let time = format!("{}s", time.as_secs());
        let said = tools::run("wrk", &["-t", "1", "-c", "50", "-d", &time, "-H", &self.host, &url]);
        assert!(!said.contains("Non-2xx"), "{}: {said}", self.name);
        let spent = (cpu() - before).as_secs_f64();
        let requests: f64 = field(&said, "requests in");
        let per_second: f64 = said
            .lines()
            .find_map(|line| line.trim().strip_prefix("Requests/sec:"))
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or_else(|| panic!("{said}"));
        (per_second, requests / spent)
    }
}

/// The number before these words.
fn field(said: &str, words: &str) -> f64 {
    let line = said.lines().find(|line| line.contains(words)).unwrap_or_else(|| panic!("{said}"));
    line.split_whitespace().next().unwrap().parse().unwrap()
}
