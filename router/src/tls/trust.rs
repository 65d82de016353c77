//! Whom we trust as an endpoint: who shows a certificate that a trusted one vouches for, or exactly
//! a trusted one. The latter is usual for self-signed certificates, which say of themselves that
//! they vouch for others; such a one is no leaf to `webpki`.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::{PemError, refused};

/// Trusts those, and nobody else; or everyone, if that is what was asked for.
#[derive(Debug)]
struct Verifier {
    /// None when nobody vouches for anyone.
    chains: Option<Arc<WebPkiServerVerifier>>,
    pinned: Vec<CertificateDer<'static>>,
    trusts_all: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

/// The verifier.
pub(super) fn verifier(
    trusted: &[CertificateDer<'static>],
    provider: Arc<CryptoProvider>,
    verifies: bool,
) -> Result<Arc<dyn ServerCertVerifier>, PemError> {
    let mut roots = RootCertStore::empty();
    // One that cannot be parsed among the system's vouches for nobody.
    roots.add_parsable_certificates(trusted.iter().cloned());
    let algorithms = provider.signature_verification_algorithms;
    let chains = match roots.is_empty() {
        true => None,
        false => {
            let roots = Arc::new(roots);
            let built = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
            Some(built.map_err(refused)?)
        }
    };
    let (pinned, trusts_all) = (trusted.to_vec(), !verifies);
    Ok(Arc::new(Verifier { chains, pinned, trusts_all, algorithms }))
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.trusts_all {
            return Ok(ServerCertVerified::assertion());
        }
        if self.pinned.iter().any(|pinned| **pinned == **end_entity) {
            verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            return Ok(ServerCertVerified::assertion());
        }
        let unknown = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let chains = self.chains.as_ref().ok_or(unknown)?;
        chains.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
