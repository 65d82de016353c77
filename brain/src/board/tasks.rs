//! Orders about tasks; the transitions of section 2.6.

#![warn(clippy::wildcard_enum_match_arm)]

use std::sync::Arc;

use lattice_model::actual_lrp::PlacementError;
use lattice_model::task::{TaskOutcome, TaskState};
use lattice_model::{CellId, ErrorName, Event, Refusal, Task, TaskDefinition, TaskGuid, Time};

use super::command::{Answer, Applied, Effect, Write};
use super::desired::too_many;
use super::{Board, Due, TASK_CANCELLED, TASK_RETRIES_MAX, conflict};
use crate::converge::{self, TASK_KICK_AFTER};

impl Board {
    pub(super) fn desire_task(
        &mut self,
        definition: TaskDefinition,
        out: &mut Applied,
    ) -> Result<(), Refusal> {
        let now = out.at;
        if self.tasks.contains_key(&definition.task_guid) {
            return Err(Refusal::new(ErrorName::TaskGuidAlreadyExists, "task already exists"));
        }
        if definition.containers.is_empty() {
            return Err(Refusal::new(ErrorName::InvalidTask, "Invalid field: containers"));
        }
        let max = self.limits.tasks_max;
        if self.tasks.len() >= max {
            return Err(too_many(format!("there are {max} tasks, which is the most")));
        }
        let guid = definition.task_guid.clone();
        let task = Task {
            definition,
            state: TaskState::Pending,
            created_at: now,
            updated_at: now,
            rejections: 0,
            rejection_reason: String::new(),
            placement_detail: String::new(),
        };
        self.put_task(task, out);
        self.auction_task(&guid, out);
        Ok(())
    }

    pub(super) fn start_task(
        &mut self,
        guid: &TaskGuid,
        cell_id: CellId,
        out: &mut Applied,
    ) -> Result<(), Refusal> {
        let now = out.at;
        let task = self.known_task(guid)?;
        let may_start = match &task.state {
            TaskState::Pending => true,
            TaskState::Running { cell_id: other } if *other == cell_id => false,
            TaskState::Running { .. } | TaskState::Completed(_) | TaskState::Resolving(_) => {
                return Err(conflict("cannot start task"));
            }
        };
        if may_start {
            self.hear_of(&cell_id, now);
            self.move_task(guid, TaskState::Running { cell_id }, out);
        }
        out.answer = Answer::MayStart(may_start);
        Ok(())
    }

    pub(super) fn cancel_task(
        &mut self,
        guid: &TaskGuid,
        out: &mut Applied,
    ) -> Result<(), Refusal> {
        let task = self.known_task(guid)?;
        match &task.state {
            TaskState::Pending => {}
            TaskState::Running { cell_id } => {
                let (guid, cell_id) = (guid.clone(), cell_id.clone());
                out.effects.push(Effect::CancelTask { guid, cell_id });
            }
            TaskState::Completed(_) => return Err(no_transition("Completed", "Completed")),
            TaskState::Resolving(_) => return Err(no_transition("Resolving", "Completed")),
        }
        self.end_task(guid, failed(TASK_CANCELLED), out);
        Ok(())
    }

    pub(super) fn complete_task(
        &mut self,
        guid: &TaskGuid,
        cell: &CellId,
        outcome: TaskOutcome,
        out: &mut Applied,
    ) -> Result<(), Refusal> {
        let task = self.known_task(guid)?;
        match &task.state {
            TaskState::Running { cell_id } if cell_id == cell => {}
            TaskState::Running { .. } => return Err(conflict("task runs on another cell")),
            TaskState::Pending => return Err(no_transition("Pending", "Completed")),
            TaskState::Completed(_) => return Err(no_transition("Completed", "Completed")),
            TaskState::Resolving(_) => return Err(no_transition("Resolving", "Completed")),
        }
        self.end_task(guid, outcome, out);
        Ok(())
    }

    /// A cell's rejection; always counted, and tried again in a while.
    pub(super) fn reject_task(
        &mut self,
        guid: &TaskGuid,
        cell: &CellId,
        reason: String,
        out: &mut Applied,
    ) -> Result<(), Refusal> {
        let now = out.at;
        let task = self.known_task(guid)?;
        match &task.state {
            TaskState::Pending => {}
            TaskState::Running { cell_id } if cell_id == cell => {}
            TaskState::Running { .. } => return Err(conflict("task runs on another cell")),
            TaskState::Completed(_) => return Err(no_transition("Completed", "Pending")),
            TaskState::Resolving(_) => return Err(no_transition("Resolving", "Pending")),
        }
        let error = PlacementError { reason, detail: String::new() };
        self.count_rejection(&Arc::clone(task), error, out);
        self.free_capacity(now);
        Ok(())
    }

    /// The auction found the cells full: counted at most once in a while, and tried again when
    /// capacity appears.
    pub(super) fn fail_task(
        &mut self,
        guid: &TaskGuid,
        error: PlacementError,
        is_stale: bool,
        out: &mut Applied,
    ) -> Result<(), Refusal> {
        let now = out.at;
        let task = Arc::clone(self.pending_task(guid)?);
        let is_first = task.rejections == 0;
        if is_first || now.since(task.updated_at) >= TASK_KICK_AFTER {
            self.count_rejection(&task, error, out);
        }
        if self.pending_task(guid).is_ok() {
            self.waiting_tasks.insert(guid.clone());
            if is_stale {
                self.waiting_tasks.remove(guid);
                self.auction_task(guid, out);
            }
        }
        Ok(())
    }

    /// No cell could ever take it.
    pub(super) fn fail_impossible_task(
        &mut self,
        guid: &TaskGuid,
        error: PlacementError,
        out: &mut Applied,
    ) -> Result<(), Refusal> {
        self.pending_task(guid)?;
        if let Some(task) = self.tasks.get_mut(guid) {
            let task = Arc::make_mut(task);
            task.rejection_reason.clone_from(&error.reason);
            task.placement_detail = error.detail;
        }
        self.end_task(guid, failed(&error.reason), out);
        Ok(())
    }

    pub(super) fn resolve_task(
        &mut self,
        guid: &TaskGuid,
        out: &mut Applied,
    ) -> Result<(), Refusal> {
        let task = Arc::clone(self.known_task(guid)?);
        match &task.state {
            TaskState::Completed(outcome) => {
                let state = TaskState::Resolving(outcome.clone());
                self.put_task(Task { state, ..task.as_ref().clone() }, out);
                Ok(())
            }
            TaskState::Pending => Err(no_transition("Pending", "Resolving")),
            TaskState::Running { .. } => Err(no_transition("Running", "Resolving")),
            TaskState::Resolving(_) => Err(no_transition("Resolving", "Resolving")),
        }
    }

    pub(super) fn delete_task(
        &mut self,
        guid: &TaskGuid,
        out: &mut Applied,
    ) -> Result<(), Refusal> {
        match &self.known_task(guid)?.state {
            TaskState::Completed(_) | TaskState::Resolving(_) => {
                self.drop_task(guid, out);
                Ok(())
            }
            TaskState::Pending | TaskState::Running { .. } => Err(Refusal::new(
                ErrorName::TaskNotDeletable,
                "This task has not been completed. Please retry when it is completed.",
            )),
        }
    }

    /// The task has ended this way; its owner is told where there is one to tell.
    pub(super) fn end_task(&mut self, guid: &TaskGuid, outcome: TaskOutcome, out: &mut Applied) {
        let now = out.at;
        let Some(task) = self.tasks.get(guid).cloned() else { return };
        self.move_task(guid, TaskState::Completed(outcome), out);
        if !task.definition.completion_callback_url.is_empty() {
            out.effects.push(Effect::NotifyOwner(guid.clone()));
        }
        if let TaskState::Running { .. } = task.state {
            self.free_capacity(now);
        }
    }

    /// Keeps a task, and says so.
    pub(super) fn put_task(&mut self, task: Task, out: &mut Applied) {
        let before = self.take_task(&task.definition.task_guid);
        let task = Arc::new(task);
        let after = Arc::clone(&task);
        out.events.push(match before {
            Some(before) => Event::TaskChanged { before, after },
            None => Event::TaskCreated(after),
        });
        out.writes.push(Write::PutTask(Arc::clone(&task)));
        self.adopt_task(task, out.at);
    }

    /// Forgets a task, and says so.
    pub(super) fn drop_task(&mut self, guid: &TaskGuid, out: &mut Applied) {
        if let Some(task) = self.take_task(guid) {
            out.writes.push(Write::DeleteTask(guid.clone()));
            out.events.push(Event::TaskRemoved(task));
        }
    }

    /// Puts a task in its place and into the indexes, without a word.
    pub(super) fn adopt_task(&mut self, task: Arc<Task>, now: Time) {
        let guid = task.definition.task_guid.clone();
        if let TaskState::Running { cell_id } = &task.state {
            self.tasks_on.entry(cell_id.clone()).or_default().insert(guid.clone());
        }
        // What is past already was looked at, or is the safety net's.
        let dues = converge::task_dues(&task).into_iter().filter(|due| *due > now);
        self.due.extend(dues.map(|due| (due, Due::Task(guid.clone()))));
        self.tasks.insert(guid, task);
    }

    /// Sends a pending task to the auction.
    pub(super) fn auction_task(&self, guid: &TaskGuid, out: &mut Applied) {
        if let Ok(task) = self.pending_task(guid) {
            let (task, round) = (Arc::clone(task), self.capacity_round);
            out.effects.push(Effect::AuctionTask { task, round });
        }
    }

    fn count_rejection(&mut self, task: &Task, error: PlacementError, out: &mut Applied) {
        let now = out.at;
        let guid = task.definition.task_guid.clone();
        let rejected = Task {
            state: TaskState::Pending,
            updated_at: now,
            rejections: task.rejections + 1,
            rejection_reason: error.reason.clone(),
            placement_detail: error.detail,
            ..task.clone()
        };
        self.put_task(rejected, out);
        if task.rejections >= TASK_RETRIES_MAX {
            self.end_task(&guid, failed(&error.reason), out);
        }
    }

    fn move_task(&mut self, guid: &TaskGuid, state: TaskState, out: &mut Applied) {
        let now = out.at;
        if let Some(task) = self.tasks.get(guid) {
            let task = Task { state, updated_at: now, ..task.as_ref().clone() };
            self.put_task(task, out);
        }
    }

    fn take_task(&mut self, guid: &TaskGuid) -> Option<Arc<Task>> {
        let task = self.tasks.remove(guid)?;
        self.waiting_tasks.remove(guid);
        if let TaskState::Running { cell_id } = &task.state
            && let Some(tasks) = self.tasks_on.get_mut(cell_id)
        {
            tasks.remove(guid);
            if tasks.is_empty() {
                self.tasks_on.remove(cell_id);
            }
        }
        Some(task)
    }

    fn known_task(&self, guid: &TaskGuid) -> Result<&Arc<Task>, Refusal> {
        self.tasks.get(guid).ok_or_else(|| no_such_task(guid))
    }

    fn pending_task(&self, guid: &TaskGuid) -> Result<&Arc<Task>, Refusal> {
        let task = self.known_task(guid)?;
        match task.state {
            TaskState::Pending => Ok(task),
            TaskState::Running { .. } | TaskState::Completed(_) | TaskState::Resolving(_) => {
                Err(conflict("cannot reject task"))
            }
        }
    }
}

pub(super) fn no_such_task(guid: &TaskGuid) -> Refusal {
    Refusal::new(ErrorName::TaskNotFound, format!("task with guid '{guid}' not found"))
}

pub(super) fn failed(reason: &str) -> TaskOutcome {
    TaskOutcome { failed: true, failure_reason: reason.to_owned(), result: String::new() }
}

fn no_transition(from: &str, to: &str) -> Refusal {
    let message = format!("Cannot transition from {from} to {to}");
    Refusal::new(ErrorName::UnknownError, message)
}
