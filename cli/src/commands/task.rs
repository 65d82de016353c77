//! `ltc task`: one task.

use lattice_api::brain::BrainError;
use lattice_model::{ErrorName, TaskGuid};

use crate::context::{Cx, task_name};
use crate::exit::{Failure, Outcome};
use crate::view::task::{TaskView, render};

/// Arguments of `ltc task`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The task
    task: String,
}

/// Shows the task.
pub async fn run(args: Args, cx: &Cx) -> Outcome {
    let name = task_name(&args.task)?;
    let task = cx.receptor.task(&name).await.map_err(|e| not_there(&name, "show", e))?;
    cx.out().show(&TaskView::new(&task), render)
}

/// What it means when a task is not there, or cannot be asked for.
pub fn not_there(name: &TaskGuid, doing: &str, error: BrainError) -> Failure {
    match error {
        BrainError::Refused(r) if r.name == ErrorName::TaskNotFound => {
            Failure::command(format!("there is no task named {name}")).next("ltc list")
        }
        error => Failure::brain(&format!("{doing} {name}"), error),
    }
}
