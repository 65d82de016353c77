//! The dispatcher's model: the real roster and the real auctions between calls to cells on the
//! virtual clock. Holds each effect once until it is taken, delivers orders and tells tasks'
//! owners.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use lattice_api::cell::{CellState, Refused, WorkItem};
use lattice_brain::auction::{Item, Outcome, Policy};
use lattice_brain::board::{Command, Effect};
use lattice_brain::dispatch::gathered::{Gathered, item_of, items, returns, unanswered};
use lattice_brain::dispatch::roster::{Grace, Heard, News, Roster, Seen, Wait};
use lattice_cell::work::WorkId;
use lattice_model::{CellId, InstanceGuid, Resources, TaskGuid, TaskState, Time};

use super::{Ask, Asker, Brain, Reply, Request, Surroundings};
use crate::agenda::{BrainEvent, Event, Link, Question, ToCell};
use crate::sabotage::Sabotage;

/// How long a cell may take to answer anything.
const PATIENCE: Duration = Duration::from_secs(10);

/// Effects on their way, and the auction that is held.
#[derive(Debug)]
pub(crate) struct Dispatcher {
    policy: Policy,
    gathered: Gathered,
    roster: Roster,
    auction: Option<Auction>,
    /// What cells have answered that the board does not know yet.
    news: News,
    /// When the auction is looked at next.
    alarm: Option<Time>,
    /// Counts what cells were called for.
    questions: u64,
    /// Calls that are under way, by their number.
    calls: BTreeMap<u64, BTreeMap<CellId, Call>>,
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

/// Where an auction stands.
#[derive(Debug)]
enum Auction {
    /// Looks at the board.
    Opening,
    /// Every cell owes an answer; one is awaited.
    Stalled { round: u64 },
    /// Asks the cells.
    Asking { round: u64, wait: Wait },
    /// Asks the board what is still wanted.
    Sifting { round: u64 },
    /// Waits for the cells to take the work.
    Handing { gathered: Gathered, outcome: Outcome, wait: Wait },
    /// Tells the board what came to nothing.
    Reporting { awaited: usize },
}

/// A call to a cell.
#[derive(Debug)]
enum Call {
    /// How do you stand?
    State,
    /// Take this; each item with its round.
    Work { items: Vec<WorkItem>, rounds: BTreeMap<Item, u64> },
}

// === impl Dispatcher ===

impl Dispatcher {
    pub(super) fn new(policy: Policy) -> Self {
        Self {
            policy,
            gathered: Gathered::default(),
            roster: Roster::default(),
            auction: None,
            news: News::default(),
            alarm: None,
            questions: 0,
            calls: BTreeMap::new(),
            instances_made: 0,
            waits: BTreeMap::new(),
            placements: Vec::new(),
        }
    }

    /// The process is gone, and all of this with it.
    pub(super) fn forget(&mut self) {
        self.gathered = Gathered::default();
        self.roster = Roster::default();
        self.auction = None;
        self.news = News::default();
        self.calls.clear();
    }

    fn hear(&mut self, heard: Heard, now: Time) {
        let cell = heard.cell().clone();
        self.news.absorb(self.roster.hear(heard, now));
        if let Some(Auction::Asking { wait, .. } | Auction::Handing { wait, .. }) =
            &mut self.auction
        {
            wait.note(&cell, now);
        }
    }

    fn begin_call(&mut self, question: Question, cell: &CellId, call: Call) {
        self.calls.entry(question.number).or_default().insert(cell.clone(), call);
    }

    /// Ends a call; `None` when it has ended before.
    fn end_call(&mut self, number: u64, cell: &CellId) -> Option<Call> {
        let calls = self.calls.get_mut(&number)?;
        let call = calls.remove(cell);
        if calls.is_empty() {
            self.calls.remove(&number);
        }
        call
    }

    fn name(&mut self) -> InstanceGuid {
        self.instances_made += 1;
        InstanceGuid::new(format!("instance-{}", self.instances_made)).expect("a number is a guid")
    }

    fn note_placed(&mut self, items: &[Item], now: Time) {
        for item in items {
            if let Some((since, attempts)) = self.waits.remove(item) {
                self.placements.push(Placement { waited: now.since(since), attempts });
            }
        }
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
                    self.dispatcher.gathered.add_lrp(key, lrp, round);
                }
                Effect::AuctionTask { task, round } => {
                    let item = Item::Task(task.definition.task_guid.clone());
                    self.dispatcher.waits.entry(item).or_insert((now, 0));
                    self.dispatcher.gathered.add_task(task, round);
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
        self.go_on(at);
    }

    fn order(&self, cell: &CellId, id: WorkId, at: &mut Surroundings<'_>) {
        self.send(cell, ToCell::Stop(id), at);
    }

    /// Takes the auction as far as it can go now, or begins what is next.
    pub(super) fn go_on(&mut self, at: &mut Surroundings<'_>) {
        let now = at.agenda.now;
        match self.dispatcher.auction.take() {
            None => self.begin(),
            Some(Auction::Stalled { round }) if !self.dispatcher.roster.is_all_busy() => {
                self.ask_cells(round, at);
            }
            Some(Auction::Asking { round, wait }) if wait.is_over(now) => {
                self.dispatcher.auction = Some(Auction::Sifting { round });
                let gathered = std::mem::take(&mut self.dispatcher.gathered);
                self.queue.push(Request { ask: Ask::Sift(gathered), from: Asker::Auction });
            }
            Some(Auction::Handing { gathered, outcome, wait }) if wait.is_over(now) => {
                let News { refused, is_capacity_back } = std::mem::take(&mut self.dispatcher.news);
                let reports = gathered.reports(outcome);
                let returned = returns(refused, is_capacity_back);
                self.report(reports.into_iter().chain(returned).collect());
            }
            waiting => {
                if let Some(Auction::Asking { wait, .. } | Auction::Handing { wait, .. }) = &waiting
                    && let Some(until) = wait.until()
                    && self.dispatcher.alarm.replace(until) != Some(until)
                {
                    at.agenda.at(until, Event::Brain(self.life, BrainEvent::GraceEnds));
                }
                self.dispatcher.auction = waiting;
            }
        }
    }

    fn begin(&mut self) {
        let News { refused, is_capacity_back } = std::mem::take(&mut self.dispatcher.news);
        let returned = returns(refused, is_capacity_back);
        if !returned.is_empty() {
            self.report(returned);
        } else if !self.dispatcher.gathered.is_empty() {
            self.dispatcher.auction = Some(Auction::Opening);
            self.queue.push(Request { ask: Ask::Open, from: Asker::Auction });
        }
    }

    /// Tells the board; the auction is over when it has answered.
    fn report(&mut self, commands: Vec<Command>) {
        if commands.is_empty() {
            return self.begin();
        }
        self.dispatcher.auction = Some(Auction::Reporting { awaited: commands.len() });
        let request =
            |command| Request { ask: Ask::Apply(Box::new(command)), from: Asker::Auction };
        self.queue.extend(commands.into_iter().map(request));
    }

    pub(super) fn on_auction_reply(&mut self, reply: Reply, at: &mut Surroundings<'_>) {
        match (self.dispatcher.auction.take(), reply) {
            (Some(Auction::Opening), Reply::Opened(round, cells)) => {
                let cells = cells.into_iter().map(|presence| presence.cell_id).collect();
                self.dispatcher.roster.keep(&cells);
                self.dispatcher.auction = Some(Auction::Stalled { round });
            }
            (Some(Auction::Sifting { round }), Reply::Sifted(gathered)) => {
                self.hold(round, gathered, at);
            }
            (Some(Auction::Reporting { awaited }), _) if awaited > 1 => {
                self.dispatcher.auction = Some(Auction::Reporting { awaited: awaited - 1 });
            }
            // The board could not be looked at, or all of it is reported.
            (_, _) => {}
        }
        self.go_on(at);
    }

    fn ask_cells(&mut self, round: u64, at: &mut Surroundings<'_>) {
        let question = self.question(at);
        let asked = self.dispatcher.roster.idle();
        let wait = Wait::new(asked.clone(), Grace::AfterTheFirst, at.agenda.now);
        self.dispatcher.auction = Some(Auction::Asking { round, wait });
        for cell in asked {
            self.dispatcher.roster.ask(&cell);
            self.dispatcher.begin_call(question, &cell, Call::State);
            self.send(&cell, ToCell::State(question), at);
        }
        self.go_on(at);
    }

    fn hold(&mut self, round: u64, mut gathered: Gathered, at: &mut Surroundings<'_>) {
        let now = at.agenda.now;
        gathered.date_back_to(round);
        if gathered.is_empty() {
            return;
        }
        let Seen { mut states, is_complete } =
            self.dispatcher.roster.seen(gathered.draining(), now);
        let told = states.iter().map(|state| (state.presence.cell_id.clone(), state.available));
        let mut left: BTreeMap<CellId, Resources> = told.collect();
        if self.sabotage == Sabotage::AuctionOverbooks {
            let empty = |state: &mut Arc<CellState>| {
                let state = Arc::make_mut(state);
                state.available = state.presence.capacity;
            };
            states.iter_mut().for_each(empty);
        }
        for item in gathered.items() {
            self.dispatcher.waits.entry(item).or_insert((now, 0)).1 += 1;
        }
        let outcome = gathered.hold(states, is_complete, &self.dispatcher.policy);
        at.ledger.held(&outcome, &mut left, |item| gathered.need_of(item));
        self.hand_out(gathered, outcome, at);
    }

    /// Gives each cell its work; all cells at once.
    fn hand_out(&mut self, gathered: Gathered, outcome: Outcome, at: &mut Surroundings<'_>) {
        let question = self.question(at);
        let works = gathered.works(&outcome, || self.dispatcher.name(), |_| Vec::new());
        let told: BTreeSet<CellId> = works.keys().cloned().collect();
        let wait = Wait::new(told, Grace::Now, at.agenda.now);
        for (cell, work) in works {
            self.dispatcher.roster.give(&cell, &work);
            let call = Call::Work { items: items(&work), rounds: gathered.rounds(&work) };
            self.dispatcher.begin_call(question, &cell, call);
            self.send(&cell, ToCell::Perform(question, Box::new(work)), at);
        }
        self.dispatcher.auction = Some(Auction::Handing { gathered, outcome, wait });
    }

    fn send(&self, cell: &CellId, message: ToCell, at: &mut Surroundings<'_>) {
        if let Some(&n) = self.numbers.get(cell) {
            at.agenda.send(Link::FromBrain(n), Event::ToCell(n, message));
        }
    }

    pub(super) fn on_state(
        &mut self,
        number: u64,
        cell: &CellId,
        state: Option<Box<CellState>>,
        at: &mut Surroundings<'_>,
    ) {
        if self.dispatcher.end_call(number, cell).is_some() {
            self.dispatcher.hear(Heard::State(cell.clone(), state), at.agenda.now);
            self.go_on(at);
        }
    }

    pub(super) fn on_performed(
        &mut self,
        number: u64,
        cell: &CellId,
        answer: Option<Vec<Refused>>,
        at: &mut Surroundings<'_>,
    ) {
        let Some(Call::Work { items, rounds }) = self.dispatcher.end_call(number, cell) else {
            return;
        };
        let refused = match answer {
            Some(answer) => {
                let is_taken = |item: &&WorkItem| answer.iter().all(|one| one.item != **item);
                let taken: Vec<Item> = items.iter().filter(is_taken).map(item_of).collect();
                self.dispatcher.note_placed(&taken, at.agenda.now);
                answer
            }
            None => unanswered(items, "no answer"),
        };
        let dated = |one: Refused| {
            let round = rounds.get(&item_of(&one.item)).copied().unwrap_or_default();
            (one, round)
        };
        let refused = refused.into_iter().map(dated).collect();
        self.dispatcher.hear(Heard::Performed(cell.clone(), refused), at.agenda.now);
        self.go_on(at);
    }

    /// The cells that have not answered by now will not.
    pub(super) fn on_call_timeout(&mut self, number: u64, at: &mut Surroundings<'_>) {
        let late = self.dispatcher.calls.get(&number).into_iter().flatten();
        let is_work = |call: &Call| matches!(call, Call::Work { .. });
        let late: Vec<_> = late.map(|(cell, call)| (cell.clone(), is_work(call))).collect();
        for (cell, is_work) in late {
            match is_work {
                true => self.on_performed(number, &cell, None, at),
                false => self.on_state(number, &cell, None, at),
            }
        }
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
        at.agenda.after(PATIENCE, Event::Brain(self.life, BrainEvent::CallTimeout(number)));
        Question { life: self.life, number }
    }
}
