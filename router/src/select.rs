//! Chooses the endpoint for one attempt: in turn, by load or by a hash, nearby ones first if that is
//! wished, past those that failed a moment ago and those that have enough to do (facts 1.4).

use std::sync::Arc;

use lattice_model::Time;

use crate::pool::{Balance, Endpoint, Route};

/// What a choice depends on beside the endpoints.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// How requests are spread.
    pub balance: Balance,
    /// Whose turn it is; a different number for each request.
    pub turn: usize,
    /// Backends that were tried already, by id; never chosen again.
    pub tried: &'a [u64],
    /// The instance a sticky client asks for. A wish: when it is gone, was tried or is busy, another
    /// is chosen. A failure of a moment ago is no reason to take it from who depends on it.
    pub preferred: Option<&'a str>,
    /// What decides for [`Balance::Hash`]; without it requests go round.
    pub hashed: Option<Hashed>,
    /// The zone whose endpoints the first attempt goes to, if any can be used.
    pub zone: Option<&'a str>,
    /// Requests an endpoint may have under way; 0 for any number.
    pub in_flight_max: u32,
    /// The moment.
    pub now: Time,
}

/// A request's place among the endpoints of a route that spreads by a hash.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hashed {
    /// The hash of what decides.
    pub key: u64,
    /// How many times the average an endpoint may have under way; 0 for any number.
    pub factor: f64,
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

/// Chooses for a request on a route, and has the round go on behind whoever was chosen in turn: who
/// stands behind one that is passed over is not to get its share as well.
pub fn choose(route: &Route, pool: &[Arc<Endpoint>], asked: &Asked<'_>) -> Choice {
    let choice = select(pool, asked);
    route.goes_on_by(match &choice {
        Choice::Endpoint(chosen) => asked.passed_over(pool, chosen),
        Choice::Nobody | Choice::Busy => -1,
    });
    choice
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
        let mut wished = pool.iter().filter(|e| e.backend.instance_id() == wish);
        if let Some(endpoint) = wished.find(|e| untried(e) && free(e)) {
            return Choice::Endpoint(endpoint.clone());
        }
    }
    let start = asked.turn % pool.len().max(1);
    let round = || pool[start..].iter().chain(&pool[..start]).filter(untried);
    let load = |endpoint: &&Arc<Endpoint>| endpoint.backend.in_flight();
    let near = |endpoint: &&Arc<Endpoint>| asked.is_near(endpoint);
    let found = match (asked.balance, asked.hashed) {
        (Balance::Hash, Some(hashed)) => by_hash(pool, asked, hashed),
        (Balance::RoundRobin | Balance::Hash, _) => round()
            .find(|e| near(e) && free(e) && sound(e))
            .or_else(|| round().find(|e| free(e) && sound(e)))
            .or_else(|| guess(pool, round().find(free))),
        (Balance::LeastConnection, _) => round()
            .filter(|e| near(e) && free(e))
            .min_by_key(load)
            .or_else(|| round().filter(free).min_by_key(load)),
    };
    match found {
        Some(endpoint) => Choice::Endpoint(endpoint.clone()),
        None if round().next().is_some() => Choice::Busy,
        None => Choice::Nobody,
    }
}

/// The untried endpoint whose name goes best with the key. An endpoint that comes or goes moves
/// only what it takes or leaves. One that has failed or has more than its share is passed over for
/// the next, as long as there is another.
fn by_hash<'p>(
    pool: &'p [Arc<Endpoint>],
    asked: &Asked<'_>,
    hashed: Hashed,
) -> Option<&'p Arc<Endpoint>> {
    let total: u32 = pool.iter().map(|endpoint| endpoint.backend.in_flight()).sum();
    #[allow(clippy::cast_precision_loss, reason = "a share needs no more")]
    let share = hashed.factor * f64::from(total) / pool.len() as f64;
    let is_over = |e: &Endpoint| share > 0.0 && f64::from(e.backend.in_flight()) > share;
    let candidates = || {
        let untried = pool.iter().filter(|e| !asked.tried.contains(&e.backend.id));
        untried.filter(|e| asked.has_room(e))
    };
    let fits = |e: &Arc<Endpoint>| affinity(hashed.key, e.backend.instance_id());
    let sound = candidates().filter(|e| !e.backend.is_failed(asked.now));
    sound
        .clone()
        .filter(|e| !is_over(e))
        .max_by_key(|e| fits(e))
        .or_else(|| sound.max_by_key(|e| fits(e)))
        .or_else(|| guess(pool, candidates().max_by_key(|e| fits(e))))
}

/// How well an instance goes with a key: the same on every router (rendezvous hashing).
fn affinity(key: u64, instance_id: &str) -> u64 {
    let mixed = (key ^ hash_of(instance_id.as_bytes())).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 29)
}

/// The hash of what decides for [`Balance::Hash`] (FNV-1a).
pub fn hash_of(text: &[u8]) -> u64 {
    text.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
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

    /// How far behind the turn whoever was chosen stands. A wish takes no turn at all.
    fn passed_over(&self, pool: &[Arc<Endpoint>], chosen: &Arc<Endpoint>) -> i32 {
        if self.preferred == Some(chosen.backend.instance_id()) {
            return -1;
        }
        let start = self.turn % pool.len().max(1);
        let is_in_turn = match self.balance {
            Balance::RoundRobin => true,
            Balance::Hash => self.hashed.is_none(),
            Balance::LeastConnection => false,
        };
        if !is_in_turn || Arc::ptr_eq(&pool[start], chosen) {
            return 0;
        }
        let behind = pool[start..].iter().chain(&pool[..start]);
        let place = behind.take_while(|endpoint| !Arc::ptr_eq(endpoint, chosen)).count();
        i32::try_from(place).unwrap_or(0)
    }

    /// Whether the first attempt is to go there; never for later ones.
    fn is_near(&self, endpoint: &Endpoint) -> bool {
        let zone = self.zone.filter(|_| self.tried.is_empty());
        zone.is_some_and(|zone| *endpoint.facts.availability_zone == *zone)
    }
}

#[cfg(test)]
mod tests;
