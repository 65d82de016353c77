//! What cells and the auction say of instances; the transitions of section 2.3.

#![warn(clippy::wildcard_enum_match_arm)]

use lattice_model::actual_lrp::{InstanceEnd, PlacementError, REASON_BYTES_MAX};
use lattice_model::desired_lrp::RestartPolicy;
use lattice_model::{
    ActualLrp, ActualState, ErrorName, Event, InstanceCrash, InstanceKey, LrpKey, NetInfo,
    Presence, ProcessGuid, Refusal, Time,
};

use super::command::{Applied, Effect, FailedPlacement, RowId};
use super::{Board, conflict};
use crate::auction::Item;
use crate::crash::{self, Verdict};

impl Board {
    pub(super) fn claim_lrp(
        &mut self,
        key: &LrpKey,
        instance: InstanceKey,
        out: &mut Applied,
    ) -> Result<(), Refusal> {
        self.check_domain(key)?;
        let now = out.at;
        if self.is_stand_in(key, &instance) {
            return Ok(());
        }
        let id = RowId::new(key, Presence::Ordinary);
        let row = self.row(&id).ok_or_else(|| no_such_instance(key))?;
        let refusal = conflict("cannot claim actual LRP");
        match &row.state {
            ActualState::Unclaimed { .. } => {}
            ActualState::Claimed { instance: other } if *other == instance => return Ok(()),
            ActualState::Running { instance: other, .. } if *other == instance => {}
            ActualState::Claimed { .. } | ActualState::Running { .. } => return Err(refusal),
            ActualState::Crashed { .. } | ActualState::Exited { .. } => return Err(refusal),
        }
        self.hear_of(&instance.cell_id, now);
        self.move_row(&id, ActualState::Claimed { instance }, out);
        Ok(())
    }

    pub(super) fn start_lrp(
        &mut self,
        key: &LrpKey,
        instance: InstanceKey,
        net: NetInfo,
        out: &mut Applied,
    ) -> Result<(), Refusal> {
        self.check_domain(key)?;
        let now = out.at;
        let id = RowId::new(key, Presence::Ordinary);
        let refusal = conflict("cannot start actual LRP");
        let row = self.row(&id).cloned();
        if self.is_stand_in(key, &instance) {
            let is_replaced = row.is_some_and(|row| row.net().is_some());
            return if is_replaced { Err(refusal) } else { Ok(()) };
        }
        let state = ActualState::Running { instance: instance.clone(), net: net.clone() };
        let known = row.as_ref().map(|row| &row.state);
        if matches!(known, Some(ActualState::Running { instance: other, .. }) if *other != instance)
        {
            return Err(refusal);
        }
        self.hear_of(&instance.cell_id, now);
        match known {
            None => self.put_row(self.fresh_row(key.clone(), state, now), out),
            Some(ActualState::Running { net: known, .. }) if *known == net => return Ok(()),
            Some(ActualState::Running { .. }) => {
                self.refresh_net(&id, state, out);
                return Ok(());
            }
            Some(
                ActualState::Unclaimed { .. }
                | ActualState::Claimed { .. }
                | ActualState::Crashed { .. }
                | ActualState::Exited { .. },
            ) => self.move_row(&id, state, out),
        }
        self.hand_over(key, out);
        self.drop_row(&RowId::new(key, Presence::Suspect), out);
        self.settle_index(key, out);
        Ok(())
    }

    pub(super) fn crash_lrp(
        &mut self,
        key: &LrpKey,
        instance: &InstanceKey,
        end: InstanceEnd,
        out: &mut Applied,
    ) -> Result<(), Refusal> {
        self.check_domain(key)?;
        let now = out.at;
        if self.drop_sibling(key, instance, out) {
            return Ok(());
        }
        let id = RowId::new(key, Presence::Ordinary);
        let row = self.row(&id).ok_or_else(|| no_such_instance(key))?.as_ref().clone();
        if row.instance() != Some(instance) {
            return Err(conflict("cannot crash actual LRP"));
        }
        let is_wanted = self.wants(key);
        if !is_wanted || self.is_retiring(&id, instance) {
            self.drop_row(&id, out);
        } else {
            self.crash_row(&id, row, end, out);
        }
        self.free_capacity(now);
        self.settle_index(key, out);
        Ok(())
    }

    pub(super) fn remove_instance(
        &mut self,
        key: &LrpKey,
        instance: &InstanceKey,
        out: &mut Applied,
    ) -> Result<(), Refusal> {
        self.check_domain(key)?;
        let now = out.at;
        if self.drop_sibling(key, instance, out) {
            return Ok(());
        }
        let id = RowId::new(key, Presence::Ordinary);
        let row = self.row(&id).ok_or_else(|| no_such_instance(key))?;
        if row.instance() != Some(instance) {
            return Err(conflict("cannot remove actual LRP"));
        }
        self.drop_row(&id, out);
        self.free_capacity(now);
        self.settle_index(key, out);
        Ok(())
    }

    pub(super) fn retire_lrp(
        &mut self,
        guid: &ProcessGuid,
        index: u32,
        out: &mut Applied,
    ) -> Result<(), Refusal> {
        let is_known = self.processes.get(guid).is_some_and(|process| {
            process.rows.range((index, Presence::Ordinary)..=(index, Presence::Suspect)).count() > 0
        });
        if !is_known {
            let message =
                format!("process-guid '{guid}' does not exist or has no instance at index {index}");
            return Err(Refusal::new(ErrorName::ActualLRPIndexNotFound, message));
        }
        self.retire_index(guid, index, out);
        Ok(())
    }

    /// Asks cells to stop what they hold of an index, and forgets what no cell holds; an index that
    /// is still wanted starts anew.
    pub(super) fn retire_index(&mut self, guid: &ProcessGuid, index: u32, out: &mut Applied) {
        let mut key = None;
        for presence in [Presence::Ordinary, Presence::Evacuating, Presence::Suspect] {
            let id = RowId { guid: guid.clone(), index, presence };
            let Some(row) = self.row(&id).cloned() else { continue };
            key = Some(row.key.clone());
            match row.instance() {
                Some(instance) if !self.is_lost(&instance.cell_id) => {
                    self.stop_instance(&id, &row.key, instance, out);
                }
                Some(_) | None => self.drop_row(&id, out),
            }
        }
        if let Some(key) = key {
            self.settle_index(&key, out);
        }
    }

    pub(super) fn stop_instance(
        &mut self,
        id: &RowId,
        key: &LrpKey,
        instance: &InstanceKey,
        out: &mut Applied,
    ) {
        self.retiring.insert(id.clone(), instance.instance_guid.clone());
        out.effects.push(Effect::StopInstance { key: key.clone(), instance: instance.clone() });
    }

    /// True when this incarnation was asked to stop.
    pub(super) fn is_retiring(&self, id: &RowId, instance: &InstanceKey) -> bool {
        self.retiring.get(id) == Some(&instance.instance_guid)
    }

    pub(super) fn fail_placement(
        &mut self,
        failed: FailedPlacement,
        out: &mut Applied,
    ) -> Result<(), Refusal> {
        let is_stale = failed.round < self.capacity_round;
        match failed.item {
            Item::Lrp(key) => self.fail_lrp(&key, failed.error, is_stale, out),
            Item::Task(guid) if failed.is_impossible => {
                self.fail_impossible_task(&guid, failed.error, out)
            }
            Item::Task(guid) => self.fail_task(&guid, failed.error, is_stale, out),
        }
    }

    /// Queues what the auction did not try, or a cell did not take, until a moment has passed.
    pub(super) fn defer_placement(&mut self, items: Vec<Item>, now: Time) {
        for item in items {
            match item {
                Item::Lrp(key) => {
                    let row = self.row(&RowId::new(&key, Presence::Ordinary));
                    if row.is_some_and(|row| matches!(row.state, ActualState::Unclaimed { .. })) {
                        self.waiting.insert((key.process_guid, key.index));
                    }
                }
                Item::Task(guid) if self.is_pending(&guid) => {
                    self.waiting_tasks.insert(guid);
                }
                Item::Task(_) => {}
            }
        }
        self.announce_capacity(now);
    }

    fn fail_lrp(
        &mut self,
        key: &LrpKey,
        mut error: PlacementError,
        is_stale: bool,
        out: &mut Applied,
    ) -> Result<(), Refusal> {
        let id = RowId::new(key, Presence::Ordinary);
        let row = self.row(&id).ok_or_else(|| no_such_instance(key))?;
        let ActualState::Unclaimed { placement_error: known } = &row.state else {
            return Err(conflict("cannot fail actual LRP"));
        };
        truncate(&mut error.reason);
        truncate(&mut error.detail);
        if known.as_ref() != Some(&error) {
            let state = ActualState::Unclaimed { placement_error: Some(error) };
            self.move_row(&id, state, out);
        }
        self.waiting.insert((key.process_guid.clone(), key.index));
        if is_stale {
            self.waiting.remove(&(key.process_guid.clone(), key.index));
            self.auction_lrp(key, out);
        } else {
            self.give_up_move(key, out);
        }
        Ok(())
    }

    /// The restart policy's turn; `row` is the record as it was.
    fn crash_row(&mut self, id: &RowId, row: ActualLrp, end: InstanceEnd, out: &mut Applied) {
        let now = out.at;
        let policy = self.desired(&id.guid).map_or(RestartPolicy::Always, |lrp| lrp.restart_policy);
        let ran_for = row.net().map(|_| now.since(row.since));
        let crash_count = crash::count_after(row.crash_count, ran_for);
        let InstanceEnd { mut reason, is_success } = end;
        truncate(&mut reason);
        let (state, key) = match crash::verdict(policy, crash_count, is_success) {
            Verdict::Restart => (ActualState::Unclaimed { placement_error: None }, Some(&row.key)),
            Verdict::BackOff => (ActualState::Crashed { reason: reason.clone() }, None),
            Verdict::Exit => (ActualState::Exited { reason: reason.clone() }, None),
        };
        let key = key.cloned();
        let has_failed = !matches!(state, ActualState::Exited { .. }) || !is_success;
        let crash = row.instance().filter(|_| has_failed).map(|instance| InstanceCrash {
            key: row.key.clone(),
            instance: instance.clone(),
            crash_count,
            reason: reason.clone(),
            at: now,
        });
        let row = ActualLrp { state, since: now, crash_count, crash_reason: reason, ..row };
        self.put_row(row, out);
        out.events.extend(crash.map(|crash| Event::ActualLrpCrashed(Box::new(crash))));
        if let Some(key) = key {
            self.auction_lrp(&key, out);
        }
    }

    /// Forgets the suspect or evacuating record of this incarnation; false when there is none.
    pub(super) fn drop_sibling(
        &mut self,
        key: &LrpKey,
        instance: &InstanceKey,
        out: &mut Applied,
    ) -> bool {
        let was_there = self.drop_stand_ins(key, instance, out);
        if was_there {
            self.free_capacity(out.at);
            self.settle_index(key, out);
        }
        was_there
    }

    fn refresh_net(&mut self, id: &RowId, state: ActualState, out: &mut Applied) {
        if let Some(row) = self.row(id) {
            let row = ActualLrp { state, ..row.as_ref().clone() };
            self.put_row(row, out);
        }
    }

    /// True for an incarnation that stands in for its replacement. What its cell says of its start
    /// changes nothing.
    fn is_stand_in(&self, key: &LrpKey, instance: &InstanceKey) -> bool {
        let presences = [Presence::Suspect, Presence::Evacuating];
        presences.into_iter().any(|presence| self.is_at(key, presence, instance))
    }

    pub(super) fn is_at(&self, key: &LrpKey, presence: Presence, instance: &InstanceKey) -> bool {
        self.row(&RowId::new(key, presence)).is_some_and(|row| row.instance() == Some(instance))
    }

    /// A guid names one LRP over all domains.
    pub(super) fn check_domain(&self, key: &LrpKey) -> Result<(), Refusal> {
        let Some(process) = self.processes.get(&key.process_guid) else { return Ok(()) };
        let of_row = process.row(key.index, Presence::Ordinary).map(|row| &row.key.domain);
        let domain = process.desired.as_ref().map(|lrp| &lrp.domain).or(of_row);
        match domain {
            Some(domain) if *domain != key.domain => {
                let LrpKey { process_guid, domain: other, .. } = key;
                let message =
                    format!("LRP '{process_guid}' is of domain '{domain}', not of '{other}'");
                Err(conflict(&message))
            }
            Some(_) | None => Ok(()),
        }
    }

    pub(super) fn wants(&self, key: &LrpKey) -> bool {
        self.processes.get(&key.process_guid).is_some_and(|process| process.wants(key.index))
    }
}

fn no_such_instance(key: &LrpKey) -> Refusal {
    let LrpKey { process_guid, index, .. } = key;
    let message =
        format!("process-guid '{process_guid}' does not exist or has no instance at index {index}");
    Refusal::new(ErrorName::ActualLRPIndexNotFound, message)
}

fn truncate(text: &mut String) {
    text.truncate(text.floor_char_boundary(REASON_BYTES_MAX));
}
