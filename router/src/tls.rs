//! TLS as the router speaks it, in front and to endpoints: what files say, as what `rustls` takes.

mod certificates;
mod subjects;
mod suites;
mod trust;

use core::fmt::Display;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{ClientConfig, Connection, HandshakeKind, RootCertStore, ServerConfig};

use crate::challenges::ACME_TLS;

pub use certificates::Certificates;
pub(crate) use certificates::unread;
pub(crate) use subjects::rule_without_authority;
pub use subjects::{Subject, SubjectRule};
pub use suites::{Version, Versions};

/// HTTP/2's name in a handshake.
pub(crate) const HTTP2: &[u8] = b"h2";

/// A certificate with those that vouch for it, and its key.
#[derive(Debug)]
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// Why a text is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    /// Nothing that could be one.
    #[error("there is no certificate in it")]
    NoCertificate,
    /// Nothing that could be one.
    #[error("there is no private key in it")]
    NoKey,
    /// Neither could be looked for.
    #[error("it is not PEM: {0}")]
    Malformed(String),
    /// It is what it should be, and cannot be used.
    #[error("rustls refuses it: {0}")]
    Refused(String),
    /// No cipher suite of ours has this name.
    #[error("`{name}` is no cipher suite of this router; it has {known}")]
    Suite {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
}

/// Which clients must show a certificate.
#[derive(Debug, Clone, Default)]
pub enum Clients {
    /// None.
    #[default]
    Unasked,
    /// Those that have one; who vouches for them.
    Asked(RootCertStore),
    /// All; who vouches for them.
    Required(RootCertStore),
}

/// What is spoken in front.
#[derive(Debug)]
pub struct Front {
    /// Who we are, by the name that is asked for.
    pub certificates: Arc<Certificates>,
    /// Which clients must show a certificate.
    pub clients: Clients,
    /// Whom authorities may vouch for; anyone where nothing is said of one.
    pub subject_rules: Vec<SubjectRule>,
    /// Which versions are spoken.
    pub versions: Versions,
    /// Which cipher suites, by their names in OpenSSL or in RFCs; all that are safe if empty.
    pub cipher_suites: Vec<String>,
    /// HTTP/2 is spoken to clients that ask for it.
    pub speaks_http2: bool,
    /// Authorities that ask for a proof are answered.
    pub answers_challenges: bool,
}

/// What clients under TLS are met with.
#[derive(Debug, Clone)]
pub struct FrontTls {
    pub(crate) server: Arc<ServerConfig>,
    clients: Arc<dyn ClientCertVerifier>,
}

/// What is spoken to endpoints under TLS; by default nobody is trusted.
#[derive(Debug, Clone)]
pub struct BackendTls(pub(crate) Arc<ClientConfig>);

impl Identity {
    /// Reads both from PEM.
    pub fn of_pem(chain: &str, key: &str) -> Result<Self, PemError> {
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| PemError::NoKey)?;
        Ok(Self { chain: certificates(chain)?, key })
    }

    /// The certificate, and those that vouch for it.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }
}

impl Default for BackendTls {
    fn default() -> Self {
        let config = client(&[], None, true).expect("without certificates nothing can be wrong");
        Self(Arc::new(config))
    }
}

impl BackendTls {
    /// Trusts whom these certificates vouch for, or everyone unless it `verifies`, and shows this
    /// one where it is asked for.
    pub fn new(
        roots: &[CertificateDer<'static>],
        identity: Option<Identity>,
        verifies: bool,
    ) -> Result<Self, PemError> {
        Ok(Self(Arc::new(client(roots, identity, verifies)?)))
    }
}

impl Front {
    /// As listeners take it.
    pub fn config(self) -> Result<FrontTls, PemError> {
        let provider = suites::provider(&self.cipher_suites)?;
        let versions = self.versions.listed();
        let clients = subjects::guarded(verifier(self.clients)?, self.subject_rules);
        let config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&versions)
            .map_err(refused)?
            .with_client_cert_verifier(clients.clone());
        let mut config = config.with_cert_resolver(self.certificates);
        // Clients order suites for servers they do not know; as gorouter, this one has its own order.
        config.ignore_client_order = true;
        // A session is resumed by what its client keeps, however many there are.
        config.ticketer = ring::Ticketer::new().map_err(refused)?;
        config.send_tls13_tickets = 1;
        // The last is for whoever asks for nothing else.
        let known = [
            (HTTP2, self.speaks_http2),
            (b"http/1.1".as_slice(), true),
            (ACME_TLS, self.answers_challenges),
        ];
        let spoken = known.into_iter().filter(|(_, is_spoken)| *is_spoken);
        config.alpn_protocols = spoken.map(|(name, _)| name.to_vec()).collect();
        Ok(FrontTls { server: Arc::new(config), clients })
    }
}

impl FrontTls {
    /// Whether who is met here is whom the certificate says. `rustls` looks at that in full
    /// handshakes alone, and a session can be resumed again and again.
    pub(crate) fn believes(&self, met: &Connection) -> bool {
        match met.peer_certificates() {
            Some([leaf, others @ ..]) if met.handshake_kind() == Some(HandshakeKind::Resumed) => {
                self.clients.verify_client_cert(leaf, others, UnixTime::now()).is_ok()
            }
            _ => true,
        }
    }
}

/// The certificates of a PEM text; at least one.
pub fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let read = read.map_err(|error| PemError::Malformed(error.to_string()))?;
    if read.is_empty() { Err(PemError::NoCertificate) } else { Ok(read) }
}

/// Who is trusted, from PEM.
pub fn roots(pem: &str) -> Result<RootCertStore, PemError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(refused)?;
    }
    Ok(roots)
}

/// What a status port speaks: one certificate, and only to clients whom `clients` vouches for,
/// where that is given.
pub fn status_server(
    identity: Identity,
    clients: Option<RootCertStore>,
) -> Result<ServerConfig, PemError> {
    let clients = clients.map_or(Clients::Unasked, Clients::Required);
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(refused)?
        .with_client_cert_verifier(verifier(clients)?)
        .with_single_cert(identity.chain, identity.key)
        .map_err(refused)
}

/// Speaks to servers whom `roots` vouch for, or to everyone unless it `verifies`.
pub(crate) fn client(
    roots: &[CertificateDer<'static>],
    identity: Option<Identity>,
    verifies: bool,
) -> Result<ClientConfig, PemError> {
    let provider = Arc::new(ring::default_provider());
    let verifier = trust::verifier(roots, provider.clone(), verifies)?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(refused)?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    match identity {
        None => Ok(config.with_no_client_auth()),
        Some(Identity { chain, key }) => config.with_client_auth_cert(chain, key).map_err(refused),
    }
}

fn verifier(clients: Clients) -> Result<Arc<dyn ClientCertVerifier>, PemError> {
    let (roots, is_required) = match clients {
        Clients::Unasked => return Ok(WebPkiClientVerifier::no_client_auth()),
        Clients::Asked(roots) => (roots, false),
        Clients::Required(roots) => (roots, true),
    };
    let provider = Arc::new(ring::default_provider());
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = if is_required { builder } else { builder.allow_unauthenticated() };
    builder.build().map_err(refused)
}

fn refused(error: impl Display) -> PemError {
    PemError::Refused(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use rustls::pki_types::ServerName;
    use rustls::{ClientConnection, ServerConnection};

    use super::*;

    fn authority() -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    fn identity(authority: &CertifiedIssuer<'_, KeyPair>) -> Identity {
        let (key, names) = (KeyPair::generate().unwrap(), vec!["web.test".to_owned()]);
        let made = CertificateParams::new(names).unwrap().signed_by(&key, authority).unwrap();
        Identity::of_pem(&made.pem(), &key.serialize_pem()).unwrap()
    }

    fn required(authority: &CertifiedIssuer<'_, KeyPair>) -> Clients {
        Clients::Required(roots(&authority.pem()).unwrap())
    }

    /// What the router knows after a handshake with such a client, and the ticket that follows it.
    fn meet(front: &FrontTls, client: &Arc<ClientConfig>) -> Connection {
        let name = ServerName::try_from("web.test").unwrap();
        let mut near = Connection::from(ServerConnection::new(front.server.clone()).unwrap());
        let mut far = Connection::from(ClientConnection::new(client.clone(), name).unwrap());
        while near.wants_write() || far.wants_write() {
            pass(&mut far, &mut near);
            pass(&mut near, &mut far);
        }
        near
    }

    fn pass(from: &mut Connection, to: &mut Connection) {
        let mut bytes = Vec::new();
        while from.wants_write() {
            from.write_tls(&mut bytes as &mut dyn Write).unwrap();
        }
        let mut bytes = bytes.as_slice();
        while !bytes.is_empty() {
            to.read_tls(&mut bytes as &mut dyn Read).unwrap();
            to.process_new_packets().unwrap();
        }
    }

    #[test]
    fn a_certificate_is_looked_at_whenever_a_session_is_resumed() {
        let (ours, other) = (authority(), authority());
        let front = Front {
            certificates: Arc::new(Certificates::new(vec![identity(&ours)]).unwrap()),
            clients: required(&ours),
            subject_rules: Vec::new(),
            versions: Versions { min: Version::Tls12, max: Version::Tls13 },
            cipher_suites: Vec::new(),
            speaks_http2: false,
            answers_challenges: false,
        };
        let front = front.config().unwrap();
        let client = Arc::new(client(&[], Some(identity(&ours)), false).unwrap());
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed] {
            let met = meet(&front, &client);
            assert_eq!(met.handshake_kind(), Some(kind));
            assert!(front.believes(&met), "{kind:?}");
        }
        let stricter = FrontTls { clients: verifier(required(&other)).unwrap(), ..front };
        let met = meet(&stricter, &client);
        assert_eq!(met.handshake_kind(), Some(HandshakeKind::Resumed));
        assert!(!stricter.believes(&met));
    }
}
