//! All steps at once; the first to end, be it well, ends all.

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use lattice_model::action::Group;

use super::{Failure, StepContext, perform as perform_step, steps};

/// What a step's good end counts as.
const EXITED: &str = "Codependent step exited";

/// Performs it.
pub(super) async fn perform(group: &Group, cx: &StepContext) -> Result<(), Failure> {
    let cx = cx.as_source(&group.log_source).apart();
    let steps = steps(group, &cx);
    let mut running: FuturesUnordered<_> =
        steps.iter().map(|(step, cx)| perform_step(step, cx)).collect();
    let mut failures = Vec::new();
    while let Some(outcome) = running.next().await {
        let is_first = failures.is_empty();
        match outcome {
            Ok(()) if is_first => failures.push(Failure::Failed(EXITED.to_owned())),
            Ok(()) => {}
            Err(failure) => failures.push(failure),
        }
        cx.cancel.cancel();
    }
    Failure::aggregate(failures).map_or(Ok(()), Err)
}
