//! `ltc completion`: a script that teaches a shell our commands.

use clap_complete::Shell;

use crate::args;
use crate::context::Local;
use crate::exit::Outcome;

/// Arguments of `ltc completion`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell
    shell: Shell,
}

/// Prints the script.
pub fn run(args: Args, local: &Local) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut args::parser(), "ltc", &mut script);
    local.out.data(&String::from_utf8_lossy(&script))
}
