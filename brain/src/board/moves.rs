//! Instances that leave a live cell: each stays up, with an evacuating record, until its
//! replacement runs elsewhere. So a cell is drained, and so are instances spread anew.
//!
//! A drained cell is durable and stays empty until it is undrained. A rebalance is not: what a
//! restart finds under way it finishes, the rest is forgotten.

#![warn(clippy::wildcard_enum_match_arm)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use lattice_api::brain::moves;
use lattice_model::cell::Draining;
use lattice_model::{
    ActualLrp, ActualState, CellId, ErrorName, InstanceKey, LrpKey, Presence, ProcessGuid, Refusal,
};

use super::command::{Applied, Effect, RowId, Write};
use super::{Board, Due};
use crate::converge::Fix;

/// So long the old instance is left up when the new one runs, for routers to hear of the new one.
const HANDOVER: Duration = Duration::from_secs(1);

/// What is to move, and what does.
#[derive(Debug, Default)]
pub(super) struct Moves {
    /// Cells that give everything away, and how much of it at once.
    draining: BTreeMap<CellId, u32>,
    /// What a rebalance has left to move, and how much of it at once.
    planned: VecDeque<(LrpKey, InstanceKey)>,
    planned_in_flight_max: u32,
    /// What a rebalance has under way.
    rebalancing: BTreeSet<(ProcessGuid, u32)>,
    /// True when something has changed that may let the next ones go.
    is_stale: bool,
}

// === impl Moves ===

impl Moves {
    fn is_idle(&self) -> bool {
        self.draining.is_empty() && self.planned.is_empty() && self.rebalancing.is_empty()
    }
}

// === impl Board ===

impl Board {
    pub(super) fn drain_cell(&mut self, d: Draining, out: &mut Applied) -> Result<(), Refusal> {
        self.known_cell(&d.cell_id)?;
        self.adopt_draining(d.clone());
        out.writes.push(Write::PutDraining(d));
        Ok(())
    }

    /// Also takes back the moves whose replacement no cell has claimed.
    pub(super) fn undrain_cell(&mut self, cell: &CellId, out: &mut Applied) -> Result<(), Refusal> {
        if self.moves.draining.remove(cell).is_none() {
            let message = format!("cell '{cell}' is not draining; `ltc cells` shows which are");
            return Err(Refusal::new(ErrorName::CellNotFound, message));
        }
        out.writes.push(Write::DeleteDraining(cell.clone()));
        for id in self.ids_on(cell, Presence::Evacuating) {
            let ordinary = self.row(&RowId::ordinary(&id.guid, id.index));
            if ordinary.is_some_and(|row| matches!(row.state, ActualState::Unclaimed { .. })) {
                self.take_back(&id.guid, id.index, out);
            }
        }
        self.free_capacity(out.at);
        Ok(())
    }

    /// Moves these, each to where the auction then finds best, so many at once; replaces what an
    /// earlier rebalance has left.
    pub(super) fn rebalance(&mut self, moves: Vec<(LrpKey, InstanceKey)>, in_flight_max: u32) {
        self.moves.planned = moves.into();
        self.moves.planned_in_flight_max = in_flight_max;
        self.moves.is_stale = true;
    }

    pub(super) fn adopt_draining(&mut self, d: Draining) {
        self.moves.draining.insert(d.cell_id, d.max_in_flight);
        self.moves.is_stale = true;
    }

    /// A record came or went: that may let the next ones go.
    pub(super) fn note_for_moves(&mut self, id: &RowId, cell: Option<&CellId>) {
        if self.moves.is_idle() {
            return;
        }
        let is_moving = id.presence == Presence::Evacuating || self.is_moving(&id.guid, id.index);
        let is_draining = cell.is_some_and(|cell| self.is_draining(cell));
        let is_paced = || self.desired(&id.guid).is_some_and(|lrp| lrp.update_strategy.is_paced());
        self.moves.is_stale |= is_moving || is_draining || is_paced();
    }

    /// Looks again at what could go.
    pub(super) const fn review_moves(&mut self) {
        self.moves.is_stale = true;
    }

    /// Lets go what may go now.
    pub(super) fn advance_moves(&mut self, out: &mut Applied) {
        if !self.moves.is_stale {
            return;
        }
        for (cell, in_flight_max) in self.moves.draining.clone() {
            if self.is_live(&cell) {
                self.empty_cell(&cell, in_flight_max, out);
            }
        }
        self.advance_rebalance(out);
        self.moves.is_stale = false;
    }

    fn empty_cell(&mut self, cell: &CellId, in_flight_max: u32, out: &mut Applied) {
        let mut left = in_flight_max.saturating_sub(self.in_flight(cell));
        for id in self.ids_on(cell, Presence::Ordinary) {
            let Some(row) = self.row(&id).cloned() else { continue };
            match &row.state {
                ActualState::Claimed { instance } if self.is_free_to_go(&id, instance) => {
                    self.unclaim_row(&id, out);
                    let (key, instance) = (row.key.clone(), instance.clone());
                    out.effects.push(Effect::StopInstance { key, instance });
                }
                ActualState::Running { instance, .. }
                    if left > 0
                        && self.is_free_to_go(&id, instance)
                        && self.may_move(&id.guid, id.index) =>
                {
                    left -= 1;
                    self.start_move(&row.key, row.state.clone(), out);
                }
                ActualState::Claimed { .. }
                | ActualState::Running { .. }
                | ActualState::Unclaimed { .. }
                | ActualState::Crashed { .. }
                | ActualState::Exited { .. } => {}
            }
        }
    }

    fn advance_rebalance(&mut self, out: &mut Applied) {
        let mut rebalancing = std::mem::take(&mut self.moves.rebalancing);
        rebalancing.retain(|(guid, index)| self.is_moving(guid, *index));
        let max = self.moves.planned_in_flight_max as usize;
        while rebalancing.len() < max
            && let Some((key, instance)) = self.moves.planned.pop_front()
        {
            let id = RowId::new(&key, Presence::Ordinary);
            let Some(row) = self.row(&id).cloned() else { continue };
            let is_same = row.net().is_some() && row.instance() == Some(&instance);
            let may_go = is_same
                && self.is_live(&instance.cell_id)
                && self.is_free_to_go(&id, &instance)
                && self.may_move(&key.process_guid, key.index);
            if may_go {
                self.start_move(&key, row.state.clone(), out);
                rebalancing.insert((key.process_guid, key.index));
            }
        }
        self.moves.rebalancing = rebalancing;
    }

    /// A replacement found no place: the move is undone where nothing forces it, so that what a
    /// rebalance began ends, be it under another brain.
    pub(super) fn give_up_move(&mut self, key: &LrpKey, out: &mut Applied) {
        let Some(cell) = self.leaves(&key.process_guid, key.index) else { return };
        if !self.is_draining(&cell) && !self.is_emptying(&cell) {
            self.take_back(&key.process_guid, key.index, out);
        }
    }

    /// The replacement runs: the old instance's record goes at once, and the instance itself when
    /// routers have heard of the new one.
    pub(super) fn hand_over(&mut self, key: &LrpKey, out: &mut Applied) {
        let id = RowId::new(key, Presence::Evacuating);
        let Some(instance) = self.row(&id).and_then(|row| row.instance()).cloned() else { return };
        self.drop_row(&id, out);
        self.due.insert((out.at + HANDOVER, Due::Stop(key.clone(), instance)));
    }

    /// An instance that was handed over stops, unless a record has come to name it again.
    pub(super) fn stop_handed_over(&self, key: LrpKey, instance: InstanceKey, out: &mut Applied) {
        let presences = [Presence::Ordinary, Presence::Evacuating, Presence::Suspect];
        let is_named = presences.into_iter().any(|p| self.is_at(&key, p, &instance));
        if !is_named && self.is_live(&instance.cell_id) {
            out.effects.push(Effect::StopInstance { key, instance });
        }
    }

    /// True for an unplaced replacement whose draining cell has enough on its way; `asked` counts
    /// what each cell was let go of in this round.
    pub(super) fn is_held_back(
        &self,
        guid: &ProcessGuid,
        index: u32,
        asked: &mut BTreeMap<CellId, u32>,
    ) -> bool {
        let Some(cell) = self.leaves(guid, index) else { return false };
        let Some(max) = self.moves.draining.get(&cell) else { return false };
        if self.is_on_its_way(guid, index) {
            return false;
        }
        let count = asked.entry(cell.clone()).or_insert_with(|| self.in_flight(&cell));
        *count += 1;
        *count > *max
    }

    /// Refuses what is no live cell.
    pub fn known_cell(&self, cell: &CellId) -> Result<(), Refusal> {
        if self.is_live(cell) {
            return Ok(());
        }
        let message = format!("there is no cell '{cell}'; `ltc cells` lists those there are");
        Err(Refusal::new(ErrorName::CellNotFound, message))
    }

    /// What moves now, and what is yet to.
    pub fn moves_under_way(&self) -> moves::Moves {
        let draining = self.draining().map(|Draining { cell_id, max_in_flight }| {
            let left = |all: Option<usize>| all.unwrap_or_default();
            moves::DrainingCell {
                max_in_flight,
                instances_left: left(self.rows_on.get(&cell_id).map(BTreeSet::len)),
                tasks_left: left(self.tasks_on.get(&cell_id).map(BTreeSet::len)),
                cell_id,
            }
        });
        let evacuating = self.rows().filter(|row| row.presence == Presence::Evacuating);
        moves::Moves {
            draining: draining.collect(),
            moves: evacuating.filter_map(|row| self.move_under_way(row)).collect(),
            planned: self.moves.planned.len(),
        }
    }

    fn move_under_way(&self, leaving: &ActualLrp) -> Option<moves::MoveUnderWay> {
        let LrpKey { process_guid, index, .. } = &leaving.key;
        let ordinary = self.row(&RowId::ordinary(process_guid, *index))?;
        let placement_error = match &ordinary.state {
            ActualState::Unclaimed { placement_error: Some(error) } => error.sentence(),
            ActualState::Unclaimed { placement_error: None }
            | ActualState::Claimed { .. }
            | ActualState::Running { .. } => String::new(),
            ActualState::Crashed { reason } | ActualState::Exited { reason } => reason.clone(),
        };
        Some(moves::MoveUnderWay {
            process_guid: process_guid.clone(),
            index: *index,
            from: leaving.instance()?.cell_id.clone(),
            to: ordinary.instance().map(|instance| instance.cell_id.clone()),
            state: ordinary.state.name().to_owned(),
            placement_error,
        })
    }

    /// The cell that an instance leaves, where its replacement must not go.
    pub fn leaves(&self, guid: &ProcessGuid, index: u32) -> Option<CellId> {
        let id = RowId { guid: guid.clone(), index, presence: Presence::Evacuating };
        Some(self.row(&id)?.instance()?.cell_id.clone())
    }

    /// True for a cell that gets no new work since it is drained.
    pub fn is_draining(&self, cell: &CellId) -> bool {
        self.moves.draining.contains_key(cell)
    }

    /// The cells that are drained, by id.
    pub fn draining(&self) -> impl Iterator<Item = Draining> {
        let all = self.moves.draining.iter();
        all.map(|(cell, max)| Draining { cell_id: cell.clone(), max_in_flight: *max })
    }

    /// Instances of this cell whose replacements are being placed or started.
    fn in_flight(&self, cell: &CellId) -> u32 {
        let moving = self.ids_on(cell, Presence::Evacuating);
        let count = moving.iter().filter(|id| self.is_on_its_way(&id.guid, id.index)).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// True for an index that is being placed, or started, and has not failed.
    fn is_on_its_way(&self, guid: &ProcessGuid, index: u32) -> bool {
        let row = self.row(&RowId::ordinary(guid, index));
        row.is_some_and(|row| match &row.state {
            ActualState::Unclaimed { placement_error } => placement_error.is_none(),
            ActualState::Claimed { .. } => true,
            ActualState::Running { .. }
            | ActualState::Crashed { .. }
            | ActualState::Exited { .. } => false,
        })
    }

    fn is_moving(&self, guid: &ProcessGuid, index: u32) -> bool {
        let process = self.processes.get(guid);
        process.is_some_and(|process| process.row(index, Presence::Evacuating).is_some())
    }

    /// True for an instance that is wanted, is not being stopped and has nobody standing in.
    pub(super) fn is_free_to_go(&self, id: &RowId, instance: &InstanceKey) -> bool {
        let is_wanted = self.processes.get(&id.guid).is_some_and(|p| p.wants(id.index));
        is_wanted && !self.is_retiring(id, instance) && {
            let is_claimed = self.row(id).is_some_and(|row| row.net().is_none());
            is_claimed || !self.is_moving(&id.guid, id.index)
        }
    }

    /// The instance that was to move stays where it is.
    fn take_back(&mut self, guid: &ProcessGuid, index: u32, out: &mut Applied) {
        let id = RowId { guid: guid.clone(), index, presence: Presence::Evacuating };
        let Some(key) = self.row(&id).map(|row| row.key.clone()) else { return };
        self.mend(&key, Fix::Promote(Presence::Evacuating), out);
    }

    fn ids_on(&self, cell: &CellId, presence: Presence) -> Vec<RowId> {
        let ids = self.rows_on.get(cell).into_iter().flatten();
        ids.filter(|id| id.presence == presence).cloned().collect()
    }
}
