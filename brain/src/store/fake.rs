//! A store in memory, which fails when it is told to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use lattice_model::Presence;

use super::{Store, StoreError};
use crate::board::{Records, RowId, Write};

/// Keeps records in memory; clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct InMemory(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    desired: BTreeMap<String, Write>,
    actual: BTreeMap<(String, u32, Presence), Write>,
    tasks: BTreeMap<String, Write>,
    domains: BTreeMap<String, Write>,
    draining: BTreeMap<String, Write>,
    credentials: BTreeMap<String, Write>,
    custom_domains: BTreeMap<String, Write>,
    enrolments: BTreeMap<String, Write>,
    acme_accounts: BTreeMap<String, Write>,
    failures: u32,
    commits: u64,
}

impl InMemory {
    /// The next commits fail.
    pub(crate) fn fail_next(&self, failures: u32) {
        self.0.lock().unwrap().failures = failures;
    }

    /// How often something was committed.
    pub(crate) fn commits(&self) -> u64 {
        self.0.lock().unwrap().commits
    }
}

impl Store for InMemory {
    fn load(&mut self) -> Result<Records, StoreError> {
        let state = self.0.lock().unwrap();
        let mut records = Records::default();
        let State { desired, tasks, domains, draining, credentials, .. } = &*state;
        let State { custom_domains, enrolments, acme_accounts, .. } = &*state;
        let certificates = [custom_domains, enrolments, acme_accounts];
        let tables =
            [desired, tasks, domains, draining, credentials].into_iter().chain(certificates);
        let all = tables.flat_map(|table| table.values());
        for write in all.chain(state.actual.values()) {
            match write.clone() {
                Write::PutDesired(lrp) => records.desired.push(lrp.as_ref().clone()),
                Write::PutActual(row) => records.actual.push(row.as_ref().clone()),
                Write::PutTask(task) => records.tasks.push(task.as_ref().clone()),
                Write::PutDomain(domain, until) => records.domains.push((domain, until)),
                Write::PutDraining(draining) => records.draining.push(draining),
                Write::PutCredentials(credentials) => records.credentials.push(credentials),
                Write::PutCustomDomain(domain) => records.custom_domains.push(domain),
                Write::PutEnrolment(enrolment) => records.enrolments.push(enrolment),
                Write::PutAcmeAccount(account) => records.acme_accounts.push(account),
                _ => unreachable!("only records are kept"),
            }
        }
        Ok(records)
    }

    fn commit(&mut self, writes: &[Write]) -> Result<(), StoreError> {
        let mut state = self.0.lock().unwrap();
        if state.failures > 0 {
            state.failures -= 1;
            return Err(StoreError::Sql {
                what: "write to",
                source: rusqlite::Error::ExecuteReturnedResults,
            });
        }
        state.commits += 1;
        for write in writes {
            let kept = write.clone();
            let place = |id: &RowId| (id.guid.to_string(), id.index, id.presence);
            match write {
                Write::PutDesired(lrp) => {
                    state.desired.insert(lrp.process_guid.to_string(), kept);
                }
                Write::DeleteDesired(guid) => drop(state.desired.remove(guid.as_str())),
                Write::PutActual(row) => {
                    state.actual.insert(place(&RowId::of(row)), kept);
                }
                Write::DeleteActual(id) => drop(state.actual.remove(&place(id))),
                Write::PutTask(task) => {
                    state.tasks.insert(task.definition.task_guid.to_string(), kept);
                }
                Write::DeleteTask(guid) => drop(state.tasks.remove(guid.as_str())),
                Write::PutDomain(domain, _) => {
                    state.domains.insert(domain.to_string(), kept);
                }
                Write::DeleteDomain(domain) => drop(state.domains.remove(domain.as_str())),
                Write::PutDraining(d) => {
                    state.draining.insert(d.cell_id.to_string(), kept);
                }
                Write::DeleteDraining(cell) => drop(state.draining.remove(cell.as_str())),
                Write::PutCredentials(c) => {
                    state.credentials.insert(c.registry.clone(), kept);
                }
                Write::DeleteCredentials(registry) => drop(state.credentials.remove(registry)),
                Write::PutCustomDomain(d) => {
                    state.custom_domains.insert(d.host.clone(), kept);
                }
                Write::DeleteCustomDomain(host) => drop(state.custom_domains.remove(host)),
                Write::PutEnrolment(enrolment) => {
                    state.enrolments.insert(enrolment.host.clone(), kept);
                }
                Write::DeleteEnrolment(host) => drop(state.enrolments.remove(host)),
                Write::PutAcmeAccount(account) => {
                    state.acme_accounts.insert(account.directory.clone(), kept);
                }
            }
        }
        Ok(())
    }
}
