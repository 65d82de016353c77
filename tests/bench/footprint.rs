//! What the appliance costs while nothing happens.

use std::time::Duration;

use lattice_tests::appliance::Appliance;
use lattice_tests::{machine as tools, program};

use crate::figure::Figure;
use crate::machine::{cpu_time, memory_mb, undisturbed};

const SETTLE: Duration = Duration::from_secs(5);
const IDLE: Duration = Duration::from_secs(60);

pub(crate) fn run() {
    let lattice = Appliance::start(&[]);
    let pid = lattice.pid().as_raw_nonzero().get();
    std::thread::sleep(SETTLE);
    let figure = |case, metric, unit| Figure { bench: "footprint", case, metric, unit };

    let busy = undisturbed(|| {
        let before = cpu_time(pid);
        std::thread::sleep(IDLE);
        (cpu_time(pid) - before).as_secs_f64() / IDLE.as_secs_f64() * 100.0
    });
    figure("idle-60s", "cpu_percent_of_a_core", "%").print(&[busy]);
    for (metric, key) in [("resident_memory", "Rss"), ("private_memory", "Private_")] {
        figure("idle", metric, "MB").print(&[memory_mb(pid, key)]);
    }

    let stripped = lattice.scratch().join("stripped");
    let from = program("lattice");
    tools::run("strip", &["-o", stripped.to_str().unwrap(), from.to_str().unwrap()]);
    let bytes = std::fs::metadata(stripped).unwrap().len();
    figure("stripped", "binary_size", "MB").print(&[bytes as f64 / 1e6]);
}
