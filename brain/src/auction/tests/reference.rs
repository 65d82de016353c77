//! The auction as a plain walk over all cells for each item: what the indexed one must equal.

use super::*;
use crate::auction::explain::{choose, refusal, survey};

pub(super) fn hold_plainly(cells: &[CellState], batch: &Batch, policy: &Policy) -> Outcome {
    let queue = Queue::new(batch, policy);
    let mut fleet = Fleet::new(cells, &queue.apps);
    let mut outcome = Outcome::new(fleet.names(), 0);
    for turn in &queue.turns {
        let (item, want) = (queue.item(*turn), queue.want(*turn));
        if policy.is_reached_by(fleet.starting) {
            outcome.deferred.push(item);
            continue;
        }
        let opinions = survey(&fleet, &queue, want, policy.dice(&item), policy);
        match choose(&opinions).map(|opinion| opinion.cell) {
            Some(cell) => {
                fleet.reserve(cell, want);
                outcome.placed.push(item, u32::try_from(cell).unwrap());
            }
            None => {
                let (error, is_impossible) = refusal(&fleet, &queue, want, &opinions);
                outcome.failed.push(Failure { item, error, is_impossible });
            }
        }
    }
    outcome
}
