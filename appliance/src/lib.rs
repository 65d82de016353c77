//! Wires the roles together: nothing here decides, carries or runs anything itself.
//!
//! | File | Does |
//! |---|---|
//! | [`args`] | the command line |
//! | [`authority`] | who vouches for `https://*.DOMAIN` |
//! | [`up`] | starts the roles in order, waits for a signal, ends them in order |
//! | `front` | the router inside: where it listens, from when on, and how it leaves |
//! | [`custom_domains`] | the brain's certificates, shown by the router |
//! | [`preflight`] | what must be so before anything starts |
//! | [`router`] | the router alone, from a file |
//! | [`down`] | stops a running appliance; removes all that it made |
//! | [`backup`] | copies what the brain keeps, and brings a copy back |
//! | [`install`] | the systemd unit |
//! | `sockets` | what is listened on, kept by the service manager from one process to the next |
//! | [`machinery`] | runtime, images and network of a data directory |
//! | [`data_directory`] | where all of it is kept |
//! | [`lock`] | one appliance a data directory, and who it is |
//! | [`platform_routes`] | announces the platform's own host names on the bus |

pub mod args;
pub mod authority;
pub mod backup;
pub mod custom_domains;
pub mod data_directory;
pub mod down;
mod front;
pub mod install;
pub mod lock;
pub mod machinery;
pub mod platform_routes;
pub mod preflight;
pub mod router;
mod sockets;
pub mod up;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Cli, Command};

/// Exit code for a command line or an environment that cannot work (`EX_USAGE`).
pub const EXIT_USAGE: u8 = 64;

/// Parses the command line and does what it says.
pub fn main() -> ExitCode {
    lattice_daemon::install_crypto();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(said) => return explain(&said),
    };
    let outcome = match cli.command {
        Command::Up(args) => up::run(*args),
        Command::Down(args) => down::run(&args),
        Command::Backup(args) => backup::back_up(&args),
        Command::Restore(args) => backup::restore(&args),
        Command::Install(args) => install::run(&args),
        Command::Router(args) => router::run(&args),
    };
    outcome.map_or_else(|error| report(&error), |()| ExitCode::SUCCESS)
}

/// Help and version on standard output, mistakes on standard error.
fn explain(said: &clap::Error) -> ExitCode {
    // Nobody is left to be told when the terminal is gone.
    let _ = said.print();
    if said.use_stderr() { ExitCode::from(EXIT_USAGE) } else { ExitCode::SUCCESS }
}

#[allow(clippy::print_stderr, reason = "the last word to the person who started it")]
fn report(error: &anyhow::Error) -> ExitCode {
    eprintln!("lattice: {error:#}");
    if error.is::<Usage>() { ExitCode::from(EXIT_USAGE) } else { ExitCode::FAILURE }
}

/// A mistake in how the command was called, with what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);
