//! Requests through our router, nginx and haproxy to one and the same instance, in turn.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use lattice_tests::appliance::{Appliance, DOMAIN, HTTP_PORT};
use lattice_tests::web::Web;
use lattice_tests::{eventually, image, machine as tools};

use crate::figure::Figure;
use crate::machine::{cpu_time, undisturbed};

const ROUNDS: usize = 5;
const SECONDS: &str = "5s";

/// A proxy to be measured.
struct Proxy {
    name: &'static str,
    port: u16,
    pids: Vec<i32>,
    per_second: Vec<f64>,
    per_cpu_second: Vec<f64>,
}

pub(crate) fn run() {
    let lattice = Appliance::start(&[]);
    let web = Web::new();
    let layout = image::layout(lattice.scratch(), "lattice-app", &["-quiet"]);
    lattice.ltc_ok(&["create", "web", layout.to_str().unwrap(), "--memory-mb", "512"]);
    let instance = lattice.instances(&web, "web").remove(0);
    let backend = format!("{}:8080", instance["instance_address"].as_str().unwrap());

    let nginx = start_nginx(lattice.scratch(), &backend);
    let haproxy = start_haproxy(lattice.scratch(), &backend);
    let ours = lattice.pid().as_raw_nonzero().get();
    let mut proxies = [
        Proxy::new("nginx", 9001, children_of(&nginx)),
        Proxy::new("haproxy", 9002, children_of(&haproxy)),
        Proxy::new("lattice", HTTP_PORT, vec![ours]),
    ];
    for round in 0..ROUNDS {
        for proxy in &mut proxies {
            eprintln!("round {} of {ROUNDS}: {}", round + 1, proxy.name);
            let (per_second, per_cpu_second) = undisturbed(|| proxy.measure());
            proxy.per_second.push(per_second);
            proxy.per_cpu_second.push(per_cpu_second);
        }
    }
    let [peers @ .., ours] = &proxies;
    for peer in peers {
        let figure = |metric| Figure { bench: "router", case: "get-1-c50", metric, unit: "1/s" };
        figure("requests_per_s").print_beside(&ours.per_second, peer.name, &peer.per_second);
        figure("requests_per_cpu_s").print_beside(
            &ours.per_cpu_second,
            peer.name,
            &peer.per_cpu_second,
        );
    }
    for mut child in [nginx, haproxy] {
        let _ = rustix::process::kill_process(
            rustix::process::Pid::from_child(&child),
            rustix::process::Signal::TERM,
        );
        let _ = child.wait();
    }
}

impl Proxy {
    fn new(name: &'static str, port: u16, pids: Vec<i32>) -> Self {
        Self { name, port, pids, per_second: Vec::new(), per_cpu_second: Vec::new() }
    }

    /// Requests a second, and a second of the proxy's own CPU time.
    fn measure(&self) -> (f64, f64) {
        let cpu = || self.pids.iter().map(|pid| cpu_time(*pid)).sum::<Duration>();
        let before = cpu();
        let host = format!("Host: web.{DOMAIN}:{HTTP_PORT}");
        let url = format!("http://127.0.0.1:{}/index", self.port);
        let said = tools::run("wrk", &["-t", "1", "-c", "50", "-d", SECONDS, "-H", &host, &url]);
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

/// A server's own process and those it forked.
fn children_of(server: &Child) -> Vec<i32> {
    let pid = i32::try_from(server.id()).unwrap();
    let path = format!("/proc/{pid}/task/{pid}/children");
    let children = std::fs::read_to_string(path).unwrap_or_default();
    let mut pids = vec![pid];
    pids.extend(children.split_whitespace().map(|child| child.parse::<i32>().unwrap()));
    pids
}

fn start_nginx(dir: &Path, backend: &str) -> Child {
    let config = format!(
        "daemon off; pid {dir}/nginx.pid; error_log {dir}/nginx.log; worker_processes 2;\n\
         events {{ worker_connections 1024; }}\n\
         http {{ access_log off; upstream app {{ server {backend}; keepalive 64; }}\n\
         server {{ listen 127.0.0.1:9001 reuseport; location / {{ proxy_pass http://app;\n\
         proxy_http_version 1.1; proxy_set_header Connection \"\";\n\
         proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $remote_addr; }} }} }}\n",
        dir = dir.display()
    );
    let path = dir.join("nginx.conf");
    std::fs::write(&path, config).unwrap();
    start("nginx", &["-c", path.to_str().unwrap()], 9001)
}

fn start_haproxy(dir: &Path, backend: &str) -> Child {
    let config = format!(
        "global\n nbthread 2\ndefaults\n mode http\n timeout connect 5s\n timeout client 60s\n \
         timeout server 60s\n option forwardfor\n http-reuse always\nfrontend in\n \
         bind 127.0.0.1:9002\n default_backend app\nbackend app\n server one {backend}\n"
    );
    let path = dir.join("haproxy.cfg");
    std::fs::write(&path, config).unwrap();
    start("haproxy", &["-db", "-f", path.to_str().unwrap()], 9002)
}

fn start(program: &str, args: &[&str], port: u16) -> Child {
    let child = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|e| panic!("cannot run {program}: {e}; script/bootstrap installs it"));
    eventually(&format!("{program} listens"), Duration::from_secs(10), || {
        std::net::TcpStream::connect(("127.0.0.1", port))
    });
    child
}
