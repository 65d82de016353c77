//! Waits until instances run, telling each step and the app's log meanwhile.

use std::time::Duration;

use futures_util::StreamExt as _;
use lattice_api::log_aggregator::EnvelopeStream;
use lattice_model::actual_lrp::PlacementError;
use lattice_model::{ActualLrp, ProcessGuid};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::context::Cx;
use crate::exit::Failure;
use crate::rollout::{Observation, Rollout, Verdict};
use crate::view::{log_line, steps};

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
    TimedOut,
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
        let ended = loop {
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(deadline) => break Ok(Ended::TimedOut),
                _ = ticks.tick() => match self.look(&mut rollout, cx).await {
                    Ok(None) => {}
                    Ok(Some(ended)) => break Ok(ended),
                    Err(failure) => break Err(failure),
                },
                line = next_line(&mut self.log) => match line {
                    Some(Ok(envelope)) => {
                        let zone = &cx.local.zone;
                        let line = log_line::render(&envelope, zone, cx.out().talk_palette());
                        line.iter().for_each(|line| cx.out().say(line));
                    }
                    Some(Err(e)) => cx.out().warn(&format!("the app's log broke off: {e}")),
                    None => self.log = None,
                },
            }
        };
        cx.out().end_progress();
        ended
    }

    async fn look(&self, rollout: &mut Rollout, cx: &Cx) -> Result<Option<Ended>, Failure> {
        let failure = |e| Failure::brain(&format!("follow {}", self.guid), e);
        let actual = cx.receptor.actual_lrps_of(self.guid).await.map_err(failure)?;
        // An older receptor does not know progress; the steps are coarser then.
        let progress = cx.receptor.progress_of(self.guid).await.unwrap_or_default();
        let Observation { steps, pull, verdict } = rollout.observe(&actual, &progress);
        for step in &steps {
            cx.out().say(&steps::line(step, self.wanted, cx.out().talk_palette()));
        }
        match pull {
            Some(pull) => cx.out().progress(&steps::pull_label(&pull), pull.done, pull.total),
            None => cx.out().idle("waiting"),
        }
        Ok(match verdict {
            Verdict::Waiting => None,
            Verdict::Up => Some(Ended::Up),
            Verdict::Ended { reason } => Some(Ended::Finished { reason }),
            Verdict::NoPlace(error) => Some(Ended::NoPlace(error)),
            Verdict::CrashLoop { index, count, reason } => {
                Some(Ended::CrashLoop { index, count, reason })
            }
        })
    }
}

async fn next_line(
    log: &mut Option<EnvelopeStream>,
) -> Option<Result<lattice_model::Envelope, lattice_api::log_aggregator::LogError>> {
    match log {
        Some(stream) => stream.next().await,
        None => std::future::pending().await,
    }
}
