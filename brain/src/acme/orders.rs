//! Sees what is due, has it ordered, and keeps what comes of it: one order at a time for a host, and
//! few at once for all.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lattice_api::brain::BrainError;
use lattice_daemon::clock::Clock;
use lattice_model::{CustomDomain, Time};
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::Handle;
use crate::actor::{Patience, Secret};
use crate::custom_domains::{self, Change, Enrolment, Enrolments, OrderFailure};

/// The most orders at once.
const ORDERS_MAX: usize = 4;
/// How long a host rests whose order's outcome could not be kept.
const UNKEPT_REST: Duration = Duration::from_secs(15 * 60);
/// The longest time between two looks at the clock, which may be set meanwhile.
const LOOK: Duration = Duration::from_secs(600);

/// Whoever gives certificates.
#[async_trait]
pub(super) trait Authority: Send + Sync + 'static {
    /// One for this host, with its key; it ends within minutes.
    async fn obtain(&self, host: &str) -> Result<CustomDomain, OrderFailure>;
}

/// The task. Cheap to clone.
#[derive(Clone)]
pub(super) struct Orders {
    brain: Handle,
    authority: Arc<dyn Authority>,
    /// The URL of the authority's directory.
    directory: Arc<str>,
    clock: Arc<dyn Clock>,
}

/// What is ordered at the moment.
#[derive(Default)]
struct UnderWay {
    orders: JoinSet<Result<(), BrainError>>,
    hosts: HashMap<Id, String>,
    /// Hosts for which nothing is ordered before then, whatever is kept of them.
    resting: HashMap<String, Time>,
}

// === impl Orders ===

impl Orders {
    pub(super) fn new(
        brain: Handle,
        (authority, directory): (Arc<dyn Authority>, &str),
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { brain, authority, directory: directory.into(), clock }
    }

    /// Serves until the end; orders under way are then given up.
    pub(super) async fn run(self, end: CancellationToken) {
        if end.run_until_cancelled(self.turn()).await.is_none() {
            return;
        }
        let mut followed = self.brain.shelf.follow_enrolments();
        let mut under_way = UnderWay::default();
        loop {
            let wanted = followed.borrow_and_update().clone();
            let now = self.clock.now();
            for enrolment in under_way.due(&wanted, now) {
                let order = self.clone().order(Arc::clone(&enrolment));
                let id = under_way.orders.spawn(order).id();
                under_way.hosts.insert(id, enrolment.host.clone());
            }
            let rest = under_way.rest(&wanted, now);
            tokio::select! {
                () = end.cancelled() => return,
                changed = followed.changed() => if changed.is_err() { return },
                Some(ended) = under_way.orders.join_next_with_id() => {
                    under_way.ended(ended, self.clock.now());
                }
                () = tokio::time::sleep(rest) => {}
            }
        }
    }

    /// Sees to it that what was ordered from another authority is ordered from this one.
    async fn turn(&self) {
        let hosts = self.brain.shelf.holdings().asked_elsewhere(&self.directory);
        if hosts.is_empty() {
            return;
        }
        let (directory, hosts) = (&*self.directory, hosts.len());
        warn!(directory, hosts, "another authority was asked before; all is ordered anew");
        let change = Change::TurnTo(directory.to_owned());
        if let Err(error) = self.brain.keep(Secret::Host(change), Patience::Wait).await {
            error!(%error, "nothing is ordered anew before it is due");
        }
    }

    async fn order(self, enrolment: Arc<Enrolment>) -> Result<(), BrainError> {
        let host = enrolment.host.as_str();
        info!(host, failures = enrolment.failures, "certificate ordered");
        let unfit = |why: lattice_model::Refusal| OrderFailure {
            problem: format!("the authority's certificate cannot be used: {}", why.message),
            retry_after: None,
        };
        let obtained = self.authority.obtain(host).await;
        let now = self.clock.now();
        let examined = obtained.and_then(|d| custom_domains::examine(d, now).map_err(unfit));
        let dice = rand::random::<f64>();
        let change = match examined {
            Ok(examined) => {
                let facts = &examined.facts;
                info!(host, issuer = facts.issuer, "certificate came");
                let then = enrolment.obtained(facts, now, dice).by(&self.directory);
                Change::Obtained(examined, then)
            }
            Err(failure) => {
                let kept = self.brain.shelf.holdings().certificates.get(host).cloned();
                let is_good = kept.is_some_and(|kept| kept.facts.not_after > now);
                let then = enrolment.failed(&failure, is_good, now, dice).by(&self.directory);
                warn!(
                    host,
                    problem = then.problem,
                    failures = then.failures,
                    "no certificate came"
                );
                Change::Failed(Arc::clone(&enrolment), then)
            }
        };
        self.brain.keep(Secret::Host(change), Patience::Wait).await
    }
}

// === impl UnderWay ===

impl UnderWay {
    /// What to order now.
    fn due(&mut self, wanted: &Enrolments, now: Time) -> Vec<Arc<Enrolment>> {
        self.resting.retain(|_, until| *until > now);
        let free = ORDERS_MAX.saturating_sub(self.orders.len());
        let due = self.idle(wanted).filter(|(at, _)| *at <= now).map(|(_, enrolment)| enrolment);
        due.take(free).cloned().collect()
    }

    /// Until something may be due.
    fn rest(&self, wanted: &Enrolments, now: Time) -> Duration {
        if self.orders.len() >= ORDERS_MAX {
            return LOOK;
        }
        let next = self.idle(wanted).map(|(at, _)| at.since(now)).min();
        next.unwrap_or(LOOK).min(LOOK)
    }

    /// The hosts for which nothing is under way, and when something is due.
    fn idle<'a>(
        &'a self,
        wanted: &'a Enrolments,
    ) -> impl Iterator<Item = (Time, &'a Arc<Enrolment>)> {
        let is_idle = |one: &&Arc<Enrolment>| !self.hosts.values().any(|host| *host == one.host);
        wanted.values().filter(is_idle).filter_map(|one| {
            let resting = self.resting.get(&one.host).copied().unwrap_or_default();
            Some((one.next_order_at?.max(resting), one))
        })
    }

    /// Notes an order's end; one whose outcome is not kept would be due at once otherwise.
    fn ended(&mut self, ended: Result<(Id, Result<(), BrainError>), JoinError>, now: Time) {
        let (id, cause) = match ended {
            Ok((id, Ok(()))) => (id, None),
            Ok((id, Err(cause))) => (id, Some(cause.to_string())),
            Err(panicked) => (panicked.id(), Some(panicked.to_string())),
        };
        let host = self.hosts.remove(&id).unwrap_or_default();
        if let Some(cause) = cause {
            error!(host, %cause, "the outcome of an order could not be kept");
            self.resting.insert(host, now + UNKEPT_REST);
        }
    }
}

#[cfg(test)]
mod tests;
