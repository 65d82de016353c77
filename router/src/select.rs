//! Chooses the endpoint for one attempt: in turn or by load, past those that failed a moment ago and
//! those that have enough to do (facts 1.4).

use std::sync::Arc;

use lattice_model::Time;

use crate::pool::{Balance, Endpoint};

/// What a choice depends on beside the endpoints.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// How requests are spread.
    pub balance: Balance,
    /// Whose turn it is; a different number for each request.
    pub turn: usize,
    /// Backends that were tried already, by id; never chosen again.
    pub tried: &'a [u64],
    /// The instance a sticky client asks for. A wish: when it is gone, has failed or is busy,
    /// another is chosen.
    pub preferred: Option<&'a str>,
    /// Requests an endpoint may have under way; 0 for any number.
    pub in_flight_max: u32,
    /// The moment.
    pub now: Time,
}

/// What came of choosing.
#[derive(Debug)]
pub enum Choice {
    /// This one.
    Endpoint(Arc<Endpoint>),
    /// Nobody is left to try.
    Nobody,
    /// Everybody has enough to do.
    Busy,
}

/// Chooses among the endpoints of a route.
///
/// Endpoints marked as failed are passed over in turn; when only marked ones are left, the marks
/// are cleared and the round goes on: a guess beats a certain refusal. By load, marks mean nothing.
pub fn select(pool: &[Arc<Endpoint>], asked: &Asked<'_>) -> Choice {
    let untried = |endpoint: &&Arc<Endpoint>| !asked.tried.contains(&endpoint.backend.id);
    let free = |endpoint: &&Arc<Endpoint>| asked.has_room(endpoint);
    let sound = |endpoint: &&Arc<Endpoint>| !endpoint.backend.is_failed(asked.now);
    if let Some(wish) = asked.preferred {
        let mut wished = pool.iter().filter(|e| &*e.backend.instance_id == wish);
        if let Some(endpoint) = wished.find(|e| untried(e) && free(e) && sound(e)) {
            return Choice::Endpoint(endpoint.clone());
        }
    }
    let start = asked.turn % pool.len().max(1);
    let round = || pool[start..].iter().chain(&pool[..start]).filter(untried);
    let found = match asked.balance {
        Balance::RoundRobin => {
            round().find(|e| free(e) && sound(e)).or_else(|| guess(pool, round().find(free)))
        }
        Balance::LeastConnection => round().filter(free).min_by_key(|e| e.backend.in_flight()),
    };
    match found {
        Some(endpoint) => Choice::Endpoint(endpoint.clone()),
        None if round().next().is_some() => Choice::Busy,
        None => Choice::Nobody,
    }
}

/// Clears all marks, if there is anyone to be tried in spite of his.
fn guess<'p>(
    pool: &[Arc<Endpoint>],
    marked: Option<&'p Arc<Endpoint>>,
) -> Option<&'p Arc<Endpoint>> {
    if marked.is_some() {
        pool.iter().for_each(|endpoint| endpoint.backend.clear_failure());
    }
    marked
}

// === impl Asked ===

impl Asked<'_> {
    fn has_room(&self, endpoint: &Endpoint) -> bool {
        self.in_flight_max == 0 || endpoint.backend.in_flight() < self.in_flight_max
    }
}

#[cfg(test)]
mod tests;
