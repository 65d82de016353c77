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

    /// Follows the files. What cannot be used changes nothing, and is said once.
    pub async fn follow(self) {
        let stamps = || self.files.iter().map(CertificateFiles::stamps).collect::<Vec<_>>();
        let mut known = stamps();
        loop {
            tokio::time::sleep(LOOK).await;
            let now = stamps();
            if now == known {
                continue;
            }
            known = now;
            let replaced = read_all(&self.files).and_then(|identities| {
                self.certificates.replace(identities).map_err(|error| error.to_string())
            });
            match replaced {
                Ok(()) => info!(files = self.files.len(), "certificates read again"),
                Err(error) => warn!(%error, "certificates stay as they were"),
            }
        }
    }
}

fn read_all(files: &[CertificateFiles]) -> Result<Vec<Identity>, String> {
    files.iter().map(CertificateFiles::read).collect()
}
