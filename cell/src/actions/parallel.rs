//! All steps at once; all are waited for, whatever becomes of the others.

use futures_util::future::join_all;
use lattice_model::action::Group;

use super::{Failure, StepContext, perform as perform_step, steps};

/// Performs it.
pub(super) async fn perform(group: &Group, cx: &StepContext) -> Result<(), Failure> {
    let cx = cx.as_source(&group.log_source);
    let steps = steps(group, &cx);
    let outcomes = join_all(steps.iter().map(|(step, cx)| perform_step(step, cx))).await;
    let failures = outcomes.into_iter().filter_map(Result::err).collect();
    Failure::aggregate(failures).map_or(Ok(()), Err)
}
