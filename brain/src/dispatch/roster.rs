//! What is known of the cells, and which of them owe an answer: one that does not answer holds up
//! neither the auction nor the others. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use lattice_api::cell::{CellState, LrpSlot, LrpWork, TaskWork, Work};
use lattice_model::{CellId, Time};

use super::gathered::Returned;

/// So long those that have not answered are waited for.
const GRACE: Duration = Duration::from_millis(500);
/// What a slow cell said may be gone by for so long.
const FRESH: Duration = Duration::from_secs(2);

/// The cells.
#[derive(Debug, Default)]
pub struct Roster {
    known: BTreeMap<CellId, Known>,
}

/// One cell.
#[derive(Debug, Default)]
struct Known {
    /// What it last said, and what it got since; it counts for the balance of the zones even when
    /// it says nothing more.
    state: Option<Arc<CellState>>,
    /// When it said so; `None` when its last answer was no good.
    heard_at: Option<Time>,
    /// True while it owes an answer about itself.
    is_asked: bool,
    /// True while it owes an answer about work.
    is_working: bool,
    /// True when an auction was held without it since its last answer.
    is_missed: bool,
    /// True when its last answer came too late for an auction.
    is_slow: bool,
}

/// A cell's answer.
#[derive(Debug)]
pub enum Heard {
    /// What it says of itself; `None` when it could not be asked.
    State(CellId, Option<Box<CellState>>),
    /// What it did not take of its work.
    Performed(CellId, Vec<Returned>),
}

/// When the grace of those that do not answer begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grace {
    /// At once: others could be served meanwhile.
    Now,
    /// When there is one that could be served.
    AfterTheFirst,
}

/// The wait for some cells' answers.
#[derive(Debug)]
pub struct Wait {
    cells: BTreeSet<CellId>,
    until: Option<Time>,
}

/// What came of answers.
#[derive(Debug, Default)]
pub struct News {
    /// Work that was not taken.
    pub refused: Vec<Returned>,
    /// True when a cell answered that an auction was held without.
    pub is_capacity_back: bool,
}

/// The cells as the next auction sees them.
#[derive(Debug)]
pub struct Seen {
    /// All of them; those that get nothing are evacuating.
    pub states: Vec<Arc<CellState>>,
    /// True when each of them gave an answer.
    pub is_complete: bool,
}

// === impl Roster ===

impl Roster {
    /// Forgets cells that are not among these, and waits for no answer of theirs.
    pub fn keep(&mut self, cells: &BTreeSet<CellId>) {
        self.known.retain(|cell, _| cells.contains(cell));
        for cell in cells {
            self.known.entry(cell.clone()).or_default();
        }
    }

    /// The cells that owe no answer.
    pub fn idle(&self) -> Vec<CellId> {
        let idle = self.known.iter().filter(|(_, known)| !known.is_busy());
        idle.map(|(cell, _)| cell.clone()).collect()
    }

    /// True when there are cells, and each owes an answer.
    pub fn is_all_busy(&self) -> bool {
        !self.known.is_empty() && self.known.values().all(Known::is_busy)
    }

    /// A cell is asked about itself.
    pub fn ask(&mut self, cell: &CellId) {
        if let Some(known) = self.known.get_mut(cell) {
            known.is_asked = true;
        }
    }

    /// A cell is given this work.
    pub fn give(&mut self, cell: &CellId, work: &Work) {
        if let Some(known) = self.known.get_mut(cell) {
            known.is_working = true;
            if let Some(state) = &mut known.state {
                reserve(Arc::make_mut(state), work);
            }
        }
    }

    /// A cell has answered, or it is known that it will not.
    pub fn hear(&mut self, heard: Heard, now: Time) -> News {
        let mut news = News::default();
        let Some(known) = self.known.get_mut(heard.cell()) else {
            news.refused = heard.into_refused();
            return news;
        };
        match heard {
            Heard::State(_, said) => {
                known.is_asked = false;
                known.heard_at = said.is_some().then_some(now);
                if let Some(state) = said {
                    known.is_slow = std::mem::take(&mut known.is_missed);
                    news.is_capacity_back = known.is_slow;
                    known.state = Some(Arc::from(state));
                }
            }
            Heard::Performed(_, refused) => {
                known.is_working = false;
                news.is_capacity_back = known.is_missed;
                news.refused = refused;
            }
        }
        news
    }

    /// All cells. Those that do not answer, or are drained, take nothing.
    pub fn seen(&mut self, draining: &BTreeSet<CellId>, now: Time) -> Seen {
        let mut seen = Seen { states: Vec::new(), is_complete: true };
        for (cell, known) in &mut self.known {
            let is_here = known.can_work(now);
            known.is_missed |= !is_here;
            seen.is_complete &= is_here;
            if let Some(state) = &known.state {
                let mut state = Arc::clone(state);
                if !is_here || draining.contains(cell) {
                    Arc::make_mut(&mut state).evacuating = true;
                }
                seen.states.push(state);
            }
        }
        seen
    }
}

// === impl Known ===

impl Known {
    const fn is_busy(&self) -> bool {
        self.is_asked || self.is_working
    }

    /// A cell that owes an answer may have died; one that is known to be slow has likely not.
    fn can_work(&self, now: Time) -> bool {
        let is_fresh = |at: Time| now.since(at) <= FRESH;
        let is_trusted = |at: Time| !self.is_asked || (self.is_slow && is_fresh(at));
        !self.is_working && self.heard_at.is_some_and(is_trusted)
    }
}

fn reserve(state: &mut CellState, work: &Work) {
    for LrpWork { key, lrp, .. } in &work.lrps {
        let slot = LrpSlot { key: key.clone(), app: lrp.app.clone(), resources: lrp.resources() };
        state.available = state.available.minus(&slot.resources);
        state.lrps.push(slot);
    }
    for TaskWork { task, .. } in &work.tasks {
        state.available = state.available.minus(&task.definition.resources());
        state.tasks.push(task.definition.task_guid.clone());
    }
    state.starting_count += (work.lrps.len() + work.tasks.len()) as u64;
}

// === impl Wait ===

impl Wait {
    /// For these, from now on.
    pub fn new(cells: impl IntoIterator<Item = CellId>, grace: Grace, now: Time) -> Self {
        let until = match grace {
            Grace::Now => Some(now + GRACE),
            Grace::AfterTheFirst => None,
        };
        Self { cells: cells.into_iter().collect(), until }
    }

    /// One has answered.
    pub fn note(&mut self, cell: &CellId, now: Time) {
        if self.cells.remove(cell) {
            self.until.get_or_insert(now + GRACE);
        }
    }

    /// When the rest has had its grace; `None` while that has not begun.
    pub const fn until(&self) -> Option<Time> {
        self.until
    }

    /// True when all have answered, or have had their grace.
    pub fn is_over(&self, now: Time) -> bool {
        self.cells.is_empty() || self.until.is_some_and(|until| until <= now)
    }
}

// === impl News ===

impl News {
    /// Adds what came later.
    pub fn absorb(&mut self, mut later: Self) {
        self.refused.append(&mut later.refused);
        self.is_capacity_back |= later.is_capacity_back;
    }
}

// === impl Heard ===

impl Heard {
    /// Who has answered.
    pub const fn cell(&self) -> &CellId {
        match self {
            Self::State(cell, _) | Self::Performed(cell, _) => cell,
        }
    }

    fn into_refused(self) -> Vec<Returned> {
        match self {
            Self::State(..) => Vec::new(),
            Self::Performed(_, refused) => refused,
        }
    }
}

#[cfg(test)]
mod tests;
