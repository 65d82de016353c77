//! When a certificate is ordered from an authority: at once, again after a failure, and in time to
//! renew it. Pure: time and dice are passed in.

use std::time::Duration;

use lattice_model::{CertificateFacts, OrderStatus, Time};
use serde::{Deserialize, Serialize};

/// How long nothing is ordered after the first failure; twice as long after each further one. An
/// authority lets a host fail so many times an hour, and two challenges may fail in one order.
const REST: Duration = Duration::from_secs(15 * 60);
/// How long at most.
const REST_MAX: Duration = Duration::from_secs(86_400);
/// The longest rest that an authority may ask for.
const ASKED_REST_MAX: Duration = Duration::from_secs(7 * 86_400);
/// After so many failures a host without a certificate is given up.
const FAILURES_MAX: u32 = 10;
/// A certificate is renewed when only this part of its life is left.
const RENEWED_AT: f64 = 1.0 / 3.0;
/// Renewals of certificates that came at once are spread over this part of their lives.
const SPREAD: f64 = 1.0 / 30.0;
/// No certificate is renewed sooner.
const RENEWED_AFTER_MIN: Duration = Duration::from_secs(60);
/// The longest problem that is kept, in characters.
const PROBLEM_CHARS_MAX: usize = 500;

/// A host for which an authority is asked, and how far that is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolment {
    /// The host.
    pub host: String,
    /// How many orders in a row came to nothing.
    pub failures: u32,
    /// Why the last of them did; printable, and not long.
    pub problem: String,
    /// When the next one is made; none when the host was given up.
    pub next_order_at: Option<Time>,
    /// Until when the authority wants to be left alone, whoever asks.
    #[serde(default)]
    pub left_alone_until: Option<Time>,
    /// The directory of the authority that was asked last; none before the first order, and where an
    /// earlier version asked.
    #[serde(default)]
    pub asked: Option<String>,
}

/// Why an order came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OrderFailure {
    /// In the authority's words where it has some.
    pub(crate) problem: String,
    /// How long the authority wants to be left alone.
    pub(crate) retry_after: Option<Duration>,
}

// === impl Enrolment ===

impl Enrolment {
    /// A certificate is wanted at once.
    pub(crate) fn new(host: String, now: Time) -> Self {
        let (problem, next_order_at) = (String::new(), Some(now));
        Self { host, failures: 0, problem, next_order_at, left_alone_until: None, asked: None }
    }

    /// An owner asks anew: a certificate is wanted at once, or as soon as the authority lets us.
    pub(crate) fn again(&self, now: Time) -> Self {
        match self.left_alone_until.filter(|until| *until > now) {
            None => Self::new(self.host.clone(), now),
            until => Self { next_order_at: until, ..self.clone() },
        }
    }

    /// After this authority was asked.
    pub(crate) fn by(self, directory: &str) -> Self {
        Self { asked: Some(directory.to_owned()), ..self }
    }

    /// Whether it is time for an order.
    pub(crate) fn is_due(&self, now: Time) -> bool {
        self.next_order_at.is_some_and(|at| at <= now)
    }

    /// After an order came to this certificate; `dice` is from 0 to 1.
    pub(crate) fn obtained(&self, facts: &CertificateFacts, now: Time, dice: f64) -> Self {
        let life = facts.not_after.since(facts.not_before);
        let left = life.mul_f64(RENEWED_AT + SPREAD * dice);
        let at = facts.not_after - left;
        let next_order_at = Some(at.max(now + RENEWED_AFTER_MIN));
        Self { next_order_at, ..Self::new(self.host.clone(), now) }
    }

    /// After an order came to nothing; `is_good` says whether there is a certificate that is good,
    /// and `dice` is from 0 to 1.
    pub(crate) fn failed(
        &self,
        failure: &OrderFailure,
        is_good: bool,
        now: Time,
        dice: f64,
    ) -> Self {
        let failures = self.failures.saturating_add(1);
        let doubled = REST.saturating_mul(1 << (failures - 1).min(16)).min(REST_MAX);
        // From three quarters to five.
        let rest = doubled.mul_f64(0.75 + dice / 2.0);
        let left_alone_until = failure.retry_after.map(|asked| now + asked.min(ASKED_REST_MAX));
        let next = (now + rest).max(left_alone_until.unwrap_or_default());
        let next_order_at = (is_good || failures < FAILURES_MAX).then_some(next);
        let problem = printable(&failure.problem);
        Self { failures, problem, next_order_at, left_alone_until, ..self.clone() }
    }

    /// What may be told of it.
    pub(crate) fn status(&self, now: Time) -> OrderStatus {
        OrderStatus {
            is_open: self.is_due(now),
            failures: self.failures,
            problem: self.problem.clone(),
            next_order_at: self.next_order_at,
        }
    }

    /// A failure, for a person.
    pub(crate) fn sentence(&self, now: Time) -> String {
        let Self { failures, problem, .. } = self;
        let orders = if *failures == 1 { "order" } else { "orders" };
        let then = match self.next_order_at {
            None => "it is given up until it is added again".to_owned(),
            Some(at) => format!("the next order is in {} minutes", at.since(now).as_secs() / 60),
        };
        format!("no certificate after {failures} {orders}: {problem}; {then}")
    }
}

/// Without what could move a cursor.
fn printable(problem: &str) -> String {
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    problem.chars().take(PROBLEM_CHARS_MAX).map(shown).collect()
}

#[cfg(test)]
mod tests;
