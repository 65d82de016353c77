//! A cell on the virtual clock: the real instance state machine, harmonisation tables and
//! reservations behind a model of the owner and of the containers.

mod owner;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use lattice_api::cell::{CellState, Refused};
use lattice_brain::board::Command;
use lattice_cell::instance::{Input, Instance, Outcome, State, Telling};
use lattice_cell::inventory::Inventory;
use lattice_cell::work::{Order, Work, WorkId};
use lattice_model::{CellId, CellPresence, LrpKey, Resources, Time};

use crate::agenda::{Agenda, BrainEvent, CellEvent, Event, Link, Question, ToCell};
use crate::brain::{Ask, Asker, Request, Surroundings};
use crate::dice::Dice;
use crate::sabotage::Sabotage;

const HEARTBEAT: Duration = Duration::from_secs(5);
const VIEW_INTERVAL: Duration = Duration::from_secs(30);
/// Patience with a view and the pause after it.
const VIEW_RETRY: Duration = Duration::from_secs(11);
const PAUSE: Duration = Duration::from_secs(1);
/// A brain that has not answered by then has not answered.
const PATIENCE: Duration = Duration::from_secs(10);

/// The cell.
#[derive(Debug)]
pub(crate) struct SimulatedCell {
    pub(crate) presence: CellPresence,
    pub(crate) is_up: bool,
    pub(crate) life: u64,
    pub(crate) slots: BTreeMap<WorkId, Slot>,
    /// Containers of an earlier life that nobody has removed yet.
    pub(crate) leftovers: Vec<WorkId>,
    number: usize,
    sabotage: Sabotage,
    dice: Dice,
    inventory: Inventory,
    started: Time,
    is_leaving: bool,
    has_viewed: bool,
    /// Counts views; what concerns an earlier one is too late.
    views: u64,
    asked_at: Option<Time>,
    /// Counts calls and pieces of work.
    numbers: u64,
}

/// One piece of work.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) work: Work,
    pub(crate) instance: Instance,
    /// Its own, since a guid may come back.
    serial: u64,
    tellings: VecDeque<Telling>,
    call: Option<u64>,
    is_removing: bool,
    is_released: bool,
}

// === impl SimulatedCell ===

impl SimulatedCell {
    pub(crate) fn new(
        number: usize,
        presence: CellPresence,
        seed: u64,
        sabotage: Sabotage,
    ) -> Self {
        Self {
            inventory: Inventory::new(presence.capacity),
            presence,
            is_up: false,
            life: 0,
            slots: BTreeMap::new(),
            leftovers: Vec::new(),
            number,
            sabotage,
            dice: Dice::of(seed, 1_000_000 + number as u64),
            started: Time::default(),
            is_leaving: false,
            has_viewed: false,
            views: 0,
            asked_at: None,
            numbers: 0,
        }
    }

    /// Removes what an earlier life left, then asks for the view, then says that it is there.
    pub(crate) fn start(&mut self, agenda: &mut Agenda) {
        if self.is_up {
            return;
        }
        self.is_up = true;
        self.started = agenda.now;
        self.leftovers.clear();
        self.inventory = Inventory::new(self.presence.capacity);
        self.ask_view(agenda);
    }

    /// Dies. Its containers die with it, or go on until it is back.
    pub(crate) fn kill(&mut self, keeps_containers: bool) {
        let slots = std::mem::take(&mut self.slots);
        if keeps_containers {
            let is_alive = |slot: &Slot| !slot.instance.is_completed() && !slot.is_reserved();
            let alive = slots.into_iter().filter(|(_, slot)| is_alive(slot));
            self.leftovers.extend(alive.map(|(id, _)| id));
        }
        self.is_up = false;
        self.life += 1;
        self.is_leaving = false;
        self.has_viewed = false;
        self.asked_at = None;
    }

    /// Stops everything, and takes nothing more.
    pub(crate) fn leave(&mut self, at: &mut Surroundings<'_>) {
        self.is_leaving = true;
        let ids: Vec<WorkId> = self.slots.keys().cloned().collect();
        for id in ids {
            self.step(&id, Input::StopAsked, at);
        }
    }

    /// Says goodbye.
    pub(crate) fn depart(&self, agenda: &mut Agenda) {
        self.tell_aside(Command::Depart(self.id().clone()), agenda);
    }

    /// Ends the processes of an index, as a bug in the app would.
    pub(crate) fn crash(&mut self, key: &LrpKey, at: &mut Surroundings<'_>) {
        let is_it = |slot: &Slot| {
            let is_running = matches!(slot.instance.state(), State::Running { .. });
            is_running && matches!(&slot.work, Work::Lrp { key: of, .. } if of == key)
        };
        let hit = self.slots.iter().filter(|(_, slot)| is_it(slot));
        let ids: Vec<WorkId> = hit.map(|(id, _)| id.clone()).collect();
        for id in ids {
            let reason = "APP/PROC/WEB: Exited with status 1".to_owned();
            let outcome = Outcome::Failed { reason, is_retryable: false };
            self.step(&id, Input::Ended(outcome), at);
        }
    }

    pub(crate) const fn id(&self) -> &CellId {
        &self.presence.cell_id
    }

    /// What work holds that is not removed.
    pub(crate) fn held(&self) -> Resources {
        let held = self.slots.values().filter(|slot| !slot.is_released);
        held.fold(Resources::default(), |sum, slot| sum.plus(&slot.work.resources()))
    }

    /// Takes what reached it.
    pub(crate) fn receive(&mut self, message: ToCell, at: &mut Surroundings<'_>) {
        match message {
            ToCell::State(question) => {
                let state = self.is_up.then(|| Box::new(self.state()));
                let answer = BrainEvent::State(question.number, self.id().clone(), state);
                self.reply(question, answer, at);
            }
            ToCell::Perform(question, work) => {
                let refused = self.is_up.then(|| self.perform(*work, at));
                let answer = BrainEvent::Performed(question.number, self.id().clone(), refused);
                self.reply(question, answer, at);
            }
            ToCell::Stop(id) if self.is_up => self.step(&id, Input::StopAsked, at),
            ToCell::Told(life, id, number, answer) if life == self.life => {
                self.told(&id, number, answer, at);
            }
            ToCell::Viewed(life, asked_at, view)
                if life == self.life && self.asked_at == Some(asked_at) =>
            {
                let pause = if view.is_some() { VIEW_INTERVAL } else { PAUSE };
                self.next_view(pause, at.agenda);
                if let Some(view) = view {
                    self.harmonise(asked_at, &view, at);
                }
            }
            ToCell::HungUp if self.is_up => self.next_view(PAUSE, at.agenda),
            ToCell::Stop(_) | ToCell::Told(..) | ToCell::Viewed(..) | ToCell::HungUp => {}
        }
    }

    pub(crate) fn on(&mut self, event: CellEvent, at: &mut Surroundings<'_>) {
        match event {
            CellEvent::Beat => self.beat(at.agenda),
            CellEvent::AskView(number) if number == self.views => self.ask_view(at.agenda),
            CellEvent::AskView(_) => {}
            CellEvent::TellTimeout(id, number) => {
                self.told(&id, number, lattice_cell::instance::Answer::Silence, at);
            }
            CellEvent::Made(id, serial) => self.made(&id, serial, at),
            CellEvent::Healthy(id, serial) => self.healthy(&id, serial, at),
            CellEvent::Ended(id, serial, outcome) => self.ended(&id, serial, outcome, at),
            CellEvent::Removed(id, serial, is_whole) => self.removed(&id, serial, is_whole, at),
        }
    }

    fn reply(&self, question: Question, event: BrainEvent, at: &mut Surroundings<'_>) {
        at.agenda.send(Link::ToBrain(self.number), Event::Brain(question.life, event));
    }

    fn beat(&self, agenda: &mut Agenda) {
        self.tell_aside(Command::Heartbeat(Box::new(self.presence.clone())), agenda);
        agenda.after(HEARTBEAT, Event::Cell(self.number, self.life, CellEvent::Beat));
    }

    fn ask_view(&mut self, agenda: &mut Agenda) {
        // Whatever comes of it, the first is asked for before the first heartbeat.
        if self.asked_at.is_some() {
            self.begin_beating(agenda);
        }
        self.asked_at = Some(agenda.now);
        let from = Asker::Viewer(self.number, self.life, agenda.now);
        let request = Request { ask: Ask::View(self.id().clone()), from };
        agenda.send(Link::ToBrain(self.number), Event::ToBrain(Box::new(request)));
        self.plan_view(VIEW_RETRY, agenda);
    }

    fn next_view(&mut self, pause: Duration, agenda: &mut Agenda) {
        self.begin_beating(agenda);
        self.asked_at = None;
        self.plan_view(pause, agenda);
    }

    fn plan_view(&mut self, pause: Duration, agenda: &mut Agenda) {
        self.views += 1;
        let ask = CellEvent::AskView(self.views);
        agenda.after(pause, Event::Cell(self.number, self.life, ask));
    }

    fn begin_beating(&mut self, agenda: &mut Agenda) {
        if !std::mem::replace(&mut self.has_viewed, true) {
            self.beat(agenda);
        }
    }

    /// Tells the brain something whose answer does not matter.
    fn tell_aside(&self, command: Command, agenda: &mut Agenda) {
        let request = Request { ask: Ask::Apply(Box::new(command)), from: Asker::Nobody };
        agenda.send(Link::ToBrain(self.number), Event::ToBrain(Box::new(request)));
    }

    fn state(&self) -> CellState {
        let held = self.slots.values().map(|slot| (&slot.work, &slot.instance));
        self.inventory.state(self.presence.clone(), held, self.is_leaving)
    }

    fn perform(
        &mut self,
        work: lattice_api::cell::Work,
        at: &mut Surroundings<'_>,
    ) -> Vec<Refused> {
        let id = self.id().clone();
        let lrps = work.lrps.into_iter().map(|lrp| Order::of_lrp(lrp, &id).work);
        let all = lrps.chain(work.tasks.into_iter().map(|task| Order::of_task(task).work));
        let works: Vec<Work> = all.collect();
        let mut refused = Vec::new();
        for work in works {
            let item = work.item();
            if let Err(reason) = self.take(work, at) {
                refused.push(Refused { item, reason });
            }
        }
        refused
    }
}

// === impl Slot ===

impl Slot {
    fn is_reserved(&self) -> bool {
        matches!(self.instance.state(), State::Reserved)
    }
}
