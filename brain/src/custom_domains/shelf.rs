//! What is kept of hosts of people's own, as everyone may see it: the actor changes it after the
//! commit; the router's side follows the certificates, and who orders them the enrolments.

use std::sync::Arc;

use lattice_model::CustomDomain;
use tokio::sync::watch;

use super::{AcmeAccount, CustomDomains, Enrolment, Enrolments, Holdings};

/// Shared, and cheap to clone. `Debug` shows no key.
#[derive(Debug, Clone)]
pub(crate) struct Shelf {
    certificates: watch::Sender<CustomDomains>,
    enrolments: watch::Sender<Enrolments>,
    accounts: watch::Sender<Arc<[AcmeAccount]>>,
}

// === impl Shelf ===

impl Shelf {
    /// What the store kept.
    pub(crate) fn new(
        kept: Vec<CustomDomain>,
        enrolments: Vec<Enrolment>,
        accounts: Vec<AcmeAccount>,
    ) -> Self {
        let holdings = Holdings::new(kept, enrolments, accounts);
        Self {
            certificates: watch::Sender::new(holdings.certificates),
            enrolments: watch::Sender::new(holdings.enrolments),
            accounts: watch::Sender::new(holdings.accounts),
        }
    }

    /// What is kept now.
    pub(crate) fn holdings(&self) -> Holdings {
        Holdings {
            certificates: self.certificates.borrow().clone(),
            enrolments: self.enrolments.borrow().clone(),
            accounts: self.accounts.borrow().clone(),
        }
    }

    /// This is kept from now on; whoever follows what did not change is not woken.
    pub(crate) fn publish(&self, holdings: Holdings) {
        let Holdings { certificates, enrolments, accounts } = holdings;
        let is_other = |known: &CustomDomains| {
            let mut pairs = known.values().zip(certificates.values());
            known.len() != certificates.len() || pairs.any(|(old, new)| !Arc::ptr_eq(old, new))
        };
        let is_changed = is_other(&self.certificates.borrow());
        self.certificates.send_if_modified(|known| {
            *known = certificates;
            is_changed
        });
        self.enrolments.send_if_modified(|known| {
            let is_changed = *known != enrolments;
            *known = enrolments;
            is_changed
        });
        self.accounts.send_replace(accounts);
    }

    /// The certificates, now and from now on.
    pub(crate) fn follow(&self) -> watch::Receiver<CustomDomains> {
        self.certificates.subscribe()
    }

    /// The enrolments, now and from now on.
    pub(crate) fn follow_enrolments(&self) -> watch::Receiver<Enrolments> {
        self.enrolments.subscribe()
    }
}
