//! `ltc`: create, watch and change apps on a Lattice.
//!
//! [`args`] reads the command line, [`commands`] has one file a verb, [`view`] turns data into
//! text, [`out`] is the only mouth. What a command needs of the platform is in [`context::Cx`];
//! only [`connect`] knows the clients behind it. Decisions ([`lrp`], [`routes`], [`rollout`],
//! [`duration`], [`target`], [`view`]) are pure.

pub mod args;
pub mod commands;
pub mod config_file;
pub mod connect;
pub mod context;
pub mod droplet_store;
pub mod duration;
pub mod exit;
pub mod follow;
pub mod gateway;
pub mod image;
pub mod local_platform;
pub mod login;
pub mod lrp;
pub mod out;
pub mod push;
pub mod reach;
pub mod rollout;
pub mod routes;
pub mod signals;
pub mod submit;
pub mod target;
pub mod terminal;
pub mod view;
pub mod watch;

use std::ffi::OsString;

use crate::context::Local;
use crate::exit::Exit;
use crate::out::Format;

/// Runs a command line; `make` gives the person's side for an output format, coloured or not.
pub async fn run(
    argv: impl IntoIterator<Item = OsString>,
    make: impl FnOnce(Format, bool) -> Local,
) -> Exit {
    let cli = match args::parse(argv) {
        Ok(cli) => cli,
        Err(words) => {
            let local = make(Format::Text, true);
            match words.exit {
                Exit::Ok => return exit_of(local.out.data(&words.text), &local),
                exit => {
                    local.out.say(words.text.trim_end());
                    return exit;
                }
            }
        }
    };
    let local = make(cli.output, !cli.no_color);
    tokio::select! {
        outcome = commands::run(cli.command, &local) => exit_of(outcome, &local),
        () = signals::interrupted() => {
            local.out.end_progress();
            Exit::Interrupted
        }
    }
}

fn exit_of(outcome: exit::Outcome, local: &Local) -> Exit {
    match outcome {
        Ok(()) => Exit::Ok,
        Err(failure) => {
            local.out.fail(&failure);
            failure.exit
        }
    }
}

#[cfg(test)]
mod tests;
