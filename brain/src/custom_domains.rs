//! Certificates for hosts of people's own: whether one can serve its host, what is kept of them, and
//! who wants to know.

mod enrolment;
mod holdings;
mod shelf;

use lattice_model::custom_domain::custom_host;
use lattice_model::{CertificateFacts, CustomDomain, ErrorName, Refusal, Time};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

pub use enrolment::Enrolment;
pub(crate) use enrolment::OrderFailure;
pub use holdings::{AcmeAccount, CustomDomains, Enrolments, Examined};
pub(crate) use holdings::{Change, Holdings, without_orders};
pub(crate) use shelf::Shelf;

/// The longest certificate with its chain, and the longest key, in bytes.
const PEM_BYTES_MAX: usize = 64 * 1024;

/// Reads a certificate and says what it is, or why it cannot serve its host: it must be for it, its
/// key must belong to it, and its time must not be over.
pub fn examine(domain: CustomDomain, now: Time) -> Result<Examined, Refusal> {
    check_host(&domain.host)?;
    let CustomDomain { host, certificate, key } = &domain;
    let chain = chain(certificate)?;
    let facts = facts(&chain[0])?;
    if !facts.names.iter().any(|name| covers(name, host)) {
        let listed =
            if facts.names.is_empty() { "no name".to_owned() } else { facts.names.join(", ") };
        return Err(refused(format!("the certificate is for {listed}, and not for {host}")));
    }
    if facts.not_after <= now {
        let (_, parsed) = X509Certificate::from_der(&chain[0]).map_err(unreadable)?;
        let when = parsed.validity().not_after;
        return Err(refused(format!("the certificate is good until {when} only; renew it")));
    }
    check_key(chain, key)?;
    Ok(Examined { domain, facts })
}

/// What was examined when it came, as the store kept it; nothing is known of it if it cannot be
/// read any more.
pub(crate) fn kept(domain: CustomDomain) -> Examined {
    let read = chain(&domain.certificate).and_then(|chain| facts(&chain[0]));
    let facts = read.unwrap_or_else(|_| CertificateFacts {
        names: Vec::new(),
        issuer: String::new(),
        not_before: Time(0),
        not_after: Time(0),
    });
    Examined { domain, facts }
}

/// Refuses what is no host that could have a certificate.
pub(crate) fn check_host(host: &str) -> Result<(), Refusal> {
    if custom_host(host).as_deref() == Some(host) {
        return Ok(());
    }
    let shown: String = host.chars().take(300).collect();
    Err(refused(format!("'{shown}' is not a host, such as shop.example.com or *.example.com")))
}

fn facts(certificate: &CertificateDer<'_>) -> Result<CertificateFacts, Refusal> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(unreadable)?;
    Ok(CertificateFacts {
        names: names(&parsed),
        issuer: parsed.issuer().to_string(),
        not_before: moment(&parsed, true),
        not_after: moment(&parsed, false),
    })
}

fn chain(pem: &str) -> Result<Vec<CertificateDer<'static>>, Refusal> {
    if pem.len() > PEM_BYTES_MAX {
        let length = pem.len();
        return Err(refused(format!("the certificate has {length} bytes; {PEM_BYTES_MAX} may be")));
    }
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match read {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) => Err(refused("there is no certificate in PEM in it".to_owned())),
        Err(why) => Err(refused(format!("the certificate is not PEM: {why}"))),
    }
}

fn check_key(chain: Vec<CertificateDer<'static>>, pem: &str) -> Result<(), Refusal> {
    if pem.len() > PEM_BYTES_MAX {
        let length = pem.len();
        return Err(refused(format!("the key has {length} bytes; {PEM_BYTES_MAX} may be")));
    }
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes())
        .map_err(|_| refused("there is no private key in PEM in it".to_owned()))?;
    match CertifiedKey::from_der(chain, key, &ring::default_provider()) {
        Ok(_) => Ok(()),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(refused("the key does not belong to the certificate".to_owned()))
        }
        Err(why) => Err(refused(format!("the key cannot be used: {why}"))),
    }
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(alternative)) = certificate.subject_alternative_name() else { return Vec::new() };
    let of_dns = alternative.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    });
    of_dns.collect()
}

/// Whether a name of a certificate covers a host: a star stands for one label.
pub fn covers(name: &str, host: &str) -> bool {
    let above = |host: &str| host.split_once('.').map(|(_, above)| format!("*.{above}"));
    name == host || (!host.starts_with("*.") && above(host).as_deref() == Some(name))
}

fn moment(certificate: &X509Certificate<'_>, is_first: bool) -> Time {
    let validity = certificate.validity();
    let moment = if is_first { validity.not_before } else { validity.not_after };
    Time(moment.timestamp().saturating_mul(1_000_000_000))
}

fn unreadable(why: impl core::fmt::Display) -> Refusal {
    refused(format!("certificate: {why}"))
}

fn refused(message: String) -> Refusal {
    Refusal::new(ErrorName::InvalidRequest, message)
}

#[cfg(test)]
mod tests;
