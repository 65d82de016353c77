//! What runs in a container once it exists: setup, then the action beside its monitor (LRP), or
//! the action and its result file (task).

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use lattice_model::desired_lrp::RestartPolicy;
use lattice_model::task::RESULT_BYTES_MAX;
use lattice_model::{Action, DesiredLrp};

use super::watch::Watched;
use super::{Lifecycle, Made, Reports};
use crate::actions::{Failure, StepContext, original_client, perform};
use crate::instance::Outcome;
use crate::logs::SOURCE_CELL;
use crate::pod::Program;
use crate::work::Work;

/// What a good end counts as that ends the others.
const EXITED: &str = "Codependent step exited";
const RESULT_FAILED: &str = "failed to fetch result";

impl<R: Reports> Lifecycle<R> {
    /// Runs the work to its end, whoever causes that: all setups, one after the other, and then
    /// all programs at once. The first of those to end, be it well, ends all.
    pub(super) async fn execute(&self, made: &Made, cx: &StepContext) -> Outcome {
        let pod = self.work().pod();
        for program in &pod.programs {
            let setup = program.setup.cloned().and_then(original_client::without);
            if let Some(setup) = setup
                && let Err(failure) = perform(&setup, &made.context(program, "setup", cx)).await
            {
                return failed(program.role.blamed_for(failure));
            }
        }
        let Some((main, beside)) = pod.programs.split_first() else {
            return failed("there is no container to run");
        };
        let cx = apart(cx);
        let main = self.execute_main(made, made.context(main, "action", &cx));
        if beside.is_empty() {
            return main.await;
        }
        let mut beside: FuturesUnordered<_> = beside
            .iter()
            .map(|program| run_beside(program, made.context(program, "action", &cx)))
            .collect();
        tokio::pin!(main);
        let outcome = tokio::select! {
            outcome = &mut main => outcome,
            Some(reason) = beside.next() => {
                cx.cancel.cancel();
                main.await;
                failed(reason)
            }
        };
        cx.cancel.cancel();
        while beside.next().await.is_some() {}
        outcome
    }

    async fn execute_main(&self, made: &Made, cx: StepContext) -> Outcome {
        let (Some(spec), cx) = (self.work().containers().first().cloned(), &cx) else {
            return failed("there is no container to run");
        };
        let Some(action) = original_client::without(spec.action.clone()) else {
            return failed("there is nothing to run but the platform's own helpers");
        };
        match self.work() {
            Work::Lrp { lrp, .. } => {
                let monitor = spec.monitor.clone().and_then(original_client::without);
                match Watched::of(&spec.checks, monitor.as_ref()) {
                    None => self.run_unmonitored(&action, made, cx).await,
                    Some(watched) => self.run_monitored(&action, (watched, lrp), made, cx).await,
                }
            }
            Work::Task(_) => self.run_task(&action, made, cx).await,
        }
    }

    async fn run_unmonitored(&self, action: &Action, made: &Made, cx: &StepContext) -> Outcome {
        self.became_healthy(made, false).await;
        ended(perform(action, cx).await)
    }

    /// The first of the two to fail ends the other. An action that ends well while there is a
    /// monitor has made itself a daemon: the monitor decides from then on. Unless it need not be
    /// restarted: then it has done what it was to do.
    async fn run_monitored(
        &self,
        action: &Action,
        (watched, lrp): (Watched<'_>, &DesiredLrp),
        made: &Made,
        cx: &StepContext,
    ) -> Outcome {
        let (action_cx, check_cx) = (apart(cx), apart(cx));
        let running = perform(action, &action_cx);
        let watching = self.watch(watched, lrp.start_timeout_s, made, &check_cx);
        tokio::pin!(running, watching);
        let may_be_daemon = match lrp.restart_policy {
            RestartPolicy::Always => watched.tells_of_life(),
            RestartPolicy::OnFailure { .. } | RestartPolicy::Never => false,
        };
        let mut is_daemon = false;
        loop {
            tokio::select! {
                outcome = &mut running, if !is_daemon => match outcome {
                    Ok(()) if may_be_daemon => is_daemon = true,
                    outcome => {
                        check_cx.cancel.cancel();
                        watching.await;
                        return ended(outcome);
                    }
                },
                reason = &mut watching => {
                    action_cx.cancel.cancel();
                    if !is_daemon {
                        let _ = running.await;
                    }
                    return failed(reason.unwrap_or_else(|| "cancelled".to_owned()));
                }
            }
        }
    }

    async fn run_task(&self, action: &Action, made: &Made, cx: &StepContext) -> Outcome {
        self.became_healthy(made, false).await;
        match perform(action, cx).await {
            Err(failure) => failed(failure),
            Ok(()) => match self.read_result(cx).await {
                Ok(result) => Outcome::Succeeded { result },
                Err(why) => {
                    cx.log.as_source(SOURCE_CELL).err(&format!("{RESULT_FAILED}: {why}"));
                    failed(RESULT_FAILED)
                }
            },
        }
    }

    async fn read_result(&self, cx: &StepContext) -> Result<String, String> {
        let path = match self.work() {
            Work::Task(task) if !task.definition.result_file.is_empty() => {
                &task.definition.result_file
            }
            Work::Task(_) | Work::Lrp { .. } => return Ok(String::new()),
        };
        let bytes_max = RESULT_BYTES_MAX as u64;
        let content = cx.place.files.read_file(&cx.place.rootfs, path, bytes_max).await;
        let content = content.map_err(|error| error.to_string())?;
        Ok(String::from_utf8_lossy(&content).into_owned())
    }
}

/// Runs what stands beside the main program until it ends, and says why the instance has to.
async fn run_beside(program: &Program<'_>, cx: StepContext) -> String {
    let ended = match original_client::without(program.action.clone()) {
        Some(action) => perform(&action, &cx).await,
        None => {
            cx.cancel.cancelled().await;
            Err(Failure::Cancelled)
        }
    };
    program.role.blamed_for(match ended {
        Ok(()) => EXITED.to_owned(),
        Err(failure) => failure.to_string(),
    })
}

fn apart(cx: &StepContext) -> StepContext {
    StepContext { cancel: cx.cancel.child(), ..cx.clone() }
}

fn ended(outcome: Result<(), Failure>) -> Outcome {
    match outcome {
        Ok(()) => Outcome::Succeeded { result: String::new() },
        Err(failure) => failed(failure),
    }
}

fn failed(reason: impl ToString) -> Outcome {
    Outcome::Failed { reason: reason.to_string(), is_retryable: false }
}
