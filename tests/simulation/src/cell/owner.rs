//! Does what an instance's state machine says, and harmonises, as the cell's owner does.

use std::collections::VecDeque;

use lattice_api::brain::CellView;
use lattice_brain::board::Command;
use lattice_cell::instance::harmony::{Cure, LrpRow, TaskRow, lrp_row, task_row};
use lattice_cell::instance::{Answer, Effect, Input, Instance, Outcome, Telling};
use lattice_cell::work::{Missing, Work, WorkId};
use lattice_model::{NetInfo, Time};

use super::{PATIENCE, SimulatedCell, Slot};
use crate::agenda::{CellEvent, Event, Link};
use crate::brain::{Ask, Asker, Request, Surroundings};
use crate::sabotage::Sabotage;
use crate::script::Ending;
use crate::work;

impl SimulatedCell {
    pub(super) fn take(&mut self, work: Work, at: &mut Surroundings<'_>) -> Result<(), String> {
        let id = work.id();
        match self.slots.get(&id) {
            Some(slot) if slot.instance.is_completed() => {
                return Err(format!("an earlier try of {id} is still being removed"));
            }
            // The answer to the same order was lost; the work is here.
            Some(_) => return Ok(()),
            None => {}
        }
        if self.is_leaving {
            return Err(format!("cell {} is shutting down", self.id()));
        }
        self.reserve(work, at.agenda.now)?;
        self.step(&id, Input::Begin, at);
        Ok(())
    }

    /// Holds work that runs already.
    pub(crate) fn adopt(&mut self, work: Work, now: Time) {
        let id = work.id();
        self.reserve(work, now).expect("what is there from the beginning fits");
        let Some(slot) = self.slots.get_mut(&id) else { return };
        for input in [
            Input::Begin,
            Input::Told(Telling::Claim, Answer::Done),
            Input::ContainerCreated,
            Input::Healthy(NetInfo::default()),
        ] {
            slot.instance.on(input, now);
        }
    }

    fn reserve(&mut self, work: Work, now: Time) -> Result<(), String> {
        self.inventory.reserve(&work.resources())?;
        self.numbers += 1;
        let slot = Slot {
            instance: Instance::reserved(work.kind(), now),
            serial: self.numbers,
            tellings: VecDeque::new(),
            call: None,
            is_removing: false,
            is_released: false,
            work,
        };
        self.slots.insert(slot.work.id(), slot);
        Ok(())
    }

    /// Gives an instance its input and does what follows.
    pub(super) fn step(&mut self, id: &WorkId, input: Input, at: &mut Surroundings<'_>) {
        let Some(slot) = self.slots.get_mut(id) else { return };
        for effect in slot.instance.on(input, at.agenda.now) {
            self.apply(id, effect, at);
        }
    }

    fn apply(&mut self, id: &WorkId, effect: Effect, at: &mut Surroundings<'_>) {
        match effect {
            Effect::Tell(telling) => self.queue(id, telling, at),
            Effect::Run => self.run(id, at),
            Effect::Announce | Effect::Withdraw => {}
            Effect::Stop => {
                let grace = self.dice.between(5, 3_000);
                self.later(id, grace, at, |id, n| CellEvent::Ended(id, n, Outcome::Stopped));
            }
            Effect::Remove => {
                let Some(slot) = self.slots.get_mut(id) else { return };
                if !std::mem::replace(&mut slot.is_removing, true) {
                    let (delay, is_whole) = (self.dice.between(1, 300), !self.dice.chance(3));
                    self.later(id, delay, at, |id, n| CellEvent::Removed(id, n, is_whole));
                }
            }
            Effect::Release => {
                let Some(slot) = self.slots.get_mut(id) else { return };
                slot.is_released = true;
                if self.sabotage != Sabotage::CellLeaksReservations {
                    self.inventory.release(&slot.work.resources());
                }
            }
            Effect::Forget => drop(self.slots.remove(id)),
        }
    }

    /// The container is made, or cannot be.
    fn run(&mut self, id: &WorkId, at: &mut Surroundings<'_>) {
        let delay = self.dice.between(10, 1_200);
        let Some(slot) = self.slots.get(id) else { return };
        match &slot.work {
            Work::Task(task) if work::ending_of(&task.definition) == Ending::NeverStarts => {
                let reason = work::NO_IMAGE.to_owned();
                let outcome = Outcome::Failed { reason, is_retryable: true };
                self.later(id, delay, at, |id, n| CellEvent::Ended(id, n, outcome));
            }
            Work::Task(_) | Work::Lrp { .. } => self.later(id, delay, at, CellEvent::Made),
        }
    }

    pub(super) fn made(&mut self, id: &WorkId, serial: u64, at: &mut Surroundings<'_>) {
        let delay = self.dice.between(5, 800);
        let Some(slot) = self.slot(id, serial) else { return };
        if slot.instance.is_completed() || slot.instance.is_stopping() {
            return;
        }
        match slot.work.clone() {
            Work::Lrp { .. } => self.later(id, delay, at, CellEvent::Healthy),
            Work::Task(task) => {
                at.ledger.runs(&task.definition.task_guid);
                let runs_ms = work::runs_ms_of(&task.definition);
                let outcome = match work::ending_of(&task.definition) {
                    Ending::Succeeds => Outcome::Succeeded { result: work::RESULT.to_owned() },
                    Ending::Fails | Ending::NeverStarts => {
                        let reason = work::FAILURE.to_owned();
                        Outcome::Failed { reason, is_retryable: false }
                    }
                };
                self.later(id, runs_ms, at, |id, n| CellEvent::Ended(id, n, outcome));
            }
        }
        self.step(id, Input::ContainerCreated, at);
    }

    pub(super) fn healthy(&mut self, id: &WorkId, serial: u64, at: &mut Surroundings<'_>) {
        if self.slot(id, serial).is_some() {
            self.step(id, Input::Healthy(NetInfo::default()), at);
        }
    }

    pub(super) fn ended(
        &mut self,
        id: &WorkId,
        serial: u64,
        outcome: Outcome,
        at: &mut Surroundings<'_>,
    ) {
        let Some(slot) = self.slot(id, serial) else { return };
        if let Work::Task(task) = &slot.work
            && !slot.instance.is_completed()
            && !slot.instance.is_stopping()
        {
            at.ledger.finished(&task.definition.task_guid);
        }
        self.step(id, Input::Ended(outcome), at);
    }

    pub(super) fn removed(
        &mut self,
        id: &WorkId,
        serial: u64,
        is_whole: bool,
        at: &mut Surroundings<'_>,
    ) {
        if let Some(slot) = self.slot(id, serial) {
            slot.is_removing = false;
            self.step(id, Input::Removed { is_whole }, at);
        }
    }

    fn slot(&mut self, id: &WorkId, serial: u64) -> Option<&mut Slot> {
        self.slots.get_mut(id).filter(|slot| slot.serial == serial)
    }

    fn later(
        &self,
        id: &WorkId,
        delay_ms: u64,
        at: &mut Surroundings<'_>,
        event: impl FnOnce(WorkId, u64) -> CellEvent,
    ) {
        if let Some(slot) = self.slots.get(id) {
            let event = event(id.clone(), slot.serial);
            at.agenda.after_ms(delay_ms, Event::Cell(self.number, self.life, event));
        }
    }

    /// Queues something to tell the brain; calls about one instance never overtake each other.
    fn queue(&mut self, id: &WorkId, telling: Telling, at: &mut Surroundings<'_>) {
        let Some(slot) = self.slots.get_mut(id) else { return };
        if self.sabotage == Sabotage::CellForgetsToTell && is_of_an_end(&telling) {
            self.step(id, Input::Told(telling, Answer::Done), at);
            return;
        }
        if !slot.tellings.contains(&telling) {
            slot.tellings.push_back(telling);
            self.tell_next(id, at);
        }
    }

    fn tell_next(&mut self, id: &WorkId, at: &mut Surroundings<'_>) {
        let number = self.numbers + 1;
        let Some(slot) = self.slots.get_mut(id) else { return };
        if slot.call.is_some() {
            return;
        }
        let Some(telling) = slot.tellings.front() else { return };
        let command = said(telling, &slot.work, &self.presence.cell_id);
        slot.call = Some(number);
        self.numbers = number;
        let from = Asker::Work(self.number, self.life, id.clone(), number);
        let request = Request { ask: Ask::Apply(Box::new(command)), from };
        at.agenda.send(Link::ToBrain(self.number), Event::ToBrain(Box::new(request)));
        let timeout = CellEvent::TellTimeout(id.clone(), number);
        at.agenda.after(PATIENCE, Event::Cell(self.number, self.life, timeout));
    }

    /// The brain has answered a call, or has not.
    pub(super) fn told(
        &mut self,
        id: &WorkId,
        number: u64,
        mut answer: Answer,
        at: &mut Surroundings<'_>,
    ) {
        let Some(slot) = self.slots.get_mut(id) else { return };
        if slot.call != Some(number) {
            return;
        }
        slot.call = None;
        let Some(telling) = slot.tellings.pop_front() else { return };
        if self.sabotage == Sabotage::CellRunsUngrantedTasks && telling == Telling::StartTask {
            answer = Answer::Done;
        }
        self.tell_next(id, at);
        self.step(id, Input::Told(telling, answer), at);
    }

    /// Compares with what the brain holds about this cell, and cures what differs.
    pub(super) fn harmonise(&mut self, asked_at: Time, view: &CellView, at: &mut Surroundings<'_>) {
        let settled = self.slots.iter().filter(|(_, slot)| slot.is_settled(asked_at));
        let cures: Vec<(WorkId, Cure, bool)> = settled
            .map(|(id, slot)| {
                let (cure, is_seen) = slot.cure(view, self.sabotage);
                (id.clone(), cure, is_seen)
            })
            .collect();
        for (id, cure, is_seen) in cures {
            if cure == Cure::Discard && !is_seen {
                let what =
                    format!("{} throws away {id}, of which the brain said nothing", self.id());
                at.ledger.fault(what);
            }
            self.step(&id, Input::Cure(cure), at);
        }
        if self.sabotage != Sabotage::CellForgetsToTell {
            self.disown(asked_at, view, at);
        }
    }

    /// Tells the brain of every record that names this cell for something that is not here.
    fn disown(&self, asked_at: Time, view: &CellView, at: &mut Surroundings<'_>) {
        let is_here = |id: &WorkId| self.slots.contains_key(id);
        for missing in Missing::of(view, self.id(), (self.started, asked_at), is_here) {
            let command = match missing {
                Missing::Lrp(key, instance) => {
                    Command::RemoveInstance(key.clone(), instance.clone())
                }
                Missing::Task(guid) => {
                    Command::CompleteTask(guid.clone(), self.id().clone(), Missing::outcome())
                }
            };
            self.tell_aside(command, at.agenda);
        }
    }
}

// === impl Slot ===

impl Slot {
    fn is_settled(&self, asked_at: Time) -> bool {
        self.tellings.is_empty() && !self.is_removing && self.instance.is_settled(asked_at)
    }

    /// What it needs, and whether the view says anything of it.
    fn cure(&self, view: &CellView, sabotage: Sabotage) -> (Cure, bool) {
        let is_seen = match &self.work {
            Work::Lrp { key, instance, .. } => lrp_row(view, key, instance) != LrpRow::Unseen,
            Work::Task(task) => task_row(view, &task.definition.task_guid) != TaskRow::Unseen,
        };
        if !is_seen && sabotage == Sabotage::CellTakesAbsenceForAnOrder {
            return (Cure::Discard, is_seen);
        }
        (self.work.cure(self.instance.container(), view), is_seen)
    }
}

/// What the brain is told, as a command to its board.
fn said(telling: &Telling, work: &Work, cell: &lattice_model::CellId) -> Command {
    match (work, telling) {
        (Work::Lrp { key, instance, .. }, telling) => {
            let (key, instance) = (key.clone(), instance.clone());
            match telling {
                Telling::Start(net) => Command::StartLrp(key, instance, net.clone()),
                Telling::Crash(end) => Command::CrashLrp(key, instance, end.clone()),
                Telling::Remove => Command::RemoveInstance(key, instance),
                Telling::Claim
                | Telling::StartTask
                | Telling::CompleteTask(_)
                | Telling::RejectTask { .. } => Command::ClaimLrp(key, instance),
            }
        }
        (Work::Task(task), telling) => {
            let guid = task.definition.task_guid.clone();
            match telling {
                Telling::CompleteTask(how) => {
                    Command::CompleteTask(guid, cell.clone(), how.clone())
                }
                Telling::RejectTask { reason } => {
                    Command::RejectTask(guid, cell.clone(), reason.clone())
                }
                Telling::StartTask
                | Telling::Claim
                | Telling::Start(_)
                | Telling::Crash(_)
                | Telling::Remove => Command::StartTask(guid, cell.clone()),
            }
        }
    }
}

const fn is_of_an_end(telling: &Telling) -> bool {
    match telling {
        Telling::Crash(_)
        | Telling::Remove
        | Telling::CompleteTask(_)
        | Telling::RejectTask { .. } => true,
        Telling::Claim | Telling::Start(_) | Telling::StartTask => false,
    }
}
