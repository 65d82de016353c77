//! Steps one after the other; the first failure ends the row. Its log source is not passed on.

use lattice_model::action::Group;

use super::{Failure, StepContext, perform as perform_step, steps};

/// Performs it.
pub(super) async fn perform(group: &Group, cx: &StepContext) -> Result<(), Failure> {
    for (step, cx) in steps(group, cx) {
        perform_step(step, &cx).await?;
    }
    Ok(())
}
