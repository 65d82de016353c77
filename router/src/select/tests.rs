//! Tables of pools and what is chosen of them.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use proptest::prelude::*;

use super::*;
use crate::pool::Backend;
use crate::table::Announcement;

fn pool(n: u64) -> Vec<Arc<Endpoint>> {
    (0..n)
        .map(|id| {
            let mut told = Announcement::for_test(&format!("10.0.0.1:{}", 1000 + id));
            told.instance_id = format!("guid-{id}").into();
            let backend = Backend::new(id, &told);
            Arc::new(Endpoint::new(Arc::new(backend), &told, Time(0)))
        })
        .collect()
}

fn asked(turn: usize) -> Asked<'static> {
    let balance = Balance::RoundRobin;
    Asked { balance, turn, tried: &[], preferred: None, in_flight_max: 0, now: Time(10) }
}

/// The id that is chosen; -1 for nobody, -2 for busy.
fn pick(pool: &[Arc<Endpoint>], asked: Asked<'_>) -> i64 {
    match select(pool, &asked) {
        Choice::Endpoint(endpoint) => i64::try_from(endpoint.backend.id).unwrap(),
        Choice::Nobody => -1,
        Choice::Busy => -2,
    }
}

fn load(pool: &[Arc<Endpoint>], in_flight: &[u32]) {
    for (endpoint, n) in pool.iter().zip(in_flight) {
        endpoint.backend.in_flight.store(*n, Ordering::Relaxed);
    }
}

#[test]
fn turns_go_round_and_skip_what_was_tried_or_failed() {
    let pool = pool(3);
    pool[1].backend.mark_failed(Time(11));
    for (turn, tried, preferred, expected) in [
        (0, &[][..], None, 0),
        (1, &[], None, 2),
        (2, &[], None, 2),
        (3, &[], None, 0),
        (0, &[0], None, 2),
        (0, &[0], Some("guid-2"), 2),
        (2, &[], Some("guid-0"), 0),
        (2, &[], Some("guid-1"), 2),
        (2, &[], Some("nobody"), 2),
    ] {
        let chosen = pick(&pool, Asked { tried, preferred, ..asked(turn) });
        assert_eq!(chosen, expected, "{turn} {tried:?} {preferred:?}");
    }
}

#[test]
fn the_fewest_in_flight_win_by_load_and_marks_mean_nothing() {
    let pool = pool(3);
    for (in_flight, tried, turn, expected) in [
        ([2, 1, 3], &[][..], 0, 1),
        ([2, 1, 3], &[1], 0, 0),
        ([1, 1, 1], &[], 2, 2),
        ([1, 1, 2], &[], 2, 0),
        ([0, 0, 0], &[0, 1, 2], 0, -1),
    ] {
        load(&pool, &in_flight);
        pool[1].backend.mark_failed(Time(11));
        let balance = Balance::LeastConnection;
        let chosen = pick(&pool, Asked { balance, tried, ..asked(turn) });
        assert_eq!(chosen, expected, "{in_flight:?} {tried:?} {turn}");
    }
}

#[test]
fn who_has_enough_to_do_gets_nothing_more() {
    let pool = pool(3);
    for balance in [Balance::RoundRobin, Balance::LeastConnection] {
        for (in_flight, tried, preferred, expected) in [
            ([1, 2, 2], &[][..], None, 0),
            ([2, 2, 1], &[], None, 2),
            ([2, 2, 1], &[], Some("guid-0"), 2),
            ([2, 2, 2], &[], None, -2),
            ([2, 2, 2], &[0], None, -2),
            ([0, 0, 0], &[0, 1, 2], None, -1),
        ] {
            load(&pool, &in_flight);
            let limits = Asked { balance, tried, preferred, in_flight_max: 2, ..asked(1) };
            assert_eq!(pick(&pool, limits), expected, "{balance:?} {in_flight:?} {tried:?}");
        }
    }
}

#[test]
fn when_only_failed_ones_are_left_their_marks_are_cleared() {
    let pool = pool(2);
    pool.iter().for_each(|endpoint| endpoint.backend.mark_failed(Time(11)));
    assert_eq!(pick(&pool, asked(1)), 1);
    assert!(pool.iter().all(|endpoint| !endpoint.backend.is_failed(Time(10))));
}

#[test]
fn marks_stay_when_nobody_could_be_tried_in_spite_of_his() {
    let pool = pool(2);
    pool.iter().for_each(|endpoint| endpoint.backend.mark_failed(Time(11)));
    load(&pool, &[1, 1]);
    assert_eq!(pick(&pool, Asked { in_flight_max: 1, ..asked(0) }), -2);
    assert!(pool.iter().all(|endpoint| endpoint.backend.is_failed(Time(10))));
}

#[test]
fn a_mark_ends_by_itself() {
    let pool = pool(1);
    pool[0].backend.mark_failed(Time(11));
    assert!(pool[0].backend.is_failed(Time(10)));
    assert!(!pool[0].backend.is_failed(Time(11)));
}

#[test]
fn nobody_is_chosen_when_all_were_tried_or_none_exist() {
    assert_eq!(pick(&pool(2), Asked { tried: &[0, 1], ..asked(0) }), -1);
    assert_eq!(pick(&pool(0), asked(5)), -1);
}

proptest! {
    #[test]
    fn retries_reach_everyone_once(
        n in 1u64..12,
        turn in any::<usize>(),
        failed in prop::collection::vec(any::<bool>(), 12),
        by_load in any::<bool>(),
    ) {
        let pool = pool(n);
        for (endpoint, _) in pool.iter().zip(failed).filter(|(_, failed)| *failed) {
            endpoint.backend.mark_failed(Time(11));
        }
        let balance = if by_load { Balance::LeastConnection } else { Balance::RoundRobin };
        let mut tried = Vec::new();
        while let Choice::Endpoint(endpoint) =
            select(&pool, &Asked { balance, tried: &tried, ..asked(turn) })
        {
            tried.push(endpoint.backend.id);
        }
        prop_assert_eq!(tried.iter().collect::<HashSet<_>>().len() as u64, n);
        prop_assert_eq!(tried.len() as u64, n);
    }
}
