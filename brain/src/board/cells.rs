//! Cells that come and go, domains, and how far instances have come.

use std::collections::BTreeSet;

use lattice_api::brain::InstanceProgress;
use lattice_model::{
    ActualState, CellId, CellPresence, Domain, LrpKey, Presence, ProcessGuid, Refusal, TaskGuid,
    Time,
};

use super::command::{Applied, Effect, RowId, Write};
use super::desired::too_many;
use super::{Board, Due, Seen, presence_ttl};
use crate::converge::Standing;

impl Board {
    pub(super) fn heartbeat(&mut self, presence: CellPresence, out: &mut Applied) {
        let now = out.at;
        let cell = presence.cell_id.clone();
        let expires = now + presence_ttl();
        let is_new = !self.is_live(&cell);
        let is_emptying = self.is_emptying(&cell);
        let seen = Seen { presence: Some(presence), expires, is_emptying };
        let before = self.cells.insert(cell.clone(), seen);
        if before.is_none() {
            // An older entry stands until it fires, and then moves on.
            self.due.insert((expires, Due::Cell(cell.clone())));
        }
        let has_changed = before.and_then(|seen| seen.presence) != self.presence(&cell);
        if has_changed {
            self.free_capacity(now);
        }
        if is_new {
            self.repeat_stops(out);
            for (guid, index) in self.indices_on(&cell) {
                self.settle_place(&guid, index, out);
            }
            self.review_moves();
        }
    }

    fn presence(&self, cell: &CellId) -> Option<CellPresence> {
        self.cells.get(cell)?.presence.clone()
    }

    /// A cell that speaks is there, even before its first heartbeat.
    pub(super) fn hear_of(&mut self, cell: &CellId, now: Time) {
        if !self.cells.contains_key(cell) {
            let expires = now + presence_ttl();
            let seen = Seen { presence: None, expires, is_emptying: false };
            self.cells.insert(cell.clone(), seen);
            self.due.insert((expires, Due::Cell(cell.clone())));
        }
    }

    /// The cell's presence may have expired.
    pub(super) fn check_presence(&mut self, cell: &CellId, out: &mut Applied) {
        let now = out.at;
        match self.cells.get(cell).map(|seen| seen.expires) {
            Some(expires) if expires > now => {
                self.due.insert((expires, Due::Cell(cell.clone())));
            }
            // One that was lost already may have been lost in a commit that failed.
            Some(_) | None => self.lose_cell(cell, out),
        }
    }

    /// The cell is gone: what it ran is replaced.
    pub(super) fn lose_cell(&mut self, cell: &CellId, out: &mut Applied) {
        self.cells.remove(cell);
        for (guid, index) in self.indices_on(cell) {
            self.settle_place(&guid, index, out);
        }
        let tasks = self.tasks_on.get(cell).cloned().unwrap_or_default();
        for guid in tasks {
            self.settle_task(&guid, out);
        }
    }

    /// Cells that the records name and that have not been heard of yet get time to report.
    pub(super) fn expect_named_cells(&mut self, now: Time) {
        let named: BTreeSet<CellId> =
            self.rows_on.keys().chain(self.tasks_on.keys()).cloned().collect();
        for cell in named {
            self.hear_of(&cell, now);
        }
    }

    /// Takes over what is known of cells and what was asked of them, after a reload in mid-life.
    /// What came of the command that was not kept is forgotten; these effects were to follow it. So
    /// is what a rebalance has not begun, as at any start.
    pub fn adopt_presences(&mut self, from: Self, unreleased: &[Effect]) {
        let named = std::mem::replace(&mut self.cells, from.cells).into_keys();
        let all: BTreeSet<CellId> = named.chain(self.cells.keys().cloned()).collect();
        // Each is looked at when its presence expires; those that are lost already at once.
        let due = |cell: CellId| {
            (self.cells.get(&cell).map_or_else(Time::default, |seen| seen.expires), Due::Cell(cell))
        };
        self.due.extend(all.into_iter().map(due));
        self.due.extend(from.due.into_iter().filter(|(_, due)| matches!(due, Due::Stop(..))));
        self.retiring = from.retiring;
        for effect in unreleased {
            if let Effect::StopInstance { instance, .. } = effect {
                self.retiring.retain(|_, guid| *guid != instance.instance_guid);
            }
        }
        self.progress = from.progress;
        self.capacity_round = from.capacity_round + 1;
        self.due.insert((Time::default(), Due::Capacity));
    }

    pub(super) fn standing(&self, cell: &CellId) -> Standing {
        match self.cells.get(cell) {
            Some(Seen { presence: Some(_), .. }) if self.is_draining(cell) => Standing::Draining,
            Some(Seen { presence: Some(_), .. }) => Standing::Live,
            Some(Seen { presence: None, .. }) => Standing::Expected,
            None => Standing::Lost,
        }
    }

    /// True for a cell that is known to be gone.
    pub(super) fn is_lost(&self, cell: &CellId) -> bool {
        !self.cells.contains_key(cell)
    }

    /// The cell empties itself, and goes on saying so until it is gone.
    pub(super) fn note_emptying(&mut self, cell: &CellId) {
        if let Some(seen) = self.cells.get_mut(cell) {
            seen.is_emptying = true;
        }
    }

    /// True for a cell that has said that it empties itself.
    pub(super) fn is_emptying(&self, cell: &CellId) -> bool {
        self.cells.get(cell).is_some_and(|seen| seen.is_emptying)
    }

    /// True for a cell that has reported and not expired.
    pub(super) fn is_live(&self, cell: &CellId) -> bool {
        self.cells.get(cell).is_some_and(|seen| seen.presence.is_some())
    }

    pub(super) fn upsert_domain(
        &mut self,
        domain: Domain,
        until: Option<Time>,
        out: &mut Applied,
    ) -> Result<(), Refusal> {
        let max = self.limits.domains_max;
        if !self.domains.contains_key(&domain) && self.domains.len() >= max {
            return Err(too_many(format!("there are {max} domains, which is the most")));
        }
        self.domains.insert(domain.clone(), until);
        out.writes.push(Write::PutDomain(domain, until));
        Ok(())
    }

    pub(super) fn is_fresh(&self, domain: &Domain, now: Time) -> bool {
        self.domains.get(domain).is_some_and(|until| until.is_none_or(|until| until > now))
    }

    pub(super) fn drop_expired_domains(&mut self, out: &mut Applied) {
        let now = out.at;
        let is_expired = |until: &Option<Time>| until.is_some_and(|until| until <= now);
        let expired = self.domains.extract_if(.., |_, until| is_expired(until));
        out.writes.extend(expired.map(|(domain, _)| Write::DeleteDomain(domain)));
    }

    /// Kept only while the instance is on its way.
    pub(super) fn note_progress(&mut self, key: &LrpKey, progress: InstanceProgress) {
        let row = self.row(&RowId::new(key, Presence::Ordinary));
        let is_on_its_way = row.is_some_and(|row| match &row.state {
            ActualState::Unclaimed { .. } => true,
            ActualState::Claimed { instance } => instance.cell_id == progress.cell_id,
            ActualState::Running { .. }
            | ActualState::Crashed { .. }
            | ActualState::Exited { .. } => false,
        });
        if is_on_its_way {
            self.progress.insert((key.process_guid.clone(), key.index), progress);
        }
    }

    pub(super) fn indices_on(&self, cell: &CellId) -> BTreeSet<(ProcessGuid, u32)> {
        let rows = self.rows_on.get(cell).into_iter().flatten();
        rows.map(|id| (id.guid.clone(), id.index)).collect()
    }

    pub(super) fn task_guids(&self) -> Vec<TaskGuid> {
        self.tasks.keys().cloned().collect()
    }
}
