//! The only hands that touch instances' records: they keep indexes, tags, events and writes true.

use std::sync::Arc;

use lattice_model::{
    ActualLrp, ActualState, DesiredLrp, Event, LrpKey, ModificationTag, Presence, ProcessGuid, Time,
};

use super::command::{Applied, Effect, RowId, Write};
use super::{Board, Due};
use crate::converge;

impl Board {
    pub(super) fn row(&self, id: &RowId) -> Option<&Arc<ActualLrp>> {
        self.processes.get(&id.guid)?.row(id.index, id.presence)
    }

    pub(super) fn desired(&self, guid: &ProcessGuid) -> Option<&Arc<DesiredLrp>> {
        self.processes.get(guid)?.desired.as_ref()
    }

    /// Makes an unclaimed record for an index that has none, and sends it to the auction.
    pub(super) fn create_row(&mut self, key: LrpKey, out: &mut Applied) {
        let now = out.at;
        let state = ActualState::Unclaimed { placement_error: None };
        self.put_row(self.fresh_row(key.clone(), state, now), out);
        self.auction_lrp(&key, out);
    }

    pub(super) fn fresh_row(&self, key: LrpKey, state: ActualState, now: Time) -> ActualLrp {
        ActualLrp {
            key,
            presence: Presence::Ordinary,
            state,
            since: now,
            crash_count: 0,
            crash_reason: String::new(),
            modification_tag: ModificationTag::default(),
        }
    }

    /// Moves a record to another state, at `now`.
    pub(super) fn move_row(&mut self, id: &RowId, state: ActualState, out: &mut Applied) {
        let now = out.at;
        if let Some(row) = self.row(id) {
            let row = ActualLrp { state, since: now, ..row.as_ref().clone() };
            self.put_row(row, out);
        }
    }

    /// Unclaims a record, and sends it to the auction.
    pub(super) fn unclaim_row(&mut self, id: &RowId, out: &mut Applied) {
        let Some(key) = self.row(id).map(|row| row.key.clone()) else { return };
        self.move_row(id, ActualState::Unclaimed { placement_error: None }, out);
        self.auction_lrp(&key, out);
    }

    /// Gives a record another presence; the place there must be empty.
    pub(super) fn relabel_row(&mut self, id: &RowId, presence: Presence, out: &mut Applied) {
        let Some(before) = self.take_row(id) else { return };
        if let Some(guid) = self.retiring.remove(id) {
            self.retiring.insert(RowId { presence, ..id.clone() }, guid);
        }
        out.writes.push(Write::DeleteActual(id.clone()));
        let tag = before.modification_tag.next();
        let after = ActualLrp { presence, modification_tag: tag, ..before.as_ref().clone() };
        let after = Arc::new(after);
        out.writes.push(Write::PutActual(Arc::clone(&after)));
        out.events.push(Event::ActualLrpChanged { before, after: Arc::clone(&after) });
        self.adopt_row(after);
    }

    /// Keeps a record in the place that its key names; the tag is made here.
    pub(super) fn put_row(&mut self, mut row: ActualLrp, out: &mut Applied) {
        let before = self.take_row(&RowId::of(&row));
        row.modification_tag = match &before {
            Some(before) => before.modification_tag.next(),
            None => ModificationTag { epoch: self.tags.epoch(), index: 0 },
        };
        let row = Arc::new(row);
        let after = Arc::clone(&row);
        match before {
            None => out.events.push(Event::ActualLrpCreated(after)),
            // The incarnation goes, which for its followers is an end and a beginning.
            Some(before) if is_unclaimed(&row) && !is_unclaimed(&before) => {
                out.events.push(Event::ActualLrpCreated(after));
                out.events.push(Event::ActualLrpRemoved(before));
            }
            Some(before) => out.events.push(Event::ActualLrpChanged { before, after }),
        }
        out.writes.push(Write::PutActual(Arc::clone(&row)));
        self.adopt_row(row);
    }

    /// Forgets a record.
    pub(super) fn drop_row(&mut self, id: &RowId, out: &mut Applied) {
        let Some(row) = self.take_row(id) else { return };
        self.retiring.remove(id);
        if id.presence == Presence::Ordinary {
            self.progress.remove(&(id.guid.clone(), id.index));
        }
        out.writes.push(Write::DeleteActual(id.clone()));
        out.events.push(Event::ActualLrpRemoved(row));
        self.forget_if_empty(&id.guid);
    }

    /// Puts a record in its place and into the indexes, without a word.
    pub(super) fn adopt_row(&mut self, row: Arc<ActualLrp>) {
        let id = RowId::of(&row);
        let place = (id.guid.clone(), id.index);
        if let Some(instance) = row.instance() {
            self.rows_on.entry(instance.cell_id.clone()).or_default().insert(id.clone());
        }
        match &row.state {
            _ if id.presence != Presence::Ordinary => {}
            ActualState::Unclaimed { placement_error } => {
                self.progress.remove(&place);
                if placement_error.is_some() {
                    self.waiting.insert(place);
                }
            }
            ActualState::Claimed { .. } => {}
            ActualState::Crashed { .. } => {
                self.progress.remove(&place);
                if let Some(due) = converge::restart_due(&row) {
                    self.due.insert((due, Due::Index(place.0, place.1)));
                }
            }
            ActualState::Running { .. } | ActualState::Exited { .. } => {
                self.progress.remove(&place);
            }
        }
        self.note_for_moves(&id, row.instance().map(|instance| &instance.cell_id));
        let process = self.processes.entry(id.guid).or_default();
        process.rows.insert((id.index, id.presence), row);
        self.rows_total += 1;
    }

    /// Takes a record from its place and out of the indexes, without a word.
    fn take_row(&mut self, id: &RowId) -> Option<Arc<ActualLrp>> {
        let process = self.processes.get_mut(&id.guid)?;
        let row = process.rows.remove(&(id.index, id.presence))?;
        self.rows_total -= 1;
        if let Some(instance) = row.instance()
            && let Some(rows) = self.rows_on.get_mut(&instance.cell_id)
        {
            rows.remove(id);
            if rows.is_empty() {
                self.rows_on.remove(&instance.cell_id);
            }
        }
        if id.presence == Presence::Ordinary {
            self.waiting.remove(&(id.guid.clone(), id.index));
        }
        self.note_for_moves(id, row.instance().map(|instance| &instance.cell_id));
        Some(row)
    }

    pub(super) fn forget_if_empty(&mut self, guid: &ProcessGuid) {
        let is_empty = |p: &super::Process| p.desired.is_none() && p.rows.is_empty();
        if self.processes.get(guid).is_some_and(is_empty) {
            self.processes.remove(guid);
        }
    }

    /// Sends an unclaimed index to the auction.
    pub(super) fn auction_lrp(&self, key: &LrpKey, out: &mut Applied) {
        if let Some(lrp) = self.desired(&key.process_guid) {
            out.effects.push(Effect::AuctionLrp {
                key: key.clone(),
                lrp: Arc::clone(lrp),
                round: self.capacity_round,
            });
        }
    }
}

const fn is_unclaimed(row: &ActualLrp) -> bool {
    matches!(row.state, ActualState::Unclaimed { .. })
}
