//! Watches an instance by its declarative checks: until it is up, whether it stays alive, and
//! whether it is ready for requests.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{join_all, select_all};
use lattice_model::CheckDefinition;
use lattice_model::checks::Check;

use super::{Lifecycle, Made, Report, Reports};
use crate::actions::StepContext;
use crate::health::streak::{Readiness, Streak};
use crate::health::{HEALTHY_INTERVAL, STARTUP_INTERVAL};
use crate::journal::UNREADY;
use crate::logs::LogWriter;
use crate::probe::Probe;

/// Tries all of these at once; an error names every one that failed.
pub(super) async fn all_pass(checks: &[Check], address: IpAddr) -> Result<(), String> {
    let tries =
        checks.iter().map(|check| async move { Probe::of_check(check).check(address).await });
    let failures: Vec<String> = join_all(tries).await.into_iter().filter_map(Result::err).collect();
    if failures.is_empty() { Ok(()) } else { Err(failures.join("; ")) }
}

impl<R: Reports> Lifecycle<R> {
    /// Watches a healthy instance until it has to end, and says why; `None` when the watch was
    /// cancelled. `readiness` is what others have been told.
    pub(super) async fn keep_checking(
        &self,
        definition: &CheckDefinition,
        readiness: Readiness,
        made: &Made,
        (cx, log): (&StepContext, &LogWriter),
    ) -> Option<String> {
        let address = made.main().address;
        let following = self.follow_readiness(definition, readiness, made, log);
        let why = tokio::select! {
            why = dies(&definition.checks, address) => why,
            never = following => match never {},
            () = cx.cancel.cancelled() => return None,
        };
        let reason = format!("Instance became unhealthy: Liveness check unsuccessful: {why}");
        log.err("Container became unhealthy");
        log.err(&reason);
        Some(reason)
    }

    /// Tells of every change; takes nothing away but the routes.
    async fn follow_readiness(
        &self,
        definition: &CheckDefinition,
        readiness: Readiness,
        made: &Made,
        log: &LogWriter,
    ) -> Infallible {
        let (address, journal) = (made.main().address, &made.main().journal);
        let checks = &definition.readiness_checks;
        if checks.is_empty() {
            return std::future::pending().await;
        }
        let readiness = Mutex::new(readiness);
        let look = || readiness.lock().unwrap_or_else(PoisonError::into_inner);
        let watches = checks.iter().enumerate().map(|(at, check)| async move {
            let (probe, mut streak) =
                (Probe::of_check(check), Streak::new(check.failure_threshold()));
            loop {
                let outcome = probe.check(address).await;
                let change = streak.on(outcome.is_ok()).and_then(|passes| look().on(at, passes));
                if let Some(is_ready) = change {
                    say_readiness(is_ready, outcome.err(), log);
                    if is_ready {
                        journal.take_back(UNREADY)
                    } else {
                        journal.note(UNREADY)
                    }
                    self.reports.report(Report::Ready(is_ready)).await;
                }
                let is_ready = look().is_ready();
                let usual = if is_ready { HEALTHY_INTERVAL } else { STARTUP_INTERVAL };
                tokio::time::sleep(interval(check, usual)).await;
            }
        });
        let watches: Vec<_> = watches.map(Box::pin).collect();
        let (never, ..): (Infallible, _, _) = select_all(watches).await;
        never
    }
}

/// Waits until one of the checks has failed often enough; for ever where there is none.
async fn dies(checks: &[Check], address: IpAddr) -> String {
    let watches = checks.iter().map(|check| async move {
        let (probe, mut streak) = (Probe::of_check(check), Streak::new(check.failure_threshold()));
        loop {
            tokio::time::sleep(interval(check, HEALTHY_INTERVAL)).await;
            let outcome = probe.check(address).await;
            if streak.on(outcome.is_ok()) == Some(false) {
                return outcome.err().unwrap_or_default();
            }
        }
    });
    let watches: Vec<_> = watches.map(Box::pin).collect();
    if watches.is_empty() {
        return std::future::pending().await;
    }
    select_all(watches).await.0
}

fn interval(check: &Check, usual: Duration) -> Duration {
    match check.interval_ms() {
        0 => usual,
        ms => Duration::from_millis(ms),
    }
}

fn say_readiness(is_ready: bool, why: Option<String>, log: &LogWriter) {
    if is_ready {
        log.out(
            "Container passed the readiness health check. Container marked ready and added to \
             route pool.",
        );
        return;
    }
    if let Some(why) = why {
        log.err(&why);
    }
    log.err(
        "Container failed the readiness health check. Container marked not ready and removed from \
         route pool.",
    );
}
