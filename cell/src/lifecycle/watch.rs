//! Watches an instance's health: checks when the schedule says so, and tells the app's log.

use std::time::Duration;

use lattice_model::checks::Check;
use lattice_model::{Action, CheckDefinition, Time};
use tokio::time::Instant;

use super::checks::all_pass;
use super::{Lifecycle, Made, Reports};
use crate::actions::{Failure, Role, StepContext, perform};
use crate::health::explain::explain;
use crate::health::streak::Readiness;
use crate::health::{HEALTHY_INTERVAL, Schedule, Verdict};
use crate::journal::{HEALTHY, UNREADY};
use crate::logs::{LogWriter, SOURCE_HEALTH};
use crate::probe::Probe;

/// The longest a check may take that sets itself no timeout.
const CHECK_TAKES_MAX: Duration = Duration::from_secs(30);

/// What an instance is watched by.
#[derive(Clone, Copy)]
pub(super) enum Watched<'a> {
    /// A command, or the built-in check in its place.
    Monitor(&'a Action),
    /// Declarative checks.
    Checks(&'a CheckDefinition),
}

impl<R: Reports> Lifecycle<R> {
    /// Watches until the instance is to end, and says why; `None` when the watch was cancelled.
    pub(super) async fn watch(
        &self,
        watched: Watched<'_>,
        start_timeout_s: u64,
        made: &Made,
        cx: &StepContext,
    ) -> Option<String> {
        let log = cx.log.as_source(watched.log_source());
        let began = Instant::now();
        let was_healthy = made.main().journal.has(HEALTHY);
        if let (true, Watched::Checks(definition)) = (was_healthy, watched) {
            let is_ready = !made.main().journal.has(UNREADY);
            let readiness = Readiness::new(definition.readiness_checks.len(), is_ready);
            return self.keep_checking(definition, readiness, made, (cx, &log)).await;
        }
        let mut schedule = if was_healthy {
            // An earlier process saw it so a moment ago. If it has ended since, its exit status is
            // a better reason than that it does not answer.
            tokio::select! {
                () = tokio::time::sleep(HEALTHY_INTERVAL) => {}
                () = cx.cancel.cancelled() => return None,
            }
            Schedule::healthy(Time::default())
        } else {
            log.out("Starting health monitoring of container");
            Schedule::new(start_timeout_s, Time::default())
        };
        // The wall clock may jump; a schedule must not.
        let elapsed = || Time::default() + began.elapsed();
        loop {
            let limit = schedule.check_may_take(CHECK_TAKES_MAX, elapsed());
            let check = watched.check(limit, cx).await?;
            let pause = match schedule.on(check, elapsed()) {
                Verdict::Wait(pause) => pause,
                Verdict::Slow { pause, why, waited } => {
                    log.err(&format!("Not healthy after {waited}; it goes on being checked"));
                    self.tell_why(watched, &why, made, &log).await;
                    pause
                }
                Verdict::BecameHealthy(pause) => {
                    log.out("Container became healthy");
                    self.became_healthy(made, watched.awaits_readiness()).await;
                    if let Watched::Checks(definition) = watched {
                        let readiness = Readiness::new(definition.readiness_checks.len(), false);
                        return self.keep_checking(definition, readiness, made, (cx, &log)).await;
                    }
                    pause
                }
                Verdict::NeverHealthy { why, waited, attempts } => {
                    log.err(&format!("Failed after {waited}: startup health check never passed."));
                    let reason = watched.never_passed(&why, &waited, attempts);
                    self.tell_why(watched, &reason, made, &log).await;
                    return Some(reason);
                }
                Verdict::BecameUnhealthy { reason } => {
                    log.err("Container became unhealthy");
                    self.tell_why(watched, &reason, made, &log).await;
                    return Some(reason);
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = cx.cancel.cancelled() => return None,
            }
        }
    }

    /// Says in the app's log what was tried, and what the app does listen on.
    async fn tell_why(&self, watched: Watched<'_>, reason: &str, made: &Made, log: &LogWriter) {
        log.err(reason);
        let network = &self.tools.seams.network;
        let listening = network.listening(&made.main().id);
        match self.tools.step("see what the app listens on", listening).await {
            Ok(listening) => log.err(&explain(watched.port(), &listening)),
            Err(why) => tracing::debug!(container = %made.main().id, %why, "listeners unknown"),
        }
    }
}

// === impl Watched ===

impl<'a> Watched<'a> {
    /// By what a container says: declarative checks make a monitor needless.
    pub(super) fn of(checks: &'a CheckDefinition, monitor: Option<&'a Action>) -> Option<Self> {
        match (checks.is_empty(), monitor) {
            (false, _) => Some(Self::Checks(checks)),
            (true, monitor) => monitor.map(Self::Monitor),
        }
    }

    /// True when it says whether the instance lives, so that a process that ends well may have left
    /// another behind.
    pub(super) fn tells_of_life(self) -> bool {
        match self {
            Self::Monitor(_) => true,
            Self::Checks(definition) => !definition.startup().is_empty(),
        }
    }

    /// The crash reason of an instance whose checks all failed until it was given up (section 3.4).
    fn never_passed(self, why: &str, waited: &str, attempts: u32) -> String {
        let timed_out = match self {
            Self::Monitor(_) => String::new(),
            Self::Checks(_) => format!(
                "Timed out after {waited} ({attempts} attempts) waiting for startup check to \
                 succeed: "
            ),
        };
        format!("Instance never healthy after {waited}: {timed_out}{why}")
    }

    fn awaits_readiness(self) -> bool {
        match self {
            Self::Monitor(_) => false,
            Self::Checks(definition) => !definition.readiness_checks.is_empty(),
        }
    }

    fn log_source(self) -> &'a str {
        match self {
            Self::Checks(definition) if !definition.log_source.is_empty() => &definition.log_source,
            Self::Monitor(_) | Self::Checks(_) => SOURCE_HEALTH,
        }
    }

    fn port(self) -> Option<u16> {
        match self {
            Self::Monitor(monitor) => checked_port(monitor),
            Self::Checks(definition) => definition.startup().first().map(Check::port),
        }
    }

    /// One check; `None` when the watch was cancelled meanwhile.
    async fn check(self, limit: Duration, cx: &StepContext) -> Option<Result<(), String>> {
        let definition = match self {
            Self::Monitor(monitor) => return check(monitor, limit, cx).await,
            Self::Checks(definition) => definition,
        };
        tokio::select! {
            outcome = all_pass(definition.startup(), cx.place.address) => Some(outcome),
            () = tokio::time::sleep(limit) => Some(Err(late(limit))),
            () = cx.cancel.cancelled() => None,
        }
    }
}

fn late(limit: Duration) -> String {
    format!("timed out after {:.2} seconds", limit.as_secs_f64())
}

/// One check; `None` when the watch was cancelled meanwhile.
async fn check(monitor: &Action, limit: Duration, cx: &StepContext) -> Option<Result<(), String>> {
    let check_cx = StepContext {
        log: LogWriter::silent(),
        cancel: cx.cancel.child(),
        role: Role::Check,
        ..cx.clone()
    };
    let checking = perform(monitor, &check_cx);
    tokio::pin!(checking);
    let outcome = tokio::select! {
        outcome = &mut checking => outcome,
        () = tokio::time::sleep(limit) => {
            check_cx.cancel.cancel();
            // A command is killed and waited for; the check has failed whatever it says now.
            let _ = checking.await;
            Err(Failure::Failed(late(limit)))
        }
    };
    match outcome {
        _ if cx.cancel.is_cancelled() => None,
        Ok(()) => Some(Ok(())),
        Err(failure) => Some(Err(failure.to_string())),
    }
}

/// The port the built-in check looks at, if it is in the tree.
fn checked_port(monitor: &Action) -> Option<u16> {
    let inner = |action: &Option<Box<Action>>| action.as_deref().and_then(checked_port);
    match monitor {
        Action::Run(run) => Probe::of_run(run).map(|probe| probe.port),
        Action::Timeout(timeout) => inner(&timeout.action),
        Action::Try(wrapped) => inner(&wrapped.action),
        Action::EmitProgress(emit) => inner(&emit.action),
        Action::Parallel(group) | Action::Serial(group) | Action::Codependent(group) => {
            group.actions.iter().flatten().find_map(checked_port)
        }
        Action::Download(_) | Action::Upload(_) => None,
    }
}
