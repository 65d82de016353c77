//! What is kept of hosts of people's own, and how it changes. Pure.

use core::fmt;
use std::collections::BTreeMap;
use std::sync::Arc;

use lattice_model::{
    CertificateFacts, CertificateState, CustomDomain, CustomDomainStatus, ErrorName, Refusal, Time,
};
use serde::{Deserialize, Serialize};

use super::{Enrolment, kept};
use crate::board::Write;

/// The most hosts.
const HOSTS_MAX: usize = 1000;
/// An owner is warned so many days before the end.
const WARN_DAYS: i64 = 30;
const NANOS_A_DAY: i64 = 86_400 * 1_000_000_000;

/// All certificates that are kept, by host. `Debug` shows no key.
pub type CustomDomains = BTreeMap<String, Arc<Examined>>;
/// The hosts for which an authority is asked.
pub type Enrolments = BTreeMap<String, Arc<Enrolment>>;

/// A certificate that was found to serve its host, and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    /// The host, the certificate and its key.
    pub domain: CustomDomain,
    /// What the certificate says.
    pub facts: CertificateFacts,
}

/// Who we are to an authority. `Debug` does not show the key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcmeAccount {
    /// Where the authority is found: the URL of its directory.
    pub directory: String,
    /// Our name there and the key that proves it, as JSON.
    pub credentials: String,
}

/// All of it; cheap to clone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Holdings {
    pub(crate) certificates: CustomDomains,
    pub(crate) enrolments: Enrolments,
    pub(crate) accounts: Arc<[AcmeAccount]>,
}

/// What is to be different.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// An owner gives a certificate.
    Give(Examined),
    /// An owner wants one from an authority, at once.
    Enrol(String),
    /// An order came to a certificate; it is renewed in time.
    Obtained(Examined, Enrolment),
    /// An order came to nothing: what it began with, and what is kept then.
    Failed(Arc<Enrolment>, Enrolment),
    /// An owner wants none any more.
    Forget(String),
    /// We are somebody to an authority.
    Account(AcmeAccount),
    /// The authority with this directory is asked from now on; what was ordered from another is
    /// ordered anew, at once.
    TurnTo(String),
}

// === impl AcmeAccount ===

impl fmt::Debug for AcmeAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcmeAccount").field("directory", &self.directory).finish_non_exhaustive()
    }
}

// === impl Holdings ===

impl Holdings {
    /// What the store kept.
    pub(crate) fn new(
        certificates: Vec<CustomDomain>,
        enrolments: Vec<Enrolment>,
        accounts: Vec<AcmeAccount>,
    ) -> Self {
        let by_host = |domain: CustomDomain| (domain.host.clone(), Arc::new(kept(domain)));
        let certificates: CustomDomains = certificates.into_iter().map(by_host).collect();
        // An order came to a certificate, and that is lost, as its key is with that of the store.
        let is_lost = |one: &Enrolment| one.failures == 0 && !certificates.contains_key(&one.host);
        let enrolled = |one: Enrolment| match is_lost(&one) {
            true => (one.host.clone(), Arc::new(Enrolment::new(one.host, Time::default()))),
            false => (one.host.clone(), Arc::new(one)),
        };
        Self {
            enrolments: enrolments.into_iter().map(enrolled).collect(),
            accounts: accounts.into(),
            certificates,
        }
    }

    /// Makes a change, and says what is to be written for it; or why it cannot be.
    pub(crate) fn apply(&mut self, change: Change, now: Time) -> Result<Vec<Write>, Refusal> {
        match change {
            Change::Give(examined) => {
                self.check_room(&examined.domain.host)?;
                let write = Write::PutCustomDomain(examined.domain.clone());
                let host = self.hold(examined);
                self.enrolments.remove(&host);
                Ok(vec![write, Write::DeleteEnrolment(host)])
            }
            Change::Enrol(host) => {
                self.check_room(&host)?;
                Ok(self.enrol(host, now))
            }
            // Whoever does not want it any more does not get it.
            Change::Obtained(examined, enrolment) if self.is_enrolled(&enrolment.host) => {
                let write = Write::PutCustomDomain(examined.domain.clone());
                self.hold(examined);
                Ok(vec![write, self.note(enrolment)])
            }
            // Whoever asked anew meanwhile gets an order of their own.
            Change::Failed(begun, then) if self.enrolments.get(&begun.host) == Some(&begun) => {
                Ok(vec![self.note(then)])
            }
            // But the authority is left alone all the same.
            Change::Failed(_, then) if self.is_enrolled(&then.host) => {
                let is_left_alone = then.left_alone_until.is_some_and(|until| until > now);
                Ok(is_left_alone.then(|| self.note(then.again(now))).into_iter().collect())
            }
            Change::Obtained(..) | Change::Failed(..) => Ok(Vec::new()),
            Change::Forget(host) => self.forget(host),
            Change::Account(account) => {
                let others = self.accounts.iter().filter(|a| a.directory != account.directory);
                self.accounts = others.cloned().chain([account.clone()]).collect();
                Ok(vec![Write::PutAcmeAccount(account)])
            }
            Change::TurnTo(directory) => {
                let hosts = self.asked_elsewhere(&directory);
                Ok(hosts.into_iter().map(|host| self.note(Enrolment::new(host, now))).collect())
            }
        }
    }

    /// Who we are to this authority.
    pub(crate) fn account(&self, directory: &str) -> Option<&AcmeAccount> {
        self.accounts.iter().find(|account| account.directory == directory)
    }

    /// The hosts for which another authority was asked last.
    pub(crate) fn asked_elsewhere(&self, directory: &str) -> Vec<String> {
        let is_elsewhere =
            |one: &&Arc<Enrolment>| one.asked.as_ref().is_some_and(|a| a != directory);
        self.enrolments.values().filter(is_elsewhere).map(|one| one.host.clone()).collect()
    }

    /// What is told of every host, in their order.
    pub(crate) fn statuses(&self, now: Time) -> Vec<CustomDomainStatus> {
        let mut hosts: Vec<&String> =
            self.certificates.keys().chain(self.enrolments.keys()).collect();
        hosts.sort();
        hosts.dedup();
        hosts.into_iter().filter_map(|host| self.status(host, now)).collect()
    }

    /// What is told of one.
    pub(crate) fn status(&self, host: &str, now: Time) -> Option<CustomDomainStatus> {
        let certificate = self.certificates.get(host).map(|examined| examined.facts.clone());
        let enrolment = self.enrolments.get(host);
        if certificate.is_none() && enrolment.is_none() {
            return None;
        }
        let is_good = certificate.as_ref().is_some_and(|facts| facts.not_after > now);
        let state = match enrolment {
            _ if is_good => CertificateState::Valid,
            Some(enrolment) if enrolment.failures == 0 && certificate.is_none() => {
                CertificateState::Pending
            }
            Some(_) | None => CertificateState::Failed,
        };
        let warning = match (enrolment, &certificate) {
            (Some(enrolment), _) if enrolment.failures > 0 => enrolment.sentence(now),
            (Some(_), None) => String::new(),
            (Some(_), Some(facts)) => over(facts, now).unwrap_or_default(),
            (None, Some(facts)) => of_owner(facts, now),
            (None, None) => String::new(),
        };
        let order = enrolment.map(|enrolment| enrolment.status(now));
        Some(CustomDomainStatus { host: host.to_owned(), state, certificate, order, warning })
    }

    fn is_enrolled(&self, host: &str) -> bool {
        self.enrolments.contains_key(host)
    }

    /// Refuses one host more than there may be.
    fn check_room(&self, host: &str) -> Result<(), Refusal> {
        let is_known = self.certificates.contains_key(host) || self.is_enrolled(host);
        let waiting = self.enrolments.keys().filter(|host| !self.certificates.contains_key(*host));
        if is_known || self.certificates.len() + waiting.count() < HOSTS_MAX {
            return Ok(());
        }
        let message =
            format!("there are {HOSTS_MAX} custom domains, the most there may be; remove some");
        Err(Refusal::new(ErrorName::TooManyRequests, message))
    }

    fn hold(&mut self, examined: Examined) -> String {
        let host = examined.domain.host.clone();
        self.certificates.insert(host.clone(), Arc::new(examined));
        host
    }

    fn note(&mut self, enrolment: Enrolment) -> Write {
        self.enrolments.insert(enrolment.host.clone(), Arc::new(enrolment.clone()));
        Write::PutEnrolment(enrolment)
    }

    /// Orders one at once, or as soon as the authority lets us, unless there is one that it gave and
    /// all is well with it.
    fn enrol(&mut self, host: String, now: Time) -> Vec<Write> {
        let is_good = self.certificates.get(&host).is_some_and(|c| c.facts.not_after > now);
        let enrolment = match self.enrolments.get(&host) {
            Some(known) if known.failures == 0 && is_good => return Vec::new(),
            Some(known) => known.again(now),
            None => Enrolment::new(host, now),
        };
        vec![self.note(enrolment)]
    }

    fn forget(&mut self, host: String) -> Result<Vec<Write>, Refusal> {
        let certificate = self.certificates.remove(&host).is_some();
        let enrolment = self.enrolments.remove(&host).is_some();
        if !certificate && !enrolment {
            let message = format!("there is no custom domain '{host}'");
            return Err(Refusal::new(ErrorName::CustomDomainNotFound, message));
        }
        Ok(vec![Write::DeleteCustomDomain(host.clone()), Write::DeleteEnrolment(host)])
    }
}

/// What is told of a host where nothing is ordered: an order that is due stays so.
pub(crate) fn without_orders(status: CustomDomainStatus) -> CustomDomainStatus {
    let is_due = status.order.as_ref().is_some_and(|order| order.is_open);
    if !is_due {
        return status;
    }
    let why = "an order is due, and the platform makes none, because its operator has not agreed \
               to an authority's terms (lattice up --acme-accept-terms)";
    let warning = match status.warning.as_str() {
        "" => why.to_owned(),
        warning => format!("{warning}; {why}"),
    };
    CustomDomainStatus { warning, ..status }
}

/// What an owner should know of a certificate that nobody else renews.
fn of_owner(facts: &CertificateFacts, now: Time) -> String {
    let days = (facts.not_after.0 - now.0) / NANOS_A_DAY;
    match over(facts, now) {
        Some(warning) => warning,
        None if days < WARN_DAYS => format!("the certificate ends in {days} days; renew it"),
        None => String::new(),
    }
}

fn over(facts: &CertificateFacts, now: Time) -> Option<String> {
    match () {
        () if facts.not_after <= now => Some("the certificate is over; renew it".to_owned()),
        () if facts.not_before > now => Some("the certificate is not good yet".to_owned()),
        () => None,
    }
}
