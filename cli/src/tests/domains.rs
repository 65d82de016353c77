//! Hosts of people's own.

use lattice_model::{ErrorName, Refusal};

use super::fakes::Machine;

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
    HOST               CERTIFICATE FOR    GOOD FOR   ISSUER
    shop.example.com   shop.example.com   20 days    CN=Some authority
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
    machine.ltc("domain add a.test").await.fails(13, &["--cert"]);
    let words = "the key does not belong to the certificate";
    machine.state().refusal = Some(Refusal::new(ErrorName::InvalidRequest, words));
    let refused = machine.ltc(&format!("domain add a.test {files}")).await;
    assert!(refused.exit != 0 && refused.stderr.contains(words), "{refused:?}");
    assert!(machine.state().custom_domains.is_empty());
}
