//! `ltc delete-task`: ends a task and forgets it.

use std::time::Duration;

use lattice_api::brain::BrainError;
use lattice_model::{ErrorName, TaskGuid, TaskState};
use tokio::time::{Instant, sleep};

use super::task::not_there;
use crate::context::{Cx, task_name};
use crate::duration;
use crate::exit::{Failure, Outcome};

/// Arguments of `ltc delete-task`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The task
    task: String,
    /// How long to wait for its end
    #[arg(long, short = 't', default_value = "30s", value_parser = duration::parse,
          value_name = "DURATION")]
    timeout: Duration,
}

/// Cancels the task, waits for its end and deletes it.
pub async fn run(args: Args, cx: &Cx) -> Outcome {
    let name = task_name(&args.task)?;
    cx.receptor.task(&name).await.map_err(|e| not_there(&name, "delete", e))?;
    // One that has ended cannot be cancelled, and need not be.
    let _ = cx.receptor.cancel_task(&name).await;
    let deadline = Instant::now() + args.timeout;
    while !has_ended(&name, cx).await? {
        if Instant::now() >= deadline {
            let waited = duration::format(args.timeout);
            return Err(Failure::command(format!("{name} has not ended within {waited}"))
                .next(format!("ltc task {name}")));
        }
        sleep(cx.local.poll).await;
    }
    match cx.receptor.delete_task(&name).await {
        Err(e) if !is_gone(&e) => Err(not_there(&name, "delete", e)),
        _ => {
            cx.out().say(&format!("{name} is deleted"));
            Ok(())
        }
    }
}

async fn has_ended(name: &TaskGuid, cx: &Cx) -> Result<bool, Failure> {
    match cx.receptor.task(name).await {
        Ok(task) => match task.state {
            TaskState::Completed(_) | TaskState::Resolving(_) => Ok(true),
            TaskState::Pending | TaskState::Running { .. } => Ok(false),
        },
        // Its owner's callback has resolved it meanwhile.
        Err(e) if is_gone(&e) => Ok(true),
        Err(e) => Err(not_there(name, "delete", e)),
    }
}

fn is_gone(error: &BrainError) -> bool {
    matches!(error, BrainError::Refused(r) if r.name == ErrorName::TaskNotFound)
}
