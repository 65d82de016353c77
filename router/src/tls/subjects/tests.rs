//! Chains of made certificates, and rules about them.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, DnValue, IsCa, KeyPair};

use super::*;

/// A common name, and the units.
fn named(common_name: &str, units: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    if let [unit] = units {
        let unit = DnValue::Utf8String((*unit).to_owned());
        params.distinguished_name.push(DnType::OrganizationalUnitName, unit);
    }
    // Nobody is told apart by what rules cannot name.
    params.distinguished_name.push(DnType::CustomDnType(vec![1, 2, 3, 4]), "x");
    params
}

fn authority(common_name: &str) -> CertificateParams {
    let mut params = named(common_name, &[]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn key() -> KeyPair {
    KeyPair::generate().unwrap()
}

fn subject(common_name: &str, units: &[&str]) -> Subject {
    let organisation_unit = units.iter().map(|&unit| unit.to_owned()).collect();
    Subject { common_name: common_name.to_owned(), organisation_unit, ..Subject::default() }
}

fn rule(issuer: &str, valid: &[(&str, &[&str])]) -> SubjectRule {
    SubjectRule {
        issuer_in_chain: subject(issuer, &[]),
        valid_cert_subjects: valid.iter().map(|(name, units)| subject(name, units)).collect(),
    }
}

#[test]
fn who_has_an_authority_in_his_chain_must_have_a_name_that_is_listed_for_it() {
    let root = CertifiedIssuer::self_signed(authority("root"), key()).unwrap();
    let between = CertifiedIssuer::signed_by(authority("between"), key(), &root).unwrap();
    let stranger = CertifiedIssuer::self_signed(authority("stranger"), key()).unwrap();
    let leaf = |name: &str, units: &[&str], issuer: &CertifiedIssuer<'_, KeyPair>| {
        named(name, units).signed_by(&key(), &**issuer).unwrap().der().clone()
    };
    let direct = leaf("client", &["a"], &root);
    let through = leaf("client", &[], &between);
    let between = [between.der().clone()];
    let unrelated = [stranger.der().clone()];
    let allowed = |issuer| rule(issuer, &[("other", &[]), ("client", &["a"]), ("client", &[])]);
    for (about, rules, leaf, others, is_let_in) in [
        ("no rules", vec![], &direct, &[][..], true),
        ("listed", vec![allowed("root")], &direct, &[], true),
        ("another name", vec![rule("root", &[("other", &["a"])])], &direct, &[], false),
        ("a unit missing", vec![rule("root", &[("client", &[])])], &direct, &[], false),
        ("a unit too many", vec![rule("root", &[("client", &["a", "b"])])], &direct, &[], false),
        ("nobody is listed", vec![rule("root", &[])], &direct, &[], false),
        ("another authority's", vec![rule("between", &[])], &direct, &[], true),
        ("not in its chain", vec![rule("stranger", &[])], &direct, &unrelated, true),
        ("one above", vec![rule("between", &[])], &through, &between, false),
        ("two above", vec![rule("root", &[])], &through, &between, false),
        ("both allow it", vec![allowed("between"), allowed("root")], &through, &between, true),
        ("one does not", vec![allowed("between"), rule("root", &[])], &through, &between, false),
        ("a name is not part of another", vec![rule("roo", &[])], &direct, &[], true),
    ] {
        assert_eq!(judge(&rules, leaf, others).is_ok(), is_let_in, "{about}");
    }
}

#[test]
fn a_chain_of_which_a_certificate_cannot_be_read_is_refused() {
    let root = CertifiedIssuer::self_signed(authority("root"), key()).unwrap();
    let between = CertifiedIssuer::signed_by(authority("between"), key(), &root).unwrap();
    let leaf = named("client", &[]).signed_by(&key(), &*between).unwrap().der().clone();
    let between = between.der().clone();
    let nonsense = CertificateDer::from(vec![1, 2, 3]);
    let cut = CertificateDer::from(between[..between.len() - 1].to_vec());
    let rules = [rule("elsewhere", &[])];
    let unreadable = Err(Error::InvalidCertificate(CertificateError::BadEncoding));
    for (about, leaf, others, expected) in [
        ("all can be read", &leaf, vec![&between], Ok(())),
        ("not the client's own", &nonsense, vec![], unreadable.clone()),
        ("not the one above", &leaf, vec![&cut], unreadable.clone()),
        ("one that nobody needs", &leaf, vec![&between, &nonsense], unreadable),
    ] {
        let others: Vec<_> = others.into_iter().cloned().collect();
        assert_eq!(judge(&rules, leaf, &others), expected, "{about}");
    }
}

#[test]
fn a_rule_for_nobody_is_found() {
    let root = CertifiedIssuer::self_signed(authority("root"), key()).unwrap();
    let known = [root.der().clone()];
    let (right, wrong) = (rule("root", &[]), rule("rooot", &[]));
    assert_eq!(rule_without_authority(std::slice::from_ref(&right), &known), None);
    assert_eq!(rule_without_authority(&[right, wrong.clone()], &known), Some(&wrong));
}
