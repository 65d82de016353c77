//! Fetches and sends files over HTTP for download and upload steps, with a cache on disk. Each
//! transfer is bounded in size and time; only so many go on at once.

mod cache;

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use reqwest::header::{ETAG, IF_NONE_MATCH};
use reqwest::{Client, Response, StatusCode, Url};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Semaphore;

use crate::config::Limits;
use cache::{Cache, Copy};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest silence of the other side.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Fetches and sends. One for a cell.
pub struct Transfers {
    client: Client,
    cache: Cache,
    slots: Semaphore,
    /// One lock for each copy that is being asked for.
    turns: Mutex<HashMap<PathBuf, Weak<tokio::sync::Mutex<()>>>>,
    bytes_max: u64,
    upload_bytes_max: u64,
    timeout: Duration,
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
            cache: Cache::new(dir, limits.download_cache_bytes_max),
            slots: Semaphore::new(limits.downloads_at_once),
            turns: Mutex::default(),
            bytes_max: limits.download_bytes_max,
            upload_bytes_max: limits.upload_bytes_max,
            timeout: limits.transfer_timeout,
        }))
    }

    /// The most bytes one transfer may have.
    pub fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// Fetches a URL. With a cache key, a copy is kept and asked for anew only when it changed;
    /// whoever wants the same copy meanwhile waits for it.
    pub async fn fetch(&self, url: &str, cache_key: &str) -> Result<Fetched, TransferError> {
        let url = http_url(url)?;
        let kept = (!cache_key.is_empty()).then(|| self.cache.place(cache_key, &url));
        let turn = kept.as_ref().map(|kept| self.turn(kept));
        let _turn = match &turn {
            Some(turn) => Some(turn.lock().await),
            None => None,
        };
        let _slot = self.slots.acquire().await.expect("never closed");
        self.in_time(&url, self.fetch_now(&url, kept)).await
    }

    /// The most bytes a file may have that is sent; it is held in memory.
    pub fn upload_bytes_max(&self) -> u64 {
        self.upload_bytes_max
    }

    /// Posts a file's content; gives its size.
    pub async fn send(&self, content: Vec<u8>, to: &str) -> Result<u64, TransferError> {
        let url = http_url(to)?;
        let _slot = self.slots.acquire().await.expect("never closed");
        let bytes = content.len() as u64;
        let post = async {
            let response = self.client.post(url.clone()).body(content).send().await;
            response.map_err(|error| broken(&url, error))
        };
        let status = self.in_time(&url, post).await?.status();
        if status.is_success() {
            Ok(bytes)
        } else {
            Err(TransferError::Status { url: speakable(&url), status })
        }
    }

    async fn fetch_now(&self, url: &Url, kept: Option<PathBuf>) -> Result<Fetched, TransferError> {
        let copy = match kept.clone() {
            Some(kept) => self.cache.on(move |cache| Ok(cache.open(&kept))).await?,
            None => None,
        };
        let mut request = self.client.get(url.clone());
        if let Some(copy) = &copy {
            request = request.header(IF_NONE_MATCH, &copy.etag);
        }
        let response = request.send().await.map_err(|error| broken(url, error))?;
        match (response.status(), copy) {
            (StatusCode::NOT_MODIFIED, Some(Copy { file, .. })) => {
                Ok(self.cache.on(move |_| cache::used_now(file)).await?)
            }
            (status, _) if status.is_success() => self.keep(response, url, kept).await,
            (status, _) => Err(TransferError::Status { url: speakable(url), status }),
        }
    }

    async fn keep(
        &self,
        mut response: Response,
        url: &Url,
        kept: Option<PathBuf>,
    ) -> Result<Fetched, TransferError> {
        let etag = response.headers().get(ETAG).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let (partial, file) = self.cache.on(Cache::begin).await?;
        let mut writing = tokio::fs::File::from_std(file);
        let mut bytes = 0;
        while let Some(chunk) = response.chunk().await.map_err(|error| broken(url, error))? {
            bytes += chunk.len() as u64;
            if bytes > self.bytes_max {
                return Err(self.too_large(url));
            }
            writing.write_all(&chunk).await?;
        }
        writing.flush().await?;
        let finish = move |cache: &Cache| {
            let file = partial.reopen()?;
            if let (Some(kept), Some(etag)) = (kept, etag) {
                cache.put(partial, &kept, &etag)?;
                cache.make_room(&kept);
            }
            Ok(file)
        };
        Ok(Fetched { file: self.cache.on(finish).await?, bytes })
    }

    /// Bounds a transfer in time, however lively it is.
    async fn in_time<T>(
        &self,
        url: &Url,
        transfer: impl Future<Output = Result<T, TransferError>>,
    ) -> Result<T, TransferError> {
        tokio::time::timeout(self.timeout, transfer).await.unwrap_or_else(|_| {
            let why = format!("it took longer than {} s", self.timeout.as_secs_f32());
            Err(TransferError::Broken { url: speakable(url), why })
        })
    }

    fn turn(&self, kept: &PathBuf) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().expect("no holder panics");
        turns.retain(|_, turn| turn.strong_count() > 0);
        turns.get(kept).and_then(Weak::upgrade).unwrap_or_else(|| {
            let turn = Arc::default();
            turns.insert(kept.clone(), Arc::downgrade(&turn));
            turn
        })
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

#[cfg(test)]
mod tests;
