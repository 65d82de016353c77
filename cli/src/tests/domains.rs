//! Hosts of people's own.

use lattice_model::{CertificateState, CustomDomainStatus, ErrorName, OrderStatus, Refusal, Time};

use super::fakes::{Machine, certificate_of};

fn machine() -> (Machine, String) {
    let machine = Machine::targeted();
    machine.write("cert.pem", "a certificate");
    machine.write("key.pem", "a key");
    let path = |name: &str| machine.home.path().join(name).to_str().unwrap().to_owned();
    let files = format!("--cert {} --key {}", path("cert.pem"), path("key.pem"));
    (machine, files)
}

#[tokio::test]
async fn a_host_is_added_with_its_files_listed_and_removed() {
    let (machine, files) = machine();
    let ran = machine.ltc(&format!("domain add Shop.example.com {files}")).await.succeeds();
    assert!(ran.stderr.contains("https is served for shop.example.com from now on"), "{ran:?}");
    assert!(ran.stderr.contains("the certificate ends in 20 days; renew it"), "{ran:?}");
    let kept = machine.state().custom_domains["shop.example.com"].clone();
    assert_eq!((kept.certificate.as_str(), kept.key.as_str()), ("a certificate", "a key"));
    let listed = machine.ltc("domain list").await.succeeds();
    insta::assert_snapshot!(listed.stdout, @r"
    HOST               STATE   CERTIFICATE FOR    GOOD FOR   ISSUER
    shop.example.com   valid   shop.example.com   20 days    CN=Some authority
    ");
    let json = machine.ltc("domain list -o json").await.succeeds().json();
    assert_eq!(json[0]["host"], "shop.example.com");
    assert!(json[0].get("key").is_none());
    machine.ltc("domain remove shop.example.com").await.succeeds();
    machine.ltc("domain remove shop.example.com").await.fails(14, &["ltc domain list"]);
    assert_eq!(machine.ltc("domain ls").await.succeeds().stdout, "no custom domains\n");
}

#[tokio::test]
async fn what_cannot_be_is_refused_before_and_by_the_platform() {
    let (machine, files) = machine();
    machine.ltc(&format!("domain add shop {files}")).await.fails(13, &["'shop' is not a host"]);
    let missing = machine.ltc("domain add a.test --cert /no/such --key /no/such").await;
    missing.fails(12, &["cannot read /no/such"]);
    machine.ltc("domain add a.test --cert /no/such").await.fails(13, &["--key"]);
    let words = "the key does not belong to the certificate";
    machine.state().refusal = Some(Refusal::new(ErrorName::InvalidRequest, words));
    let refused = machine.ltc(&format!("domain add a.test {files}")).await;
    assert!(refused.exit != 0 && refused.stderr.contains(words), "{refused:?}");
    assert!(machine.state().custom_domains.is_empty());
}

/// What is told of a host while its certificate is ordered, after so many failures.
fn ordered(failures: u32, is_open: bool) -> CustomDomainStatus {
    let next_order_at = Some(Time::from_secs(2_000));
    let problem = "no such host (dns)".to_owned();
    CustomDomainStatus {
        host: "shop.test".to_owned(),
        state: if failures == 0 { CertificateState::Pending } else { CertificateState::Failed },
        certificate: None,
        order: Some(OrderStatus { is_open, failures, problem, next_order_at }),
        warning: if failures == 0 { "" } else { "no certificate: no such\x1b host (dns)" }.into(),
    }
}

fn came() -> CustomDomainStatus {
    let order = OrderStatus { is_open: false, ..ordered(0, false).order.unwrap() };
    CustomDomainStatus { order: Some(order), warning: String::new(), ..certificate_of("shop.test") }
}

#[tokio::test]
async fn a_host_without_files_has_its_certificate_ordered_and_is_waited_for() {
    let machine = Machine::targeted();
    machine.state().order_looks = [ordered(0, true), ordered(0, true), came()].into();
    let ran = machine.ltc("domain add Shop.test").await.succeeds();
    assert_eq!(machine.state().ordered.as_deref(), Some("shop.test"));
    assert!(ran.stderr.contains("a certificate for shop.test is ordered"), "{ran:?}");
    assert!(ran.stderr.contains("https is served for shop.test from now on"), "{ran:?}");
    machine.state().order_looks = [ordered(0, true), came()].into();
    let json = machine.ltc("domain add shop.test -o json").await.succeeds().json();
    assert_eq!((&json["state"], &json["order"]["is_open"]), (&"valid".into(), &false.into()));
}

#[tokio::test]
async fn an_order_that_fails_or_takes_too_long_says_why_and_what_to_do() {
    let machine = Machine::targeted();
    machine.state().order_looks = [ordered(0, true), ordered(1, false)].into();
    let ran = machine.ltc("domain add shop.test").await;
    ran.fails(14, &["no such\\u{1b} host (dns)", "ltc domain add shop.test"]);
    machine.state().order_looks = [ordered(0, true)].into();
    let late = machine.ltc("domain add shop.test --timeout 0").await;
    late.fails(14, &["no certificate came within 0s", "ltc domain list"]);
    machine.state().order_looks = [ordered(1, false)].into();
    let listed = machine.ltc("domain list").await.succeeds();
    insta::assert_snapshot!(listed.stdout, @r"
    HOST        STATE    CERTIFICATE FOR   GOOD FOR   ISSUER
    shop.test   failed   -                 -          -
    ");
    assert!(!listed.stderr.contains('\x1b'), "{listed:?}");
    let words = "its operator has not agreed";
    machine.state().refusal = Some(Refusal::new(ErrorName::InvalidRequest, words));
    machine.ltc("domain add shop.test").await.fails(14, &[words]);
}
