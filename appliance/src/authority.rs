//! The appliance's own authority: made at the first start, it vouches for `*.DOMAIN` and for nothing
//! else, so that trusting it costs no trust in other names. `ltc trust` shows or installs it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use lattice_router::tls::{Certificates, Clients, Front, FrontTls, Identity, Version, Versions};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, GeneralSubtree, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, NameConstraints,
};
use time::OffsetDateTime;

/// The folder in the data directory.
pub const DIR: &str = "authority";
/// How long an authority is good for.
const YEARS: i64 = 10;
/// How long a certificate is good for that is made at each start; browsers take no more.
const DAYS: i64 = 820;

/// What the router speaks in front, for a domain's names, and what it shows, to which more can be
/// added; the authority is made if there is none.
pub fn front(data_dir: &Path, domain: &str) -> anyhow::Result<(FrontTls, Arc<Certificates>)> {
    let authority = Authority::load_or_create(data_dir, domain)?;
    let certificates = Arc::new(Certificates::new(vec![authority.identity(domain)?])?);
    let front = Front {
        certificates: Arc::clone(&certificates),
        clients: Clients::Unasked,
        subject_rules: Vec::new(),
        versions: Versions { min: Version::Tls12, max: Version::Tls13 },
        cipher_suites: Vec::new(),
        speaks_http2: true,
        answers_challenges: true,
    };
    Ok((front.config()?, certificates))
}

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn load_or_create(data_dir: &Path, domain: &str) -> anyhow::Result<Self> {
        let (certificate, key) = paths(data_dir, domain);
        let found = fs::read_to_string(&certificate).ok().zip(fs::read_to_string(&key).ok());
        if let Some((pem, key)) = found {
            let key = KeyPair::from_pem(&key).context("cannot read the authority's key")?;
            let issuer = Issuer::from_ca_cert_pem(&pem, key);
            let issuer = issuer.context("cannot read the authority's certificate")?;
            return Ok(Self { pem, issuer });
        }
        let made = KeyPair::generate()?;
        let params = params_of_authority(domain)?;
        let pem = params.self_signed(&made)?.pem();
        fs::create_dir_all(data_dir.join(DIR))
            .with_context(|| format!("cannot make {}", data_dir.join(DIR).display()))?;
        // The key first: a certificate without a key would look like a whole authority.
        write(&key, &made.serialize_pem(), 0o600)?;
        write(&certificate, &pem, 0o644)?;
        Ok(Self { pem, issuer: Issuer::new(params, made) })
    }

    /// A certificate for the domain and every name in it.
    fn identity(&self, domain: &str) -> anyhow::Result<Identity> {
        let mut params = CertificateParams::new(vec![domain.to_owned(), format!("*.{domain}")])?;
        params.distinguished_name.push(DnType::CommonName, format!("*.{domain}"));
        (params.not_before, params.not_after) = (days_from_now(-1), days_from_now(DAYS));
        let key = KeyPair::generate()?;
        let leaf = params.signed_by(&key, &self.issuer)?;
        Ok(Identity::of_pem(&format!("{}{}", leaf.pem(), self.pem), &key.serialize_pem())?)
    }
}

fn params_of_authority(domain: &str) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let permitted = vec![GeneralSubtree::DnsName(domain.to_owned())];
    params.name_constraints =
        Some(NameConstraints { permitted_subtrees: permitted, excluded_subtrees: Vec::new() });
    params.distinguished_name.push(DnType::OrganizationName, "Lattice");
    params.distinguished_name.push(DnType::CommonName, format!("Lattice at {domain}"));
    (params.not_before, params.not_after) = (days_from_now(-1), days_from_now(YEARS * 365));
    Ok(params)
}

/// The certificate and the key of a domain's authority.
pub fn paths(data_dir: &Path, domain: &str) -> (PathBuf, PathBuf) {
    let dir = data_dir.join(DIR);
    (dir.join(format!("{domain}.pem")), dir.join(format!("{domain}.key")))
}

/// Whole, or not at all.
fn write(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let new = path.with_extension("new");
    let attempt = || {
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(mode).open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    attempt().with_context(|| format!("cannot write {}", path.display()))
}

fn days_from_now(days: i64) -> OffsetDateTime {
    OffsetDateTime::now_utc() + time::Duration::days(days)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const DOMAIN: &str = "lattice.localhost";

    #[test]
    fn an_authority_is_made_once_for_each_domain_and_its_key_is_its_owners() {
        let dir = tempfile::tempdir().unwrap();
        let first = Authority::load_or_create(dir.path(), DOMAIN).unwrap();
        let again = Authority::load_or_create(dir.path(), DOMAIN).unwrap();
        assert_eq!(first.pem, again.pem);
        let other = Authority::load_or_create(dir.path(), "example.com").unwrap();
        assert_ne!(first.pem, other.pem);
        let (_, key) = paths(dir.path(), DOMAIN);
        assert_eq!(fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn it_vouches_for_its_domain_and_for_nothing_else() {
        use rustls::client::WebPkiServerVerifier;
        use rustls::client::danger::ServerCertVerifier as _;
        use rustls::pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _};
        lattice_daemon::install_crypto();
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::load_or_create(dir.path(), DOMAIN).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap()).unwrap();
        let verifier = WebPkiServerVerifier::builder(roots.into()).build().unwrap();
        for (domain, name, is_good) in [
            (DOMAIN, "web.lattice.localhost", true),
            (DOMAIN, "lattice.localhost", true),
            (DOMAIN, "a.web.lattice.localhost", false),
            ("example.com", "web.example.com", false),
        ] {
            let leaf = authority.identity(domain).unwrap();
            let leaf = &leaf.chain()[0];
            let name = ServerName::try_from(name).unwrap();
            let verified = verifier.verify_server_cert(leaf, &[], &name, &[], UnixTime::now());
            assert_eq!(verified.is_ok(), is_good, "{name:?}: {verified:?}");
        }
    }

    #[test]
    fn what_is_there_and_cannot_be_read_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let (certificate, key) = paths(dir.path(), DOMAIN);
        fs::create_dir(dir.path().join(DIR)).unwrap();
        fs::write(&certificate, "x").unwrap();
        fs::write(&key, "y").unwrap();
        let error = front(dir.path(), DOMAIN).map(drop).unwrap_err().to_string();
        assert_eq!(error, "cannot read the authority's key");
    }
}
