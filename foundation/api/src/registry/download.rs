//! Fetching a blob: streamed, counted, hashed, and taken up again where it broke off.

use std::time::Duration;

use reqwest::Response;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::{Descriptor, RegistryError, Repository};

/// The longest pause before a transfer is taken up again.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// A try that brings so many bytes counts as a success, though it broke off.
const PROGRESS_BYTES: u64 = 1024 * 1024;

/// Where a transfer stands; survives a broken connection.
struct Progress<'a> {
    blob: &'a Descriptor,
    hasher: Sha256,
    received: u64,
    sink: &'a mut (dyn AsyncWrite + Unpin + Send),
    told: &'a (dyn Fn(u64) + Send + Sync),
}

impl Repository {
    /// Fetches a blob into `sink`, which sees each byte once, in order; tells how many bytes are
    /// done. An error means that what the sink has is worthless.
    pub async fn download(
        &self,
        blob: &Descriptor,
        sink: &mut (dyn AsyncWrite + Unpin + Send),
        told: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), RegistryError> {
        let mut progress = Progress { blob, hasher: Sha256::new(), received: 0, sink, told };
        let options = &self.client.options;
        let (mut failures, mut pause) = (0, options.resume_delay);
        loop {
            let before = progress.received;
            let Err(error) = self.take(&mut progress).await else { break };
            if progress.received - before >= PROGRESS_BYTES {
                // It comes on: a line that is cut now and then brings a large layer all the same.
                (failures, pause) = (0, options.resume_delay);
            }
            failures += 1;
            if !error.is_transient() || failures >= options.transfer_attempts {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
        let got = format!("sha256:{}", hex::encode(progress.hasher.finalize()));
        if got != blob.digest {
            let why = format!("promised {}, got {got}", blob.digest);
            return Err(self.corrupt("blob", why));
        }
        progress.sink.flush().await.map_err(|e| cannot_write(&e))
    }

    /// One try: from where the last one ended to the blob's end.
    async fn take(&self, progress: &mut Progress<'_>) -> Result<(), RegistryError> {
        let digest = &progress.blob.digest;
        let url = format!("{}/v2/{}/blobs/{digest}", self.base(), self.name());
        let what = format!("{}/{}@{digest}", self.registry(), self.name());
        let received = progress.received;
        let response = self
            .send(&what, &url, |http, url| match received {
                0 => http.get(url),
                from => http.get(url).header("range", format!("bytes={from}-")),
            })
            .await?;
        let response = self.expect(&what, response, &[200, 206]).await?;
        let skip = self.skip(&what, &response, received)?;
        self.stream(&what, response, skip, progress).await
    }

    /// How many bytes of the answer are known already.
    fn skip(&self, what: &str, response: &Response, from: u64) -> Result<u64, RegistryError> {
        if response.status().as_u16() == 200 {
            return Ok(from);
        }
        let range = response.headers().get("content-range").and_then(|v| v.to_str().ok());
        let start = range.and_then(|r| r.strip_prefix("bytes ")?.split('-').next());
        match start.and_then(|s| s.parse::<u64>().ok()) {
            Some(start) if start <= from => Ok(from - start),
            _ => Err(self.corrupt(what, format!("asked from byte {from}, got {range:?}"))),
        }
    }

    async fn stream(
        &self,
        what: &str,
        mut response: Response,
        mut skip: u64,
        progress: &mut Progress<'_>,
    ) -> Result<(), RegistryError> {
        let size = progress.blob.size;
        while let Some(mut chunk) = response.chunk().await.map_err(|e| self.broken(what, &e))? {
            let known = skip.min(chunk.len() as u64);
            skip -= known;
            chunk = chunk.slice(known as usize..);
            if progress.received + chunk.len() as u64 > size {
                return Err(self.corrupt(what, format!("promised {size} bytes, got more")));
            }
            progress.hasher.update(&chunk);
            progress.sink.write_all(&chunk).await.map_err(|e| cannot_write(&e))?;
            progress.received += chunk.len() as u64;
            (progress.told)(progress.received);
        }
        if progress.received < size {
            let why = format!("it ended after {} of {size} bytes", progress.received);
            return Err(self.unreachable(what, why));
        }
        Ok(())
    }
}

fn cannot_write(error: &std::io::Error) -> RegistryError {
    RegistryError::Machine { what: "keep what was fetched".to_owned(), why: error.to_string() }
}
