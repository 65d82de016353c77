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

mod alone;
mod auction;
mod brain;
mod cell;
mod effort;
mod figure;
mod footprint;
mod machine;
mod peers;
mod pull;
mod registration;
mod router;
mod start;

use std::process::ExitCode;

use effort::Effort;

/// A benchmark and what it tells.
type Benchmark = (&'static str, &'static str, fn(Effort));

const BENCHMARKS: &[Benchmark] = &[
    ("start", "from `ltc create` to the first 200, the image cached and not", start::run),
    ("footprint", "memory and CPU of the idle appliance, size of the binary", footprint::run),
    ("auction", "placements per CPU second, and their quality", auction::run),
    ("router", "requests through the router beside nginx and haproxy", router::run),
    ("router-alone", "of that: kinds of requests, in clear, logged and under TLS", router::alone),
    ("router-held", "of that: 10,000 idle connections, 10,000 upgraded ones", router::held),
    ("router-table", "of that: 100,000 routes, lookups and changes of them", router::table),
    ("registration", "from a message on NATS to the first request it serves", registration::run),
    ("cell", "all of the next three", cell::run),
    ("starts", "containers beside runc and crun, and what holding one costs", cell::run_starts),
    ("restart", "the platform killed under 250 instances, and started anew", cell::run_taken_over),
    ("fleet", "100 instances at once, then 1,000, and what they take", cell::run_fleet),
    ("pull", "an image of 200 MB beside skopeo with umoci, and ctr", pull::run),
    ("brain", "250,000 instances on 1,250 simulated cells, the store on disk", brain::run),
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (name, effort) = match args.as_slice() {
        [] => return usage(ExitCode::SUCCESS),
        // What this program starts itself as, beside it.
        ["--hold", port, count, kind] => return router::held_child(port, count, kind),
        ["--echo", port] => return router::echo_child(port),
        [cell::by_itself::ARGUMENT, dir, count, image] => {
            return cell::by_itself::child(dir, count, image);
        }
        [name] => (*name, Effort::FULL),
        [name, "--smoke"] => (*name, Effort::SMOKE),
        _ => return usage(ExitCode::from(64)),
    };
    let Some((_, _, run)) = BENCHMARKS.iter().find(|(n, _, _)| *n == name) else {
        return usage(ExitCode::from(64));
    };
    if effort == Effort::SMOKE {
        eprintln!("one short round: it shows that the benchmark works; the figures mean nothing");
    }
    lattice_tests::machine::isolate();
    run(effort);
    ExitCode::SUCCESS
}

fn usage(code: ExitCode) -> ExitCode {
    eprintln!("script/bench NAME [--smoke], where NAME is one of:");
    for (name, what, _) in BENCHMARKS {
        eprintln!("  {name:<12} {what}");
    }
    code
}
