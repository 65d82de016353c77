//! Compares what is wanted with what is recorded, and says how to mend the difference
//! (sections 2.7 and 2.11). Decides only; the board acts.

#![warn(clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use lattice_model::task::TaskState;
use lattice_model::{ActualLrp, ActualState, CellId, Presence, Task, Time};

use crate::crash;

/// An instance unclaimed for longer than this is auctioned again.
pub const UNCLAIMED_STALE_AFTER: Duration = Duration::from_secs(30);
/// A task pending for longer than this is auctioned again.
pub const TASK_KICK_AFTER: Duration = Duration::from_secs(30);
/// A task pending for longer than this has failed.
pub const TASK_PENDING_MAX: Duration = Duration::from_secs(1_800);
/// A task whose end nobody took note of for so long is forgotten.
pub const TASK_COMPLETED_MAX: Duration = Duration::from_secs(120);
/// The failure of a task that never found a place.
pub const NOT_STARTED_IN_TIME: &str = "not started within time limit";
/// The failure of a task whose cell is lost.
pub const CELL_DISAPPEARED: &str = "cell disappeared before completion";

/// All that is known about one index of one LRP.
#[derive(Debug, Clone, Copy, Default)]
pub struct Index<'a> {
    /// True when the LRP is desired and has so many instances.
    pub is_wanted: bool,
    /// True when somebody vouches that the list of the domain's LRPs is complete; without that
    /// nothing is stopped.
    pub is_fresh: bool,
    /// The usual record.
    pub ordinary: Option<&'a ActualLrp>,
    /// The one on a cell that is being emptied.
    pub evacuating: Option<&'a ActualLrp>,
    /// The one on a cell that is not heard of.
    pub suspect: Option<&'a ActualLrp>,
}

/// What is known of a cell that a record names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It has reported, and its presence has not expired.
    Live,
    /// The same, and it is to be emptied.
    Draining,
    /// Nothing is known of it yet, and it still has time to report.
    Expected,
    /// It is known to be gone.
    Lost,
}

/// One mending step for an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fix {
    /// Make the missing record, and auction.
    Create,
    /// Auction again.
    Auction,
    /// The back-off is over: unclaimed, and auction.
    Restart,
    /// The cell is lost: the record becomes suspect and a replacement is auctioned.
    Suspect,
    /// The replacement's cell is lost too: back to unclaimed, and auction.
    Unclaim,
    /// The one with this presence is the usual one again, and its replacement goes: a suspect's
    /// cell is back.
    Promote(Presence),
    /// The suspect's cell is back, to be emptied: it stays up until its replacement runs.
    Evacuate,
    /// Ask the cell to stop the one with this presence.
    Stop(Presence),
    /// Forget the record; a cell that still has its container is asked to stop it.
    Drop(Presence),
}

/// One mending step for a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskFix {
    /// Auction again.
    Auction,
    /// It has failed, for this reason.
    Fail(&'static str),
    /// Telling the owner came to nothing: completed again.
    Unresolve,
    /// Tell the owner again.
    Notify,
    /// Forget it.
    Delete,
}

/// The steps for one index, in the order in which they are to be done.
pub fn index(index: &Index<'_>, standing: impl Fn(&CellId) -> Standing, now: Time) -> Vec<Fix> {
    let of = |row: &ActualLrp| row.instance().map(|i| standing(&i.cell_id));
    let is_lost = |row: &ActualLrp| of(row) == Some(Standing::Lost);
    let mut fixes = Vec::new();
    fixes.extend(index.evacuating.and_then(|row| evacuating_fix(index, is_lost(row))));
    if let Some(suspect) = index.suspect {
        match suspect_fix(index, of(suspect), is_lost) {
            Some(fix @ Fix::Promote(_)) => {
                fixes.push(fix);
                return fixes;
            }
            other => fixes.extend(other),
        }
    }
    fixes.extend(ordinary_fix(index, is_lost, now));
    fixes
}

/// The step for a task.
pub fn task(task: &Task, standing: impl Fn(&CellId) -> Standing, now: Time) -> Option<TaskFix> {
    let unchanged = now.since(task.updated_at);
    match &task.state {
        TaskState::Pending if now.since(task.created_at) >= TASK_PENDING_MAX => {
            Some(TaskFix::Fail(NOT_STARTED_IN_TIME))
        }
        TaskState::Pending => (unchanged >= TASK_KICK_AFTER).then_some(TaskFix::Auction),
        TaskState::Running { cell_id } => {
            (standing(cell_id) == Standing::Lost).then_some(TaskFix::Fail(CELL_DISAPPEARED))
        }
        TaskState::Completed(_) if unchanged >= TASK_COMPLETED_MAX => Some(TaskFix::Delete),
        TaskState::Completed(_) => (unchanged >= TASK_KICK_AFTER).then_some(TaskFix::Notify),
        TaskState::Resolving(_) => (unchanged >= TASK_KICK_AFTER).then_some(TaskFix::Unresolve),
    }
}

/// When [`task`] has something to say about a task that nothing happens to; a running one waits for
/// its cell.
pub fn task_dues(task: &Task) -> Vec<Time> {
    let kick = task.updated_at + TASK_KICK_AFTER;
    match &task.state {
        TaskState::Pending => vec![kick, task.created_at + TASK_PENDING_MAX],
        TaskState::Running { .. } => Vec::new(),
        TaskState::Completed(_) => vec![kick, task.updated_at + TASK_COMPLETED_MAX],
        TaskState::Resolving(_) => vec![kick],
    }
}

/// When a crashed instance is to be restarted; `None` is never.
pub fn restart_due(row: &ActualLrp) -> Option<Time> {
    crash::wait_after(row.crash_count).map(|wait| row.since + wait)
}

/// An evacuating instance serves until its replacement runs, or has nothing more to run for.
fn evacuating_fix(index: &Index<'_>, is_lost: bool) -> Option<Fix> {
    let is_replaced = index.ordinary.is_some_and(|row| match row.state {
        ActualState::Running { .. } | ActualState::Exited { .. } => true,
        ActualState::Unclaimed { .. }
        | ActualState::Claimed { .. }
        | ActualState::Crashed { .. } => false,
    });
    if is_lost || is_replaced {
        return Some(Fix::Drop(Presence::Evacuating));
    }
    (!index.is_wanted && index.is_fresh).then_some(Fix::Stop(Presence::Evacuating))
}

fn suspect_fix(
    index: &Index<'_>,
    standing: Option<Standing>,
    is_lost: impl Fn(&ActualLrp) -> bool,
) -> Option<Fix> {
    let is_back = match standing {
        Some(Standing::Live | Standing::Draining) => true,
        Some(Standing::Expected | Standing::Lost) | None => false,
    };
    let is_replaced = index.ordinary.is_some_and(|row| row.net().is_some());
    let drop = Some(Fix::Drop(Presence::Suspect));
    match (index.is_wanted, is_back) {
        (false, _) if index.is_fresh || !is_back => drop,
        (false, _) if index.ordinary.is_none() => Some(Fix::Promote(Presence::Suspect)),
        (false, _) => drop,
        (true, _) if is_replaced => drop,
        (true, true) if standing == Some(Standing::Draining) => {
            let is_of_use = index.suspect.is_some_and(|row| row.net().is_some());
            let is_alone = index.evacuating.is_none_or(is_lost);
            if is_of_use && is_alone { Some(Fix::Evacuate) } else { drop }
        }
        (true, true) => Some(Fix::Promote(Presence::Suspect)),
        (true, false) => None,
    }
}

fn ordinary_fix(index: &Index<'_>, lost: impl Fn(&ActualLrp) -> bool, now: Time) -> Option<Fix> {
    let Some(row) = index.ordinary else { return index.is_wanted.then_some(Fix::Create) };
    let drop = Fix::Drop(Presence::Ordinary);
    if !index.is_wanted {
        return match row.instance() {
            Some(_) if lost(row) => Some(drop),
            Some(_) => index.is_fresh.then_some(Fix::Stop(Presence::Ordinary)),
            None => index.is_fresh.then_some(drop),
        };
    }
    match &row.state {
        ActualState::Unclaimed { .. } => {
            (now.since(row.since) > UNCLAIMED_STALE_AFTER).then_some(Fix::Auction)
        }
        ActualState::Claimed { .. } | ActualState::Running { .. } if !lost(row) => None,
        ActualState::Claimed { .. } | ActualState::Running { .. } => {
            let is_stood_in_for = index.suspect.is_some() || index.evacuating.is_some();
            Some(if is_stood_in_for { Fix::Unclaim } else { Fix::Suspect })
        }
        ActualState::Crashed { .. } => {
            restart_due(row).is_some_and(|due| due <= now).then_some(Fix::Restart)
        }
        ActualState::Exited { .. } => None,
    }
}

#[cfg(test)]
mod tests;
