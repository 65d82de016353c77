//! A table of 100,000 routes with 250,000 endpoints: its memory, the time of a lookup, what changes
//! cost, and what requests cost beside a table of ten.

use std::hint::black_box;
use std::time::Duration;

use lattice_model::Time;
use lattice_router::Config;
use lattice_router::table::key::Key;
use lattice_router::table::{Announcement, Editor, Rules};

use super::fronts::{SERVER_PORT, serve};
use super::load::Load;
use crate::alone::{Alone, message};
use crate::effort::Effort;
use crate::figure::Figure;
use crate::machine::{cpu_time, memory_mb, thread_cpu_time};

const ROUTES: usize = 100_000;
const ENDPOINTS: usize = 250_000;
const FEW: usize = 10;
/// How fast a table is filled: nothing of it may be lost in a queue.
const FILLED_PER_SECOND: usize = 25_000;
const REFRESHES_PER_SECOND: usize = 50_000;
const CHANGES_PER_SECOND: usize = 5_000;
const LOOKUPS: usize = 1_000_000;

pub(super) fn run(effort: Effort) {
    // First: later this process has memory to spare, in which the table would hide.
    lookups(effort);
    let dir = tempfile::tempdir().unwrap();
    let _server = serve(dir.path());
    let router = filled(0, ROUTES, ENDPOINTS, ENDPOINTS);
    figure("memory", "MB").print(&[memory_mb(router.pid(), "Pss:")]);
    changes(&router, effort);
    drop(router);
    requests(effort, dir.path());
}

fn figure(metric: &'static str, unit: &'static str) -> Figure<'static> {
    Figure { bench: "router", case: "alone-100k-routes", metric, unit }
}

/// Where an instance is; the server listens on all of loopback.
fn address(endpoint: usize) -> String {
    let [.., a, b, c] = endpoint.to_be_bytes();
    format!("127.{}.{b}.{c}:{SERVER_PORT}", a + 1)
}

fn host(route: usize) -> String {
    format!("r{route}.test")
}

fn registration(subject: &str, endpoint: usize, routes: usize) -> Vec<u8> {
    message(subject, &host(endpoint % routes), &address(endpoint))
}

/// A router with so many routes, to which so many endpoints register that are at so many
/// addresses.
fn filled(nth: u16, routes: usize, endpoints: usize, addresses: usize) -> Alone {
    eprintln!("alone-100k-routes: filling a table with {routes} routes");
    let router = Alone::plain(nth, 2);
    let told = |n: usize| message("router.register", &host(n % routes), &address(n % addresses));
    let messages: Vec<_> = (0..endpoints).map(told).collect();
    router.send(&messages, FILLED_PER_SECOND);
    router.has_routes(routes);
    router
}

/// How long one lookup takes, hosts in no order.
fn lookups(effort: Effort) {
    let own = || memory_mb(std::process::id().try_into().unwrap(), "Rss:");
    let before = own();
    let mut editor = Editor::new(Rules::of(&Config::new("test")), 0);
    for endpoint in 0..ENDPOINTS {
        let key = Key::parse(&host(endpoint % ROUTES)).unwrap();
        let (address, instance) = (address(endpoint).parse().unwrap(), endpoint.to_string());
        let told = Announcement::new(address, "web", &instance, "0").unwrap();
        editor.register(&key, &told, Time(0));
    }
    figure("table_memory", "MB").print(&[own() - before]);
    let hosts: Vec<String> = (0..ROUTES).map(host).collect();
    let table = editor.table();
    let mut nanos = Vec::new();
    for _ in 0..effort.rounds {
        let (before, mut place) = (thread_cpu_time(), 1_usize);
        for _ in 0..LOOKUPS {
            // A step that comes by all of them (their number is a power of ten).
            place = (place + 61_803) % ROUTES;
            assert!(black_box(table.find(&hosts[place], "/a/path")).is_some());
        }
        let spent = thread_cpu_time() - before;
        nanos.push(spent.as_secs_f64() * 1e9 / LOOKUPS as f64);
    }
    figure("lookup", "ns").print(&nanos);
}

/// What heartbeats cost, and endpoints that come and go.
fn changes(router: &Alone, effort: Effort) {
    let seconds = usize::try_from(effort.seconds.as_secs()).unwrap();
    let refreshes: Vec<_> = (0..REFRESHES_PER_SECOND * seconds)
        .map(|n| registration("router.register", n % ENDPOINTS, ROUTES))
        .collect();
    // Each endpoint that goes comes back.
    let changes: Vec<_> = (0..CHANGES_PER_SECOND * seconds / 2)
        .flat_map(|n| {
            let subjects = ["router.unregister", "router.register"];
            subjects.map(|subject| registration(subject, n % ENDPOINTS, ROUTES))
        })
        .collect();
    for (metric, messages, per_second) in [
        ("cores_for_50k_refreshes_per_s", refreshes, REFRESHES_PER_SECOND),
        ("cores_for_5k_changes_per_s", changes, CHANGES_PER_SECOND),
    ] {
        let mut cores = Vec::new();
        for round in 1..=effort.rounds {
            eprintln!("alone-100k-routes: {metric}: round {round} of {}", effort.rounds);
            let before = cpu_time(router.pid());
            let took = router.send(&messages, per_second);
            let spent = settled(router.pid()) - before;
            cores.push(spent.as_secs_f64() / took.as_secs_f64());
        }
        figure(metric, "cores").print(&cores);
    }
}

/// The CPU time of a process once it has nothing more to do.
fn settled(pid: i32) -> Duration {
    let mut before = cpu_time(pid);
    loop {
        std::thread::sleep(Duration::from_millis(200));
        let now = cpu_time(pid);
        if now - before < Duration::from_millis(20) {
            return now;
        }
        before = now;
    }
}

/// CPU for a request where there are many routes, over that where there are few; all of them lead
/// to the same ten instances.
fn requests(effort: Effort, dir: &std::path::Path) {
    let routers =
        [(0, FEW), (1, ROUTES)].map(|(nth, routes)| (filled(nth, routes, routes, FEW), routes));
    let mut ratios = Vec::new();
    for round in 1..=effort.rounds {
        eprintln!("alone-100k-routes: requests: round {round} of {}", effort.rounds);
        let [few, many] = routers.each_ref().map(|(router, routes)| {
            let script = format!(
                "request = function()\n return wrk.format(nil, nil, \
                 {{[\"Host\"] = \"r\" .. math.random(0, {}) .. \".test\"}})\nend\n",
                routes - 1
            );
            let load = Load::Http1 { connections: 50, words: &[], script: &script };
            let before = cpu_time(router.pid());
            let from = ("http", router.port());
            let served = load.run(from, ("r0.test", "/kilobyte"), effort.seconds, dir);
            (cpu_time(router.pid()) - before).as_secs_f64() / served.requests
        });
        ratios.push(many / few);
    }
    figure("cpu_per_request_over_10_routes", "ratio").print(&ratios);
}
