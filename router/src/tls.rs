//! TLS as the router speaks it: what files say, as what `rustls` takes.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;

/// A certificate with those that vouch for it, and its key.
pub(crate) struct Identity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

/// Why a text is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PemError {
    #[error("there is no certificate in it")]
    NoCertificate,
    #[error("there is no private key in it")]
    NoKey,
    #[error("it is not PEM: {0}")]
    Malformed(String),
    #[error("rustls refuses it: {0}")]
    Refused(String),
}

impl Identity {
    /// Reads both from PEM.
    pub(crate) fn of_pem(chain: &str, key: &str) -> Result<Self, PemError> {
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| PemError::NoKey)?;
        Ok(Self { chain: certificates(chain)?, key })
    }
}

/// The certificates of a PEM text; at least one.
pub(crate) fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let read = read.map_err(|error| PemError::Malformed(error.to_string()))?;
    if read.is_empty() { Err(PemError::NoCertificate) } else { Ok(read) }
}

/// Who is trusted, from PEM.
pub(crate) fn roots(pem: &str) -> Result<RootCertStore, PemError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(|error| PemError::Refused(error.to_string()))?;
    }
    Ok(roots)
}

/// What a status port speaks: one certificate, and only to clients whom `clients` vouches for,
/// where that is given.
pub(crate) fn status_server(
    identity: Identity,
    clients: Option<RootCertStore>,
) -> Result<rustls::ServerConfig, PemError> {
    let refused = |error: &dyn std::fmt::Display| PemError::Refused(error.to_string());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| refused(&error))?;
    let config = match clients {
        None => config.with_no_client_auth(),
        Some(roots) => {
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            config.with_client_cert_verifier(verifier.map_err(|error| refused(&error))?)
        }
    };
    config.with_single_cert(identity.chain, identity.key).map_err(|error| refused(&error))
}
