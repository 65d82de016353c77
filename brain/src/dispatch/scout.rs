//! Asks cells what they have, for auctions and for those who want to know what an auction would do.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use lattice_api::cell::{CellError, CellState, Rep, RepConnector};
use lattice_model::{CellId, CellPresence};
use tokio::time::timeout;
use tracing::warn;

use crate::auction::Policy;

/// Asks cells. Cheap to clone.
#[derive(Clone)]
pub struct Scout {
    pub(crate) reps: Arc<dyn RepConnector>,
    pub(crate) policy: Policy,
    pub(crate) timeout: Duration,
}

// === impl Scout ===

impl Scout {
    /// What these cells say of themselves; those that do not answer are left out.
    pub(crate) async fn states(
        &self,
        presences: impl IntoIterator<Item = CellPresence>,
    ) -> Vec<CellState> {
        let presences: Vec<CellPresence> = presences.into_iter().collect();
        let asked = presences.iter().map(|presence| self.state(presence));
        let answers = join_all(asked).await;
        let heard = |answer: Result<CellState, CellError>| {
            answer.inspect_err(|cause| warn!(%cause, "a cell is left out of the auction")).ok()
        };
        answers.into_iter().filter_map(heard).collect()
    }

    /// What one cell says of itself.
    pub(super) async fn state(&self, presence: &CellPresence) -> Result<CellState, CellError> {
        let cell = &presence.cell_id;
        let rep = self.reps.connect(presence).ok_or_else(|| no_way_to(cell))?;
        let state = self.within(cell, rep.state()).await?;
        if state.presence.cell_id == *cell {
            return Ok(state);
        }
        let cause = format!("it says that it is {}", state.presence.cell_id);
        Err(CellError::Unhealthy { cell: cell.to_string(), cause })
    }

    /// Asks each of these cells for the same, all at once.
    pub(crate) async fn of_each<T, F>(
        &self,
        presences: Vec<CellPresence>,
        call: impl Fn(Arc<dyn Rep>) -> F,
    ) -> Vec<(CellId, Result<T, CellError>)>
    where
        F: Future<Output = Result<T, CellError>>,
    {
        let asked = presences.into_iter().map(|presence| {
            let answer = self.reps.connect(&presence).map(&call);
            let cell = presence.cell_id;
            async move {
                let told = match answer {
                    Some(answer) => self.within(&cell, answer).await,
                    None => Err(no_way_to(&cell)),
                };
                (cell, told)
            }
        });
        join_all(asked).await
    }

    /// Waits for a cell, but not for ever.
    pub(super) async fn within<T>(
        &self,
        cell: &CellId,
        call: impl Future<Output = Result<T, CellError>>,
    ) -> Result<T, CellError> {
        match timeout(self.timeout, call).await {
            Ok(answer) => answer,
            Err(_) => {
                let cause = format!("no answer within {} s", self.timeout.as_secs());
                Err(CellError::Unreachable { cell: cell.to_string(), cause })
            }
        }
    }
}

impl fmt::Debug for Scout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scout").field("policy", &self.policy).finish_non_exhaustive()
    }
}

pub(super) fn no_way_to(cell: &CellId) -> CellError {
    let cause = "no way to it is known".to_owned();
    CellError::Unreachable { cell: cell.to_string(), cause }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use lattice_api::cell::{Refused, Rep, Work};
    use lattice_model::{InstanceKey, LrpKey, TaskGuid};

    use super::*;
    use crate::testing::{cell_state, presence, scout};

    /// Whoever is asked, it is the cell `b`.
    struct Impostor;

    impl RepConnector for Impostor {
        fn connect(&self, _: &CellPresence) -> Option<Arc<dyn Rep>> {
            Some(Arc::new(Self))
        }
    }

    #[async_trait]
    impl Rep for Impostor {
        async fn state(&self) -> Result<CellState, CellError> {
            Ok(cell_state("b", "z", &[]))
        }

        async fn perform(&self, _: Work) -> Result<Vec<Refused>, CellError> {
            Ok(Vec::new())
        }

        async fn stop_lrp(&self, _: &LrpKey, _: &InstanceKey) -> Result<(), CellError> {
            Ok(())
        }

        async fn cancel_task(&self, _: &TaskGuid) -> Result<(), CellError> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_cell_that_says_it_is_another_is_left_out() {
        let scout = Scout { reps: Arc::new(Impostor), ..scout() };
        let error = scout.state(&presence("a", "z")).await.unwrap_err();
        assert_eq!(error.to_string(), "cell a is unhealthy: it says that it is b");
        let states = scout.states([presence("a", "z"), presence("b", "z")]).await;
        assert_eq!(states, [cell_state("b", "z", &[])]);
    }
}
