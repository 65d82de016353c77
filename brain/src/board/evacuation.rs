//! What a cell that is being emptied is told about each of its instances: the tables of section
//! 2.11.

#![warn(clippy::wildcard_enum_match_arm)]

use lattice_model::actual_lrp::Evacuee;
use lattice_model::desired_lrp::UpdateStrategy;
use lattice_model::{
    ActualLrp, ActualState, InstanceKey, LrpKey, NetInfo, Presence, ProcessGuid, Refusal,
};

use super::Board;
use super::command::{Answer, Applied, RowId};

/// Whose a record is, as the cell that asks sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// There is none.
    Nobodys,
    /// It names the instance in question.
    Own,
    /// It names another.
    Others,
}

/// What is done about an instance that is healthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It stays up, and nothing changes.
    Keep,
    /// It stays up beside the replacement that is on its way.
    StandIn,
    /// It stays up, and a replacement is auctioned.
    Replace,
    /// It goes, with the records that name it.
    LetGo,
}

impl Board {
    /// Answers whether the cell is to keep the instance up for now.
    pub(super) fn evacuate_lrp(
        &mut self,
        key: &LrpKey,
        instance: &InstanceKey,
        evacuee: Evacuee,
        out: &mut Applied,
    ) -> Result<(), Refusal> {
        self.check_domain(key)?;
        self.hear_of(&instance.cell_id, out.at);
        self.note_emptying(&instance.cell_id);
        let is_kept = match evacuee {
            Evacuee::Starting => self.give_back(key, instance, out),
            Evacuee::Running(net) => self.evacuate_running(key, instance, net, out),
            Evacuee::Stopped => {
                self.forget_instance(key, instance, out);
                false
            }
            Evacuee::Crashed(end) => {
                self.drop_sibling(key, instance, out);
                if self.is_at(key, Presence::Ordinary, instance) {
                    self.crash_lrp(key, instance, end, out)?;
                }
                false
            }
        };
        out.answer = Answer::Keep(is_kept);
        Ok(())
    }

    /// What is not healthy yet starts elsewhere.
    fn give_back(&mut self, key: &LrpKey, instance: &InstanceKey, out: &mut Applied) -> bool {
        self.drop_stand_ins(key, instance, out);
        if self.is_at(key, Presence::Ordinary, instance) {
            self.unclaim_row(&RowId::new(key, Presence::Ordinary), out);
        }
        self.settle_index(key, out);
        false
    }

    fn evacuate_running(
        &mut self,
        key: &LrpKey,
        instance: &InstanceKey,
        net: NetInfo,
        out: &mut Applied,
    ) -> bool {
        self.take_back_suspect(key, instance, out);
        let running = ActualState::Running { instance: instance.clone(), net };
        match self.verdict(key, instance, out) {
            Verdict::Keep => true,
            Verdict::StandIn => {
                let row = ActualLrp {
                    presence: Presence::Evacuating,
                    ..self.fresh_row(key.clone(), running, out.at)
                };
                self.put_row(row, out);
                true
            }
            Verdict::Replace => {
                self.start_move(key, running, out);
                true
            }
            Verdict::LetGo => {
                self.forget_instance(key, instance, out);
                false
            }
        }
    }

    /// The table, row by row.
    fn verdict(&self, key: &LrpKey, instance: &InstanceKey, out: &Applied) -> Verdict {
        let whose = |row: Option<&ActualLrp>| match row.and_then(ActualLrp::instance) {
            None => Whose::Nobodys,
            Some(other) if other == instance => Whose::Own,
            Some(_) => Whose::Others,
        };
        let row = |presence| self.row(&RowId::new(key, presence)).map(AsRef::as_ref);
        let ordinary = row(Presence::Ordinary);
        if !self.wants(key) {
            let is_fresh = self.is_fresh(&key.domain, out.at);
            return if is_fresh { Verdict::LetGo } else { Verdict::Keep };
        }
        let evacuating = whose(row(Presence::Evacuating));
        match (ordinary.map(|row| &row.state), whose(ordinary), evacuating) {
            (
                Some(ActualState::Claimed { .. } | ActualState::Running { .. }),
                Whose::Own,
                Whose::Nobodys | Whose::Own | Whose::Others,
            ) => self.pace(key),
            (
                Some(ActualState::Unclaimed { .. } | ActualState::Claimed { .. }),
                _,
                Whose::Others,
            ) => Verdict::LetGo,
            (Some(ActualState::Unclaimed { placement_error: Some(_) }), _, _)
            | (Some(ActualState::Unclaimed { .. } | ActualState::Claimed { .. }), _, Whose::Own) => {
                Verdict::Keep
            }
            (
                Some(ActualState::Unclaimed { .. } | ActualState::Claimed { .. }),
                _,
                Whose::Nobodys,
            ) => Verdict::StandIn,
            (
                Some(
                    ActualState::Running { .. }
                    | ActualState::Crashed { .. }
                    | ActualState::Exited { .. },
                )
                | None,
                _,
                _,
            ) => Verdict::LetGo,
        }
    }

    /// An instance may go when its LRP lets it.
    fn pace(&self, key: &LrpKey) -> Verdict {
        match self.may_move(&key.process_guid, key.index) {
            true => Verdict::Replace,
            false => Verdict::Keep,
        }
    }

    /// True when the LRP's strategy lets this instance move now: with `recreate`, only while all
    /// others run and none of them moves.
    pub(super) fn may_move(&self, guid: &ProcessGuid, index: u32) -> bool {
        let Some(process) = self.processes.get(guid) else { return false };
        let Some(lrp) = &process.desired else { return false };
        match lrp.update_strategy {
            UpdateStrategy::Rolling => true,
            UpdateStrategy::Recreate => {
                let runs = |n: u32| {
                    let row = process.row(n, Presence::Ordinary);
                    row.is_some_and(|row| row.net().is_some())
                };
                let moves = |n: u32| process.row(n, Presence::Evacuating).is_some();
                (0..lrp.instances).all(|n| (n == index || runs(n)) && !moves(n))
            }
        }
    }

    /// A replacement is auctioned while the instance, in this state, stands in for it.
    pub(super) fn start_move(&mut self, key: &LrpKey, running: ActualState, out: &mut Applied) {
        self.drop_and_stop(&RowId::new(key, Presence::Evacuating), out);
        let ordinary = RowId::new(key, Presence::Ordinary);
        self.relabel_row(&ordinary, Presence::Evacuating, out);
        let moving = RowId::new(key, Presence::Evacuating);
        if self.row(&moving).is_some_and(|row| row.state != running) {
            self.move_row(&moving, running, out);
        }
        self.create_row(key.clone(), out);
    }

    /// A suspect that calls from a cell that is being emptied is evacuating, unless it was
    /// replaced.
    fn take_back_suspect(&mut self, key: &LrpKey, instance: &InstanceKey, out: &mut Applied) {
        let suspect = RowId::new(key, Presence::Suspect);
        let is_free = self.row(&RowId::new(key, Presence::Evacuating)).is_none();
        if self.is_at(key, Presence::Suspect, instance) && is_free {
            self.relabel_row(&suspect, Presence::Evacuating, out);
        }
    }

    /// Forgets all records that name the instance; what is still wanted starts anew.
    fn forget_instance(&mut self, key: &LrpKey, instance: &InstanceKey, out: &mut Applied) {
        let was_there = self.drop_stand_ins(key, instance, out);
        let is_ordinary = self.is_at(key, Presence::Ordinary, instance);
        if is_ordinary {
            self.drop_row(&RowId::new(key, Presence::Ordinary), out);
        }
        if was_there || is_ordinary {
            self.free_capacity(out.at);
            self.settle_index(key, out);
        }
    }

    /// Forgets the suspect and evacuating records of this incarnation; false when there is none.
    pub(super) fn drop_stand_ins(
        &mut self,
        key: &LrpKey,
        instance: &InstanceKey,
        out: &mut Applied,
    ) -> bool {
        let presences = [Presence::Suspect, Presence::Evacuating];
        let own = presences.map(|p| (p, self.is_at(key, p, instance)));
        for (presence, _) in own.into_iter().filter(|(_, is_own)| *is_own) {
            self.drop_row(&RowId::new(key, presence), out);
        }
        own.into_iter().any(|(_, is_own)| is_own)
    }
}
