//! TLS on both sides: certificates made for each test, by authorities of its own.

mod challenges;
mod endpoints;
mod front;

use std::sync::Arc;

use lattice_router::tls::{Identity, certificates};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::Wire;

/// Who vouches for certificates.
pub(crate) struct Authority {
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub(crate) struct Leaf {
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = named(name);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate for these names and addresses.
    pub(crate) fn leaf(&self, names: &[&str]) -> Leaf {
        self.vouch(params(names))
    }

    /// One that was good once.
    pub(crate) fn expired(&self, names: &[&str]) -> Leaf {
        let mut params = params(names);
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
        self.vouch(params)
    }

    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.der()).unwrap();
        roots
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        certificates(&self.pem).unwrap().remove(0)
    }

    fn vouch(&self, params: CertificateParams) -> Leaf {
        let key = KeyPair::generate().unwrap();
        let chain = params.signed_by(&key, &self.issuer).unwrap().pem();
        Leaf { chain, key: key.serialize_pem() }
    }
}

impl Leaf {
    /// One that vouches for itself, as a small authority.
    pub(crate) fn self_signed(names: &[&str]) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = params(names);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { chain: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
    }

    pub(crate) fn identity(&self) -> Identity {
        Identity::of_pem(&self.chain, &self.key).unwrap()
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        certificates(&self.chain).unwrap().remove(0)
    }

    fn parts(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        (certificates(&self.chain).unwrap(), key)
    }
}

/// What an endpoint speaks that shows this certificate, and wants one that `clients` vouches for.
pub(crate) fn server(leaf: &Leaf, clients: Option<&Authority>) -> ServerConfig {
    lattice_daemon::install_crypto();
    let (chain, key) = leaf.parts();
    let verifier = match clients {
        None => WebPkiClientVerifier::no_client_auth(),
        Some(clients) => WebPkiClientVerifier::builder(Arc::new(clients.roots())).build().unwrap(),
    };
    let config = ServerConfig::builder().with_client_cert_verifier(verifier);
    config.with_single_cert(chain, key).unwrap()
}

/// What a client speaks that believes this authority, and shows this certificate.
pub(crate) fn client(authority: &Authority, leaf: Option<&Leaf>) -> ClientConfig {
    lattice_daemon::install_crypto();
    let config = ClientConfig::builder().with_root_certificates(authority.roots());
    match leaf {
        None => config.with_no_client_auth(),
        Some(leaf) => {
            let (chain, key) = leaf.parts();
            config.with_client_auth_cert(chain, key).unwrap()
        }
    }
}

/// A connection under TLS to who shows this name.
pub(crate) async fn connect(
    addr: std::net::SocketAddr,
    name: &str,
    config: ClientConfig,
) -> std::io::Result<Wire<TlsStream<TcpStream>>> {
    let tcp = TcpStream::connect(addr).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
    Ok(Wire::over(stream))
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = named("leaf");
    params
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}
