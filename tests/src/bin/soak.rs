//! `soak`: one cell through everything at once, as long as there is time for.

use std::time::Duration;

use clap::Parser;
use lattice_tests::soak::{Plan, play};

/// Lets instances come, go and crash, people get in, and the platform be killed, with one cell;
/// afterwards nothing may be left. Needs root, and makes a network of its own.
#[derive(Debug, Parser)]
struct Args {
    /// How long
    #[arg(long, default_value_t = 30)]
    minutes: u64,
    /// The dice: the same number plays the same events
    #[arg(long)]
    seed: u64,
}

/// How much more memory the platform may have at the end, in percent.
const MEMORY_PERCENT_MAX: u64 = 5;

fn main() {
    let args = Args::parse();
    let duration = Duration::from_secs(args.minutes * 60);
    play(Plan { seed: args.seed, duration, memory_percent_max: MEMORY_PERCENT_MAX });
}
