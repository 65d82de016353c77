//! A brain on the virtual clock: the real board behind a model of the actor, which applies, commits
//! and only then answers and releases.

mod dispatch;

use std::collections::BTreeMap;
use std::time::Duration;

use lattice_api::brain::{CellView, PRESENCE_TTL_S};
use lattice_brain::auction::Policy;
use lattice_brain::board::{self, Applied, Board, Command, Effect, Records, Write};
use lattice_brain::config::Limits;
use lattice_brain::dispatch::gathered::Gathered;
use lattice_cell::instance::Answer;
use lattice_cell::work::WorkId;
use lattice_model::{CellId, CellPresence, ErrorName, TaskGuid, Time};

use self::dispatch::Dispatcher;
use crate::agenda::{Agenda, BrainEvent, Event, Link, ToCell};
use crate::dice::Dice;
use crate::ledger::{Cause, Ledger, Ticket};
use crate::sabotage::Sabotage;
use crate::store::Kept;

const CONVERGENCE: Duration = Duration::from_secs(30);
/// More turns than that at one moment are a board that is never content.
const TURNS_MAX: usize = 1_000;

/// The brain.
#[derive(Debug)]
pub(crate) struct Brain {
    pub(crate) board: Board,
    pub(crate) kept: Kept,
    pub(crate) is_up: bool,
    /// Counts its lives.
    pub(crate) life: u64,
    /// Commits that will fail.
    pub(crate) failures: u64,
    pub(crate) dispatcher: Dispatcher,
    seed: u64,
    dice: Dice,
    sabotage: Sabotage,
    numbers: BTreeMap<CellId, usize>,
    queue: Vec<Request>,
    turn: Option<Turn>,
    is_full_look: bool,
    alarm: Option<Time>,
}

/// What is asked of the brain's actor.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) ask: Ask,
    pub(crate) from: Asker,
}

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) enum Ask {
    /// Change the board.
    Apply(Box<Command>),
    /// What do you hold about this cell?
    View(CellId),
    /// An auction begins: which round is it, and who is there?
    Open,
    /// What of this is still wanted?
    Sift(Gathered),
}

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) enum Asker {
    /// Somebody who does not wait for the answer.
    Nobody,
    /// A piece of work on a cell, in a life of the cell, with the number of the call.
    Work(usize, u64, WorkId, u64),
    /// A cell that wants the view, in a life, at that time.
    Viewer(usize, u64, Time),
    /// Somebody at the Receptor API.
    Person(Ticket),
    /// The auction.
    Auction,
    /// The one who tells tasks' owners.
    Callback(TaskGuid),
}

/// What a turn has gathered.
#[derive(Debug, Default)]
struct Turn {
    writes: Vec<Write>,
    effects: Vec<Effect>,
    replies: Vec<(Asker, Reply)>,
}

/// What somebody is told.
#[derive(Debug)]
enum Reply {
    Done(board::Answer),
    Refused(ErrorName),
    /// The store did not take it.
    NotKept,
    View(Box<CellView>),
    Opened(u64, Vec<CellPresence>),
    Sifted(Gathered),
}

/// What a brain's parts work with.
pub(crate) struct Surroundings<'a> {
    pub(crate) agenda: &'a mut Agenda,
    pub(crate) ledger: &'a mut Ledger,
}

// === impl Brain ===

impl Brain {
    pub(crate) fn new(seed: u64, cells: &[CellId], policy: Policy, sabotage: Sabotage) -> Self {
        let numbers = cells.iter().cloned().zip(0..).collect();
        Self {
            board: Board::load(Records::default(), Limits::default(), seed, Time::default()),
            kept: Kept::default(),
            is_up: false,
            life: 0,
            failures: 0,
            dispatcher: Dispatcher::new(policy),
            seed,
            dice: Dice::of(seed, 1),
            sabotage,
            numbers,
            queue: Vec::new(),
            turn: None,
            is_full_look: false,
            alarm: None,
        }
    }

    /// True when nothing is under way that a reader of the board could not see.
    pub(crate) fn is_quiet(&self) -> bool {
        self.is_up && self.turn.is_none() && self.queue.is_empty()
    }

    /// Which of the cells has this name.
    pub(crate) fn number_of(&self, cell: &CellId) -> Option<usize> {
        self.numbers.get(cell).copied()
    }

    /// Reads the store and begins.
    pub(crate) fn start(&mut self, at: &mut Surroundings<'_>) {
        let now = at.agenda.now;
        self.is_up = true;
        self.board = self.load(now);
        at.ledger.reloaded(&self.kept, now);
        let first = Duration::from_secs(PRESENCE_TTL_S);
        at.agenda.after(first, Event::Brain(self.life, BrainEvent::Converge));
        self.turns(at);
    }

    /// Dies; the store may or may not have done what it was doing.
    pub(crate) fn kill(&mut self, keeps_commit: bool, at: &mut Surroundings<'_>) {
        if let Some(turn) = self.turn.take()
            && keeps_commit
        {
            self.kept.commit(&turn.writes);
        }
        self.is_up = false;
        self.life += 1;
        self.queue.clear();
        self.is_full_look = false;
        self.alarm = None;
        self.dispatcher.forget();
        for &cell in self.numbers.values() {
            at.agenda.send(Link::FromBrain(cell), Event::ToCell(cell, ToCell::HungUp));
        }
    }

    /// A request has arrived.
    pub(crate) fn receive(&mut self, request: Request, at: &mut Surroundings<'_>) {
        if self.is_up {
            self.queue.push(request);
            self.turns(at);
        } else {
            self.answer(request.from, Reply::NotKept, at);
        }
    }

    pub(crate) fn on(&mut self, event: BrainEvent, at: &mut Surroundings<'_>) {
        match event {
            BrainEvent::Committed => self.committed(at),
            BrainEvent::Due => self.alarm = None,
            BrainEvent::Converge => {
                self.is_full_look = true;
                at.agenda.after(CONVERGENCE, Event::Brain(self.life, BrainEvent::Converge));
            }
            BrainEvent::State(number, cell, state) => self.on_state(number, &cell, state, at),
            BrainEvent::Performed(number, cell, refused) => {
                self.on_performed(number, &cell, refused, at);
            }
            BrainEvent::CallTimeout(number) => self.on_call_timeout(number, at),
            BrainEvent::GraceEnds => self.go_on(at),
            BrainEvent::Told(guid, is_told) => self.on_told(guid, is_told),
        }
        self.turns(at);
    }

    fn load(&mut self, now: Time) -> Board {
        let seed = self.seed ^ self.dice.below(u64::MAX);
        Board::load(self.kept.records(), Limits::default(), seed, now)
    }

    /// Takes turns until one has to wait for the store, or nothing is left to do.
    fn turns(&mut self, at: &mut Surroundings<'_>) {
        for _ in 0..TURNS_MAX {
            if !self.is_up || self.turn.is_some() {
                return;
            }
            let now = at.agenda.now;
            let is_due = self.board.next_due().is_some_and(|due| due <= now);
            if self.queue.is_empty() && !self.is_full_look && !is_due {
                self.set_alarm(at.agenda);
                return;
            }
            let turn = self.gather(at);
            if turn.writes.is_empty() {
                self.release(turn, at);
            } else {
                let delay = Duration::from_micros(self.dice.between(200, 9_000));
                at.agenda.after(delay, Event::Brain(self.life, BrainEvent::Committed));
                self.turn = Some(turn);
            }
        }
        at.ledger.fault("the board has something to do for ever".to_owned());
    }

    fn gather(&mut self, at: &mut Surroundings<'_>) -> Turn {
        let now = at.agenda.now;
        let mut turn = Turn::default();
        for request in std::mem::take(&mut self.queue) {
            self.take(request, now, at.ledger, &mut turn);
        }
        if std::mem::take(&mut self.is_full_look) {
            self.apply(Command::Converge, now, at.ledger, &mut turn).ok();
        }
        if self.board.next_due().is_some_and(|due| due <= now) {
            self.apply(Command::Expire, now, at.ledger, &mut turn).ok();
        }
        if self.sabotage == Sabotage::BrainAnswersBeforeCommit {
            for (from, reply) in std::mem::take(&mut turn.replies) {
                self.answer(from, reply, at);
            }
        }
        turn
    }

    fn take(&mut self, request: Request, now: Time, ledger: &mut Ledger, turn: &mut Turn) {
        let Request { ask, mut from } = request;
        let reply = match ask {
            Ask::Apply(command) => match self.apply(*command, now, ledger, turn) {
                Ok(answer) => Reply::Done(answer),
                Err(name) => Reply::Refused(name),
            },
            Ask::View(cell) => Reply::View(Box::new(self.board.view(&cell))),
            Ask::Open => Reply::Opened(self.board.capacity_round(), self.board.cells()),
            Ask::Sift(mut gathered) => {
                gathered.keep_wanted(&self.board);
                Reply::Sifted(gathered)
            }
        };
        if let Asker::Person(ticket) = &mut from {
            ledger.stamp(ticket);
        }
        turn.replies.push((from, reply));
    }

    fn apply(
        &mut self,
        command: Command,
        now: Time,
        ledger: &mut Ledger,
        turn: &mut Turn,
    ) -> Result<board::Answer, ErrorName> {
        let cause = Cause::of(&command);
        let applied = self.board.apply(command, now).map_err(|refusal| refusal.name)?;
        ledger.applied(&self.board, &cause, &applied);
        let Applied { answer, writes, effects, .. } = applied;
        turn.writes.extend(writes);
        turn.effects.extend(effects);
        Ok(answer)
    }

    fn committed(&mut self, at: &mut Surroundings<'_>) {
        let Some(turn) = self.turn.take() else { return };
        if self.failures == 0 {
            self.kept.commit(&turn.writes);
            self.release(turn, at);
            return;
        }
        self.failures -= 1;
        let mut board = self.load(at.agenda.now);
        std::mem::swap(&mut self.board, &mut board);
        self.board.adopt_presences(board, &turn.effects);
        at.ledger.reloaded(&self.kept, at.agenda.now);
        for (from, _) in turn.replies {
            self.answer(from, Reply::NotKept, at);
        }
    }

    fn release(&mut self, turn: Turn, at: &mut Surroundings<'_>) {
        self.put(turn.effects, at);
        for (from, reply) in turn.replies {
            self.answer(from, reply, at);
        }
    }

    fn answer(&mut self, from: Asker, reply: Reply, at: &mut Surroundings<'_>) {
        match from {
            Asker::Nobody => {}
            Asker::Work(cell, life, id, number) => {
                let told = ToCell::Told(life, id, number, read_as_answer(&reply));
                at.agenda.send(Link::FromBrain(cell), Event::ToCell(cell, told));
            }
            Asker::Viewer(cell, life, asked_at) => {
                let view = if let Reply::View(view) = reply { Some(view) } else { None };
                let viewed = ToCell::Viewed(life, asked_at, view);
                at.agenda.send(Link::FromBrain(cell), Event::ToCell(cell, viewed));
            }
            Asker::Person(ticket) => {
                if let Reply::Done(_) = reply {
                    at.ledger.acknowledged(&ticket);
                }
            }
            Asker::Auction => self.on_auction_reply(reply, at),
            Asker::Callback(guid) => self.on_resolved(guid, &reply, at),
        }
    }

    fn set_alarm(&mut self, agenda: &mut Agenda) {
        let Some(due) = self.board.next_due() else { return };
        if self.alarm.is_none_or(|alarm| due < alarm) {
            self.alarm = Some(due);
            agenda.at(due, Event::Brain(self.life, BrainEvent::Due));
        }
    }
}

/// As the cell's own caller reads it: a refusal is an answer, anything else that went wrong is
/// silence.
const fn read_as_answer(reply: &Reply) -> Answer {
    match reply {
        Reply::Done(board::Answer::MayStart(false)) => Answer::Declined,
        Reply::Done(_) => Answer::Done,
        Reply::Refused(ErrorName::UnknownError | ErrorName::TooManyRequests)
        | Reply::NotKept
        | Reply::View(_)
        | Reply::Opened(..)
        | Reply::Sifted(_) => Answer::Silence,
        Reply::Refused(_) => Answer::Refused,
    }
}
