//! The harmonisation tables: what a container needs, given what the brain's record says; pure.
//!
//! The rule of Diego's rep. One column is ours: a view names only the records of this cell, so a
//! record that is elsewhere, or nowhere, is `unseen`; then the brain is asked by telling it what
//! is the case, and its answer decides. Absence is never an order.

use core::fmt::Write as _;
use core::time::Duration;

use lattice_api::brain::CellView;
use lattice_model::{ActualLrp, ActualState, InstanceKey, LrpKey, TaskGuid, TaskState};

/// A record this young, of something that is not here, may be newer than what the cell knows.
pub const ROW_SETTLES: Duration = Duration::from_secs(5);

/// What a cell holds of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// Its resources.
    Reserved,
    /// A container that is being made or is not healthy yet.
    Starting,
    /// A healthy one.
    Running,
    /// One that ended by itself.
    Ended,
    /// One that was stopped.
    Stopped,
    /// Nothing.
    Absent,
}

/// What the brain's record of an LRP's instance says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LrpRow {
    /// The view does not name it.
    Unseen,
    /// There is none.
    None,
    /// Waits for a cell.
    Unclaimed,
    /// This cell starts this instance.
    ClaimedHere,
    /// Another one starts.
    ClaimedElsewhere,
    /// This instance runs.
    RunningHere,
    /// Another one runs.
    RunningElsewhere,
    /// Waits out its back-off, or is left as it ended.
    Crashed,
}

/// What the brain's record of a task says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskRow {
    /// The view does not name it.
    Unseen,
    /// Waits for a cell.
    Pending,
    /// Runs on this cell.
    RunningHere,
    /// Is gone, has ended, or runs elsewhere.
    Over,
}

/// What a container needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cure {
    /// Nothing now; a reservation expires in time.
    Wait,
    /// Claim it (start the task); when that is granted, what is only reserved runs.
    Claim,
    /// Run it: it is claimed already.
    Run,
    /// Ask the brain whether it is still wanted.
    Ask,
    /// Tell the brain that it runs; a refusal stops it.
    Start,
    /// Stop and remove it; nobody has to be told.
    Discard,
    /// Tell the brain how it ended (of nothing: that there is nothing), and remove it.
    Tell,
}

const CONTAINERS: [Container; 6] = [
    Container::Reserved,
    Container::Starting,
    Container::Running,
    Container::Ended,
    Container::Stopped,
    Container::Absent,
];

const LRP_ROWS: [LrpRow; 8] = [
    LrpRow::Unseen,
    LrpRow::None,
    LrpRow::Unclaimed,
    LrpRow::ClaimedHere,
    LrpRow::ClaimedElsewhere,
    LrpRow::RunningHere,
    LrpRow::RunningElsewhere,
    LrpRow::Crashed,
];

const TASK_ROWS: [TaskRow; 4] =
    [TaskRow::Unseen, TaskRow::Pending, TaskRow::RunningHere, TaskRow::Over];

/// What an LRP's container needs.
pub fn lrp_cure(container: Container, row: LrpRow) -> Cure {
    use LrpRow as R;
    match (container, row) {
        (Container::Reserved, R::Unseen | R::Unclaimed | R::RunningHere) => Cure::Claim,
        (Container::Reserved, R::ClaimedHere) => Cure::Run,
        (
            Container::Reserved | Container::Starting,
            R::None | R::ClaimedElsewhere | R::RunningElsewhere | R::Crashed,
        ) => Cure::Discard,
        (Container::Starting, R::Unseen | R::Unclaimed | R::RunningHere) => Cure::Claim,
        (Container::Starting, R::ClaimedHere) => Cure::Wait,
        (Container::Running, R::RunningHere) => Cure::Wait,
        (Container::Running, R::RunningElsewhere) => Cure::Discard,
        (
            Container::Running,
            R::Unseen | R::None | R::Unclaimed | R::ClaimedHere | R::ClaimedElsewhere | R::Crashed,
        ) => Cure::Start,
        (Container::Ended, R::Unseen | R::None | R::ClaimedHere | R::RunningHere) => Cure::Tell,
        (
            Container::Ended,
            R::Unclaimed | R::ClaimedElsewhere | R::RunningElsewhere | R::Crashed,
        ) => Cure::Discard,
        (Container::Stopped, R::Unseen | R::ClaimedHere | R::RunningHere) => Cure::Tell,
        (
            Container::Stopped,
            R::None | R::Unclaimed | R::ClaimedElsewhere | R::RunningElsewhere | R::Crashed,
        ) => Cure::Discard,
        (Container::Absent, R::ClaimedHere | R::RunningHere) => Cure::Tell,
        (
            Container::Absent,
            R::Unseen
            | R::None
            | R::Unclaimed
            | R::ClaimedElsewhere
            | R::RunningElsewhere
            | R::Crashed,
        ) => Cure::Wait,
    }
}

/// What a task's container needs.
pub fn task_cure(container: Container, row: TaskRow) -> Cure {
    use TaskRow as R;
    match (container, row) {
        (Container::Absent, R::RunningHere) => Cure::Tell,
        (Container::Absent, R::Unseen | R::Pending | R::Over) => Cure::Wait,
        (_, R::Over) => Cure::Discard,
        (Container::Reserved, R::Unseen | R::Pending) => Cure::Claim,
        (Container::Reserved | Container::Starting | Container::Running, R::RunningHere) => {
            Cure::Wait
        }
        (Container::Starting | Container::Running, R::Unseen) => Cure::Ask,
        (Container::Starting | Container::Running, R::Pending) => Cure::Discard,
        (Container::Ended | Container::Stopped, R::Unseen | R::RunningHere) => Cure::Tell,
        (Container::Ended | Container::Stopped, R::Pending) => Cure::Discard,
    }
}

/// What the view says of an instance: its own row if there is one, else another's of its key.
pub fn lrp_row(view: &CellView, key: &LrpKey, ours: &InstanceKey) -> LrpRow {
    let of_key = || view.lrps.iter().map(|(row, _)| row).filter(|row| row.key == *key);
    let own = of_key().find(|row| row.instance() == Some(ours));
    let Some(row) = own.or_else(|| of_key().next()) else { return LrpRow::Unseen };
    row_of(row, row.instance() == Some(ours))
}

/// What the view says of a task.
pub fn task_row(view: &CellView, guid: &TaskGuid) -> TaskRow {
    match view.tasks.iter().find(|task| task.definition.task_guid == *guid) {
        None => TaskRow::Unseen,
        Some(task) => match task.state {
            TaskState::Pending => TaskRow::Pending,
            TaskState::Running { .. } => TaskRow::RunningHere,
            TaskState::Completed(_) | TaskState::Resolving(_) => TaskRow::Over,
        },
    }
}

fn row_of(row: &ActualLrp, is_ours: bool) -> LrpRow {
    match (&row.state, is_ours) {
        (ActualState::Unclaimed { .. }, _) => LrpRow::Unclaimed,
        (ActualState::Claimed { .. }, true) => LrpRow::ClaimedHere,
        (ActualState::Claimed { .. }, false) => LrpRow::ClaimedElsewhere,
        (ActualState::Running { .. }, true) => LrpRow::RunningHere,
        (ActualState::Running { .. }, false) => LrpRow::RunningElsewhere,
        (ActualState::Crashed { .. } | ActualState::Exited { .. }, _) => LrpRow::Crashed,
    }
}

/// The tables as docs/states.md shows them.
pub fn states_markdown() -> String {
    let mut text = String::from("### Containers of LRPs\n\n");
    table(&mut text, &LRP_ROWS.map(lrp_row_name), |container, column| {
        lrp_cure(container, LRP_ROWS[column])
    });
    text.push_str("\n### Containers of tasks\n\n");
    table(&mut text, &TASK_ROWS.map(task_row_name), |container, column| {
        task_cure(container, TASK_ROWS[column])
    });
    text
}

fn table(text: &mut String, columns: &[&str], cure: impl Fn(Container, usize) -> Cure) {
    let _ = writeln!(text, "| container \\ record | {} |", columns.join(" | "));
    let _ = writeln!(text, "|---|{}", "---|".repeat(columns.len()));
    for container in CONTAINERS {
        let cells: Vec<&str> = (0..columns.len())
            .map(|column| cure_name(container, cure(container, column)))
            .collect();
        let _ = writeln!(text, "| {} | {} |", container_name(container), cells.join(" | "));
    }
}

const fn container_name(container: Container) -> &'static str {
    match container {
        Container::Reserved => "reserved",
        Container::Starting => "initializing or created",
        Container::Running => "running",
        Container::Ended => "completed by itself",
        Container::Stopped => "completed, stopped",
        Container::Absent => "none",
    }
}

const fn lrp_row_name(row: LrpRow) -> &'static str {
    match row {
        LrpRow::Unseen => "unseen",
        LrpRow::None => "none",
        LrpRow::Unclaimed => "UNCLAIMED",
        LrpRow::ClaimedHere => "CLAIMED here",
        LrpRow::ClaimedElsewhere => "CLAIMED elsewhere",
        LrpRow::RunningHere => "RUNNING here",
        LrpRow::RunningElsewhere => "RUNNING elsewhere",
        LrpRow::Crashed => "CRASHED or EXITED",
    }
}

const fn task_row_name(row: TaskRow) -> &'static str {
    match row {
        TaskRow::Unseen => "unseen",
        TaskRow::Pending => "PENDING",
        TaskRow::RunningHere => "RUNNING here",
        TaskRow::Over => "gone, over or elsewhere",
    }
}

const fn cure_name(container: Container, cure: Cure) -> &'static str {
    match (cure, container) {
        (Cure::Wait, _) => "-",
        (Cure::Claim, Container::Reserved) => "claim, run",
        (Cure::Claim, _) => "claim",
        (Cure::Run, _) => "run",
        (Cure::Ask, _) => "ask",
        (Cure::Start, _) => "start",
        (Cure::Discard, Container::Starting | Container::Running) => "stop, delete",
        (Cure::Discard, _) => "delete",
        (Cure::Tell, Container::Absent) => "remove record",
        (Cure::Tell, Container::Ended) => "tell its end, delete",
        (Cure::Tell, _) => "remove record, delete",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The LRP table as the spec has it (diego.md 2.12), our `unseen` column first.
    const EXPECTED_LRP: &str = "\
### Containers of LRPs

| container \\ record | unseen | none | UNCLAIMED | CLAIMED here | CLAIMED elsewhere \
| RUNNING here | RUNNING elsewhere | CRASHED or EXITED |
|---|---|---|---|---|---|---|---|---|
| reserved | claim, run | delete | claim, run | run | delete | claim, run | delete | delete |
| initializing or created | claim | stop, delete | claim | - | stop, delete | claim \
| stop, delete | stop, delete |
| running | start | start | start | start | start | - | stop, delete | start |
| completed by itself | tell its end, delete | tell its end, delete | delete \
| tell its end, delete | delete | tell its end, delete | delete | delete |
| completed, stopped | remove record, delete | delete | delete | remove record, delete | delete \
| remove record, delete | delete | delete |
| none | - | - | - | remove record | - | remove record | - | - |
";

    #[test]
    fn the_table_of_lrps_is_diegos() {
        let printed = states_markdown();
        let lrp = printed.split("\n### Containers of tasks").next().unwrap();
        assert_eq!(lrp, EXPECTED_LRP);
    }

    #[test]
    fn the_table_of_tasks_is_diegos() {
        let check = |container, expected: [Cure; 4]| {
            assert_eq!(TASK_ROWS.map(|row| task_cure(container, row)), expected, "{container:?}");
        };
        check(Container::Reserved, [Cure::Claim, Cure::Claim, Cure::Wait, Cure::Discard]);
        check(Container::Starting, [Cure::Ask, Cure::Discard, Cure::Wait, Cure::Discard]);
        check(Container::Running, [Cure::Ask, Cure::Discard, Cure::Wait, Cure::Discard]);
        check(Container::Ended, [Cure::Tell, Cure::Discard, Cure::Tell, Cure::Discard]);
        check(Container::Stopped, [Cure::Tell, Cure::Discard, Cure::Tell, Cure::Discard]);
        check(Container::Absent, [Cure::Wait, Cure::Wait, Cure::Tell, Cure::Wait]);
    }

    #[test]
    fn what_the_brain_does_not_mention_is_never_thrown_away() {
        for container in CONTAINERS {
            assert_ne!(lrp_cure(container, LrpRow::Unseen), Cure::Discard, "{container:?}");
            assert_ne!(task_cure(container, TaskRow::Unseen), Cure::Discard, "{container:?}");
        }
    }
}
