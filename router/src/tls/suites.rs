//! Versions and cipher suites, by the names that configurations have for them.

use rustls::SupportedProtocolVersion;
use rustls::crypto::{CryptoProvider, ring};
use serde::Deserialize;

use super::PemError;

/// A version that is spoken here; older ones are not safe and not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum Version {
    /// TLS 1.2.
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    Tls13,
}

/// The versions between two, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    /// The oldest.
    pub min: Version,
    /// The newest.
    pub max: Version,
}

/// What OpenSSL calls the suites of TLS 1.2, beside their names in RFCs.
const OPENSSL: [(&str, &str); 6] = [
    ("ECDHE-ECDSA-AES256-GCM-SHA384", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
    ("ECDHE-ECDSA-AES128-GCM-SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
    ("ECDHE-ECDSA-CHACHA20-POLY1305", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"),
    ("ECDHE-RSA-AES256-GCM-SHA384", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"),
    ("ECDHE-RSA-AES128-GCM-SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
    ("ECDHE-RSA-CHACHA20-POLY1305", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
];

/// Ciphers, the one that is preferred first.
const PREFERRED: [&str; 3] = ["AES_128", "AES_256", "CHACHA20"];

impl Version {
    /// As gorouter's file has it, such as `TLSv1.2`, which it means by nothing as well.
    pub(crate) fn of_gorouter(text: &str) -> Result<Self, String> {
        match text {
            "" | "TLSv1.2" => Ok(Self::Tls12),
            "TLSv1.3" => Ok(Self::Tls13),
            other => Err(format!("`{other}` is not spoken here; take TLSv1.2 or TLSv1.3")),
        }
    }
}

impl Versions {
    pub(super) fn listed(self) -> Vec<&'static SupportedProtocolVersion> {
        let known =
            [(Version::Tls12, &rustls::version::TLS12), (Version::Tls13, &rustls::version::TLS13)];
        let is_between = |version: Version| self.min <= version && version <= self.max;
        known.into_iter().filter(|(version, _)| is_between(*version)).map(|(_, v)| v).collect()
    }
}

/// What carries these suites of TLS 1.2, and all of TLS 1.3; all if none is named. They are in the
/// order in which a Go server prefers them: those first that are safe and take the least work.
pub(super) fn provider(names: &[String]) -> Result<CryptoProvider, PemError> {
    let mut provider = ring::default_provider();
    provider.cipher_suites.sort_by_cached_key(|suite| {
        let name = format!("{:?}", suite.suite());
        PREFERRED.iter().position(|cipher| name.contains(cipher)).unwrap_or(PREFERRED.len())
    });
    if names.is_empty() {
        return Ok(provider);
    }
    let rfc_names = names.iter().map(|name| rfc_name(name)).collect::<Result<Vec<_>, _>>()?;
    provider.cipher_suites.retain(|suite| {
        let name = format!("{:?}", suite.suite());
        suite.tls13().is_some() || rfc_names.contains(&&*name)
    });
    Ok(provider)
}

fn rfc_name(name: &str) -> Result<&'static str, PemError> {
    let mut known = OPENSSL.iter();
    let found = known.find(|(openssl, rfc)| [*openssl, *rfc].contains(&name));
    found.map(|(_, rfc)| *rfc).ok_or_else(|| PemError::Suite {
        name: name.to_owned(),
        known: OPENSSL.map(|(openssl, _)| openssl).join(", "),
    })
}

#[test]
fn suites_have_two_names_each() {
    let suites = |names: &[&str]| -> Vec<String> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let suites = provider(&names).unwrap().cipher_suites;
        let old = suites.iter().filter(|suite| suite.tls13().is_none());
        old.map(|suite| format!("{:?}", suite.suite())).collect()
    };
    assert_eq!(suites(&[]).len(), OPENSSL.len());
    for (openssl, rfc) in OPENSSL {
        assert_eq!(suites(&[openssl]), [rfc]);
        assert_eq!(suites(&[rfc]), [rfc]);
    }
    let refused = provider(&["AES128-SHA".to_owned()]).unwrap_err().to_string();
    assert!(refused.contains("ECDHE-RSA-AES128-GCM-SHA256"), "{refused}");
}

#[test]
fn what_takes_the_least_work_is_preferred() {
    let suites = provider(&[]).unwrap().cipher_suites;
    let names: Vec<String> = suites.iter().map(|suite| format!("{:?}", suite.suite())).collect();
    let ciphers = ["AES_128", "AES_256", "CHACHA20"].map(|cipher| [cipher; 3]).concat();
    assert_eq!(names.len(), ciphers.len());
    assert!(names.iter().zip(ciphers).all(|(name, cipher)| name.contains(cipher)), "{names:?}");
}

#[test]
fn versions_are_those_between_two() {
    use Version::{Tls12, Tls13};
    for (min, max, count) in [(Tls12, Tls12, 1), (Tls12, Tls13, 2), (Tls13, Tls13, 1)] {
        assert_eq!(Versions { min, max }.listed().len(), count);
    }
    assert!(Versions { min: Tls13, max: Tls12 }.listed().is_empty());
    assert_eq!(Version::of_gorouter(""), Ok(Tls12));
    assert!(Version::of_gorouter("TLSv1.1").is_err());
}
