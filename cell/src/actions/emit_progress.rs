//! Says in the app's log how its step fares. Its log source is its own; it is not passed on.

use lattice_model::action::EmitProgress;

use super::{Failure, StepContext, perform_inner};

/// Performs it.
pub(super) async fn perform(emit: &EmitProgress, cx: &StepContext) -> Result<(), Failure> {
    let log = cx.log.as_source(&emit.log_source);
    let begun = format!("{} begun", cx.path);
    if !cx.place.journal.has(&begun) {
        log.out(&emit.start_message);
        cx.place.journal.note(&begun);
    }
    let outcome = perform_inner(emit.action.as_deref(), cx).await;
    match &outcome {
        Ok(()) => log.out(&emit.success_message),
        Err(Failure::Failed(reason)) if !emit.failure_message_prefix.is_empty() => {
            log.err(&format!("{}: {reason}", emit.failure_message_prefix));
        }
        Err(Failure::Failed(_) | Failure::Cancelled) => {}
    }
    outcome
}
