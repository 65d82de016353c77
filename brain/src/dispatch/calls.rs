//! The calls to cells that are under way, and what the [`Roster`] makes of their answers.

use std::future::pending;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use lattice_api::cell::Work;
use lattice_model::{CellId, Time};
use tokio::time::{Instant, sleep_until};

use super::roster::{Grace, Heard, News, Roster, Wait};

/// The roster and its calls. One task owns them.
pub(super) struct Calls {
    pub(super) roster: Roster,
    under_way: FuturesUnordered<BoxFuture<'static, Heard>>,
    began: Instant,
}

// === impl Calls ===

impl Calls {
    /// None is under way.
    pub(super) fn new() -> Self {
        let under_way = FuturesUnordered::new();
        Self { roster: Roster::default(), under_way, began: Instant::now() }
    }

    /// The time since the beginning, by the clock that only ever advances.
    pub(super) fn now(&self) -> Time {
        Time::default() + self.began.elapsed()
    }

    /// The call that asks a cell about itself is under way.
    pub(super) fn ask(&mut self, cell: &CellId, call: BoxFuture<'static, Heard>) {
        self.roster.ask(cell);
        self.under_way.push(call);
    }

    /// The call that gives a cell this work is under way.
    pub(super) fn give(&mut self, cell: &CellId, work: &Work, call: BoxFuture<'static, Heard>) {
        self.roster.give(cell, work);
        self.under_way.push(call);
    }

    /// The next answer; never, when nothing is under way.
    pub(super) async fn next(&mut self) -> News {
        match self.under_way.next().await {
            Some(heard) => self.roster.hear(heard, self.now()),
            None => pending().await,
        }
    }

    /// Listens until these cells have answered, or have had their grace.
    pub(super) async fn listen(
        &mut self,
        cells: impl IntoIterator<Item = CellId>,
        grace: Grace,
    ) -> News {
        let mut news = News::default();
        let mut wait = Wait::new(cells, grace, self.now());
        while !wait.is_over(self.now()) {
            let until = wait.until().map(|until| self.began + until.since(Time::default()));
            let is_up = async {
                match until {
                    Some(until) => sleep_until(until).await,
                    None => pending().await,
                }
            };
            let heard = tokio::select! {
                heard = self.under_way.next() => heard,
                () = is_up => None,
            };
            let Some(heard) = heard else { break };
            let now = self.now();
            wait.note(heard.cell(), now);
            news.absorb(self.roster.hear(heard, now));
        }
        news
    }
}
