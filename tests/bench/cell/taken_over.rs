//! Kills the platform under running instances that are asked all the time, and measures how soon
//! the next one has them and what they logged meanwhile.

use std::net::SocketAddr;
use std::time::Instant;

use lattice_tests::appliance::Appliance;
use lattice_tests::load::{address, get, under_load};
use lattice_tests::web::Web;
use lattice_tests::{PATIENCE, eventually, expect, image};
use rustix::process::Signal;
use serde_json::Value;

use crate::effort::Effort;
use crate::figure::Figure;
use crate::machine::{memory_mb, undisturbed};

/// Apps, and the instances of each in a smoke test and in earnest.
const APPS: usize = 5;
const INSTANCES: [usize; 2] = [2, 50];

pub(crate) fn run(effort: Effort) {
    let each = INSTANCES[usize::from(effort != Effort::SMOKE)];
    let mut lattice = Appliance::start(&["--memory-mb", "65536"]);
    let layout = image::layout(lattice.scratch(), "fixture-app", &["serve", "0.0.0.0:8080"]);
    let (layout, count) = (layout.to_str().unwrap(), each.to_string());
    for app in apps() {
        eprintln!("{count} instances of {app}");
        let limits = ["--instances", &count, "--memory-mb", "64", "--timeout", "10m"];
        lattice.ltc_ok(&[&["create", &app, layout], &limits[..]].concat());
    }
    let mut rounds: [Vec<f64>; 3] = Default::default();
    for round in 1..=effort.rounds {
        eprintln!("killed for the {round}. time");
        let mut tries = 0;
        let measured = undisturbed(|| {
            tries += 1;
            kill(&mut lattice, &format!("said-{round}-{tries}"))
        });
        rounds.iter_mut().zip(measured).for_each(|(all, one)| all.push(one));
    }
    let case = format!("killed-with-{}", APPS * each);
    let figure = |metric, unit| Figure { bench: "cell", case: &case, metric, unit };
    figure("start_to_adopted", "s").print(&rounds[0]);
    figure("start_to_ready", "s").print(&rounds[1]);
    figure("start_to_all_logs", "s").print(&rounds[2]);
    let pid = lattice.pid().as_raw_nonzero().get();
    figure("private_memory_of_the_appliance", "MB").print(&[memory_mb(pid, "Private_")]);
}

fn apps() -> impl Iterator<Item = String> {
    (0..APPS).map(|n| format!("fleet-{n}"))
}

/// Kills it; every instance answers all the time, and says these words while nobody listens. Gives
/// the seconds from the start of the next process until all instances are adopted, until it is
/// ready, and until everything that was said can be read.
fn kill(lattice: &mut Appliance, words: &str) -> [f64; 3] {
    let web = Web::new();
    let known = |lattice: &Appliance, web: &Web| -> Vec<Value> {
        let mut all: Vec<Value> = apps().flat_map(|app| lattice.instances(web, &app)).collect();
        all.sort_by_key(|lrp| lrp["instance_guid"].as_str().map(str::to_owned));
        all
    };
    let before = known(lattice, &web);
    assert!(before.iter().all(|lrp| lrp["state"] == "RUNNING"), "{before:?}");
    let addresses: Vec<SocketAddr> = before.iter().map(address).collect();
    let mut seconds = [0.0; 3];
    let log_before = lattice.log().len();
    under_load(&addresses, || {
        lattice.stop(Signal::KILL);
        for at in &addresses {
            assert_eq!(get(*at, &format!("/say/{words}")).unwrap(), 200);
        }
        let (began, clock) = (Instant::now(), now());
        lattice.up();
        seconds[1] = began.elapsed().as_secs_f64();
        let web = Web::new();
        for app in apps() {
            eventually("all that was said can be read", PATIENCE, || {
                let lines = lattice.recent_logs(&web, &app);
                let said = lines.iter().filter(|line| line.ends_with(words)).count();
                expect(said == before.len() / APPS, said)
            });
        }
        seconds[2] = began.elapsed().as_secs_f64();
        let log = &lattice.log()[log_before..];
        let adopted: Vec<&str> = log.lines().filter(|l| l.contains("instance adopted")).collect();
        assert_eq!(adopted.len(), before.len(), "{log}");
        seconds[0] = time_of(adopted.last().unwrap()) - clock;
    });
    assert_eq!(known(lattice, &Web::new()), before);
    seconds
}

/// Seconds of the day, in UTC.
fn now() -> f64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    since.as_secs_f64() % 86_400.0
}

/// When a line of the appliance's log was written: `2026-11-23T05:38:00.123456Z ...`.
fn time_of(line: &str) -> f64 {
    let time = line.split(['T', 'Z']).nth(1).unwrap();
    time.split(':').fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().unwrap())
}
