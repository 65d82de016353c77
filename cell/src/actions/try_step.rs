//! Performs its step and never fails, unless it is cancelled.

use lattice_model::action::Wrapped;

use super::{Failure, StepContext, perform_inner};

/// Performs it.
pub(super) async fn perform(wrapped: &Wrapped, cx: &StepContext) -> Result<(), Failure> {
    let inner_cx = cx.as_source(&wrapped.log_source);
    match perform_inner(wrapped.action.as_deref(), &inner_cx).await {
        Err(Failure::Cancelled) => Err(Failure::Cancelled),
        Ok(()) | Err(Failure::Failed(_)) => Ok(()),
    }
}
