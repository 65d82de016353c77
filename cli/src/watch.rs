//! Waits until instances run, telling each step and the app's log meanwhile.

use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use lattice_api::log_aggregator::{EnvelopeStream, LogError};
use lattice_model::actual_lrp::PlacementError;
use lattice_model::{ActualLrp, Envelope, ProcessGuid};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::context::Cx;
use crate::exit::Failure;
use crate::rollout::{Observation, Rollout, Settled, Stuck, Verdict};
use crate::view::{log_line, steps};

/// The most log lines told between two looks, so that a talkative app does not hide its steps.
const LINES_MAX: usize = 200;

/// How the wait ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// As many run as are wanted.
    Up,
    /// All have ended and are left so.
    Finished {
        /// Why the first of them ended.
        reason: String,
    },
    /// Not within the time allowed.
    TimedOut {
        /// How far the instances are that do not run.
        stuck: Stuck,
    },
    /// A cell cannot be found.
    NoPlace(PlacementError),
    /// One crashes again and again.
    CrashLoop {
        /// Which instance.
        index: u32,
        /// How often in a row.
        count: u32,
        /// Why the last time.
        reason: String,
    },
}

/// What to wait for.
pub struct Watch<'a> {
    /// Which LRP.
    pub guid: &'a ProcessGuid,
    /// How many instances.
    pub wanted: u32,
    /// What was there before; no news.
    pub before: &'a [ActualLrp],
    /// How long.
    pub timeout: Duration,
    /// What counts as running.
    pub settled: Settled,
    /// The app's log, where it can be read.
    pub log: Option<EnvelopeStream>,
}

impl Watch<'_> {
    /// Waits.
    pub async fn run(mut self, cx: &Cx) -> Result<Ended, Failure> {
        let mut rollout = Rollout::new(self.wanted, self.before);
        let deadline = Instant::now() + self.timeout;
        let mut ticks = interval(cx.local.poll);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut up_since = None;
        let ended = loop {
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(deadline) => {
                    break Ok(Ended::TimedOut { stuck: rollout.stuck() });
                }
                _ = ticks.tick() => match self.look(&mut rollout, &mut up_since, cx).await {
                    Ok(None) => {}
                    Ok(Some(ended)) => break Ok(ended),
                    Err(failure) => break Err(failure),
                },
                line = next_line(&mut self.log) => self.tell(line, cx),
            }
        };
        self.tell_waiting(cx);
        cx.out().end_progress();
        ended
    }

    async fn look(
        &mut self,
        rollout: &mut Rollout,
        up_since: &mut Option<Instant>,
        cx: &Cx,
    ) -> Result<Option<Ended>, Failure> {
        let failure = |e| Failure::brain(&format!("follow {}", self.guid), e);
        let actual = cx.receptor.actual_lrps_of(self.guid).await.map_err(failure)?;
        // An older receptor does not know progress; the steps are coarser then.
        let progress = cx.receptor.progress_of(self.guid).await.unwrap_or_default();
        let Observation { steps, pull, verdict } = rollout.observe(&actual, &progress);
        // What the app said led to the step.
        self.tell_waiting(cx);
        let told = steps::Telling { wanted: self.wanted, settled: self.settled };
        for step in &steps {
            cx.out().say(&told.line(step, cx.out().talk_palette()));
        }
        match pull {
            Some(pull) => cx.out().progress(&steps::pull_label(&pull), pull.done, pull.total),
            None => cx.out().idle("waiting"),
        }
        if verdict != Verdict::Up || !steps.is_empty() {
            *up_since = None;
        }
        Ok(match verdict {
            Verdict::Waiting => None,
            Verdict::Up => self.has_settled(up_since).then_some(Ended::Up),
            Verdict::Ended { reason } => Some(Ended::Finished { reason }),
            Verdict::NoPlace(error) => Some(Ended::NoPlace(error)),
            Verdict::CrashLoop { index, count, reason } => {
                Some(Ended::CrashLoop { index, count, reason })
            }
        })
    }

    fn has_settled(&self, up_since: &mut Option<Instant>) -> bool {
        match self.settled {
            Settled::Healthy => true,
            Settled::RanFor(_) if self.wanted == 0 => true,
            Settled::RanFor(time) => up_since.get_or_insert_with(Instant::now).elapsed() >= time,
        }
    }

    /// Tells the lines that have come already.
    fn tell_waiting(&mut self, cx: &Cx) {
        for _ in 0..LINES_MAX {
            match next_line(&mut self.log).now_or_never() {
                Some(line) => self.tell(line, cx),
                None => return,
            }
        }
    }

    fn tell(&mut self, line: Option<Result<Envelope, LogError>>, cx: &Cx) {
        match line {
            Some(Ok(envelope)) => {
                let palette = cx.out().talk_palette();
                let line = log_line::render(&envelope, &cx.local.zone, palette);
                line.iter().for_each(|line| cx.out().say(line));
            }
            Some(Err(e)) => cx.out().warn(&format!("the app's log broke off: {e}")),
            None => self.log = None,
        }
    }
}

async fn next_line(log: &mut Option<EnvelopeStream>) -> Option<Result<Envelope, LogError>> {
    match log {
        Some(stream) => stream.next().await,
        None => std::future::pending().await,
    }
}
