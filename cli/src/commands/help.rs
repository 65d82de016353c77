//! `ltc help`: the page, or all about one command.

use crate::args;
use crate::context::Local;
use crate::exit::{Exit, Failure, Outcome};

/// Arguments of `ltc help`.
#[derive(Debug, Default, clap::Args)]
pub struct Args {
    /// The command
    command: Option<String>,
}

/// Prints help.
pub fn run(args: Args, local: &Local) -> Outcome {
    let mut parser = args::parser();
    let Some(name) = args.command else {
        return local.out.data(&parser.render_help().to_string());
    };
    parser.build();
    match parser.find_subcommand_mut(&name) {
        Some(command) => local.out.data(&command.render_long_help().to_string()),
        None => {
            let message = format!("'{name}' is not a command of ltc");
            Err(Failure::new(Exit::General, message).next("ltc help"))
        }
    }
}
