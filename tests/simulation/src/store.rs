//! What the brain's store has committed: all that is left when the brain is killed.

use std::collections::BTreeMap;
use std::sync::Arc;

use lattice_brain::board::{Records, RowId, Write};
use lattice_model::cell::Draining;
use lattice_model::{ActualLrp, CellId, DesiredLrp, Domain, ProcessGuid, Task, TaskGuid, Time};

/// Committed records.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) desired: BTreeMap<ProcessGuid, Arc<DesiredLrp>>,
    pub(crate) rows: BTreeMap<RowId, Arc<ActualLrp>>,
    pub(crate) tasks: BTreeMap<TaskGuid, Arc<Task>>,
    pub(crate) domains: BTreeMap<Domain, Option<Time>>,
    pub(crate) draining: BTreeMap<CellId, Draining>,
}

impl Kept {
    pub(crate) fn commit(&mut self, writes: &[Write]) {
        for write in writes {
            match write {
                Write::PutDesired(lrp) => {
                    self.desired.insert(lrp.process_guid.clone(), Arc::clone(lrp));
                }
                Write::DeleteDesired(guid) => drop(self.desired.remove(guid)),
                Write::PutActual(row) => {
                    self.rows.insert(RowId::of(row), Arc::clone(row));
                }
                Write::DeleteActual(id) => drop(self.rows.remove(id)),
                Write::PutTask(task) => {
                    self.tasks.insert(task.definition.task_guid.clone(), Arc::clone(task));
                }
                Write::DeleteTask(guid) => drop(self.tasks.remove(guid)),
                Write::PutDomain(domain, until) => {
                    self.domains.insert(domain.clone(), *until);
                }
                Write::DeleteDomain(domain) => drop(self.domains.remove(domain)),
                Write::PutDraining(draining) => {
                    self.draining.insert(draining.cell_id.clone(), draining.clone());
                }
                Write::DeleteDraining(cell) => drop(self.draining.remove(cell)),
                Write::PutCredentials(_)
                | Write::DeleteCredentials(_)
                | Write::PutCustomDomain(_)
                | Write::DeleteCustomDomain(_)
                | Write::PutEnrolment(_)
                | Write::DeleteEnrolment(_)
                | Write::PutAcmeAccount(_) => {}
            }
        }
    }

    /// As a starting brain reads them.
    pub(crate) fn records(&self) -> Records {
        Records {
            desired: self.desired.values().map(|lrp| lrp.as_ref().clone()).collect(),
            actual: self.rows.values().map(|row| row.as_ref().clone()).collect(),
            tasks: self.tasks.values().map(|task| task.as_ref().clone()).collect(),
            domains: self.domains.iter().map(|(domain, until)| (domain.clone(), *until)).collect(),
            draining: self.draining.values().cloned().collect(),
            ..Records::default()
        }
    }
}
