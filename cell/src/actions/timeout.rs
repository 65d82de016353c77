//! Cancels its step after a while: `exceeded 1s timeout`.

use std::time::Duration;

use lattice_model::action::Timeout;

use super::{Failure, StepContext, perform_inner};
use crate::go_duration::go_duration;

/// Performs it.
pub(super) async fn perform(timeout: &Timeout, cx: &StepContext) -> Result<(), Failure> {
    let inner_cx = cx.as_source(&timeout.log_source).apart();
    let limit = Duration::from_nanos(timeout.timeout_ns.max(0).unsigned_abs());
    let inner = perform_inner(timeout.action.as_deref(), &inner_cx);
    tokio::pin!(inner);
    tokio::select! {
        outcome = &mut inner => return outcome,
        () = tokio::time::sleep(limit) => inner_cx.cancel.cancel(),
    }
    let exceeded = format!("exceeded {} timeout", go_duration(limit));
    match inner.await {
        _ if cx.cancel.is_cancelled() => Err(Failure::Cancelled),
        Ok(()) | Err(Failure::Cancelled) => Err(Failure::Failed(exceeded)),
        Err(Failure::Failed(inner)) => Err(Failure::Failed(format!("{exceeded}; {inner}"))),
    }
}
