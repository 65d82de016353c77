//! The dispatcher's model: holds each effect once until it is taken, holds auctions over what has
//! gathered, hands out work, delivers orders and tells tasks' owners.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use lattice_api::cell::{CellState, LrpWork, Refused, TaskWork, Work, WorkItem};
use lattice_brain::auction::{Batch, Failure, Item, LrpAuction, Outcome, Policy, TaskAuction};
use lattice_brain::board::{Command, Effect, FailedPlacement};
use lattice_brain::moves;
use lattice_cell::work::WorkId;
use lattice_model::actual_lrp::PlacementError;
use lattice_model::{
    CellId, CellPresence, DesiredLrp, InstanceGuid, LrpKey, Resources, Task, TaskGuid, TaskState,
    Time,
};

use super::{Ask, Asker, Brain, Reply, Request, Surroundings};
use crate::agenda::{BrainEvent, Event, Link, Question, ToCell};
use crate::sabotage::Sabotage;

/// How long a cell may take to answer anything.
const PATIENCE: Duration = Duration::from_secs(10);
const NO_ANSWER: &str = "unable to communicate to compatible cells";

/// Effects on their way, and the auction that is held.
#[derive(Debug)]
pub(crate) struct Dispatcher {
    policy: Policy,
    gathered: Gathered,
    auction: Option<Auction>,
    /// Counts what auctions waited for; answers to an earlier question are too late.
    questions: u64,
    instances_made: u64,
    /// When items came, and how often they were tried.
    waits: BTreeMap<Item, (Time, u32)>,
    /// What was placed, in order.
    pub(crate) placements: Vec<Placement>,
}

/// One item that was taken by a cell.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Placement {
    pub(crate) waited: Duration,
    pub(crate) attempts: u32,
}

/// What wants a place, and the capacity round it was sent out with.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gathered {
    pub(super) lrps: BTreeMap<LrpKey, (Arc<DesiredLrp>, u64)>,
    pub(super) tasks: BTreeMap<TaskGuid, (Arc<Task>, u64)>,
    /// Instances that stay up on a cell until these run.
    pub(super) leaving: BTreeMap<LrpKey, CellId>,
    /// Cells that get nothing.
    pub(super) draining: BTreeSet<CellId>,
}

/// Where an auction stands.
#[derive(Debug)]
enum Auction {
    /// Looks at the board.
    Opening,
    /// Asks the cells.
    Asking { round: u64, awaited: BTreeSet<CellId>, states: Vec<CellState> },
    /// Asks the board what is still wanted.
    Sifting { round: u64, states: Vec<CellState> },
    /// Waits for the cells to take the work.
    Handing {
        gathered: Gathered,
        outcome: Outcome,
        awaited: BTreeMap<CellId, Vec<WorkItem>>,
        refused: Vec<Refused>,
    },
    /// Tells the board what came to nothing.
    Reporting { awaited: usize },
}

// === impl Dispatcher ===

impl Dispatcher {
    pub(super) fn new(policy: Policy) -> Self {
        Self {
            policy,
            gathered: Gathered::default(),
            auction: None,
            questions: 0,
            instances_made: 0,
            waits: BTreeMap::new(),
            placements: Vec::new(),
        }
    }

    /// The process is gone, and all of this with it.
    pub(super) fn forget(&mut self) {
        self.gathered = Gathered::default();
        self.auction = None;
    }
}

// === impl Gathered ===

impl Gathered {
    fn batch(&self) -> Batch {
        let lrp = |(key, (lrp, _)): (&LrpKey, &(Arc<DesiredLrp>, u64))| LrpAuction {
            key: key.clone(),
            lrp: Arc::clone(lrp),
        };
        let task = |(task, _): &(Arc<Task>, u64)| TaskAuction { task: Arc::clone(task) };
        Batch {
            lrps: self.lrps.iter().map(lrp).collect(),
            tasks: self.tasks.values().map(task).collect(),
        }
    }

    fn need_of(&self, item: &Item) -> Resources {
        let need = match item {
            Item::Lrp(key) => self.lrps.get(key).map(|(lrp, _)| lrp.resources()),
            Item::Task(guid) => self.tasks.get(guid).map(|(task, _)| task.definition.resources()),
        };
        need.unwrap_or_default()
    }

    fn round_of(&self, item: &Item) -> u64 {
        let round = match item {
            Item::Lrp(key) => self.lrps.get(key).map(|(_, round)| *round),
            Item::Task(guid) => self.tasks.get(guid).map(|(_, round)| *round),
        };
        round.unwrap_or_default()
    }

    fn date_back_to(&mut self, round: u64) {
        let lrps = self.lrps.values_mut().map(|(_, of)| of);
        lrps.chain(self.tasks.values_mut().map(|(_, of)| of)).for_each(|of| *of = round.min(*of));
    }

    fn is_empty(&self) -> bool {
        self.lrps.is_empty() && self.tasks.is_empty()
    }
}

// === impl Brain ===

impl Brain {
    /// Takes effects, which are durable now.
    pub(super) fn put(&mut self, effects: Vec<Effect>, at: &mut Surroundings<'_>) {
        let now = at.agenda.now;
        for effect in effects {
            if self.sabotage.loses(&effect) {
                continue;
            }
            match effect {
                Effect::AuctionLrp { key, lrp, round } => {
                    let item = Item::Lrp(key.clone());
                    self.dispatcher.waits.entry(item).or_insert((now, 0));
                    self.dispatcher.gathered.lrps.insert(key, (lrp, round));
                }
                Effect::AuctionTask { task, round } => {
                    let guid = task.definition.task_guid.clone();
                    let item = Item::Task(guid.clone());
                    self.dispatcher.waits.entry(item).or_insert((now, 0));
                    self.dispatcher.gathered.tasks.insert(guid, (task, round));
                }
                Effect::StopInstance { instance, .. } => {
                    self.order(&instance.cell_id, WorkId::Lrp(instance.instance_guid), at);
                }
                Effect::CancelTask { guid, cell_id } => {
                    self.order(&cell_id, WorkId::Task(guid), at);
                }
                Effect::NotifyOwner(guid) => {
                    let resolve = Box::new(Command::ResolveTask(guid.clone()));
                    let from = Asker::Callback(guid);
                    self.queue.push(Request { ask: Ask::Apply(resolve), from });
                }
            }
        }
        self.open_auction();
    }

    fn order(&mut self, cell: &CellId, id: WorkId, at: &mut Surroundings<'_>) {
        let Some(&cell) = self.numbers.get(cell) else { return };
        at.agenda.send(Link::FromBrain(cell), Event::ToCell(cell, ToCell::Stop(id)));
    }

    fn open_auction(&mut self) {
        if self.dispatcher.auction.is_none() && !self.dispatcher.gathered.is_empty() {
            self.dispatcher.auction = Some(Auction::Opening);
            self.queue.push(Request { ask: Ask::Open, from: Asker::Auction });
        }
    }

    pub(super) fn on_auction_reply(&mut self, reply: Reply, at: &mut Surroundings<'_>) {
        match (self.dispatcher.auction.take(), reply) {
            (Some(Auction::Opening), Reply::Opened(round, cells)) => {
                self.ask_cells(round, &cells, at);
            }
            (Some(Auction::Sifting { round, states }), Reply::Sifted(gathered)) => {
                self.hold(round, states, gathered, at);
            }
            (Some(Auction::Reporting { awaited }), _) if awaited > 1 => {
                self.dispatcher.auction = Some(Auction::Reporting { awaited: awaited - 1 });
            }
            // The board could not be looked at, or all of it is reported.
            (_, _) => self.open_auction(),
        }
    }

    fn ask_cells(&mut self, round: u64, cells: &[CellPresence], at: &mut Surroundings<'_>) {
        let question = self.question(at);
        let mut awaited = BTreeSet::new();
        for cell in cells {
            if let Some(&n) = self.numbers.get(&cell.cell_id) {
                awaited.insert(cell.cell_id.clone());
                at.agenda.send(Link::FromBrain(n), Event::ToCell(n, ToCell::State(question)));
            }
        }
        let is_over = awaited.is_empty();
        self.dispatcher.auction = Some(Auction::Asking { round, awaited, states: Vec::new() });
        if is_over {
            self.sift();
        }
    }

    pub(super) fn on_state(
        &mut self,
        number: u64,
        cell: &CellId,
        state: Option<Box<CellState>>,
        _at: &mut Surroundings<'_>,
    ) {
        if number != self.dispatcher.questions {
            return;
        }
        let Some(Auction::Asking { awaited, states, .. }) = &mut self.dispatcher.auction else {
            return;
        };
        if awaited.remove(cell) {
            states.extend(state.map(|state| *state));
            if awaited.is_empty() {
                self.sift();
            }
        }
    }

    fn sift(&mut self) {
        if let Some(Auction::Asking { round, states, .. }) = self.dispatcher.auction.take() {
            self.dispatcher.auction = Some(Auction::Sifting { round, states });
            let gathered = std::mem::take(&mut self.dispatcher.gathered);
            self.queue.push(Request { ask: Ask::Sift(gathered), from: Asker::Auction });
        }
    }

    fn hold(
        &mut self,
        round: u64,
        mut states: Vec<CellState>,
        mut gathered: Gathered,
        at: &mut Surroundings<'_>,
    ) {
        gathered.date_back_to(round);
        if gathered.is_empty() {
            self.open_auction();
            return;
        }
        let told = states.iter().map(|state| (state.presence.cell_id.clone(), state.available));
        let mut left: BTreeMap<CellId, Resources> = told.collect();
        if self.sabotage == Sabotage::AuctionOverbooks {
            states.iter_mut().for_each(|state| state.available = state.presence.capacity);
        }
        let batch = gathered.batch();
        let tried = gathered.lrps.keys().cloned().map(Item::Lrp);
        for item in tried.chain(gathered.tasks.keys().cloned().map(Item::Task)) {
            self.dispatcher.waits.entry(item).or_insert((at.agenda.now, 0)).1 += 1;
        }
        let is_draining =
            |state: &&mut CellState| gathered.draining.contains(&state.presence.cell_id);
        states.iter_mut().filter(is_draining).for_each(|state| state.evacuating = true);
        let outcome = moves::hold_apart(states, &batch, &gathered.leaving, &self.dispatcher.policy);
        at.ledger.held(&outcome, &mut left, |item| gathered.need_of(item));
        self.hand_out(gathered, outcome, at);
    }

    /// Gives each cell its work; all cells at once.
    fn hand_out(&mut self, gathered: Gathered, outcome: Outcome, at: &mut Surroundings<'_>) {
        let question = self.question(at);
        let mut works: BTreeMap<CellId, Work> = BTreeMap::new();
        for (item, cell) in &outcome.placed {
            self.dispatcher.add(works.entry(cell.clone()).or_default(), &gathered, item);
        }
        let awaited: BTreeMap<_, _> =
            works.iter().map(|(cell, work)| (cell.clone(), items(work))).collect();
        for (cell, work) in works {
            if let Some(&n) = self.numbers.get(&cell) {
                let perform = ToCell::Perform(question, Box::new(work));
                at.agenda.send(Link::FromBrain(n), Event::ToCell(n, perform));
            }
        }
        let is_over = awaited.is_empty();
        let refused = Vec::new();
        self.dispatcher.auction = Some(Auction::Handing { gathered, outcome, awaited, refused });
        if is_over {
            self.report();
        }
    }

    pub(super) fn on_performed(
        &mut self,
        number: u64,
        cell: &CellId,
        answer: Option<Vec<Refused>>,
        at: &mut Surroundings<'_>,
    ) {
        if number != self.dispatcher.questions {
            return;
        }
        let Some(Auction::Handing { awaited, refused, .. }) = &mut self.dispatcher.auction else {
            return;
        };
        let Some(items) = awaited.remove(cell) else { return };
        let is_over = awaited.is_empty();
        match answer {
            Some(answer) => {
                let is_taken = |item: &&WorkItem| answer.iter().all(|one| one.item != **item);
                let taken: Vec<Item> = items.iter().filter(is_taken).map(item_of).collect();
                refused.extend(answer);
                self.dispatcher.note_placed(&taken, at.agenda.now);
            }
            None => refused.extend(unanswered(items)),
        }
        if is_over {
            self.report();
        }
    }

    pub(super) fn on_auction_timeout(&mut self, number: u64, _at: &mut Surroundings<'_>) {
        if number != self.dispatcher.questions {
            return;
        }
        match &mut self.dispatcher.auction {
            Some(Auction::Asking { .. }) => self.sift(),
            Some(Auction::Handing { awaited, refused, .. }) => {
                refused.extend(std::mem::take(awaited).into_values().flat_map(unanswered));
                self.report();
            }
            Some(Auction::Opening | Auction::Sifting { .. } | Auction::Reporting { .. }) | None => {
            }
        }
    }

    /// Tells the board what found no place.
    fn report(&mut self) {
        let Some(Auction::Handing { gathered, outcome, refused, .. }) =
            self.dispatcher.auction.take()
        else {
            return;
        };
        let refusals = refused.into_iter().map(|Refused { item, reason }| {
            let error = PlacementError { reason, detail: String::new() };
            Failure { item: item_of(&item), error, is_impossible: false }
        });
        let failures = outcome.failed.into_iter().chain(refusals);
        let failures = failures.map(|Failure { item, error, is_impossible }| {
            let round = gathered.round_of(&item);
            Command::FailPlacement(FailedPlacement { item, error, is_impossible, round })
        });
        let deferred =
            (!outcome.deferred.is_empty()).then_some(Command::DeferPlacement(outcome.deferred));
        let commands: Vec<_> = failures.chain(deferred).collect();
        if commands.is_empty() {
            self.open_auction();
            return;
        }
        self.dispatcher.auction = Some(Auction::Reporting { awaited: commands.len() });
        let request =
            |command| Request { ask: Ask::Apply(Box::new(command)), from: Asker::Auction };
        self.queue.extend(commands.into_iter().map(request));
    }

    /// The task says that its owner is being told; now the owner is told.
    pub(super) fn on_resolved(&mut self, guid: TaskGuid, reply: &Reply, at: &mut Surroundings<'_>) {
        let (Reply::Done(_), Ok(task)) = (reply, self.board.task(&guid)) else { return };
        let TaskState::Resolving(outcome) = task.state else { return };
        let is_told = self.dice.chance(90);
        if is_told || self.dice.chance(50) {
            at.ledger.told(&guid, outcome);
        }
        let told = Event::Brain(self.life, BrainEvent::Told(guid, is_told));
        at.agenda.after_ms(self.dice.between(1, 300), told);
    }

    pub(super) fn on_told(&mut self, guid: TaskGuid, is_told: bool) {
        if is_told {
            let delete = Box::new(Command::DeleteTask(guid));
            self.queue.push(Request { ask: Ask::Apply(delete), from: Asker::Nobody });
        }
    }

    fn question(&mut self, at: &mut Surroundings<'_>) -> Question {
        self.dispatcher.questions += 1;
        let number = self.dispatcher.questions;
        at.agenda.after(PATIENCE, Event::Brain(self.life, BrainEvent::AuctionTimeout(number)));
        Question { life: self.life, number }
    }
}

impl Dispatcher {
    fn add(&mut self, work: &mut Work, gathered: &Gathered, item: &Item) {
        match item {
            Item::Lrp(key) => {
                let Some((lrp, _)) = gathered.lrps.get(key) else { return };
                self.instances_made += 1;
                let guid = InstanceGuid::new(format!("instance-{}", self.instances_made));
                work.lrps.push(LrpWork {
                    key: key.clone(),
                    instance_guid: guid.expect("a number is a guid"),
                    lrp: Arc::clone(lrp),
                    credentials: Vec::new(),
                });
            }
            Item::Task(guid) => {
                let Some((task, _)) = gathered.tasks.get(guid) else { return };
                work.tasks.push(TaskWork { task: Arc::clone(task), credentials: Vec::new() });
            }
        }
    }

    fn note_placed(&mut self, items: &[Item], now: Time) {
        for item in items {
            if let Some((since, attempts)) = self.waits.remove(item) {
                self.placements.push(Placement { waited: now.since(since), attempts });
            }
        }
    }
}

fn items(work: &Work) -> Vec<WorkItem> {
    let lrps = work.lrps.iter().map(|work| WorkItem::Lrp(work.key.clone()));
    let task = |work: &TaskWork| WorkItem::Task(work.task.definition.task_guid.clone());
    lrps.chain(work.tasks.iter().map(task)).collect()
}

fn item_of(item: &WorkItem) -> Item {
    match item {
        WorkItem::Lrp(key) => Item::Lrp(key.clone()),
        WorkItem::Task(guid) => Item::Task(guid.clone()),
    }
}

fn unanswered(items: Vec<WorkItem>) -> impl Iterator<Item = Refused> {
    items.into_iter().map(|item| Refused { item, reason: NO_ANSWER.to_owned() })
}
