use proptest::prelude::*;

use super::*;

const NOW: Time = Time::from_secs(1_780_272_000);
const DAY: Duration = Duration::from_secs(86_400);

fn failure(retry_after: Option<Duration>) -> OrderFailure {
    OrderFailure { problem: "no such host".to_owned(), retry_after }
}

fn facts(not_before: Time, not_after: Time) -> CertificateFacts {
    CertificateFacts { names: Vec::new(), issuer: String::new(), not_before, not_after }
}

/// How long nothing is ordered after so many failures in a row, in minutes.
fn rests(count: usize, is_good: bool) -> Vec<Option<u64>> {
    let mut enrolment = Enrolment::new("a.test".to_owned(), NOW);
    let fail = |_| {
        enrolment = enrolment.failed(&failure(None), is_good, NOW, 0.5);
        Some(enrolment.next_order_at?.since(NOW).as_secs() / 60)
    };
    (0..count).map(fail).collect()
}

#[test]
fn rests_grow_to_a_day_and_a_host_without_a_certificate_is_given_up() {
    let minutes = [15, 30, 60, 120, 240, 480, 960, 1440, 1440].map(Some);
    assert_eq!(rests(9, false), minutes);
    assert_eq!(rests(11, false)[9..], [None, None]);
    assert_eq!(rests(40, true)[39], Some(1440), "a good certificate is renewed while it is one");
    let given_up = (0..10).fold(Enrolment::new("a.test".to_owned(), NOW), |enrolment, _| {
        enrolment.failed(&failure(None), false, NOW, 0.5)
    });
    assert!(!given_up.is_due(NOW + DAY * 1000));
    let words = "no certificate after 10 orders: no such host; it is given up until it is added \
                 again";
    assert_eq!(given_up.sentence(NOW), words);
}

#[test]
fn an_authority_that_wants_to_be_left_alone_is_for_a_week_at_most() {
    let first = Enrolment::new("a.test".to_owned(), NOW);
    for (asked, expected) in [
        (Duration::from_secs(60), Duration::from_secs(15 * 60)),
        (DAY * 2, DAY * 2),
        (DAY * 365, DAY * 7),
    ] {
        let failed = first.failed(&failure(Some(asked)), false, NOW, 0.5);
        assert_eq!(failed.next_order_at, Some(NOW + expected));
    }
}

#[test]
fn a_certificate_is_renewed_when_a_third_of_its_life_is_left_or_a_little_more() {
    let first = Enrolment::new("a.test".to_owned(), NOW);
    let renewed = |days: u32, dice: f64| {
        let facts = facts(NOW, NOW + DAY * days);
        first.obtained(&facts, NOW, dice).next_order_at.unwrap().since(NOW)
    };
    assert_eq!(renewed(90, 0.0), DAY * 60);
    assert_eq!(renewed(90, 1.0), DAY * 57);
    assert_eq!(renewed(6, 0.0), DAY * 4);
    // However short its life is, the authority is not asked all the time.
    assert_eq!(renewed(0, 0.0), RENEWED_AFTER_MIN);
}

#[test]
fn a_problem_is_kept_without_what_moves_a_cursor() {
    let said =
        OrderFailure { problem: "a\x1b[2J\nb".to_owned() + &"x".repeat(900), retry_after: None };
    let failed = Enrolment::new("a.test".to_owned(), NOW).failed(&said, false, NOW, 0.5);
    assert!(failed.problem.starts_with("a [2J bxxx"));
    assert_eq!(failed.problem.len(), PROBLEM_CHARS_MAX);
}

proptest! {
    #[test]
    fn a_rest_is_never_shorter_than_asked_for_nor_than_minutes(
        failures in 0_u32..100_000,
        dice in 0.0_f64..1.0,
        asked in proptest::option::of(0_u64..1_000_000),
    ) {
        let before = Enrolment { failures, ..Enrolment::new("a.test".to_owned(), NOW) };
        let asked = asked.map(Duration::from_secs);
        let after = before.failed(&failure(asked), true, NOW, dice);
        let rest = after.next_order_at.unwrap().since(NOW);
        prop_assert!(rest >= Duration::from_secs(11 * 60));
        prop_assert!(rest >= asked.unwrap_or_default().min(DAY * 7));
        prop_assert!(rest <= DAY * 7);
        prop_assert_eq!(after.failures, failures + 1);
    }

    #[test]
    fn a_renewal_is_due_before_the_end_of_any_certificate_that_lives_for_minutes(
        minutes in 5_u32..3_000_000,
        age in 0_u32..100,
        dice in 0.0_f64..1.0,
    ) {
        let life = Duration::from_secs(60) * minutes;
        // It may have lived a part of its life when it comes.
        let from = NOW - life.mul_f64(f64::from(age) / 200.0);
        let facts = facts(from, from + life);
        let next = Enrolment::new("a.test".to_owned(), NOW).obtained(&facts, NOW, dice);
        let at = next.next_order_at.unwrap();
        prop_assert!(at > NOW && at < facts.not_after);
    }
}
