//! Fetches and sends files over HTTP for download and upload steps, with a cache on disk. Each
//! transfer is bounded in size and time; only so many go on at once.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use reqwest::header::{ETAG, IF_NONE_MATCH};
use reqwest::{Client, Response, StatusCode, Url};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use crate::config::Limits;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest silence of the other side.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Fetches and sends. One for a cell.
pub struct Transfers {
    client: Client,
    dir: PathBuf,
    slots: Semaphore,
    bytes_max: u64,
    upload_bytes_max: u64,
    cache_bytes_max: u64,
}

/// A fetched file, open for reading; it may have no name any more.
#[derive(Debug)]
pub struct Fetched {
    /// The file, at its beginning.
    pub file: File,
    /// Its size.
    pub bytes: u64,
}

/// Why a transfer failed.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// Not a URL we can use.
    #[error("'{0}' is not an http or https URL")]
    BadUrl(String),
    /// No good answer.
    #[error("{url} answered {status}")]
    Status {
        /// Which URL, without secrets.
        url: String,
        /// The status.
        status: StatusCode,
    },
    /// It broke off.
    #[error("cannot transfer {url}: {why}")]
    Broken {
        /// Which URL, without secrets.
        url: String,
        /// What went wrong.
        why: String,
    },
    /// Larger than may be.
    #[error("{url} is larger than {limit}, the most this cell transfers")]
    TooLarge {
        /// Which URL, without secrets.
        url: String,
        /// The limit, as people read it.
        limit: String,
    },
    /// This machine failed.
    #[error("cannot keep the download: {0}")]
    Disk(#[from] io::Error),
}

/// A size as Cloud Foundry writes it: `512B`, `1.2M`.
pub fn byte_size(bytes: u64) -> String {
    for (unit, name) in [(1_u64 << 40, "T"), (1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K")] {
        if bytes >= unit {
            let text = format!("{:.1}", bytes as f64 / unit as f64);
            return format!("{}{name}", text.trim_end_matches(".0"));
        }
    }
    if bytes == 0 { "0".to_owned() } else { format!("{bytes}B") }
}

// === impl Transfers ===

impl Transfers {
    /// Keeps its cache in `dir`.
    pub fn new(dir: PathBuf, limits: &Limits) -> Result<Arc<Self>, String> {
        std::fs::create_dir_all(&dir)
            .map_err(|error| format!("cannot make {}: {error}", dir.display()))?;
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .build()
            .map_err(|error| format!("cannot make an HTTP client: {error}"))?;
        Ok(Arc::new(Self {
            client,
            dir,
            slots: Semaphore::new(limits.downloads_at_once),
            bytes_max: limits.download_bytes_max,
            upload_bytes_max: limits.upload_bytes_max,
            cache_bytes_max: limits.download_cache_bytes_max,
        }))
    }

    /// The most bytes one transfer may have.
    pub fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// Fetches a URL. With a cache key, a copy is kept and asked for anew only when it changed.
    pub async fn fetch(&self, url: &str, cache_key: &str) -> Result<Fetched, TransferError> {
        let _slot = self.slots.acquire().await.expect("never closed");
        let url = http_url(url)?;
        let kept = (!cache_key.is_empty()).then(|| self.kept_at(cache_key, &url));
        let etag = kept.as_deref().and_then(etag_of);
        let mut request = self.client.get(url.clone());
        if let Some(etag) = &etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        let response = request.send().await.map_err(|error| broken(&url, error))?;
        match (response.status(), kept) {
            (StatusCode::NOT_MODIFIED, Some(kept)) => reopen(&kept),
            (status, kept) if status.is_success() => {
                self.keep(response, &url, kept.as_deref()).await
            }
            (status, _) => Err(TransferError::Status { url: speakable(&url), status }),
        }
    }

    /// The most bytes a file may have that is sent; it is held in memory.
    pub fn upload_bytes_max(&self) -> u64 {
        self.upload_bytes_max
    }

    /// Posts a file's content; gives its size.
    pub async fn send(&self, content: Vec<u8>, to: &str) -> Result<u64, TransferError> {
        let _slot = self.slots.acquire().await.expect("never closed");
        let url = http_url(to)?;
        let bytes = content.len() as u64;
        let response = self.client.post(url.clone()).body(content).send().await;
        let status = response.map_err(|error| broken(&url, error))?.status();
        if status.is_success() {
            Ok(bytes)
        } else {
            Err(TransferError::Status { url: speakable(&url), status })
        }
    }

    async fn keep(
        &self,
        mut response: Response,
        url: &Url,
        kept: Option<&Path>,
    ) -> Result<Fetched, TransferError> {
        let etag = response.headers().get(ETAG).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let mut partial = tempfile::NamedTempFile::new_in(&self.dir)?;
        let mut bytes = 0;
        while let Some(chunk) = response.chunk().await.map_err(|error| broken(url, error))? {
            bytes += chunk.len() as u64;
            if bytes > self.bytes_max {
                return Err(self.too_large(url));
            }
            partial.write_all(&chunk)?;
        }
        let file = partial.reopen()?;
        if let (Some(kept), Some(etag)) = (kept, etag) {
            partial.persist(kept).map_err(|error| error.error)?;
            std::fs::write(etag_path(kept), etag)?;
            self.make_room(kept)?;
        }
        Ok(Fetched { file, bytes })
    }

    /// Removes the least recently used copies until the cache is small enough; never `newest`.
    fn make_room(&self, newest: &Path) -> io::Result<()> {
        let mut copies: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            let (entry, path) = entry.map(|entry| (entry.metadata(), entry.path()))?;
            let is_copy = path.extension().is_some_and(|extension| extension == "archive");
            if let (true, Ok(metadata)) = (is_copy, entry) {
                let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                copies.push((used, metadata.len(), path));
            }
        }
        copies.sort();
        let mut total: u64 = copies.iter().map(|(_, bytes, _)| bytes).sum();
        for (_, bytes, path) in copies {
            if total > self.cache_bytes_max && path != newest {
                std::fs::remove_file(&path)?;
                std::fs::remove_file(etag_path(&path))?;
                total -= bytes;
            }
        }
        Ok(())
    }

    fn kept_at(&self, cache_key: &str, url: &Url) -> PathBuf {
        let name = Sha256::digest(format!("{cache_key}\n{url}").as_bytes());
        self.dir.join(format!("{}.archive", hex::encode(&name[..16])))
    }

    fn too_large(&self, url: &Url) -> TransferError {
        TransferError::TooLarge { url: speakable(url), limit: byte_size(self.bytes_max) }
    }
}

fn http_url(text: &str) -> Result<Url, TransferError> {
    let url = Url::parse(text).map_err(|_| TransferError::BadUrl(text.to_owned()))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        _ => Err(TransferError::BadUrl(speakable(&url))),
    }
}

/// The URL without user, password and query, which may be secrets.
fn speakable(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}

fn broken(url: &Url, error: reqwest::Error) -> TransferError {
    let error = error.without_url();
    let mut why = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        why = format!("{why}: {cause}");
        source = cause.source();
    }
    TransferError::Broken { url: speakable(url), why }
}

fn etag_path(kept: &Path) -> PathBuf {
    kept.with_extension("etag")
}

fn etag_of(kept: &Path) -> Option<String> {
    kept.exists().then(|| std::fs::read_to_string(etag_path(kept)).ok())?
}

fn reopen(kept: &Path) -> Result<Fetched, TransferError> {
    let file = File::options().read(true).write(true).open(kept)?;
    file.set_modified(SystemTime::now())?;
    let bytes = file.metadata()?.len();
    Ok(Fetched { file, bytes })
}

#[cfg(test)]
mod tests;
