//! Has records share the names that many of them carry.

use std::collections::HashSet;
use std::hash::Hash;

use lattice_model::{ActualLrp, ActualState, CellId, Domain, ProcessGuid};

/// The names seen so far.
#[derive(Debug, Default)]
pub(super) struct Interner {
    domains: HashSet<Domain>,
    processes: HashSet<ProcessGuid>,
    cells: HashSet<CellId>,
}

impl Interner {
    pub(super) fn share(&mut self, row: &mut ActualLrp) {
        share(&mut self.domains, &mut row.key.domain);
        share(&mut self.processes, &mut row.key.process_guid);
        match &mut row.state {
            ActualState::Claimed { instance } | ActualState::Running { instance, .. } => {
                share(&mut self.cells, &mut instance.cell_id);
            }
            ActualState::Unclaimed { .. }
            | ActualState::Crashed { .. }
            | ActualState::Exited { .. } => {}
        }
    }
}

fn share<T: Clone + Eq + Hash>(known: &mut HashSet<T>, name: &mut T) {
    match known.get(name) {
        Some(same) => *name = same.clone(),
        None => drop(known.insert(name.clone())),
    }
}
