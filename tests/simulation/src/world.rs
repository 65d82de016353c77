//! One brain and its cells, moved from event to event.

mod check;
mod happen;
mod preload;

use std::time::Duration;

use lattice_brain::auction::Policy;
use lattice_brain::board::{Board, Command};
use lattice_model::Time;

use crate::agenda::{Agenda, Event};
use crate::brain::{Ask, Asker, Brain, Request, Surroundings};
use crate::cell::SimulatedCell;
use crate::dice::Dice;
use crate::ledger::{About, Ledger, Ticket};
use crate::sabotage::Sabotage;
use crate::script::Script;
use crate::work::{self, Templates};

/// Everything is looked at after so many steps.
const FULL_CHECK_STEPS: u64 = 100;
/// When the first moment is.
const BEGINNING: Time = Time::from_secs(1_000_000);
/// How long after the last fault everything is as it should be, at the latest.
const SETTLES_WITHIN: Duration = Duration::from_secs(300);
/// How long it must stay so: each cell's view and a full convergence come by in that time.
const STAYS_FOR: Duration = Duration::from_secs(35);
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// A cluster and its history so far.
#[derive(Debug)]
pub struct World {
    pub(crate) agenda: Agenda,
    pub(crate) brain: Brain,
    pub(crate) cells: Vec<SimulatedCell>,
    pub(crate) ledger: Ledger,
    pub(crate) templates: Templates,
    script: Script,
    dice: Dice,
    steps: u64,
    check_steps: u64,
}

/// Something that must not be, and when it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Milliseconds since the beginning.
    pub at_ms: u64,
    /// How many events came before.
    pub steps: u64,
    /// What.
    pub what: String,
}

/// A run that went as it must.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// How many events there were.
    pub steps: u64,
    /// How long it took after the last fault until all was as it should be.
    pub settled_after: Duration,
}

// === impl Violation ===

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "at {} ms, step {}: {}", self.at_ms, self.steps, self.what)
    }
}

// === impl World ===

impl World {
    /// The cluster of a script, about to begin.
    pub fn new(script: Script, policy: Policy, sabotage: Sabotage) -> Self {
        let seed = script.seed;
        let presences: Vec<_> =
            script.cells.iter().enumerate().map(|(n, spec)| work::presence(n, spec)).collect();
        let ids: Vec<_> = presences.iter().map(|presence| presence.cell_id.clone()).collect();
        let cell = |(n, presence)| SimulatedCell::new(n, presence, seed, sabotage);
        let mut world = Self {
            agenda: Agenda::new(BEGINNING, seed, ids.len()),
            brain: Brain::new(seed, &ids, policy, sabotage),
            cells: presences.into_iter().enumerate().map(cell).collect(),
            ledger: Ledger::default(),
            templates: Templates::new(),
            script,
            dice: Dice::of(seed, 2),
            steps: 0,
            check_steps: FULL_CHECK_STEPS,
        };
        world.agenda.at(BEGINNING, Event::BrainStarts);
        for cell in 0..world.cells.len() {
            let delay = world.dice.between(100, 3_000);
            world.agenda.after_ms(delay, Event::CellStarts(cell));
        }
        world.plan_happening(0);
        world
    }

    /// Plays the script to its end, and on until everything is as it should be.
    pub fn run(&mut self) -> Result<Summary, Violation> {
        let end = BEGINNING + Duration::from_millis(self.script.end_ms());
        self.run_until(end)?;
        self.brain.failures = 0;
        // Somebody vouches for what is wanted, so that nothing unwanted may stay, and takes every
        // cell into use.
        let domain = self.templates.domain().clone();
        self.ask(About::Other, Command::UpsertDomain(domain, None));
        (0..self.cells.len()).for_each(|cell| self.undrain(cell));
        let (mut good_since, mut last_seen) = (None, Vec::new());
        while self.agenda.now < end + SETTLES_WITHIN + STAYS_FOR {
            let differences = self.differences();
            if differences.is_empty() {
                let since = *good_since.get_or_insert(self.agenda.now);
                if self.agenda.now.since(since) >= STAYS_FOR {
                    self.check();
                    self.verdict()?;
                    return Ok(Summary { steps: self.steps, settled_after: since.since(end) });
                }
            } else {
                (good_since, last_seen) = (None, differences);
            }
            self.run_until(self.agenda.now + LOOK_INTERVAL)?;
        }
        last_seen.truncate(8);
        let within = SETTLES_WITHIN.as_secs();
        self.ledger.fault(format!("{within} s after the last fault: {}", last_seen.join("; ")));
        self.verdict()?;
        Ok(Summary { steps: self.steps, settled_after: SETTLES_WITHIN })
    }

    /// Looks at everything after so many steps only.
    pub(crate) const fn check_every(&mut self, steps: u64) {
        self.check_steps = steps;
    }

    /// Lets so much time pass.
    pub fn run_for(&mut self, time: Duration) -> Result<(), Violation> {
        self.run_until(self.agenda.now + time)
    }

    /// Lets time pass until then.
    pub fn run_until(&mut self, end: Time) -> Result<(), Violation> {
        while let Some(event) = self.agenda.next(end) {
            self.steps += 1;
            self.take(event);
            if self.steps.is_multiple_of(self.check_steps) {
                self.check();
            }
            self.verdict()?;
        }
        Ok(())
    }

    /// Now.
    pub const fn now(&self) -> Time {
        self.agenda.now
    }

    /// What the brain believes.
    pub const fn board(&self) -> &Board {
        &self.brain.board
    }

    fn verdict(&self) -> Result<(), Violation> {
        match &self.ledger.violation {
            None => Ok(()),
            Some(what) => {
                let passed = self.agenda.now.since(BEGINNING).as_millis();
                let at_ms = u64::try_from(passed).unwrap_or(u64::MAX);
                Err(Violation { at_ms, steps: self.steps, what: what.clone() })
            }
        }
    }

    fn take(&mut self, event: Event) {
        let at = &mut Surroundings { agenda: &mut self.agenda, ledger: &mut self.ledger };
        match event {
            Event::Happen(line) => self.happen(line),
            Event::WeatherEnds(change) => self.agenda.network.end_weather(change),
            Event::BrainStarts if self.brain.is_up => {}
            Event::BrainStarts => self.brain.start(at),
            Event::Brain(life, event) => {
                if self.brain.is_up && life == self.brain.life {
                    self.brain.on(event, at);
                }
            }
            Event::ToBrain(request) => self.brain.receive(*request, at),
            Event::CellStarts(cell) => self.cells[cell].start(&mut self.agenda),
            Event::Cell(cell, life, event) => {
                if self.cells[cell].is_up && self.cells[cell].life == life {
                    self.cells[cell].on(event, at);
                }
            }
            Event::ToCell(cell, message) => self.cells[cell].receive(message, at),
            Event::Undrain(cell) => self.undrain(cell),
            Event::CellDeparts(cell, life) => {
                if self.cells[cell].is_up && self.cells[cell].life == life {
                    self.cells[cell].depart(&mut self.agenda);
                    self.cells[cell].kill(false);
                }
            }
        }
    }

    /// Somebody asks something of the Receptor API.
    pub(crate) fn ask(&mut self, about: About, command: Command) {
        let from = Asker::Person(Ticket::new(about));
        let request = Request { ask: Ask::Apply(Box::new(command)), from };
        let delay = self.dice.between(1, 20);
        self.agenda.after_ms(delay, Event::ToBrain(Box::new(request)));
    }
}
