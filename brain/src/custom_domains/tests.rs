use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use super::*;

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
        let status = examine(&domain(host, made(names, 2030)), NOW).unwrap();
        assert_eq!((status.host.as_str(), status.warning.as_str()), (host, ""));
        assert_eq!(status.names, names);
        assert!(status.not_before < NOW && status.not_after > NOW);
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
        let refusal = examine(&domain, later).unwrap_err();
        assert_eq!(refusal.name, ErrorName::InvalidRequest);
        assert!(refusal.message.contains(words), "{}: {words}", refusal.message);
    }
}

fn days(days: u64) -> std::time::Duration {
    std::time::Duration::from_secs(days * 86_400)
}

#[test]
fn an_owner_is_warned_before_the_end_and_after_it() {
    let domain = domain("a.test", made(&["a.test"], 2026));
    assert_eq!(examine(&domain, NOW).unwrap().warning, "the certificate ends in 19 days; renew it");
    let early = Time::from_secs(1_700_000_000);
    assert_eq!(examine(&domain, early).unwrap().warning, "the certificate is not good yet");
    let over = status(&domain, NOW + days(400));
    assert!(over.warning.contains("renew it") && over.names == ["a.test"], "{over:?}");
}

#[test]
fn those_who_follow_see_what_comes_and_goes() {
    let shelf = Shelf::new(vec![domain("a.test", (String::new(), "secret".to_owned()))]);
    let mut followed = shelf.follow();
    assert_eq!(followed.borrow_and_update().len(), 1);
    shelf.put(domain("b.test", Default::default()));
    shelf.remove("a.test");
    assert!(followed.has_changed().unwrap());
    assert_eq!(followed.borrow_and_update().keys().collect::<Vec<_>>(), ["b.test"]);
    assert!(!format!("{shelf:?}").contains("secret"));
}
