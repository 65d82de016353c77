//! Fetches and sends files over HTTP for download and upload steps, with a cache on disk. Each
//! transfer is bounded in size and time; only so many go on at once.

mod cache;
mod checksum;

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use reqwest::header::{CONTENT_RANGE, ETAG, IF_NONE_MATCH, IF_RANGE, RANGE};
use reqwest::{Client, Response, StatusCode, Url};
use tempfile::NamedTempFile;
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};
use tokio::sync::Semaphore;

use crate::config::Limits;
use cache::{Cache, Copy};
pub use checksum::Checksum;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest silence of the other side.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a download is begun or taken up again before it counts as failed.
const ATTEMPTS: u32 = 4;
/// How long to wait before that; twice as long each time.
const PAUSE: Duration = Duration::from_millis(500);

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
    /// Not what was expected.
    #[error("{url} is not what it should be: {why}")]
    Checksum {
        /// Which URL, without secrets.
        url: String,
        /// Both digests.
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

/// A download to be had.
struct Wanted<'a> {
    url: &'a Url,
    /// Where its copy is, or would be.
    kept: Option<PathBuf>,
    checksum: Option<&'a Checksum>,
}

/// What has arrived so far, and of which version.
struct Arriving {
    file: tokio::fs::File,
    bytes: u64,
    etag: Option<String>,
}

/// Why a try brought nothing more.
enum Stop {
    /// The copy that is here is as it should be.
    Unchanged,
    /// It failed.
    Failed(TransferError),
}

impl<E: Into<TransferError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

// === impl TransferError ===

impl TransferError {
    /// True when the same may succeed a moment later.
    fn is_transient(&self) -> bool {
        match self {
            Self::Broken { .. } => true,
            Self::Status { status, .. } => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            Self::BadUrl(_) | Self::Checksum { .. } | Self::TooLarge { .. } | Self::Disk(_) => {
                false
            }
        }
    }
}

// === impl Arriving ===

impl Arriving {
    /// True when the answer begins where the last one ended.
    fn goes_on_with(&self, response: &Response) -> bool {
        let range = response.headers().get(CONTENT_RANGE).and_then(|v| v.to_str().ok());
        let from = range.and_then(|range| range.strip_prefix("bytes ")?.split('-').next());
        from.is_some_and(|from| from == self.bytes.to_string())
    }

    async fn begin_again(&mut self, response: &Response) -> Result<(), TransferError> {
        let etag = response.headers().get(ETAG).and_then(|v| v.to_str().ok());
        self.etag = etag.map(str::to_owned);
        self.bytes = 0;
        self.file.set_len(0).await?;
        self.file.rewind().await?;
        Ok(())
    }
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
    /// whoever wants the same copy meanwhile waits for it. What breaks off is taken up again where
    /// it broke off, if the server tells versions apart.
    pub async fn fetch(
        &self,
        url: &str,
        cache_key: &str,
        checksum: Option<Checksum>,
    ) -> Result<Fetched, TransferError> {
        let url = http_url(url)?;
        let kept = (!cache_key.is_empty()).then(|| self.cache.place(cache_key, &url));
        let turn = kept.as_ref().map(|kept| self.turn(kept));
        let _turn = match &turn {
            Some(turn) => Some(turn.lock().await),
            None => None,
        };
        let _slot = self.slots.acquire().await.expect("never closed");
        let checksum = checksum.as_ref();
        self.in_time(&url, self.fetch_now(&Wanted { url: &url, kept, checksum })).await
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

    async fn fetch_now(&self, wanted: &Wanted<'_>) -> Result<Fetched, TransferError> {
        let copy = self.copy(wanted).await?;
        let (partial, file) = self.cache.on(Cache::begin).await?;
        let file = tokio::fs::File::from_std(file);
        let mut arriving = Arriving { file, bytes: 0, etag: None };
        let (mut attempt, mut pause) = (1, PAUSE);
        while let Err(error) = self.take(wanted.url, copy.as_ref(), &mut arriving).await {
            match error {
                Stop::Unchanged => {
                    let Some(Copy { file, .. }) = copy else { break };
                    return Ok(self.cache.on(move |_| cache::used_now(file)).await?);
                }
                Stop::Failed(error) if attempt < ATTEMPTS && error.is_transient() => {
                    attempt += 1;
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                Stop::Failed(error) => return Err(error),
            }
        }
        self.keep(wanted, partial, arriving).await
    }

    /// The copy that is here, if it is what is expected.
    async fn copy(&self, wanted: &Wanted<'_>) -> Result<Option<Copy>, TransferError> {
        let Some(kept) = wanted.kept.clone() else { return Ok(None) };
        let checksum = wanted.checksum.cloned();
        let open = move |cache: &Cache| {
            let Some(mut copy) = cache.open(&kept) else { return Ok(None) };
            let fault = checksum.map_or(Ok(None), |checksum| checksum.fault(&mut copy.file))?;
            Ok(fault.is_none().then_some(copy))
        };
        Ok(self.cache.on(open).await?)
    }

    /// One try: all of it, or what is missing of it.
    async fn take(
        &self,
        url: &Url,
        copy: Option<&Copy>,
        arriving: &mut Arriving,
    ) -> Result<(), Stop> {
        let mut request = self.client.get(url.clone());
        match (&arriving.etag, copy) {
            (Some(etag), _) if arriving.bytes > 0 => {
                let range = format!("bytes={}-", arriving.bytes);
                request = request.header(RANGE, range).header(IF_RANGE, etag);
            }
            (_, Some(copy)) => request = request.header(IF_NONE_MATCH, &copy.etag),
            (_, None) => {}
        }
        let mut response = request.send().await.map_err(|error| broken(url, error))?;
        match response.status() {
            StatusCode::NOT_MODIFIED if copy.is_some() => return Err(Stop::Unchanged),
            StatusCode::PARTIAL_CONTENT if arriving.goes_on_with(&response) => {}
            status if status.is_success() => arriving.begin_again(&response).await?,
            status => return Err(TransferError::Status { url: speakable(url), status }.into()),
        }
        while let Some(chunk) = response.chunk().await.map_err(|error| broken(url, error))? {
            if arriving.bytes + chunk.len() as u64 > self.bytes_max {
                return Err(self.too_large(url).into());
            }
            arriving.file.write_all(&chunk).await.map_err(TransferError::from)?;
            arriving.bytes += chunk.len() as u64;
        }
        arriving.file.flush().await.map_err(TransferError::from)?;
        Ok(())
    }

    async fn keep(
        &self,
        wanted: &Wanted<'_>,
        partial: NamedTempFile,
        arriving: Arriving,
    ) -> Result<Fetched, TransferError> {
        let Arriving { bytes, etag, .. } = arriving;
        let (kept, checksum) = (wanted.kept.clone(), wanted.checksum.cloned());
        let finish = move |cache: &Cache| {
            let mut file = partial.reopen()?;
            if let Some(fault) = checksum.map_or(Ok(None), |checksum| checksum.fault(&mut file))? {
                return Ok(Err(fault));
            }
            if let (Some(kept), Some(etag)) = (kept, etag) {
                cache.put(partial, &kept, &etag)?;
                cache.make_room(&kept);
            }
            Ok(Ok(file))
        };
        match self.cache.on(finish).await? {
            Ok(file) => Ok(Fetched { file, bytes }),
            Err(why) => Err(TransferError::Checksum { url: speakable(wanted.url), why }),
        }
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
