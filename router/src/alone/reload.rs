//! Certificates in files, which are read again when the files change.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use tracing::{info, warn};

use crate::tls::{Certificates, Identity};

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Where a certificate and its key are.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateFiles {
    /// The certificate, and those that vouch for it, in PEM.
    pub cert: PathBuf,
    /// Its key, in PEM.
    pub key: PathBuf,
}

/// What is read again, and from where.
#[derive(Debug, Clone)]
pub struct Reload {
    /// What is shown to clients.
    pub certificates: Arc<Certificates>,
    /// Where it comes from.
    pub files: Vec<CertificateFiles>,
}

/// When a file was changed, and how long it is: what a new one differs in.
type Stamp = Option<(SystemTime, u64)>;

impl CertificateFiles {
    /// Reads both.
    pub(crate) fn read(&self) -> Result<Identity, String> {
        let text = |path: &Path| {
            std::fs::read_to_string(path)
                .map_err(|error| format!("cannot read {}: {error}", path.display()))
        };
        let (cert, key) = (text(&self.cert)?, text(&self.key)?);
        Identity::of_pem(&cert, &key).map_err(|error| {
            format!("{} with {}: {error}", self.cert.display(), self.key.display())
        })
    }

    fn stamps(&self) -> [Stamp; 2] {
        [&self.cert, &self.key].map(|path| {
            let found = std::fs::metadata(path).ok()?;
            Some((found.modified().ok()?, found.len()))
        })
    }
}

impl Reload {
    /// Reads all files for the first time.
    pub fn new(files: Vec<CertificateFiles>) -> Result<Self, String> {
        let identities = read_all(&files)?;
        let certificates = Certificates::new(identities).map_err(|error| error.to_string())?;
        Ok(Self { certificates: Arc::new(certificates), files })
    }

    /// Follows the files.
    pub async fn follow(self) {
        let mut known = self.stamps();
        loop {
            tokio::time::sleep(LOOK).await;
            self.look(&mut known);
        }
    }

    /// Reads files that have changed. What cannot be used changes nothing, and is said once.
    fn look(&self, known: &mut Vec<[Stamp; 2]>) {
        let now = self.stamps();
        if now == *known {
            return;
        }
        *known = now;
        let replaced = read_all(&self.files).and_then(|identities| {
            self.certificates.replace(identities).map_err(|error| error.to_string())
        });
        match replaced {
            Ok(()) => info!(files = self.files.len(), "certificates read again"),
            Err(error) => warn!(%error, "certificates stay as they were"),
        }
    }

    fn stamps(&self) -> Vec<[Stamp; 2]> {
        self.files.iter().map(CertificateFiles::stamps).collect()
    }
}

fn read_all(files: &[CertificateFiles]) -> Result<Vec<Identity>, String> {
    files.iter().map(CertificateFiles::read).collect()
}

#[test]
fn certificates_are_those_of_the_files_as_long_as_they_can_be_used() {
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    let write = |name: &str| {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        std::fs::write(&cert, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    };
    write("one.test");
    let reload =
        Reload::new(vec![CertificateFiles { cert: cert.clone(), key: key.clone() }]).unwrap();
    let mut known = reload.stamps();
    let mut shows = |name: &str| {
        reload.look(&mut known);
        reload.certificates.names() == [name.to_owned()]
    };
    assert!(shows("one.test"));
    write("another.test");
    assert!(shows("another.test"), "its length differs");
    std::fs::write(&cert, "half of a certifi").unwrap();
    assert!(shows("another.test"), "what cannot be used changes nothing");
    std::fs::remove_file(&key).unwrap();
    assert!(shows("another.test"), "nor does what is not there");
    write("third.test");
    assert!(shows("third.test"));
    assert!(Reload::new(vec![CertificateFiles { cert, key: dir.path().join("none") }]).is_err());
}
