//! Certificates for hosts of people's own: whether one can serve its host, and who wants to know.

use std::collections::BTreeMap;
use std::sync::Arc;

use lattice_model::custom_domain::custom_host;
use lattice_model::{CustomDomain, CustomDomainStatus, ErrorName, Refusal, Time};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use tokio::sync::watch;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// The longest certificate with its chain, and the longest key, in bytes.
const PEM_BYTES_MAX: usize = 64 * 1024;
/// An owner is warned so many days before the end.
const WARN_DAYS: i64 = 30;
const NANOS_A_DAY: i64 = 86_400 * 1_000_000_000;

/// All that are kept, by host. `Debug` shows no key.
pub type CustomDomains = BTreeMap<String, Arc<CustomDomain>>;

/// Shared; the actor changes it after the commit, and the router's side follows it.
#[derive(Debug, Clone)]
pub(crate) struct Shelf(watch::Sender<CustomDomains>);

// === impl Shelf ===

impl Shelf {
    /// Those that the store kept.
    pub(crate) fn new(kept: Vec<CustomDomain>) -> Self {
        let by_host = kept.into_iter().map(|domain| (domain.host.clone(), Arc::new(domain)));
        Self(watch::Sender::new(by_host.collect()))
    }

    pub(crate) fn put(&self, domain: CustomDomain) {
        self.0.send_modify(|all| drop(all.insert(domain.host.clone(), Arc::new(domain))));
    }

    pub(crate) fn remove(&self, host: &str) {
        self.0.send_modify(|all| drop(all.remove(host)));
    }

    /// What is kept now.
    pub(crate) fn all(&self) -> CustomDomains {
        self.0.borrow().clone()
    }

    /// What is kept now and from now on.
    pub(crate) fn follow(&self) -> watch::Receiver<CustomDomains> {
        self.0.subscribe()
    }
}

/// Reads a certificate and says what it is, or why it cannot serve its host: it must be for it, its
/// key must belong to it, and its time must not be over.
pub fn examine(domain: &CustomDomain, now: Time) -> Result<CustomDomainStatus, Refusal> {
    let CustomDomain { host, certificate, key } = domain;
    if custom_host(host).as_ref() != Some(host) {
        return Err(refused(format!(
            "'{}' is not a host, such as shop.example.com or *.example.com",
            host.chars().take(300).collect::<String>()
        )));
    }
    let chain = chain(certificate)?;
    let leaf = chain[0].clone();
    let (_, parsed) =
        X509Certificate::from_der(&leaf).map_err(|why| refused(format!("certificate: {why}")))?;
    let names = names(&parsed);
    if !names.iter().any(|name| covers(name, host)) {
        let listed = if names.is_empty() { "no name".to_owned() } else { names.join(", ") };
        return Err(refused(format!("the certificate is for {listed}, and not for {host}")));
    }
    let (not_before, not_after) = (moment(&parsed, true), moment(&parsed, false));
    if not_after <= now {
        let when = parsed.validity().not_after;
        return Err(refused(format!("the certificate is good until {when} only; renew it")));
    }
    check_key(chain, key)?;
    let issuer = parsed.issuer().to_string();
    let warning = warning(not_before, not_after, now);
    Ok(CustomDomainStatus { host: host.clone(), names, issuer, not_before, not_after, warning })
}

/// What is told of one that was examined when it came: its end draws nearer.
pub(crate) fn status(domain: &CustomDomain, now: Time) -> CustomDomainStatus {
    // One that has expired since is told as such, and not hidden.
    examine(domain, now).unwrap_or_else(|why| {
        let mut status = examine(domain, Time(0)).unwrap_or_else(|_| CustomDomainStatus {
            host: domain.host.clone(),
            names: Vec::new(),
            issuer: String::new(),
            not_before: Time(0),
            not_after: Time(0),
            warning: String::new(),
        });
        status.warning = why.message;
        status
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

fn warning(not_before: Time, not_after: Time, now: Time) -> String {
    let days = (not_after.0 - now.0) / NANOS_A_DAY;
    match () {
        () if not_before > now => "the certificate is not good yet".to_owned(),
        () if days < WARN_DAYS => format!("the certificate ends in {days} days; renew it"),
        () => String::new(),
    }
}

fn refused(message: String) -> Refusal {
    Refusal::new(ErrorName::InvalidRequest, message)
}

#[cfg(test)]
mod tests;
