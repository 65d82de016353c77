//! One worker per instance performs its life: image, root filesystem, network, container, setup,
//! action beside monitor, end. It reports to the owner and decides nothing about the instance.

pub(crate) mod adoption;
mod checks;
mod execute;
mod prepare;
pub(crate) mod removal;
mod watch;

use std::sync::Arc;

use lattice_api::brain::{InstanceProgress, ProgressStep};
use lattice_model::NetInfo;

use crate::actions::{Place, Role, StepContext};
use crate::cancel::Cancel;
use crate::instance::Outcome;
use crate::journal::{HEALTHY, UNREADY};
use crate::metrics;
use crate::pod::Program;
use crate::tools::Tools;
use crate::work::{Order, Work};

/// What a worker tells the owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Report {
    /// The container exists.
    ContainerCreated,
    /// The instance is healthy.
    Healthy(NetInfo),
    /// The instance, which is healthy, may get requests, or may not.
    Ready(bool),
    /// Nothing of it runs any more. Comes exactly once, last.
    Ended(Outcome),
}

/// Takes a worker's reports.
pub(crate) trait Reports: Send + Sync {
    /// Takes one.
    fn report(&self, report: Report) -> impl Future<Output = ()> + Send;
}

/// One instance's worker.
pub(crate) struct Lifecycle<R> {
    pub(crate) order: Order,
    pub(crate) tools: Arc<Tools>,
    pub(crate) cancel: Cancel,
    pub(crate) reports: R,
}

/// The containers of an instance that were made, the main one first, and how it is reached.
pub(crate) struct Made {
    places: Vec<Arc<Place>>,
    net: NetInfo,
}

// === impl Made ===

impl Made {
    /// For a step of one of its programs.
    fn context(&self, program: &Program<'_>, step: &str, cx: &StepContext) -> StepContext {
        let place = Arc::clone(&self.places[program.container]);
        let log = cx.log.as_source(&program.role.log_source(cx.log.source()));
        StepContext { place, log, path: program.role.step(step), ..cx.clone() }
    }

    /// The main container.
    fn main(&self) -> &Arc<Place> {
        self.places.first().expect("an instance has a container")
    }
}

// === impl Lifecycle ===

impl<R: Reports> Lifecycle<R> {
    /// Performs it from pull to end; what it leaves behind is removed by [`removal`].
    pub(crate) async fn run(self) {
        let outcome = match self.prepare(&self.tools.log_of(self.work())).await {
            Ok(made) => {
                self.reports.report(Report::ContainerCreated).await;
                self.progress(ProgressStep::Starting).await;
                self.live(&made).await
            }
            Err(reason) => Outcome::Failed { reason, is_retryable: true },
        };
        self.reports.report(Report::Ended(outcome)).await;
    }

    /// Goes on with what an earlier process began: the steps are gone through again, those that are
    /// done are passed over, and processes that run, or ended meanwhile, are found again.
    pub(crate) async fn resume(self, made: Made) {
        let outcome = self.live(&made).await;
        self.reports.report(Report::Ended(outcome)).await;
    }

    async fn live(&self, made: &Made) -> Outcome {
        let cx = StepContext {
            place: Arc::clone(made.main()),
            log: self.tools.log_of(self.work()),
            cancel: self.cancel.clone(),
            role: Role::Work,
            path: String::new(),
        };
        tokio::select! {
            outcome = self.execute(made, &cx) => outcome,
            never = metrics::sample(&self.tools, self.work()) => match never {},
        }
    }

    async fn became_healthy(&self, made: &Made, unready: bool) {
        let journal = &made.main().journal;
        if unready {
            journal.note(UNREADY);
        }
        journal.note(HEALTHY);
        self.reports.report(Report::Healthy(NetInfo { unready, ..made.net.clone() })).await;
    }

    fn work(&self) -> &Work {
        &self.order.work
    }

    async fn progress(&self, step: ProgressStep) {
        if let Work::Lrp { key, .. } = self.work() {
            let cell_id = self.tools.config.cell_id.clone();
            let progress = InstanceProgress { index: key.index, cell_id, step };
            self.tools.seams.bbs.report_progress(key, progress).await;
        }
    }
}
