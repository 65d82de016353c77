//! The certificates of the tables: one authority, and those that it vouches for, or does not.

use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// What a backend shows.
#[derive(Clone, Copy)]
pub(crate) enum Proof {
    /// A certificate for `guid-a`, `guid-b`, `guid-c` and `localhost`.
    Good,
    /// One for somebody else.
    OtherName,
    /// One of an authority that nobody knows.
    Stranger,
    /// One that was good once.
    Expired,
    /// A good one, and it wants to see one that nobody has.
    Demands,
}

/// A certificate and its key, in PEM.
struct Leaf {
    cert: String,
    key: String,
}

/// Who vouches, and what for.
pub(super) struct Trust {
    authority: String,
    front: Leaf,
    person: Leaf,
    good: Leaf,
    other_name: Leaf,
    stranger: Leaf,
    expired: Leaf,
}

pub(super) static TRUST: LazyLock<Trust> = LazyLock::new(Trust::new);

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    fn leaf(&self, names: &[&str], year: i32) -> Leaf {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap().pem();
        Leaf { cert, key: key.serialize_pem() }
    }
}

impl Leaf {
    fn parts(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        (vec![der(&self.cert)], key)
    }
}

impl Trust {
    fn new() -> Self {
        lattice_daemon::install_crypto();
        let (ours, theirs) = (Authority::new("the tables'"), Authority::new("a stranger's"));
        let instances = ["guid-a", "guid-b", "guid-c", "localhost"];
        Self {
            front: ours.leaf(&["router.test"], 2100),
            person: ours.leaf(&["person"], 2100),
            good: ours.leaf(&instances, 2100),
            other_name: ours.leaf(&["somebody-else"], 2100),
            stranger: theirs.leaf(&instances, 2100),
            expired: ours.leaf(&instances, 2002),
            authority: ours.pem,
        }
    }

    /// What stands in the router's file: what it shows on this port, and whom it believes.
    pub(super) fn keys(&self, port: u16) -> String {
        let indented = |pem: &str| pem.lines().map(|l| format!("    {l}\n")).collect::<String>();
        format!(
            "enable_ssl: true\nssl_port: {port}\ntls_pem:\n- cert_chain: |\n{}  private_key: |\n{}\
             client_cert_validation: request\nclient_ca_certs: |\n{}ca_certs: |\n{}",
            indented(&self.front.cert),
            indented(&self.front.key),
            indented(&self.authority),
            indented(&self.authority),
        )
    }

    /// What a client speaks, with a certificate or without.
    pub(super) fn client(&self, is_known: bool) -> Arc<ClientConfig> {
        let config = ClientConfig::builder().with_root_certificates(self.roots());
        Arc::new(match is_known {
            false => config.with_no_client_auth(),
            true => {
                let (chain, key) = self.person.parts();
                config.with_client_auth_cert(chain, key).unwrap()
            }
        })
    }

    /// The client's certificate as endpoints are told of it.
    pub(super) fn person(&self) -> String {
        base64::engine::general_purpose::STANDARD.encode(der(&self.person.cert))
    }

    /// What a backend speaks.
    pub(super) fn server(&self, proof: Proof) -> Arc<ServerConfig> {
        let (leaf, is_demanding) = match proof {
            Proof::Good => (&self.good, false),
            Proof::OtherName => (&self.other_name, false),
            Proof::Stranger => (&self.stranger, false),
            Proof::Expired => (&self.expired, false),
            Proof::Demands => (&self.good, true),
        };
        let verifier = match is_demanding {
            false => WebPkiClientVerifier::no_client_auth(),
            true => WebPkiClientVerifier::builder(Arc::new(self.roots())).build().unwrap(),
        };
        let (chain, key) = leaf.parts();
        let config = ServerConfig::builder().with_client_cert_verifier(verifier);
        Arc::new(config.with_single_cert(chain, key).unwrap())
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(der(&self.authority)).unwrap();
        roots
    }
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}
