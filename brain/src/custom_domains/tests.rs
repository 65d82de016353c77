use std::sync::Arc;

use lattice_model::CertificateState;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use super::*;
use crate::board::Write;

/// 2026-06-01.
const NOW: Time = Time::from_secs(1_780_272_000);

/// A certificate for these names, good from 2026 to a year, and its key.
fn made(names: &[&str], last_year: i32) -> (String, String) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(last_year, 6, 20);
    let key = KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn domain(host: &str, (certificate, key): (String, String)) -> CustomDomain {
    CustomDomain { host: host.to_owned(), certificate, key }
}

#[test]
fn a_certificate_for_its_host_is_taken_and_told() {
    for (host, names) in [
        ("shop.example.com", &["shop.example.com"][..]),
        ("shop.example.com", &["other.test", "*.example.com"]),
        ("*.example.com", &["*.example.com"]),
    ] {
        let Examined { domain, facts } = examine(domain(host, made(names, 2030)), NOW).unwrap();
        assert_eq!(domain.host, host);
        assert_eq!(facts.names, names);
        assert!(facts.not_before < NOW && facts.not_after > NOW);
    }
}

#[test]
fn one_that_cannot_serve_its_host_is_refused_with_the_reason() {
    let good = || made(&["shop.example.com"], 2030);
    for (domain, words) in [
        (domain("shop", good()), "'shop' is not a host"),
        (domain("Shop.example.com", good()), "is not a host"),
        (domain("a.example.com", good()), "is for shop.example.com, and not for a.example.com"),
        (domain("*.example.com", good()), "and not for *.example.com"),
        (domain("a.b.test", made(&["*.test"], 2030)), "is for *.test, and not for a.b.test"),
        (domain("a.test", made(&["*.test"], 2026)), "renew it"),
        (domain("a.test", made(&[], 2030)), "is for no name, and not for a.test"),
        (domain("shop.example.com", (good().0, good().1)), "does not belong"),
        (domain("shop.example.com", (String::new(), good().1)), "no certificate in PEM"),
        (domain("shop.example.com", (good().0, good().0)), "no private key in PEM"),
        (domain("shop.example.com", ("x".repeat(70_000), good().1)), "has 70000 bytes; 65536"),
    ] {
        let later = if words == "renew it" { NOW + days(400) } else { NOW };
        let refusal = examine(domain, later).unwrap_err();
        assert_eq!(refusal.name, ErrorName::InvalidRequest);
        assert!(refusal.message.contains(words), "{}: {words}", refusal.message);
    }
}

fn days(days: u64) -> std::time::Duration {
    std::time::Duration::from_secs(days * 86_400)
}

/// What is kept after these changes.
fn after(changes: Vec<Change>) -> Holdings {
    let mut holdings = Holdings::default();
    for change in changes {
        holdings.apply(change, NOW).unwrap();
    }
    holdings
}

fn given(host: &str, last_year: i32) -> Examined {
    examine(domain(host, made(&[host], last_year)), NOW).unwrap()
}

fn warning(holdings: &Holdings, now: Time) -> (CertificateState, String) {
    let status = holdings.statuses(now).remove(0);
    (status.state, status.warning)
}

#[test]
fn an_owner_is_warned_before_the_end_and_after_it() {
    use CertificateState::{Failed, Valid};
    let holdings = after(vec![Change::Give(given("a.test", 2026))]);
    let ends = "the certificate ends in 19 days; renew it";
    let over = "the certificate is over; renew it";
    let early = Time::from_secs(1_700_000_000);
    for (now, state, words) in [
        (NOW, Valid, ends),
        (early, Valid, "the certificate is not good yet"),
        (NOW + days(400), Failed, over),
    ] {
        assert_eq!(warning(&holdings, now), (state, words.to_owned()));
    }
    let long = after(vec![Change::Give(given("a.test", 2030))]);
    assert_eq!(warning(&long, NOW), (Valid, String::new()));
}

fn failure() -> OrderFailure {
    OrderFailure { problem: "no such host".to_owned(), retry_after: None }
}

#[test]
fn a_host_is_pending_until_its_order_came_to_something() {
    let mut holdings = after(vec![Change::Enrol("a.test".to_owned())]);
    let status = |holdings: &Holdings| holdings.statuses(NOW).remove(0);
    let pending = status(&holdings);
    assert_eq!((pending.state, pending.certificate), (CertificateState::Pending, None));
    assert!(pending.order.unwrap().is_open);

    let begun = Arc::clone(&holdings.enrolments["a.test"]);
    let enrolment = begun.failed(&failure(), false, NOW, 0.5);
    let writes = holdings.apply(Change::Failed(begun, enrolment.clone()), NOW).unwrap();
    assert_eq!(writes, [Write::PutEnrolment(enrolment)]);
    let failed = status(&holdings);
    assert_eq!(failed.state, CertificateState::Failed);
    let words = "no certificate after 1 order: no such host; the next order is in 15 minutes";
    assert_eq!(failed.warning, words);
    assert!(!failed.order.unwrap().is_open);

    holdings.apply(Change::Enrol("a.test".to_owned()), NOW).unwrap();
    assert_eq!(status(&holdings).state, CertificateState::Pending, "it is ordered at once");

    let came = given("a.test", 2030);
    let enrolment = holdings.enrolments["a.test"].obtained(&came.facts, NOW, 0.0);
    holdings.apply(Change::Obtained(came.clone(), enrolment), NOW).unwrap();
    let valid = status(&holdings);
    assert_eq!((valid.state, valid.warning.as_str()), (CertificateState::Valid, ""));
    assert_eq!(valid.certificate, Some(came.facts));
    let again = holdings.apply(Change::Enrol("a.test".to_owned()), NOW).unwrap();
    assert_eq!(again, [], "all is well with it");

    let begun = Arc::clone(&holdings.enrolments["a.test"]);
    let enrolment = begun.failed(&failure(), true, NOW, 0.5);
    holdings.apply(Change::Failed(begun, enrolment), NOW).unwrap();
    assert_eq!(status(&holdings).state, CertificateState::Valid, "what it has is good");
    assert!(status(&holdings).warning.contains("no such host"));
}

#[test]
fn who_does_not_want_an_ordered_certificate_any_more_does_not_get_it() {
    for change in [Change::Forget("a.test".to_owned()), Change::Give(given("a.test", 2029))] {
        let mut holdings = after(vec![Change::Enrol("a.test".to_owned())]);
        let came = given("a.test", 2030);
        let begun = Arc::clone(&holdings.enrolments["a.test"]);
        let enrolment = begun.obtained(&came.facts, NOW, 0.0);
        holdings.apply(change, NOW).unwrap();
        let before = holdings.clone();
        let late = Change::Obtained(came, enrolment.clone());
        assert_eq!(holdings.apply(late, NOW).unwrap(), []);
        assert_eq!(holdings.apply(Change::Failed(begun, enrolment), NOW).unwrap(), []);
        assert_eq!(holdings, before);
    }
}

#[test]
fn a_failure_does_not_end_what_was_asked_for_while_it_came() {
    let mut holdings = after(vec![Change::Enrol("a.test".to_owned())]);
    let begun = Arc::clone(&holdings.enrolments["a.test"]);
    let failed = begun.failed(&failure(), false, NOW, 0.5);
    holdings.apply(Change::Enrol("a.test".to_owned()), NOW + days(1)).unwrap();
    let before = holdings.clone();
    assert_eq!(holdings.apply(Change::Failed(begun, failed), NOW).unwrap(), []);
    assert_eq!(holdings, before);
}

#[test]
fn an_authority_that_wants_to_be_left_alone_is_whoever_asks() {
    let mut holdings = after(vec![Change::Enrol("a.test".to_owned())]);
    let begun = Arc::clone(&holdings.enrolments["a.test"]);
    let limited = OrderFailure { retry_after: Some(days(1)), ..failure() };
    let failed = begun.failed(&limited, false, NOW, 0.5);
    let mut due = |change: Change, now: Time| {
        holdings.apply(change, now).unwrap();
        holdings.enrolments["a.test"].next_order_at
    };
    let again = || Change::Enrol("a.test".to_owned());
    assert_eq!(due(again(), NOW + days(0)), Some(NOW));
    assert_eq!(due(Change::Failed(begun.clone(), failed.clone()), NOW), Some(NOW + days(1)));
    assert_eq!(due(again(), NOW + days(1) / 2), Some(NOW + days(1)));
    let later = NOW + days(1);
    assert_eq!(due(again(), later), Some(later), "its time is over");
    assert_eq!(due(Change::Failed(begun, failed), later), Some(later));
}

#[test]
fn a_certificate_that_was_lost_with_the_stores_key_is_ordered_at_once() {
    let came = given("a.test", 2030);
    let begun = Enrolment::new("a.test".to_owned(), NOW);
    let obtained = begun.obtained(&came.facts, NOW, 0.0);
    let failed = begun.failed(&failure(), false, NOW, 0.5);
    let due_of = |kept: Vec<CustomDomain>, enrolment: &Enrolment| {
        let holdings = Holdings::new(kept, vec![enrolment.clone()], Vec::new());
        holdings.enrolments["a.test"].is_due(NOW)
    };
    assert!(!due_of(vec![came.domain], &obtained), "it is there");
    assert!(due_of(Vec::new(), &obtained), "it is lost");
    assert!(!due_of(Vec::new(), &failed), "it never came");
}

#[test]
fn one_host_more_than_there_may_be_is_refused_and_one_that_is_there_is_not() {
    let host = |nth: usize| format!("host-{nth}.test");
    let mut holdings = after((0..999).map(|nth| Change::Enrol(host(nth))).collect());
    holdings.apply(Change::Give(given("host-5.test", 2030)), NOW).unwrap();
    holdings.apply(Change::Give(given("last.test", 2030)), NOW).unwrap();
    for change in [Change::Enrol(host(1000)), Change::Give(given("more.test", 2030))] {
        let refusal = holdings.apply(change, NOW).unwrap_err();
        assert_eq!(refusal.name, ErrorName::TooManyRequests);
        assert!(refusal.message.starts_with("there are 1000 custom domains"), "{refusal}");
    }
    holdings.apply(Change::Give(given("host-7.test", 2030)), NOW).unwrap();
    holdings.apply(Change::Forget("last.test".to_owned()), NOW).unwrap();
    let gone = holdings.apply(Change::Forget("last.test".to_owned()), NOW).unwrap_err();
    assert_eq!(gone.name, ErrorName::CustomDomainNotFound);
    holdings.apply(Change::Enrol(host(1000)), NOW).unwrap();
}

#[test]
fn those_who_follow_see_what_comes_and_goes_and_nothing_else() {
    let kept = domain("a.test", (String::new(), "secret".to_owned()));
    let shelf = Shelf::new(vec![kept], Vec::new(), Vec::new());
    let mut followed = shelf.follow();
    let mut enrolments = shelf.follow_enrolments();
    assert_eq!(followed.borrow_and_update().len(), 1);
    let change = |change: Change| {
        let mut holdings = shelf.holdings();
        holdings.apply(change, NOW).unwrap();
        shelf.publish(holdings);
    };
    change(Change::Enrol("a.test".to_owned()));
    assert!(!followed.has_changed().unwrap(), "no certificate is another one");
    assert!(enrolments.has_changed().unwrap());
    assert_eq!(enrolments.borrow_and_update().keys().collect::<Vec<_>>(), ["a.test"]);
    change(Change::Give(given("b.test", 2030)));
    assert!(!enrolments.has_changed().unwrap());
    change(Change::Forget("a.test".to_owned()));
    assert!(followed.has_changed().unwrap());
    assert_eq!(followed.borrow_and_update().keys().collect::<Vec<_>>(), ["b.test"]);
    let credentials = "hidden".to_owned();
    change(Change::Account(AcmeAccount { directory: "d".to_owned(), credentials }));
    let shown = format!("{shelf:?}");
    assert!(!shown.contains("secret") && !shown.contains("hidden") && shown.contains("b.test"));
}

#[test]
fn an_order_that_is_due_and_that_nobody_makes_is_warned_of() {
    let mut holdings = after(vec![Change::Enrol("a.test".to_owned())]);
    let told = |holdings: &Holdings, now| {
        let status = without_orders(holdings.statuses(now).remove(0));
        (status.state, status.warning)
    };
    let (state, warning) = told(&holdings, NOW);
    assert_eq!(state, CertificateState::Pending);
    assert!(warning.contains("--acme-accept-terms"), "{warning}");

    let came = given("a.test", 2030);
    let enrolment = holdings.enrolments["a.test"].obtained(&came.facts, NOW, 0.0);
    holdings.apply(Change::Obtained(came, enrolment), NOW).unwrap();
    assert_eq!(told(&holdings, NOW), (CertificateState::Valid, String::new()));
    let (state, warning) = told(&holdings, NOW + days(4 * 365));
    assert_eq!(state, CertificateState::Valid);
    assert!(warning.starts_with("an order is due"), "{warning}");
    let (state, warning) = told(&holdings, NOW + days(5 * 365));
    assert_eq!(state, CertificateState::Failed);
    assert!(warning.starts_with("the certificate is over; renew it; an order"), "{warning}");
}
