//! Plays clusters on a virtual clock: Diego's scenarios, a seed's faults, or a script.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "reports go to stdout, talk to stderr"
)]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use lattice_simulation::plan::{Scale, plan};
use lattice_simulation::scenario::{Report, Scenario};
use lattice_simulation::{Sabotage, Script, Summary, Violation, run, shrink};

/// When the arguments are wrong.
const USAGE: u8 = 64;

/// Plays clusters on a virtual clock.
///
/// Without --scenario or --script it plays `cold`, and prints a bar for each cell, how even the
/// cells are filled (standard deviation of their memory in use over its mean), what is missing, and
/// how long and how often work had to wait. Exits with 1 when what must hold does not; prints the
/// shortest script then, for --script.
#[derive(Debug, Parser)]
#[command(name = "simulate")]
struct Arguments {
    /// Determines all chance
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// How many seeds in a row; for the scenario `faults`
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// How many cells; `zones` has 3 and `packing` 1, `faults` has 3 to 20 unless told otherwise
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=5_000))]
    cells: Option<u64>,
    /// What to play
    #[arg(long, value_enum, default_value_t = Play::Cold, conflicts_with = "script")]
    scenario: Play,
    /// Plays a script, as a failing seed prints it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seed", "seeds", "cells"])]
    script: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Play {
    /// Empty cells, 82 instances of several sizes for each
    Cold,
    /// Cells half full, one in twenty empty; five instances for each are added
    Imbalanced,
    /// Two zones, one of them half full; one app
    Zones,
    /// Two boulders and 80 pebbles for one cell
    Packing,
    /// Cells that are filled one after the other
    FirstFit,
    /// Nearly full cells, four instances for each are added
    Watters,
    /// What the seed has in store: crashes, partitions, lost messages
    Faults,
    /// The same, and cells are drained and instances spread anew
    Moves,
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let is_wrong = error.use_stderr();
            // Nobody is left to be told.
            let _ = error.print();
            return if is_wrong { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    match (&arguments.script, arguments.scenario) {
        (Some(file), _) => play_script(file),
        (None, Play::Faults | Play::Moves) => play_faults(&arguments),
        (None, play) => play_scenario(&arguments, play),
    }
}

fn play_scenario(arguments: &Arguments, play: Play) -> ExitCode {
    let (seed, cells) = (arguments.seed, arguments.cells.unwrap_or(100));
    let scenario = match play {
        Play::Cold | Play::Faults | Play::Moves => Scenario::large_cold(seed, cells),
        Play::Imbalanced => Scenario::imbalanced(seed, cells, cells.div_ceil(20), cells * 5),
        Play::Zones => Scenario::zones(seed),
        Play::Packing => Scenario::packing(seed),
        Play::FirstFit => Scenario::first_fit(seed, cells, 0.5),
        Play::Watters => {
            let instances = u32::try_from(cells * 4).unwrap_or(u32::MAX);
            Scenario::watters(seed, cells, instances)
        }
    };
    told(scenario.run().map(|report: Report| report.to_string()))
}

fn play_script(file: &PathBuf) -> ExitCode {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => return wrong(&format!("cannot read {}: {error}", file.display())),
    };
    match text.parse::<Script>() {
        Ok(script) => told(run(&script, Sabotage::Nothing).map(|summary| said(&summary))),
        Err(error) => wrong(&format!("{} is not a script: {error}", file.display())),
    }
}

fn play_faults(arguments: &Arguments) -> ExitCode {
    let cells = arguments.cells;
    let scale = match cells {
        Some(cells) if cells > 100 => Scale { cells_min: cells, cells_max: cells, ..Scale::LARGE },
        Some(cells) => Scale { cells_min: cells, cells_max: cells, ..Scale::SMALL },
        None => Scale::SMALL,
    };
    let scale = Scale { has_moves: arguments.scenario == Play::Moves, ..scale };
    for seed in arguments.seed..arguments.seed.saturating_add(arguments.seeds) {
        let script = plan(seed, &scale);
        match run(&script, Sabotage::Nothing) {
            Ok(summary) if arguments.seeds == 1 => println!("{}", said(&summary)),
            Ok(_) => {}
            Err(violation) => {
                eprintln!("error: seed {seed}: {violation}");
                eprintln!("making its script shorter");
                let shrunk = shrink::shrink(&script, Sabotage::Nothing);
                let (script, violation) = shrunk.unwrap_or((script, violation));
                println!("# {violation}\n{script}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

fn said(summary: &Summary) -> String {
    let Summary { steps, settled_after } = summary;
    let seconds = settled_after.as_secs_f64();
    format!("all is as it must be: {steps} events, settled {seconds:.1} s after the last fault")
}

fn told(outcome: Result<String, Violation>) -> ExitCode {
    match outcome {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(violation) => {
            eprintln!("error: {violation}");
            ExitCode::FAILURE
        }
    }
}

fn wrong(what: &str) -> ExitCode {
    eprintln!("error: {what}");
    ExitCode::from(USAGE)
}
