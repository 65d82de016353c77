//! `ltc task`: one task.

use lattice_model::actual_lrp::PlacementError;
use lattice_model::{Task, TaskState};
use serde::Serialize;

use super::palette::Palette;
use super::steps::placement;
use super::table::{self, Tone, visible};

/// One task; the JSON of `ltc task`.
#[derive(Debug, Serialize)]
pub struct TaskView {
    /// Its name.
    pub task_guid: String,
    /// Its domain.
    pub domain: String,
    /// `PENDING`, `RUNNING`, `COMPLETED` or `RESOLVING`.
    pub state: &'static str,
    /// Where it runs; empty when it does not.
    pub cell_id: String,
    /// True when it ended and did not succeed.
    pub failed: bool,
    /// Why it failed, or why it could not be placed so far.
    pub failure_reason: String,
    /// The amounts behind that, where it could not be placed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub placement_detail: String,
    /// Its result, when it succeeded.
    pub result: String,
    /// Nanoseconds since the Unix epoch.
    pub created_at_ns: i64,
}

impl TaskView {
    /// From what the receptor tells.
    pub fn new(task: &Task) -> Self {
        let (cell_id, outcome) = match &task.state {
            TaskState::Pending => (String::new(), None),
            TaskState::Running { cell_id } => (cell_id.to_string(), None),
            TaskState::Completed(outcome) | TaskState::Resolving(outcome) => {
                (String::new(), Some(outcome))
            }
        };
        let failure_reason = outcome.map_or_else(
            || task.rejection_reason.clone(),
            |outcome| outcome.failure_reason.clone(),
        );
        let is_unplaced = failure_reason == task.rejection_reason;
        Self {
            task_guid: task.definition.task_guid.to_string(),
            domain: task.definition.domain.to_string(),
            state: task.state.name(),
            cell_id,
            failed: outcome.is_some_and(|o| o.failed),
            failure_reason,
            placement_detail: if is_unplaced {
                task.placement_detail.clone()
            } else {
                String::new()
            },
            result: outcome.map(|o| o.result.clone()).unwrap_or_default(),
            created_at_ns: task.created_at.0,
        }
    }
}

/// Yellow while it is on its way, then green or red.
pub fn tone(task: &TaskView) -> Tone {
    match (task.state, task.failed) {
        ("PENDING" | "RUNNING", _) => Tone::Waiting,
        (_, true) => Tone::Bad,
        (_, false) => Tone::Good,
    }
}

/// For people.
pub fn render(task: &TaskView, palette: Palette) -> String {
    let state = match tone(task) {
        Tone::Bad => palette.red(task.state),
        Tone::Good => palette.green(task.state),
        Tone::Waiting | Tone::Plain => palette.yellow(task.state),
    };
    let mut rows = vec![("Task", task.task_guid.clone()), ("State", state)];
    if !task.cell_id.is_empty() {
        rows.push(("Cell", task.cell_id.clone()));
    }
    if !task.failure_reason.is_empty() {
        let (reason, detail) = (task.failure_reason.clone(), task.placement_detail.clone());
        let reason = placement(&PlacementError { reason, detail });
        rows.push(("Failure reason", visible(&reason)));
    } else if tone(task) == Tone::Good {
        rows.push(("Result", visible(&task.result)));
    }
    table::pairs(&rows)
}
