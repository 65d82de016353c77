//! Whatever goes wrong, what must hold holds, and in the end all is as people want it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a broken fixture is a failed test")]

use lattice_simulation::plan::{Scale, plan};
use lattice_simulation::{Sabotage, run, shrink};

fn check(seeds: std::ops::Range<u64>, scale: &Scale) {
    for seed in seeds {
        let script = plan(seed, scale);
        if let Err(violation) = run(&script, Sabotage::Nothing) {
            let shrunk = shrink::shrink(&script, Sabotage::Nothing);
            let (script, violation) = shrunk.unwrap_or((script, violation));
            panic!("seed {seed}: {violation}\n\n{script}");
        }
    }
}

#[test]
fn small_clusters() {
    check(0..1000, &Scale::SMALL);
}
