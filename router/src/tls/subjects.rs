//! Which clients an authority may vouch for: a certificate in whose chain a named authority stands
//! must have one of the subjects that are listed for it.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use serde::Deserialize;
use x509_parser::oid_registry::Oid;
use x509_parser::prelude::{FromDer as _, X509Certificate, X509Name};

/// Whom an authority may vouch for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct SubjectRule {
    /// The authority: the subject of any certificate that vouches for the client's.
    pub issuer_in_chain: Subject,
    /// Whom it may vouch for.
    pub valid_cert_subjects: Vec<Subject>,
}

/// The name of who has a certificate; what is left out it must not have. What there are several of
/// has an order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Subject {
    /// `C`.
    pub country: Vec<String>,
    /// `O`.
    #[serde(rename = "organization")]
    pub organisation: Vec<String>,
    /// `OU`.
    #[serde(rename = "organizational_unit")]
    pub organisation_unit: Vec<String>,
    /// `CN`.
    pub common_name: String,
    /// `serialNumber`, of the name.
    pub serial_number: String,
    /// `L`.
    pub locality: Vec<String>,
    /// `ST`.
    pub province: Vec<String>,
    /// `street`.
    pub street_address: Vec<String>,
    /// `postalCode`.
    pub postal_code: Vec<String>,
}

/// A verifier that looks at subjects as well.
#[derive(Debug)]
struct Guarded {
    inner: Arc<dyn ClientCertVerifier>,
    rules: Vec<SubjectRule>,
}

/// What verifies clients' certificates, and holds them to these rules.
pub(super) fn guarded(
    inner: Arc<dyn ClientCertVerifier>,
    rules: Vec<SubjectRule>,
) -> Arc<dyn ClientCertVerifier> {
    if rules.is_empty() { inner } else { Arc::new(Guarded { inner, rules }) }
}

/// The first rule whose authority is none of these: it would never be looked at.
pub(crate) fn rule_without_authority<'r>(
    rules: &'r [SubjectRule],
    authorities: &[CertificateDer<'_>],
) -> Option<&'r SubjectRule> {
    let known: Vec<Names> = authorities.iter().filter_map(Names::of).collect();
    rules.iter().find(|rule| !known.iter().any(|names| names.subject == rule.issuer_in_chain))
}

/// Whether a chain whose signatures are right obeys the rules. Whoever cannot be read could be an
/// authority that a rule is for: then nobody is let in.
fn judge(
    rules: &[SubjectRule],
    leaf: &CertificateDer<'_>,
    others: &[CertificateDer<'_>],
) -> Result<(), Error> {
    let unreadable = Error::InvalidCertificate(CertificateError::BadEncoding);
    let leaf = Names::of(leaf).ok_or_else(|| unreadable.clone())?;
    let others: Option<Vec<Names>> = others.iter().map(Names::of).collect();
    let others = others.ok_or(unreadable)?;
    let above = authorities_above(&leaf, &others);
    let broken = rules.iter().find(|rule| {
        above.contains(&&rule.issuer_in_chain) && !rule.valid_cert_subjects.contains(&leaf.subject)
    });
    match broken {
        None => Ok(()),
        Some(_) => Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)),
    }
}

/// Everyone who may have vouched for a certificate, by the names of issuers.
fn authorities_above<'n>(leaf: &'n Names, others: &'n [Names]) -> Vec<&'n Subject> {
    let mut above = vec![&leaf.issuer];
    let mut looked_at = 0;
    while let Some(authority) = above.get(looked_at).copied() {
        looked_at += 1;
        for other in others.iter().filter(|other| other.subject == *authority) {
            if !above.contains(&&other.issuer) {
                above.push(&other.issuer);
            }
        }
    }
    above
}

/// Who a certificate is for, and who vouches for it.
struct Names {
    subject: Subject,
    issuer: Subject,
}

// === impl Names ===

impl Names {
    fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, read) = X509Certificate::from_der(certificate).ok()?;
        Some(Self { subject: Subject::of(read.subject()), issuer: Subject::of(read.issuer()) })
    }
}

// === impl Subject ===

/// The numbers of the parts of a name (RFC 5280, appendix A.1; X.520).
const COMMON_NAME: &[u64] = &[2, 5, 4, 3];
const SERIAL_NUMBER: &[u64] = &[2, 5, 4, 5];
const COUNTRY: &[u64] = &[2, 5, 4, 6];
const LOCALITY: &[u64] = &[2, 5, 4, 7];
const PROVINCE: &[u64] = &[2, 5, 4, 8];
const STREET: &[u64] = &[2, 5, 4, 9];
const ORGANISATION: &[u64] = &[2, 5, 4, 10];
const ORGANISATION_UNIT: &[u64] = &[2, 5, 4, 11];
const POSTAL_CODE: &[u64] = &[2, 5, 4, 17];

impl Subject {
    fn of(name: &X509Name<'_>) -> Self {
        let all = |number: &[u64]| -> Vec<String> {
            let oid = Oid::from(number).expect("the numbers above are some");
            let parts = name.iter_by_oid(&oid);
            // What cannot be read is nobody's name.
            parts.map(|part| part.as_str().unwrap_or("\u{fffd}").to_owned()).collect()
        };
        // Names have one of these; of several the last counts.
        let last = |number: &[u64]| all(number).pop().unwrap_or_default();
        Self {
            country: all(COUNTRY),
            organisation: all(ORGANISATION),
            organisation_unit: all(ORGANISATION_UNIT),
            common_name: last(COMMON_NAME),
            serial_number: last(SERIAL_NUMBER),
            locality: all(LOCALITY),
            province: all(PROVINCE),
            street_address: all(STREET),
            postal_code: all(POSTAL_CODE),
        }
    }
}

// === impl Guarded ===

impl ClientCertVerifier for Guarded {
    fn offer_client_auth(&self) -> bool {
        self.inner.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.inner.verify_client_cert(end_entity, intermediates, now)?;
        judge(&self.rules, end_entity, intermediates).map(|()| verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests;
