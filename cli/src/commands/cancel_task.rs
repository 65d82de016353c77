//! `ltc cancel-task`: ends a task.

use lattice_model::TaskState;

use super::task::not_there;
use crate::context::{Cx, task_name};
use crate::exit::{Failure, Outcome};

/// Arguments of `ltc cancel-task`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The task
    task: String,
}

/// Cancels a task that has not ended.
pub async fn run(args: Args, cx: &Cx) -> Outcome {
    let name = task_name(&args.task)?;
    let task = cx.receptor.task(&name).await.map_err(|e| not_there(&name, "cancel", e))?;
    match task.state {
        TaskState::Pending | TaskState::Running { .. } => {
            cx.receptor.cancel_task(&name).await.map_err(|e| not_there(&name, "cancel", e))?;
            cx.out().say(&format!("{name} is cancelled"));
            Ok(())
        }
        TaskState::Completed(_) | TaskState::Resolving(_) => {
            let message = format!("{name} has ended already ({})", task.state.name());
            Err(Failure::command(message)
                .next(format!("ltc task {name}           (shows its result)"))
                .next(format!("ltc delete-task {name}    (forgets it)")))
        }
    }
}
