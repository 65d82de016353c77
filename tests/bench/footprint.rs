//! What the appliance costs while nothing happens.

use std::time::Duration;

use lattice_tests::appliance::Appliance;
use lattice_tests::{machine as tools, program};

use crate::effort::Effort;
use crate::figure::Figure;
use crate::machine::{cpu_time, memory_mb, undisturbed};

const SETTLE: Duration = Duration::from_secs(5);

pub(crate) fn run(effort: Effort) {
    let (mut cpu, mut resident, mut private) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=effort.rounds {
        eprintln!("round {round} of {}: idle for {:?}", effort.rounds, effort.idle);
        let lattice = Appliance::start(&[]);
        let pid = lattice.pid().as_raw_nonzero().get();
        std::thread::sleep(SETTLE);
        cpu.push(undisturbed(|| {
            let before = cpu_time(pid);
            std::thread::sleep(effort.idle);
            (cpu_time(pid) - before).as_secs_f64() / effort.idle.as_secs_f64() * 100.0
        }));
        resident.push(memory_mb(pid, "Rss"));
        private.push(memory_mb(pid, "Private_"));
    }
    let figure = |case, metric, unit| Figure { bench: "footprint", case, metric, unit };
    figure("idle-60s", "cpu_percent_of_a_core", "%").print(&cpu);
    figure("idle", "resident_memory", "MB").print(&resident);
    figure("idle", "private_memory", "MB").print(&private);

    let stripped = tempfile::NamedTempFile::new().unwrap();
    let from = program("lattice");
    tools::run("strip", &["-o", stripped.path().to_str().unwrap(), from.to_str().unwrap()]);
    let bytes = std::fs::metadata(stripped.path()).unwrap().len();
    figure("stripped", "binary_size", "MB").print(&[bytes as f64 / 1e6]);
}
