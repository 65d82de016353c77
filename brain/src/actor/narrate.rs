//! Says in the log what became of instances, tasks and desired LRPs, once for each change.

use lattice_model::{ActualLrp, ActualState, Event, Presence, Task, TaskState};
use tracing::{debug, info};

/// Says what has been committed.
pub(super) fn narrate(event: &Event) {
    match event {
        Event::DesiredLrpCreated(lrp) => {
            info!(guid = %lrp.process_guid, instances = lrp.instances, "LRP desired");
        }
        Event::DesiredLrpChanged { after, .. } => {
            info!(guid = %after.process_guid, instances = after.instances, "desired LRP changed");
        }
        Event::DesiredLrpRemoved(lrp) => info!(guid = %lrp.process_guid, "desired LRP removed"),
        Event::ActualLrpCreated(row) | Event::ActualLrpChanged { after: row, .. } => instance(row),
        Event::ActualLrpRemoved(row) => {
            info!(guid = %row.key.process_guid, index = row.key.index, "instance removed");
        }
        Event::ActualLrpCrashed(crash) => {
            let (key, count) = (&crash.key, crash.crash_count);
            info!(
                guid = %key.process_guid,
                index = key.index,
                cell = %crash.instance.cell_id,
                reason = crash.reason,
                count,
                "instance crashed"
            );
        }
        Event::TaskCreated(task) | Event::TaskChanged { after: task, .. } => one_task(task),
        Event::TaskRemoved(task) => debug!(guid = %task.definition.task_guid, "task forgotten"),
    }
}

fn instance(row: &ActualLrp) {
    let (guid, index) = (&row.key.process_guid, row.key.index);
    if let (Presence::Suspect, Some(instance)) = (row.presence, row.instance()) {
        info!(%guid, index, cell = %instance.cell_id, "instance suspect: its cell is lost");
        return;
    }
    match &row.state {
        ActualState::Unclaimed { placement_error: None } => {
            debug!(%guid, index, "instance waits for a cell");
        }
        ActualState::Unclaimed { placement_error: Some(error) } => {
            info!(%guid, index, reason = error.reason, detail = error.detail, "no cell found");
        }
        ActualState::Claimed { instance } => {
            info!(%guid, index, cell = %instance.cell_id, "instance claimed");
        }
        ActualState::Running { instance, .. } => {
            info!(%guid, index, cell = %instance.cell_id, "instance running");
        }
        ActualState::Crashed { reason } => {
            info!(%guid, index, reason, count = row.crash_count, "instance backs off");
        }
        ActualState::Exited { reason } => info!(%guid, index, reason, "instance exited"),
    }
}

fn one_task(task: &Task) {
    let guid = &task.definition.task_guid;
    match &task.state {
        TaskState::Pending => info!(%guid, reason = task.rejection_reason, "task pending"),
        TaskState::Running { cell_id } => info!(%guid, cell = %cell_id, "task running"),
        TaskState::Completed(outcome) if outcome.failed => {
            info!(%guid, reason = outcome.failure_reason, "task failed");
        }
        TaskState::Completed(_) => info!(%guid, "task succeeded"),
        TaskState::Resolving(_) => debug!(%guid, "task's owner is being told"),
    }
}
