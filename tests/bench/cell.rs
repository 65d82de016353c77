//! Containers: how fast they start beside others', what holding one costs, how many there can be,
//! and how soon they are found again.

pub(crate) mod by_itself;
pub(crate) mod daemons;
mod fleet;
mod held;
mod peers;
mod place;
mod starts;
mod taken_over;
mod whole;

use crate::effort::Effort;
use crate::figure::Figure;

use self::place::Place;

/// All of it.
pub(crate) fn run(effort: Effort) {
    run_starts(effort);
    run_taken_over(effort);
    run_fleet(effort);
}

/// Starts, and what holding a container costs.
pub(crate) fn run_starts(effort: Effort) {
    let place = Place::new();
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let tokio = tokio.unwrap();
    starts::run(&place, &tokio, effort);
    held::run(&place, &tokio, effort);
}

/// What becomes of instances whose platform is killed.
pub(crate) fn run_taken_over(effort: Effort) {
    taken_over::run(effort);
}

/// How soon many instances run, and what they take.
pub(crate) fn run_fleet(effort: Effort) {
    fleet::run(effort);
}

fn figure<'a>(case: &'a str, metric: &'static str, unit: &'static str) -> Figure<'a> {
    Figure { bench: "cell", case, metric, unit }
}
