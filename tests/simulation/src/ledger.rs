//! What must always hold, checked with each step for what the step touched. The ledger remembers
//! what people were promised and what cells did, and the board's records as the writes make them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use lattice_brain::auction::{Item, Outcome};
use lattice_brain::board::{Applied, Board, Command, Effect, RowId, TASK_CANCELLED, Write};
use lattice_brain::converge::{
    CELL_DISAPPEARED, NOT_STARTED_IN_TIME, TASK_COMPLETED_MAX, TASK_PENDING_MAX,
};
use lattice_model::task::{TaskOutcome, TaskState};
use lattice_model::{
    ActualLrp, ActualState, CellId, DesiredLrp, InstanceGuid, InstanceKey, LrpKey, Presence,
    ProcessGuid, Resources, Task, TaskGuid, Time,
};

use crate::script::Ending;
use crate::store::Kept;
use crate::work;

/// What is known to be so, and the first thing that must not be.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// The first fault, in words.
    pub(crate) violation: Option<String>,
    /// True once something went wrong that may cost work.
    pub(crate) has_faults: bool,
    /// The board's records, as the writes make them.
    pub(crate) rows: BTreeMap<RowId, Arc<ActualLrp>>,
    pub(crate) tasks: BTreeMap<TaskGuid, Arc<Task>>,
    by_instance: BTreeMap<InstanceGuid, RowId>,
    /// Claimed by the command that is being looked at.
    claimed: Vec<LrpKey>,
    /// Taken from their places by that command, perhaps for another.
    taken: Vec<Arc<ActualLrp>>,
    /// Of each LRP, the version that is certain to be durable and those that may be.
    desired: BTreeMap<ProcessGuid, VecDeque<Version>>,
    promised_tasks: BTreeSet<TaskGuid>,
    cancelled: BTreeSet<TaskGuid>,
    owners_told: BTreeMap<TaskGuid, TaskOutcome>,
    runs: BTreeMap<TaskGuid, u32>,
    finished: BTreeSet<TaskGuid>,
    /// Instances that are healthy, or were so at their end, as the board has it.
    healthy: BTreeSet<InstanceGuid>,
    /// Instances that somebody had reason to stop.
    stoppable: BTreeSet<InstanceGuid>,
    stamp: u64,
}

/// A desired LRP or its absence, and when it was applied.
type Version = (u64, Option<Arc<DesiredLrp>>);

/// What somebody at the Receptor API waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ticket {
    about: About,
    stamp: u64,
}

/// What a wish is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum About {
    /// A desired LRP.
    Lrp(ProcessGuid),
    /// A task.
    Task(TaskGuid),
    /// Neither.
    Other,
}

/// What is behind a change of the board.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Somebody changed or removed an LRP.
    Wish,
    /// Somebody wants an index stopped.
    Retire(ProcessGuid, u32),
    /// Somebody wants a task ended.
    Cancel(TaskGuid),
    /// A task's owner knows.
    Delete,
    /// Cells, the auction, time.
    Other,
}

// === impl Ticket ===

impl Ticket {
    pub(crate) const fn new(about: About) -> Self {
        Self { about, stamp: 0 }
    }
}

// === impl Cause ===

impl Cause {
    pub(crate) fn of(command: &Command) -> Self {
        match command {
            Command::UpdateLrp(..) | Command::RemoveLrp(_) => Self::Wish,
            Command::RetireLrp(guid, index) => Self::Retire(guid.clone(), *index),
            Command::CancelTask(guid) => Self::Cancel(guid.clone()),
            Command::DeleteTask(_) => Self::Delete,
            _ => Self::Other,
        }
    }
}

// === impl Ledger ===

impl Ledger {
    /// Notes what must not be; the first is what counts.
    pub(crate) fn fault(&mut self, what: String) {
        self.violation.get_or_insert(what);
    }

    /// Somebody's request was applied just now, or refused.
    pub(crate) const fn stamp(&self, ticket: &mut Ticket) {
        ticket.stamp = self.stamp;
    }

    /// Somebody was told that it is done.
    pub(crate) fn acknowledged(&mut self, ticket: &Ticket) {
        match &ticket.about {
            About::Lrp(guid) => {
                let versions = self.desired.entry(guid.clone()).or_default();
                while versions.get(1).is_some_and(|(stamp, _)| *stamp <= ticket.stamp) {
                    versions.pop_front();
                }
            }
            About::Task(guid) => {
                if self.tasks.contains_key(guid) {
                    self.promised_tasks.insert(guid.clone());
                }
            }
            About::Other => {}
        }
    }

    /// The board was read from the store: what was promised must be there.
    pub(crate) fn reloaded(&mut self, kept: &Kept, _now: Time) {
        let mut lost = Vec::new();
        for (guid, versions) in &mut self.desired {
            let found = kept.desired.get(guid).cloned();
            if !versions.iter().any(|(_, version)| *version == found) {
                lost.push(format!(
                    "an acknowledged wish about {guid} is lost: the store has {found:?}"
                ));
            }
            *versions = [(0, found)].into();
        }
        let tasks = self.promised_tasks.iter().filter(|guid| !kept.tasks.contains_key(*guid));
        lost.extend(tasks.map(|guid| format!("the acknowledged task {guid} is lost")));
        lost.into_iter().for_each(|what| self.fault(what));
        self.rows.clone_from(&kept.rows);
        self.tasks.clone_from(&kept.tasks);
        let instance = |(id, row): (&RowId, &Arc<ActualLrp>)| {
            Some((row.instance()?.instance_guid.clone(), id.clone()))
        };
        self.by_instance = self.rows.iter().filter_map(instance).collect();
        let running = self.rows.values().filter(|row| row.net().is_some());
        let running = running.filter_map(|row| row.instance());
        self.healthy = running.map(|instance| instance.instance_guid.clone()).collect();
    }

    /// A command was applied.
    pub(crate) fn applied(&mut self, board: &Board, cause: &Cause, applied: &Applied) {
        self.stamp += 1;
        if let Cause::Cancel(guid) = cause {
            self.cancelled.insert(guid.clone());
        }
        for write in &applied.writes {
            self.written(cause, write, applied.at);
        }
        for write in &applied.writes {
            if let Write::PutActual(row) = write {
                self.check_siblings(&row.key);
            }
        }
        self.taken.clear();
        for key in std::mem::take(&mut self.claimed) {
            if !wants(board, &key) {
                self.fault(format!("{key:?} is to start, and nobody wants it"));
            }
        }
        for effect in &applied.effects {
            self.released(board, cause, effect, applied.at);
        }
    }

    /// An auction was held over cells that had so much left.
    pub(crate) fn held(
        &mut self,
        outcome: &Outcome,
        left: &mut BTreeMap<CellId, Resources>,
        need_of: impl Fn(&Item) -> Resources,
    ) {
        for (item, cell) in outcome.placed.iter() {
            let need = need_of(item);
            match left.get_mut(cell) {
                Some(left) if left.fits(&need) => *left = left.minus(&need),
                left => self.fault(format!("{item:?} was placed on {cell}, which has {left:?}")),
            }
        }
    }

    /// A task's owner heard of its end.
    pub(crate) fn told(&mut self, guid: &TaskGuid, outcome: TaskOutcome) {
        match self.owners_told.get(guid) {
            Some(before) if *before != outcome => {
                let what = format!("the owner of {guid} heard {before:?} and then {outcome:?}");
                self.fault(what);
            }
            _ => drop(self.owners_told.insert(guid.clone(), outcome)),
        }
    }

    /// A task's process runs on a cell.
    pub(crate) fn runs(&mut self, guid: &TaskGuid) {
        let runs = self.runs.entry(guid.clone()).or_default();
        *runs += 1;
        if *runs > 1 {
            self.fault(format!("the task {guid} runs for the second time"));
        }
    }

    /// A task's process has come to its end by itself.
    pub(crate) fn finished(&mut self, guid: &TaskGuid) {
        self.finished.insert(guid.clone());
    }

    fn written(&mut self, cause: &Cause, write: &Write, now: Time) {
        match write {
            Write::PutDesired(lrp) => {
                let version = (self.stamp, Some(Arc::clone(lrp)));
                self.versions(&lrp.process_guid).push_back(version);
            }
            Write::DeleteDesired(guid) => {
                let version = (self.stamp, None);
                self.versions(guid).push_back(version);
            }
            Write::PutActual(row) => self.put_row(row),
            Write::DeleteActual(id) => {
                if let Some(row) = self.rows.remove(id)
                    && let Some(instance) = row.instance()
                {
                    self.by_instance.remove(&instance.instance_guid);
                    self.taken.push(row);
                }
            }
            Write::PutTask(task) => self.put_task(task, now),
            Write::DeleteTask(guid) => self.drop_task(cause, guid, now),
            Write::PutDomain(..)
            | Write::DeleteDomain(_)
            | Write::PutDraining(_)
            | Write::DeleteDraining(_)
            | Write::PutCredentials(_)
            | Write::DeleteCredentials(_)
            | Write::PutCustomDomain(_)
            | Write::DeleteCustomDomain(_)
            | Write::PutEnrolment(_)
            | Write::DeleteEnrolment(_)
            | Write::PutAcmeAccount(_) => {}
        }
    }

    fn versions(&mut self, guid: &ProcessGuid) -> &mut VecDeque<Version> {
        self.desired.entry(guid.clone()).or_insert_with(|| [(0, None)].into())
    }

    fn put_row(&mut self, row: &Arc<ActualLrp>) {
        let id = RowId::of(row);
        let before = self.rows.insert(id.clone(), Arc::clone(row));
        if let Some(instance) = before.as_ref().and_then(|row| row.instance()) {
            self.by_instance.remove(&instance.instance_guid);
        }
        if let Some(instance) = row.instance() {
            let is_new = before.as_ref().is_none_or(|before| before.instance() != Some(instance));
            let is_relabelled = self.taken.iter().any(|row| row.instance() == Some(instance));
            if is_new && !is_relabelled && matches!(row.state, ActualState::Claimed { .. }) {
                self.claimed.push(row.key.clone());
            }
            self.supersede(row, instance);
            let guid = instance.instance_guid.clone();
            if let Some(other) = self.by_instance.insert(guid, id) {
                let what = format!("{instance:?} is in two records: {other:?} and {row:?}");
                self.fault(what);
            }
        }
    }

    /// An instance that comes to its place replaces the others of its index; those that were
    /// healthy only if it is.
    fn supersede(&mut self, row: &ActualLrp, by: &InstanceKey) {
        let runs = row.net().is_some();
        // A claim that comes late takes an instance's health back.
        match runs {
            true => self.healthy.insert(by.instance_guid.clone()),
            false => self.healthy.remove(&by.instance_guid),
        };
        if row.presence == Presence::Suspect {
            return;
        }
        let presences = [Presence::Ordinary, Presence::Evacuating, Presence::Suspect];
        let present = presences.iter().filter_map(|p| self.rows.get(&RowId::new(&row.key, *p)));
        let taken = self.taken.iter().filter(|taken| taken.key == row.key);
        let others = present.chain(taken).filter_map(|row| row.instance());
        let others = others.filter(|other| *other != by).map(|other| &other.instance_guid);
        let superseded = others.filter(|other| runs || !self.healthy.contains(*other));
        self.stoppable.extend(superseded.cloned().collect::<Vec<_>>());
    }

    /// Where the usual record runs the suspect does not. The evacuating one may, for a moment.
    fn check_siblings(&mut self, key: &LrpKey) {
        let runs = |presence| {
            let row = self.rows.get(&RowId::new(key, presence));
            row.is_some_and(|row| matches!(row.state, ActualState::Running { .. }))
        };
        if runs(Presence::Ordinary) && runs(Presence::Suspect) {
            self.fault(format!("{key:?} runs in two records"));
        }
    }

    fn put_task(&mut self, task: &Arc<Task>, now: Time) {
        let guid = task.definition.task_guid.clone();
        let before = self.tasks.insert(guid.clone(), Arc::clone(task));
        let is_conceivable = match (before.as_ref().map(|task| &task.state), &task.state) {
            (None | Some(TaskState::Running { .. }), TaskState::Pending)
            | (Some(TaskState::Pending), TaskState::Pending | TaskState::Running { .. })
            | (Some(TaskState::Pending | TaskState::Running { .. }), TaskState::Completed(_)) => {
                true
            }
            (Some(TaskState::Completed(before)), TaskState::Resolving(after))
            | (Some(TaskState::Resolving(before)), TaskState::Completed(after)) => before == after,
            _ => false,
        };
        if !is_conceivable {
            self.fault(format!("the task {guid} went from {before:?} to {:?}", task.state));
        }
        if let (Some(TaskState::Pending | TaskState::Running { .. }), TaskState::Completed(how)) =
            (before.as_ref().map(|task| &task.state), &task.state)
            && !self.may_end(task, how, now)
        {
            self.fault(format!("the task {guid} ended for no reason known: {how:?}"));
        }
    }

    /// True when a task had reason to end like this.
    fn may_end(&self, task: &Task, how: &TaskOutcome, now: Time) -> bool {
        let guid = &task.definition.task_guid;
        let ends = work::ending_of(&task.definition);
        let is_finished = self.finished.contains(guid);
        let reason = how.failure_reason.as_str();
        match reason {
            _ if !how.failed => {
                is_finished && ends == Ending::Succeeds && how.result == work::RESULT
            }
            work::FAILURE => is_finished && ends == Ending::Fails,
            TASK_CANCELLED => self.has_faults || self.cancelled.contains(guid),
            CELL_DISAPPEARED | "task container does not exist" => self.has_faults,
            NOT_STARTED_IN_TIME => now.since(task.created_at) >= TASK_PENDING_MAX,
            _ if task.rejections > lattice_brain::board::TASK_RETRIES_MAX => {
                reason == task.rejection_reason
            }
            // Larger than every cell.
            _ => task.placement_detail.contains(" in all "),
        }
    }

    fn drop_task(&mut self, cause: &Cause, guid: &TaskGuid, now: Time) {
        self.promised_tasks.remove(guid);
        let Some(task) = self.tasks.remove(guid) else { return };
        let is_told = self.owners_told.contains_key(guid);
        let is_old = now.since(task.updated_at) >= TASK_COMPLETED_MAX;
        let is_due = match cause {
            Cause::Delete => is_told,
            _ => is_old,
        };
        if !is_due {
            self.fault(format!("the task {guid} was forgotten too early: {:?}", task.state));
        }
    }

    fn released(&mut self, board: &Board, cause: &Cause, effect: &Effect, now: Time) {
        match effect {
            Effect::AuctionLrp { key, .. } => {
                if !wants(board, key) {
                    self.fault(format!("{key:?} goes to the auction, and nobody wants it"));
                }
            }
            Effect::AuctionTask { task, .. } => {
                let guid = &task.definition.task_guid;
                if !board.is_pending(guid) {
                    self.fault(format!("the task {guid} goes to the auction and does not wait"));
                }
            }
            Effect::StopInstance { key, instance } => {
                self.check_stop(board, cause, (key, instance), now);
            }
            Effect::CancelTask { guid, .. } => {
                if !self.cancelled.contains(guid) {
                    self.fault(format!("nobody cancelled the task {guid}"));
                }
            }
            Effect::NotifyOwner(guid) => {
                let state = self.tasks.get(guid).map(|task| &task.state);
                if !matches!(state, Some(TaskState::Completed(_))) {
                    self.fault(format!("the owner of {guid} is to hear of {state:?}"));
                }
            }
        }
    }

    /// Only what is unwanted, superseded, moved or retired is stopped, and what is healthy is moved
    /// only when its replacement is so too; where nobody vouches for the domain, what nobody wants
    /// is stopped only by somebody's own words.
    fn check_stop(
        &mut self,
        board: &Board,
        cause: &Cause,
        (key, instance): (&LrpKey, &InstanceKey),
        now: Time,
    ) {
        let is_said = match cause {
            Cause::Wish => !wants(board, key),
            Cause::Retire(guid, index) => *guid == key.process_guid && *index == key.index,
            Cause::Cancel(_) | Cause::Delete | Cause::Other => false,
        };
        let is_unwanted = !wants(board, key) && board.domains(now).contains(&key.domain);
        let ordinary = self.rows.get(&RowId::new(key, Presence::Ordinary));
        let has_exited =
            ordinary.is_some_and(|row| matches!(row.state, ActualState::Exited { .. }));
        let is_moved =
            board.is_draining(&instance.cell_id) && !self.healthy.contains(&instance.instance_guid);
        if is_said || is_unwanted || has_exited || is_moved {
            self.stoppable.insert(instance.instance_guid.clone());
        } else if !self.stoppable.contains(&instance.instance_guid) {
            self.fault(format!("{key:?} {instance:?} is to stop for no reason known"));
        }
    }
}

/// True when somebody wants this index.
pub(crate) fn wants(board: &Board, key: &LrpKey) -> bool {
    board.desired_lrp(&key.process_guid).is_ok_and(|lrp| key.index < lrp.instances)
}
