//! What is known of the cells, and the calls to them that are under way: a cell that does not
//! answer holds up neither the auction nor the others.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use lattice_api::cell::{CellError, CellState, LrpSlot, LrpWork, Refused, TaskWork, Work};
use lattice_model::{CellId, CellPresence};
use tokio::time::{Instant, sleep_until};
use tracing::warn;

/// So long those that have not answered are waited for.
const GRACE: Duration = Duration::from_millis(500);
/// What a slow cell said may be gone by for so long.
const FRESH: Duration = Duration::from_secs(2);

/// The cells and their calls. One task owns it.
#[derive(Default)]
pub(super) struct Roster {
    known: BTreeMap<CellId, Known>,
    calls: FuturesUnordered<BoxFuture<'static, Heard>>,
}

/// One cell.
#[derive(Debug, Default)]
struct Known {
    /// What it last said, and what it got since; it counts for the balance of the zones even when
    /// it says nothing more.
    state: Option<CellState>,
    /// When it said so; `None` when its last answer was no good.
    heard_at: Option<Instant>,
    /// True while it owes an answer about itself.
    is_asked: bool,
    /// True while it owes an answer about work.
    is_working: bool,
    /// True when an auction was held without it since its last answer.
    is_missed: bool,
    /// True when its last answer came too late for an auction.
    is_slow: bool,
}

/// An answer.
pub(super) enum Heard {
    /// What a cell says of itself.
    State(CellId, Result<Box<CellState>, CellError>),
    /// What a cell did not take of its work, each with the round it was sent out with.
    Performed(CellId, Vec<(Refused, u64)>),
}

/// When the grace of those that do not answer begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grace {
    /// At once: others could be served meanwhile.
    Now,
    /// When there is one that could be served.
    AfterTheFirst,
}

/// What came of listening.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Work that was not taken.
    pub(super) refused: Vec<(Refused, u64)>,
    /// True when a cell answered that an auction was held without.
    pub(super) is_capacity_back: bool,
}

/// The cells as the next auction sees them.
pub(super) struct Seen {
    pub(super) states: Vec<CellState>,
    /// True when every cell is among them.
    pub(super) is_complete: bool,
}

// === impl Roster ===

impl Roster {
    /// Forgets cells that are not there any more; their calls end by themselves.
    pub(super) fn keep(&mut self, presences: &BTreeMap<CellId, CellPresence>) {
        self.known.retain(|cell, _| presences.contains_key(cell));
        for cell in presences.keys() {
            self.known.entry(cell.clone()).or_default();
        }
    }

    /// The cells that owe no answer.
    pub(super) fn idle(&self) -> Vec<CellId> {
        let idle = self.known.iter().filter(|(_, known)| !known.is_busy());
        idle.map(|(cell, _)| cell.clone()).collect()
    }

    /// True when there are cells, and each owes an answer.
    pub(super) fn is_all_busy(&self) -> bool {
        !self.known.is_empty() && self.known.values().all(Known::is_busy)
    }

    /// The call that asks a cell about itself is under way.
    pub(super) fn ask(&mut self, cell: &CellId, call: BoxFuture<'static, Heard>) {
        if let Some(known) = self.known.get_mut(cell) {
            known.is_asked = true;
        }
        self.calls.push(call);
    }

    /// The call that gives a cell this work is under way.
    pub(super) fn give(&mut self, cell: &CellId, work: &Work, call: BoxFuture<'static, Heard>) {
        if let Some(known) = self.known.get_mut(cell) {
            known.is_working = true;
            if let Some(state) = &mut known.state {
                reserve(state, work);
            }
        }
        self.calls.push(call);
    }

    /// The next answer; never, when nothing is under way.
    pub(super) async fn next(&mut self) -> News {
        let mut news = News::default();
        match self.calls.next().await {
            Some(heard) => self.take(heard, &mut news),
            None => pending().await,
        }
        news
    }

    /// Listens until these cells have answered, or have had their grace; it begins `now`, or when
    /// the first of them has answered.
    pub(super) async fn listen(&mut self, asked: &[CellId], begins: Grace) -> News {
        let mut news = News::default();
        let mut waited_for: BTreeSet<CellId> = asked.iter().cloned().collect();
        let mut until = match begins {
            Grace::Now => Some(Instant::now() + GRACE),
            Grace::AfterTheFirst => None,
        };
        while !waited_for.is_empty() {
            let grace = async {
                match until {
                    Some(until) => sleep_until(until).await,
                    None => pending().await,
                }
            };
            let heard = tokio::select! {
                heard = self.calls.next() => heard,
                () = grace => None,
            };
            let Some(heard) = heard else { break };
            if waited_for.remove(heard.cell()) {
                until.get_or_insert(Instant::now() + GRACE);
            }
            self.take(heard, &mut news);
        }
        news
    }

    /// All cells. Those that do not answer, or are drained, take nothing.
    pub(super) fn seen(&mut self, draining: &BTreeSet<CellId>) -> Seen {
        let mut seen = Seen { states: Vec::new(), is_complete: true };
        let now = Instant::now();
        for (cell, known) in &mut self.known {
            let is_here = known.can_work(now);
            known.is_missed |= !is_here;
            seen.is_complete &= is_here;
            if let Some(state) = &known.state {
                let mut state = state.clone();
                state.evacuating |= !is_here || draining.contains(cell);
                seen.states.push(state);
            }
        }
        seen
    }

    fn take(&mut self, heard: Heard, news: &mut News) {
        let Some(known) = self.known.get_mut(heard.cell()) else {
            return news.refused.extend(heard.into_refused());
        };
        match heard {
            Heard::State(_, said) => {
                known.is_asked = false;
                known.heard_at = said.is_ok().then(Instant::now);
                match said {
                    Ok(state) => {
                        known.is_slow = std::mem::take(&mut known.is_missed);
                        news.is_capacity_back |= known.is_slow;
                        known.state = Some(*state);
                    }
                    Err(cause) => warn!(%cause, "a cell is left out of the auction"),
                }
            }
            Heard::Performed(_, refused) => {
                known.is_working = false;
                news.is_capacity_back |= known.is_missed;
                news.refused.extend(refused);
            }
        }
    }
}

// === impl Known ===

impl Known {
    const fn is_busy(&self) -> bool {
        self.is_asked || self.is_working
    }

    /// A cell that owes an answer may have died; one that is known to be slow has likely not.
    fn can_work(&self, now: Instant) -> bool {
        let is_fresh = |at: Instant| now.duration_since(at) <= FRESH;
        let is_trusted = |at: Instant| !self.is_asked || (self.is_slow && is_fresh(at));
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

// === impl News ===

impl News {
    pub(super) fn absorb(&mut self, mut later: Self) {
        self.refused.append(&mut later.refused);
        self.is_capacity_back |= later.is_capacity_back;
    }
}

// === impl Heard ===

impl Heard {
    const fn cell(&self) -> &CellId {
        match self {
            Self::State(cell, _) | Self::Performed(cell, _) => cell,
        }
    }

    fn into_refused(self) -> Vec<(Refused, u64)> {
        match self {
            Self::State(..) => Vec::new(),
            Self::Performed(_, refused) => refused,
        }
    }
}
