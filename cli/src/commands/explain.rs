//! `ltc explain`: where the auction would put an instance, and why.

use lattice_api::brain::BrainError;
use lattice_model::{ErrorName, ProcessGuid};

use crate::context::{Cx, app_name};
use crate::exit::{Failure, Outcome};
use crate::view::explain::render;

/// Arguments of `ltc explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The app
    app: String,
    /// Which of its instances
    #[arg(default_value_t = 0, value_name = "INDEX")]
    index: u32,
}

/// Shows what the auction thinks of every cell.
pub async fn run(args: Args, cx: &Cx) -> Outcome {
    let name = app_name(&args.app)?;
    let explained = cx.receptor.explain(&name, args.index).await;
    let explanation = explained.map_err(|error| failure(&name, args.index, error))?;
    cx.out().show(&explanation, render)
}

fn failure(name: &ProcessGuid, index: u32, error: BrainError) -> Failure {
    match error {
        BrainError::Refused(refusal) if refusal.name == ErrorName::ActualLRPIndexNotFound => {
            let message = format!("{name} has no instance {index}");
            Failure::command(message).next(format!("ltc status {name}"))
        }
        BrainError::Refused(refusal) if refusal.name == ErrorName::DesiredLRPNotFound => {
            Failure::command(format!("there is no app named {name}")).next("ltc list")
        }
        error => Failure::brain(&format!("explain {name}"), error),
    }
}
