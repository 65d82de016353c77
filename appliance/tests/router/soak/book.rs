//! The book of faults: who was hurt, and since when. Every request that fails must have its reason
//! in here.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use super::ENDPOINTS_PER_ROUTE;

/// Endpoints that the router tries for a request.
const ATTEMPTS: usize = 3;

/// The book.
#[derive(Debug, Default)]
pub(super) struct Book(Mutex<Pages>);

#[derive(Debug, Default)]
struct Pages {
    /// Requests that a backend did not answer as it should.
    hurt: HashSet<u64>,
    /// When each backend was dead.
    deaths: HashMap<usize, Vec<Span>>,
    /// When each route was not registered, or perhaps not.
    absences: HashMap<usize, Vec<Span>>,
    counts: Counts,
    unexplained: Vec<String>,
}

/// What there was, in numbers.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) served: u64,
    /// Failed, for a reason in the book.
    pub(super) explained: u64,
    /// The client itself went away.
    pub(super) left: u64,
    /// Faults of backends, NATS and routes.
    pub(super) faults: u64,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    /// When all of it had come about; none while it has not.
    done: Option<Instant>,
    /// None while it lasts.
    until: Option<Instant>,
}

/// A request, as its client knows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request {
    pub(super) id: u64,
    pub(super) route: usize,
    pub(super) begun: Instant,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A whole answer with this status and body.
    Answered(u16, String),
    /// No whole answer.
    Broken(String),
    /// The client went away.
    Left,
}

// === impl Book ===

impl Book {
    /// Notes that a request is about to be hurt.
    pub(super) fn hurts(&self, id: u64) {
        let mut pages = self.pages();
        pages.counts.faults += 1;
        pages.hurt.insert(id);
    }

    /// Notes a fault that hurts no one request.
    pub(super) fn fault(&self) {
        self.pages().counts.faults += 1;
    }

    /// Notes that a backend is about to die.
    pub(super) fn dies(&self, backend: usize) {
        let mut pages = self.pages();
        pages.counts.faults += 1;
        pages.deaths.entry(backend).or_default().push(Span::begun());
    }

    /// Notes that all its connections are closed.
    pub(super) fn died(&self, backend: usize) {
        if let Some(last) = self.pages().deaths.entry(backend).or_default().last_mut() {
            last.done = Some(Instant::now());
        }
    }

    /// Notes that it lives again.
    pub(super) fn lives(&self, backend: usize) {
        end(self.pages().deaths.entry(backend).or_default());
    }

    /// Notes that a route is about to be withdrawn.
    pub(super) fn withdraws(&self, route: usize) {
        let mut pages = self.pages();
        pages.counts.faults += 1;
        pages.absences.entry(route).or_default().push(Span::begun());
    }

    /// Notes that it was seen to be served again.
    pub(super) fn serves(&self, route: usize) {
        end(self.pages().absences.entry(route).or_default());
    }

    /// Judges what came of a request.
    pub(super) fn judge(&self, request: Request, outcome: &Outcome) {
        let mut pages = self.pages();
        let is_explained = match outcome {
            Outcome::Left => {
                pages.counts.left += 1;
                return;
            }
            Outcome::Answered(200, body) if *body == request.id.to_string() => {
                pages.counts.served += 1;
                return;
            }
            // Somebody else's answer is nobody's fault but the router's.
            Outcome::Answered(200, _) => false,
            Outcome::Answered(404 | 503, _) => pages.was_absent(request),
            Outcome::Answered(502, _) | Outcome::Broken(_) => {
                let needed = match pages.was_absent(request) {
                    // Its endpoints go, and come, one after the other.
                    true => 1,
                    false => ATTEMPTS.min(ENDPOINTS_PER_ROUTE),
                };
                pages.hurt.contains(&request.id) || pages.were_dead(request, needed)
            }
            Outcome::Answered(..) => false,
        };
        if is_explained {
            pages.counts.explained += 1;
        } else {
            let took = request.begun.elapsed();
            pages.unexplained.push(format!("{request:?} after {took:?}: {outcome:?}"));
        }
    }

    pub(super) fn counts(&self) -> Counts {
        self.pages().counts
    }

    /// Requests that failed for no reason.
    pub(super) fn unexplained(&self) -> Vec<String> {
        self.pages().unexplained.clone()
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap()
    }
}

// === impl Pages ===

impl Pages {
    fn was_absent(&self, request: Request) -> bool {
        let spans = self.absences.get(&request.route);
        spans.is_some_and(|spans| spans.iter().any(|span| span.touches(request.begun)))
    }

    /// Whether one of the route's backends died under the request, or so many were dead meanwhile
    /// that the router could not find one that lives.
    fn were_dead(&self, request: Request, needed: usize) -> bool {
        let of_route = |backend: &usize| backend / ENDPOINTS_PER_ROUTE == request.route;
        let mut dead = 0;
        for (_, spans) in self.deaths.iter().filter(|(backend, _)| of_route(backend)) {
            let spans: Vec<&Span> =
                spans.iter().filter(|span| span.touches(request.begun)).collect();
            if spans.iter().any(|span| span.done.is_none_or(|done| done >= request.begun)) {
                return true;
            }
            dead += usize::from(!spans.is_empty());
        }
        dead >= needed
    }
}

// === impl Span ===

impl Span {
    fn begun() -> Self {
        Self { done: None, until: None }
    }

    /// Whether some of it was after a moment; all of it is past.
    fn touches(self, since: Instant) -> bool {
        self.until.is_none_or(|until| until >= since)
    }
}

fn end(spans: &mut [Span]) {
    if let Some(last) = spans.last_mut() {
        last.until = Some(Instant::now());
    }
}
