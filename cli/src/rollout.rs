//! What happens to instances on their way to running: which steps to tell, and when it is over.
//! Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use lattice_api::brain::{InstanceProgress, ProgressStep};
use lattice_model::actual_lrp::PlacementError;
use lattice_model::{ActualLrp, ActualState, DesiredLrp};

/// How long an instance runs that nothing checks, before it is believed to stay.
const UNCHECKED: Duration = Duration::from_secs(1);

/// Follows the instances of one LRP.
#[derive(Debug)]
pub struct Rollout {
    wanted: u32,
    seen: BTreeMap<u32, Seen>,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Seen {
    stage: Stage,
    crashes: u32,
}

#[derive(Debug, Clone, Default, PartialEq)]
enum Stage {
    #[default]
    Waiting,
    Placed(String),
    Creating,
    Starting,
    Healthy,
}

/// Something worth a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A cell takes it.
    Placed {
        /// Which instance.
        index: u32,
        /// Which cell.
        cell: String,
    },
    /// Its container is being made.
    Creating {
        /// Which instance.
        index: u32,
    },
    /// It runs and is not healthy yet.
    Starting {
        /// Which instance.
        index: u32,
    },
    /// It is healthy.
    Healthy {
        /// Which instance.
        index: u32,
    },
    /// It ended by itself.
    Crashed {
        /// Which instance.
        index: u32,
        /// How often in a row.
        count: u32,
        /// Why.
        reason: String,
    },
}

/// An image on its way to a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pull {
    /// To which cells.
    pub cells: Vec<String>,
    /// Bytes that have arrived at the slowest.
    pub done: u64,
    /// Bytes in all; 0 while unknown.
    pub total: u64,
}

/// Whether it is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Not yet.
    Waiting,
    /// As many run as are wanted.
    Up,
    /// All have ended and are left so.
    Ended {
        /// Why the first of them ended.
        reason: String,
    },
    /// A cell cannot be found for one.
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

/// What counts as running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// A health check that passed.
    Healthy,
    /// There is no health check: to have run for this long without ending.
    RanFor(Duration),
}

/// How far the instances are that do not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stuck {
    /// Some are still on their way to a container.
    Preparing,
    /// All have a container; some are not healthy in it.
    Unhealthy,
}

/// What one look at the platform tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// New since the last look.
    pub steps: Vec<Step>,
    /// What is being pulled now.
    pub pull: Option<Pull>,
    /// Whether it is over.
    pub verdict: Verdict,
}

impl Settled {
    /// For an LRP: with a health check that decides, without one time does.
    pub fn of(lrp: &DesiredLrp) -> Self {
        match lrp.containers.iter().any(|container| container.monitor.is_some()) {
            true => Self::Healthy,
            false => Self::RanFor(UNCHECKED),
        }
    }
}

impl Rollout {
    /// Waits for `wanted` instances; what `before` shows is no news.
    pub fn new(wanted: u32, before: &[ActualLrp]) -> Self {
        let mut rollout = Self { wanted, seen: BTreeMap::new() };
        rollout.observe(before, &[]);
        rollout
    }

    /// Takes the next look.
    pub fn observe(&mut self, actual: &[ActualLrp], progress: &[InstanceProgress]) -> Observation {
        let by_index: BTreeMap<u32, &InstanceProgress> =
            progress.iter().map(|p| (p.index, p)).collect();
        let mut steps = Vec::new();
        for lrp in actual {
            let seen = self.seen.entry(lrp.key.index).or_default();
            seen.advance(lrp, by_index.get(&lrp.key.index).copied(), &mut steps);
        }
        Observation { steps, pull: pull(progress), verdict: verdict(self.wanted, actual) }
    }

    /// How far those are that do not run.
    pub fn stuck(&self) -> Stuck {
        let has_started = |seen: &Seen| matches!(seen.stage, Stage::Starting | Stage::Healthy);
        let started = self.seen.values().filter(|seen| has_started(seen)).count();
        if started >= self.wanted as usize { Stuck::Unhealthy } else { Stuck::Preparing }
    }
}

impl Seen {
    fn advance(
        &mut self,
        lrp: &ActualLrp,
        progress: Option<&InstanceProgress>,
        steps: &mut Vec<Step>,
    ) {
        let index = lrp.key.index;
        if lrp.crash_count > self.crashes {
            let reason = lrp.crash_reason.clone();
            steps.push(Step::Crashed { index, count: lrp.crash_count, reason });
            self.stage = Stage::Waiting;
        }
        self.crashes = lrp.crash_count;
        let stage = stage(lrp, progress);
        if stage == self.stage {
            return;
        }
        let step = match &stage {
            Stage::Waiting => None,
            // A cell that says nothing of its progress: no step back.
            Stage::Placed(_) if matches!(self.stage, Stage::Creating | Stage::Starting) => None,
            Stage::Placed(cell) => Some(Step::Placed { index, cell: cell.clone() }),
            Stage::Creating => Some(Step::Creating { index }),
            Stage::Starting => Some(Step::Starting { index }),
            Stage::Healthy => Some(Step::Healthy { index }),
        };
        let skipped_placing = self.stage == Stage::Waiting
            && matches!(stage, Stage::Creating | Stage::Starting | Stage::Healthy);
        if let (true, Some(instance)) = (skipped_placing, lrp.instance()) {
            steps.push(Step::Placed { index, cell: instance.cell_id.to_string() });
        }
        let is_step_back = matches!(stage, Stage::Placed(_)) && step.is_none();
        if !is_step_back {
            self.stage = stage;
        }
        steps.extend(step);
    }
}

fn stage(lrp: &ActualLrp, progress: Option<&InstanceProgress>) -> Stage {
    match &lrp.state {
        ActualState::Running { .. } => Stage::Healthy,
        ActualState::Claimed { instance } => match progress.map(|p| &p.step) {
            Some(ProgressStep::Creating) => Stage::Creating,
            Some(ProgressStep::Starting) => Stage::Starting,
            Some(ProgressStep::Pulling { .. }) | None => {
                Stage::Placed(instance.cell_id.to_string())
            }
        },
        ActualState::Unclaimed { .. }
        | ActualState::Crashed { .. }
        | ActualState::Exited { .. } => Stage::Waiting,
    }
}

/// The pull that is least far.
fn pull(progress: &[InstanceProgress]) -> Option<Pull> {
    let mut cells = Vec::new();
    let mut slowest: Option<(u64, u64)> = None;
    for p in progress {
        if let ProgressStep::Pulling { bytes_done, bytes_total } = p.step {
            cells.push(p.cell_id.to_string());
            let left = |(done, total): (u64, u64)| total.saturating_sub(done);
            let this = (bytes_done, bytes_total);
            slowest = Some(slowest.map_or(this, |s| if left(this) > left(s) { this } else { s }));
        }
    }
    cells.sort();
    cells.dedup();
    slowest.map(|(done, total)| Pull { cells, done, total })
}

fn verdict(wanted: u32, actual: &[ActualLrp]) -> Verdict {
    let mut running = 0;
    let mut ended = Vec::new();
    for lrp in actual {
        match &lrp.state {
            ActualState::Unclaimed { placement_error: Some(error) } => {
                return Verdict::NoPlace(error.clone());
            }
            ActualState::Crashed { reason } => {
                let (index, count) = (lrp.key.index, lrp.crash_count);
                let reason = if reason.is_empty() { &lrp.crash_reason } else { reason };
                return Verdict::CrashLoop { index, count, reason: reason.clone() };
            }
            ActualState::Running { .. } => running += 1,
            ActualState::Exited { reason } => ended.push(reason),
            ActualState::Unclaimed { placement_error: None } | ActualState::Claimed { .. } => {}
        }
    }
    let wanted = wanted as usize;
    match ended.first() {
        Some(reason) if ended.len() + running == wanted && actual.len() == wanted => {
            Verdict::Ended { reason: (*reason).clone() }
        }
        _ if running == wanted && actual.len() == wanted => Verdict::Up,
        _ => Verdict::Waiting,
    }
}

#[cfg(test)]
mod tests;
