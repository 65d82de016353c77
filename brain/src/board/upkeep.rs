//! Puts convergence's steps into effect: for one index after a command that concerns it, for what
//! is due, and for everything as a safety net.

use std::collections::BTreeMap;

use lattice_model::{ActualState, LrpKey, Presence, ProcessGuid, Task, TaskGuid, TaskState, Time};

use super::command::{Applied, Effect, RowId};
use super::tasks::failed;
use super::{Board, Due};
use crate::converge::{self, Fix, TaskFix};

/// When capacity is announced before it is quite free, the second look comes after this.
const CAPACITY_LOOK_AGAIN: std::time::Duration = std::time::Duration::from_secs(1);

impl Board {
    /// Acts on everything whose time has come.
    pub(super) fn expire(&mut self, out: &mut Applied) {
        let now = out.at;
        while let Some((time, _)) = self.due.first()
            && *time <= now
        {
            let Some((_, due)) = self.due.pop_first() else { return };
            match due {
                Due::Cell(cell) => self.check_presence(&cell, out),
                Due::Index(guid, index) => self.settle_place(&guid, index, out),
                Due::Task(guid) => self.settle_task(&guid, out),
                Due::Stop(key, instance) => self.stop_handed_over(key, instance, out),
                Due::Capacity => self.retry_waiting(out),
            }
        }
    }

    /// Looks at every record.
    pub(super) fn converge(&mut self, out: &mut Applied) {
        self.drop_expired_domains(out);
        let guids: Vec<ProcessGuid> = self.processes.keys().cloned().collect();
        for guid in guids {
            let indices = self.processes.get(&guid).map(super::Process::indices);
            for index in indices.unwrap_or_default() {
                self.settle_place(&guid, index, out);
            }
        }
        for guid in self.task_guids() {
            self.settle_task(&guid, out);
        }
        self.repeat_stops(out);
        self.review_moves();
    }

    pub(super) fn settle_index(&mut self, key: &LrpKey, out: &mut Applied) {
        self.settle_place(&key.process_guid, key.index, out);
    }

    /// Mends one index.
    pub(super) fn settle_place(&mut self, guid: &ProcessGuid, index: u32, out: &mut Applied) {
        let now = out.at;
        let Some((key, fixes)) = self.judge(guid, index, now) else { return };
        for fix in fixes {
            self.mend(&key, fix, out);
        }
    }

    pub(super) fn settle_task(&mut self, guid: &TaskGuid, out: &mut Applied) {
        let now = out.at;
        let Some(task) = self.tasks.get(guid) else { return };
        let Some(fix) = converge::task(task, |cell| self.standing(cell), now) else { return };
        match fix {
            TaskFix::Auction => {
                self.waiting_tasks.remove(guid);
                self.auction_task(guid, out);
            }
            TaskFix::Fail(reason) => self.end_task(guid, failed(reason), out),
            TaskFix::Unresolve => self.unresolve_task(guid, out),
            TaskFix::Notify if task.definition.completion_callback_url.is_empty() => {}
            TaskFix::Notify => out.effects.push(Effect::NotifyOwner(guid.clone())),
            TaskFix::Delete => self.drop_task(guid, out),
        }
    }

    /// Capacity appeared: what waits is tried again, now and, since it may not be quite free yet, a
    /// moment later.
    pub(super) fn free_capacity(&mut self, now: Time) {
        self.due.insert((now, Due::Capacity));
        self.announce_capacity(now);
    }

    /// What waits is tried again in a moment.
    pub(super) fn announce_capacity(&mut self, now: Time) {
        self.due.insert((now + CAPACITY_LOOK_AGAIN, Due::Capacity));
    }

    /// What the store kept unplaced waits for the first cell to report.
    pub(super) fn queue_unplaced(&mut self) {
        for (guid, process) in &self.processes {
            let unclaimed = process.rows.iter().filter(|((_, presence), row)| {
                let is_unclaimed = matches!(row.state, ActualState::Unclaimed { .. });
                is_unclaimed && *presence == Presence::Ordinary
            });
            self.waiting.extend(unclaimed.map(|((index, _), _)| (guid.clone(), *index)));
        }
        let pending = |task: &Task| matches!(task.state, TaskState::Pending);
        let guids = self.tasks.iter().filter(|(_, task)| pending(task)).map(|(guid, _)| guid);
        self.waiting_tasks.extend(guids.cloned());
    }

    fn judge(&self, guid: &ProcessGuid, index: u32, now: Time) -> Option<(LrpKey, Vec<Fix>)> {
        let process = self.processes.get(guid)?;
        let row = |presence| process.row(index, presence).map(AsRef::as_ref);
        let [ordinary, evacuating, suspect] =
            [Presence::Ordinary, Presence::Evacuating, Presence::Suspect].map(row);
        let known = ordinary.or(evacuating).or(suspect);
        let domain = match (&process.desired, known) {
            (Some(lrp), _) => lrp.domain.clone(),
            (None, row) => row?.key.domain.clone(),
        };
        let place = converge::Index {
            is_wanted: process.wants(index),
            is_fresh: self.is_fresh(&domain, now),
            ordinary,
            evacuating,
            suspect,
        };
        let fixes = converge::index(&place, |cell| self.standing(cell), now);
        Some((LrpKey { process_guid: guid.clone(), index, domain }, fixes))
    }

    pub(super) fn mend(&mut self, key: &LrpKey, fix: Fix, out: &mut Applied) {
        let id = RowId::new(key, Presence::Ordinary);
        match fix {
            Fix::Create => self.create_row(key.clone(), out),
            Fix::Auction => {
                self.waiting.remove(&(key.process_guid.clone(), key.index));
                self.auction_lrp(key, out);
            }
            Fix::Restart | Fix::Unclaim => self.unclaim_row(&id, out),
            Fix::Suspect => {
                self.relabel_row(&id, Presence::Suspect, out);
                self.create_row(key.clone(), out);
            }
            Fix::Promote(presence) => {
                self.drop_and_stop(&id, out);
                self.relabel_row(&RowId::new(key, presence), Presence::Ordinary, out);
            }
            Fix::Evacuate => {
                let suspect = RowId::new(key, Presence::Suspect);
                self.relabel_row(&suspect, Presence::Evacuating, out);
            }
            Fix::Stop(presence) => {
                let id = RowId::new(key, presence);
                if let Some(row) = self.row(&id).cloned()
                    && let Some(instance) = row.instance()
                    && !self.is_retiring(&id, instance)
                {
                    self.stop_instance(&id, &row.key, instance, out);
                }
            }
            Fix::Drop(presence) => self.drop_and_stop(&RowId::new(key, presence), out),
        }
    }

    /// Forgets a record; a live cell that still has its container is told to stop it.
    pub(super) fn drop_and_stop(&mut self, id: &RowId, out: &mut Applied) {
        let Some(row) = self.row(id).cloned() else { return };
        self.drop_row(id, out);
        if let Some(instance) = row.instance()
            && self.is_live(&instance.cell_id)
        {
            let (key, instance) = (row.key.clone(), instance.clone());
            out.effects.push(Effect::StopInstance { key, instance });
        }
    }

    /// Asks again for every stop that has not come about.
    pub(super) fn repeat_stops(&mut self, out: &mut Applied) {
        let mut retiring = std::mem::take(&mut self.retiring);
        retiring.retain(|id, guid| {
            let row = self.row(id);
            let instance = row.and_then(|row| row.instance());
            match (row, instance.filter(|instance| instance.instance_guid == *guid)) {
                (Some(row), Some(instance)) => {
                    let (key, instance) = (row.key.clone(), instance.clone());
                    out.effects.push(Effect::StopInstance { key, instance });
                    true
                }
                _ => false,
            }
        });
        self.retiring = retiring;
    }

    fn retry_waiting(&mut self, out: &mut Applied) {
        self.capacity_round += 1;
        let mut asked = BTreeMap::new();
        for (guid, index) in std::mem::take(&mut self.waiting) {
            if self.is_held_back(&guid, index, &mut asked) {
                self.waiting.insert((guid, index));
                continue;
            }
            let key = self.row(&RowId::ordinary(&guid, index)).map(|row| row.key.clone());
            if let Some(key) = key {
                self.auction_lrp(&key, out);
            }
        }
        for guid in std::mem::take(&mut self.waiting_tasks) {
            self.auction_task(&guid, out);
        }
    }

    fn unresolve_task(&mut self, guid: &TaskGuid, out: &mut Applied) {
        if let Some(task) = self.tasks.get(guid).cloned()
            && let TaskState::Resolving(outcome) = &task.state
        {
            let state = TaskState::Completed(outcome.clone());
            self.put_task(Task { state, ..task.as_ref().clone() }, out);
            out.effects.push(Effect::NotifyOwner(guid.clone()));
        }
    }
}
