//! What is going to happen when, and the network between: messages are lost, late, doubled and
//! overtake each other as the weather has it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use lattice_api::brain::CellView;
use lattice_api::cell::{CellState, Refused, Work};
use lattice_cell::instance::{Answer, Outcome};
use lattice_cell::work::WorkId;
use lattice_model::{CellId, TaskGuid, Time};

use crate::brain::Request;
use crate::dice::Dice;
use crate::script::Way;

/// Something that happens at a moment.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// The next line of the script.
    Happen(usize),
    /// The weather is good again, unless it has changed since.
    WeatherEnds(u64),
    /// The brain's process starts.
    BrainStarts,
    /// In one life of the brain.
    Brain(u64, BrainEvent),
    /// A cell's process starts.
    CellStarts(usize),
    /// Somebody takes a cell into use again.
    Undrain(usize),
    /// A cell that left in good order is gone.
    CellDeparts(usize, u64),
    /// In one life of a cell.
    Cell(usize, u64, CellEvent),
    /// Reaches a cell, in whatever life.
    ToCell(usize, ToCell),
    /// Reaches the brain, in whatever life.
    ToBrain(Box<Request>),
}

/// What the brain waits for.
#[derive(Debug, Clone)]
pub(crate) enum BrainEvent {
    /// What was handed to the store is durable, or the store has failed.
    Committed,
    /// Something is due.
    Due,
    /// The safety net.
    Converge,
    /// A cell's answer to an auction's question; `None` when it is known that none comes.
    State(u64, CellId, Option<Box<CellState>>),
    /// A cell's answer to work; `None` as above.
    Performed(u64, CellId, Option<Vec<Refused>>),
    /// The calls of this number have waited long enough.
    CallTimeout(u64),
    /// The auction may have waited long enough.
    GraceEnds,
    /// A task's owner has been told, or could not be.
    Told(TaskGuid, bool),
}

/// What a cell waits for.
#[derive(Debug, Clone)]
pub(crate) enum CellEvent {
    /// Time to say that it is alive.
    Beat,
    /// Time to ask for the view, unless it was asked for since.
    AskView(u64),
    /// The brain has not answered a telling in time.
    TellTimeout(WorkId, u64),
    /// The container exists.
    Made(WorkId, u64),
    /// It is healthy.
    Healthy(WorkId, u64),
    /// Its work has ended.
    Ended(WorkId, u64, Outcome),
    /// Its removal has ended.
    Removed(WorkId, u64, bool),
}

/// What a cell is told and asked.
#[derive(Debug, Clone)]
pub(crate) enum ToCell {
    /// How do you stand?
    State(Question),
    /// Take work.
    Perform(Question, Box<Work>),
    /// End this in good order.
    Stop(WorkId),
    /// The answer to a telling, in this life of the cell.
    Told(u64, WorkId, u64, Answer),
    /// The view that was asked for in this life, at that time; `None` is no view.
    Viewed(u64, Time, Option<Box<CellView>>),
    /// The stream of events has broken off.
    HungUp,
}

/// A question of the dispatcher's: the brain's life, and its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) life: u64,
    pub(crate) number: u64,
}

/// A direction between the brain and a cell.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Link {
    /// From that cell.
    ToBrain(usize),
    /// To that cell.
    FromBrain(usize),
}

/// The future.
#[derive(Debug)]
pub(crate) struct Agenda {
    pub(crate) now: Time,
    pub(crate) network: Network,
    heap: BinaryHeap<Entry>,
    count: u64,
}

#[derive(Debug)]
struct Entry {
    order: Reverse<(Time, u64)>,
    event: Event,
}

/// How messages fare.
#[derive(Debug)]
pub(crate) struct Network {
    weather: Weather,
    changes: u64,
    lines: Vec<Line>,
}

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Weather {
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    pub(crate) late: u64,
    pub(crate) late_ms: u64,
}

/// Between one cell and the brain.
#[derive(Debug)]
struct Line {
    dice: Dice,
    is_cut_to_brain_until: Time,
    is_cut_from_brain_until: Time,
}

// === impl Agenda ===

impl Agenda {
    pub(crate) fn new(now: Time, seed: u64, cells: usize) -> Self {
        let line = |n: usize| Line {
            dice: Dice::of(seed, 1_000 + n as u64),
            is_cut_to_brain_until: now,
            is_cut_from_brain_until: now,
        };
        let network = Network {
            weather: Weather::default(),
            changes: 0,
            lines: (0..cells).map(line).collect(),
        };
        Self { now, network, heap: BinaryHeap::new(), count: 0 }
    }

    /// The next event; time moves on to it.
    pub(crate) fn next(&mut self, end: Time) -> Option<Event> {
        if self.heap.peek().is_none_or(|entry| entry.order.0.0 > end) {
            self.now = end;
            return None;
        }
        let entry = self.heap.pop()?;
        self.now = entry.order.0.0;
        Some(entry.event)
    }

    pub(crate) fn at(&mut self, time: Time, event: Event) {
        self.count += 1;
        self.heap.push(Entry { order: Reverse((time.max(self.now), self.count)), event });
    }

    pub(crate) fn after(&mut self, delay: Duration, event: Event) {
        self.at(self.now + delay, event);
    }

    pub(crate) fn after_ms(&mut self, ms: u64, event: Event) {
        self.after(Duration::from_millis(ms), event);
    }

    /// Sends something over the network.
    pub(crate) fn send(&mut self, link: Link, event: Event) {
        let now = self.now;
        let (first, second) = self.network.fares(link, now);
        if let Some(delay) = second {
            self.after(delay, event.clone());
        }
        if let Some(delay) = first {
            self.after(delay, event);
        }
    }
}

// === impl Network ===

impl Network {
    pub(crate) fn set_weather(&mut self, weather: Weather) -> u64 {
        self.weather = weather;
        self.changes += 1;
        self.changes
    }

    pub(crate) fn end_weather(&mut self, change: u64) {
        if self.changes == change {
            self.weather = Weather::default();
        }
    }

    pub(crate) fn cut(&mut self, cell: usize, way: Way, until: Time) {
        let line = &mut self.lines[cell];
        if way != Way::FromBrain {
            line.is_cut_to_brain_until = until.max(line.is_cut_to_brain_until);
        }
        if way != Way::ToBrain {
            line.is_cut_from_brain_until = until.max(line.is_cut_from_brain_until);
        }
    }

    /// When a message and its double arrive, if they do.
    fn fares(&mut self, link: Link, now: Time) -> (Option<Duration>, Option<Duration>) {
        let weather = self.weather;
        let (Link::ToBrain(cell) | Link::FromBrain(cell)) = link;
        let line = &mut self.lines[cell];
        let is_cut_until = match link {
            Link::ToBrain(_) => line.is_cut_to_brain_until,
            Link::FromBrain(_) => line.is_cut_from_brain_until,
        };
        if is_cut_until > now || line.dice.chance(weather.lost) {
            return (None, None);
        }
        let first = line.delay(weather);
        let second = line.dice.chance(weather.doubled).then(|| line.delay(weather));
        (Some(first), second)
    }
}

impl Line {
    fn delay(&mut self, weather: Weather) -> Duration {
        let late =
            if self.dice.chance(weather.late) { self.dice.below(weather.late_ms) } else { 0 };
        Duration::from_micros(self.dice.between(100, 3_000)) + Duration::from_millis(late)
    }
}

// === impl Entry ===

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order.cmp(&other.order)
    }
}
