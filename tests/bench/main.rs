//! Measures what people feel, beside peers, and prints one JSON line per figure.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a broken fixture ends the measurement"
)]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "figures go to stdout, talk to stderr"
)]

mod auction;
mod figure;
mod footprint;
mod machine;
mod router;
mod start;

use std::process::ExitCode;

/// A benchmark and what it tells.
type Benchmark = (&'static str, &'static str, fn());

const BENCHMARKS: [Benchmark; 4] = [
    ("start", "from `ltc create` to the first 200, the image cached and not", start::run),
    ("footprint", "memory and CPU of the idle appliance, size of the binary", footprint::run),
    ("auction", "placements per CPU second, and their quality", auction::run),
    ("router", "requests through the router beside nginx and haproxy", router::run),
];

fn main() -> ExitCode {
    let name = std::env::args().nth(1);
    let Some((_, _, run)) = BENCHMARKS.iter().find(|(n, _, _)| Some(*n) == name.as_deref()) else {
        eprintln!("script/bench NAME, where NAME is one of:");
        for (name, what, _) in BENCHMARKS {
            eprintln!("  {name:<10} {what}");
        }
        return if name.is_none() { ExitCode::SUCCESS } else { ExitCode::from(64) };
    };
    lattice_tests::machine::isolate();
    run();
    ExitCode::SUCCESS
}
