//! Tables of pools and what is chosen of them.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use proptest::prelude::*;

use super::*;
use crate::pool::{Backend, Common};
use crate::table::Announcement;

fn endpoint(id: u64, told: &Announcement) -> Arc<Endpoint> {
    let backend = Arc::new(Backend::new(id, told));
    Arc::new(Endpoint::new(backend, Common::of(told), None, Time(0)))
}

fn pool(n: u64) -> Vec<Arc<Endpoint>> {
    (0..n)
        .map(|id| {
            let mut told = Announcement::for_test(&format!("10.0.0.1:{}", 1000 + id));
            told.instance_id = format!("guid-{id}");
            endpoint(id, &told)
        })
        .collect()
}

fn asked(turn: usize) -> Asked<'static> {
    let balance = Balance::RoundRobin;
    Asked {
        balance,
        turn,
        tried: &[],
        preferred: None,
        hashed: None,
        zone: None,
        in_flight_max: 0,
        now: Time(10),
    }
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
        (2, &[], Some("guid-1"), 1),
        (2, &[1], Some("guid-1"), 2),
        (2, &[], Some("nobody"), 2),
    ] {
        let chosen = pick(&pool, Asked { tried, preferred, ..asked(turn) });
        assert_eq!(chosen, expected, "{turn} {tried:?} {preferred:?}");
    }
}

#[test]
fn the_round_goes_on_behind_whoever_was_chosen() {
    let pool = pool(3);
    let route = Route::new("web.test".into(), 0, Time(0));
    let next = |change: fn(Asked<'static>) -> Asked<'static>| {
        let asked = change(asked(route.next_turn()));
        match choose(&route, &pool, &asked) {
            Choice::Endpoint(endpoint) => endpoint.backend.id,
            Choice::Nobody | Choice::Busy => panic!("somebody is there"),
        }
    };
    let in_turn = || [(); 6].map(|()| next(|asked| asked));
    assert_eq!(in_turn(), [0, 1, 2, 0, 1, 2]);
    pool[1].backend.mark_failed(Time(11));
    assert_eq!(in_turn(), [0, 2, 0, 2, 0, 2]);
    pool[1].backend.clear_failure();
    let wish = |asked| Asked { preferred: Some("guid-1"), ..asked };
    let with_wishes = [(); 3].map(|()| (next(wish), next(|asked| asked)));
    assert_eq!(with_wishes, [(1, 0), (1, 1), (1, 2)], "a wish takes no turn");
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

/// Like [`pool`], each with its zone.
fn zoned(zones: &[&str]) -> Vec<Arc<Endpoint>> {
    let made = (0..).zip(zones).map(|(id, zone)| {
        let mut told = Announcement::for_test(&format!("10.0.0.1:{}", 1000 + id));
        told.facts.availability_zone = (*zone).into();
        endpoint(id, &told)
    });
    made.collect()
}

#[test]
fn the_first_attempt_stays_in_the_zone_if_it_can() {
    let pool = zoned(&["z1", "z2", "z1", ""]);
    for balance in [Balance::RoundRobin, Balance::LeastConnection] {
        for (zone, in_flight, tried, turn, expected) in [
            ("z1", [0, 0, 0, 0], &[][..], 1, 2),
            ("z1", [0, 0, 0, 0], &[], 0, 0),
            ("z1", [2, 0, 1, 0], &[], 0, 2),
            ("z1", [2, 0, 2, 0], &[], 0, 1),
            ("z2", [0, 1, 0, 0], &[], 0, 1),
            ("z9", [0, 0, 0, 0], &[], 3, 3),
            ("z1", [0, 0, 0, 0], &[0], 3, 3),
            ("", [0, 0, 0, 0], &[], 0, 3),
        ] {
            load(&pool, &in_flight);
            let zone = Some(zone);
            let asked = Asked { balance, zone, tried, in_flight_max: 2, ..asked(turn) };
            assert_eq!(pick(&pool, asked), expected, "{balance:?} {zone:?} {in_flight:?} {turn}");
        }
    }
    load(&pool, &[0; 4]);
    pool[0].backend.mark_failed(Time(11));
    pool[2].backend.mark_failed(Time(11));
    assert_eq!(pick(&pool, Asked { zone: Some("z1"), ..asked(0) }), 1);
}

fn hashing(text: &str, factor: f64) -> Asked<'static> {
    let hashed = Some(Hashed { key: hash_of(text.as_bytes()), factor });
    Asked { balance: Balance::Hash, hashed, ..asked(0) }
}

#[test]
fn a_hash_always_leads_to_the_same_and_a_newcomer_takes_only_its_share() {
    let (few, more) = (pool(9), pool(10));
    let keys: Vec<String> = (0..1000).map(|n| format!("tenant-{n}")).collect();
    let mut moved = 0;
    let mut shares = vec![0; 10];
    for key in &keys {
        let (before, after) = (pick(&few, hashing(key, 0.0)), pick(&more, hashing(key, 0.0)));
        assert_eq!(after, pick(&more, Asked { turn: 7, ..hashing(key, 0.0) }));
        assert!(before == after || after == 9, "only the newcomer takes anything");
        moved += usize::from(before != after);
        shares[usize::try_from(after).unwrap()] += 1;
    }
    assert!((50..200).contains(&moved), "{moved} of 1000 moved to the tenth of ten");
    assert!(shares.iter().all(|share| (50..200).contains(share)), "{shares:?}");
}

#[test]
fn a_hash_leads_to_the_next_where_its_own_was_tried_failed_or_has_too_much() {
    let pool = pool(5);
    let own = pick(&pool, hashing("key", 0.0));
    let place = usize::try_from(own).unwrap();
    let next = pick(&pool, Asked { tried: &[u64::try_from(own).unwrap()], ..hashing("key", 0.0) });
    assert!(next >= 0 && next != own);
    let mut in_flight = [2; 5];
    in_flight[place] = 4;
    load(&pool, &in_flight);
    assert_eq!(pick(&pool, hashing("key", 0.0)), own);
    assert_eq!(pick(&pool, hashing("key", 2.0)), own, "4 is below twice the average of 2.4");
    assert_eq!(pick(&pool, hashing("key", 1.25)), next, "and above 1.25 times");
    load(&pool, &[0; 5]);
    pool[place].backend.mark_failed(Time(11));
    assert_eq!(pick(&pool, hashing("key", 1.25)), next);
    let without = Asked { hashed: None, ..hashing("key", 0.0) };
    assert_eq!(pick(&pool, Asked { turn: 3, ..without }), if own == 3 { 4 } else { 3 });
}

proptest! {
    #[test]
    fn retries_reach_everyone_once(
        n in 1u64..12,
        turn in any::<usize>(),
        failed in prop::collection::vec(any::<bool>(), 12),
        balance in prop::sample::select(vec![
            Balance::RoundRobin, Balance::LeastConnection, Balance::Hash,
        ]),
        zone in prop::option::of(Just("z")),
    ) {
        let pool = pool(n);
        for (endpoint, _) in pool.iter().zip(failed).filter(|(_, failed)| *failed) {
            endpoint.backend.mark_failed(Time(11));
        }
        let hashed = Some(Hashed { key: turn as u64, factor: 1.5 });
        let mut tried = Vec::new();
        while let Choice::Endpoint(endpoint) =
            select(&pool, &Asked { balance, hashed, zone, tried: &tried, ..asked(turn) })
        {
            tried.push(endpoint.backend.id);
        }
        prop_assert_eq!(tried.iter().collect::<HashSet<_>>().len() as u64, n);
        prop_assert_eq!(tried.len() as u64, n);
    }
}

/// Every endpoint near or far, failed or sound, busy or free, tried or not: the best that is left
/// is chosen, and the next in turn among equals.
#[test]
fn whatever_states_three_endpoints_are_in_the_best_is_chosen() {
    const BUSY: u32 = 3;
    for states in 0..1_usize << 12 {
        let is = |flag: usize, id: usize| states >> (4 * id + flag) & 1 == 1;
        let [near, failed, busy, tried] = [0, 1, 2, 3].map(|flag| move |id| is(flag, id));
        let all = [0_usize, 1, 2];
        let pool = zoned(&all.map(|id| if near(id) { "z1" } else { "z2" }));
        let in_flight = all.map(|id| if busy(id) { BUSY } else { u32::from(id == 1) });
        let were_tried: Vec<u64> = (0..3).filter(|&id| tried(id as usize)).collect();
        for (balance, turn) in [0, 1, 2]
            .map(|turn| [(Balance::RoundRobin, turn), (Balance::LeastConnection, turn)])
            .concat()
        {
            load(&pool, &in_flight);
            all.iter()
                .filter(|&&id| failed(id))
                .for_each(|&id| pool[id].backend.mark_failed(Time(11)));
            let left: Vec<usize> = all.into_iter().filter(|&id| !tried(id)).collect();
            let free = left.iter().copied().filter(|&id| !busy(id));
            let is_far = |id| !(near(id) && were_tried.is_empty());
            let in_turn = |id: usize| (id + 3 - turn) % 3;
            let best = free.min_by_key(|&id| match balance {
                Balance::LeastConnection => (0, is_far(id), in_flight[id], in_turn(id)),
                _ if failed(id) => (1, false, 0, in_turn(id)),
                _ => (0, is_far(id), 0, in_turn(id)),
            });
            let expected = match best {
                Some(id) => i64::try_from(id).unwrap(),
                None if left.is_empty() => -1,
                None => -2,
            };
            let zone = Some("z1");
            let asked =
                Asked { balance, tried: &were_tried, zone, in_flight_max: BUSY, ..asked(turn) };
            assert_eq!(pick(&pool, asked), expected, "{states:012b} {balance:?} {turn}");
            pool.iter().for_each(|endpoint| endpoint.backend.clear_failure());
        }
    }
}
