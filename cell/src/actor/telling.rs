//! Tells the brain something about a piece of work, and reads its answer.

use std::time::Duration;

use lattice_api::brain::{Bbs, BrainError};
use lattice_model::{CellId, ErrorName, InstanceKey, LrpKey, TaskGuid};

use crate::instance::{Answer, Telling};
use crate::tools::Tools;
use crate::work::Work;

/// A brain that has not answered by then has not answered.
const PATIENCE: Duration = Duration::from_secs(10);

/// Tells it.
pub(super) async fn tell(tools: &Tools, work: &Work, telling: &Telling) -> Answer {
    let (bbs, cell_id) = (tools.seams.bbs.as_ref(), &tools.config.cell_id);
    let call = async {
        match work {
            Work::Lrp { key, instance, .. } => tell_of_lrp(bbs, (key, instance), telling).await,
            Work::Task(task) => {
                let guid = &task.definition.task_guid;
                tell_of_task(bbs, (guid, cell_id), telling).await
            }
        }
    };
    match tokio::time::timeout(PATIENCE, call).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => {
            tracing::info!(work = %work.id(), %error, "the brain did not agree");
            answer_of(&error)
        }
        Err(_) => Answer::Silence,
    }
}

async fn tell_of_lrp(
    bbs: &dyn Bbs,
    (key, instance): (&LrpKey, &InstanceKey),
    telling: &Telling,
) -> Result<Answer, BrainError> {
    match telling {
        Telling::Claim => bbs.claim_lrp(key, instance).await?,
        Telling::Start(net) => bbs.start_lrp(key, instance, net.clone()).await?,
        Telling::Crash(end) => bbs.crash_lrp(key, instance, end.clone()).await?,
        Telling::Remove => bbs.remove_instance(key, instance).await?,
        Telling::StartTask | Telling::CompleteTask(_) | Telling::RejectTask { .. } => {
            return Ok(Answer::Refused);
        }
    }
    Ok(Answer::Done)
}

async fn tell_of_task(
    bbs: &dyn Bbs,
    (task, cell_id): (&TaskGuid, &CellId),
    telling: &Telling,
) -> Result<Answer, BrainError> {
    match telling {
        Telling::StartTask => {
            let may_run = bbs.start_task(task, cell_id).await?;
            return Ok(if may_run { Answer::Done } else { Answer::Declined });
        }
        Telling::CompleteTask(outcome) => {
            bbs.complete_task(task, cell_id, outcome.clone()).await?;
        }
        Telling::RejectTask { reason } => bbs.reject_task(task, cell_id, reason.clone()).await?,
        Telling::Claim | Telling::Start(_) | Telling::Crash(_) | Telling::Remove => {
            return Ok(Answer::Refused);
        }
    }
    Ok(Answer::Done)
}

/// A refusal is an answer; anything else that went wrong is silence, and no order.
fn answer_of(error: &BrainError) -> Answer {
    match error {
        BrainError::Refused(refusal) => match refusal.name {
            ErrorName::UnknownError | ErrorName::TooManyRequests => Answer::Silence,
            _ => Answer::Refused,
        },
        BrainError::Unauthorized
        | BrainError::Unreachable { .. }
        | BrainError::BadAnswer { .. } => Answer::Silence,
    }
}

#[cfg(test)]
mod tests {
    use lattice_model::Refusal;

    use super::*;

    #[test]
    fn only_a_refusal_is_an_order() {
        let refused = |name| BrainError::Refused(Refusal::new(name, "why"));
        for (error, expected) in [
            (refused(ErrorName::ResourceConflict), Answer::Refused),
            (refused(ErrorName::ActualLRPIndexNotFound), Answer::Refused),
            (refused(ErrorName::UnknownError), Answer::Silence),
            (refused(ErrorName::TooManyRequests), Answer::Silence),
            (BrainError::Unauthorized, Answer::Silence),
            (BrainError::Unreachable { url: "u".into(), cause: "c".into() }, Answer::Silence),
            (BrainError::BadAnswer { url: "u".into(), what: "w".into() }, Answer::Silence),
        ] {
            assert_eq!(answer_of(&error), expected, "{error}");
        }
    }
}
