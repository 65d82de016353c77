//! Storing a blob: in chunks, taken up again at the registry's own count when it broke off.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

use bytes::Bytes;
use reqwest::{Response, Url};

use super::{Descriptor, RegistryError, Repository};

const CHUNK_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Where a blob's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blob {
    /// In memory.
    Bytes(Bytes),
    /// In a file, from `offset` on.
    File {
        /// Which file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
    },
}

/// An upload that has begun.
struct Upload {
    /// Where the next request goes.
    location: Url,
    /// How much the registry has.
    stored: u64,
    chunk_bytes: usize,
}

impl Blob {
    /// Reads a piece of it.
    pub async fn read(&self, at: u64, len: usize) -> std::io::Result<Bytes> {
        match self {
            Self::Bytes(bytes) => {
                let start = usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
                let end = start.saturating_add(len).min(bytes.len());
                Ok(bytes.slice(start..end))
            }
            Self::File { path, offset } => {
                let (path, from) = (path.clone(), offset + at);
                let read = move || {
                    let mut file = std::fs::File::open(path)?;
                    file.seek(SeekFrom::Start(from))?;
                    let mut bytes = vec![0; len];
                    file.read_exact(&mut bytes)?;
                    Ok(Bytes::from(bytes))
                };
                tokio::task::spawn_blocking(read).await.map_err(std::io::Error::other)?
            }
        }
    }
}

impl Repository {
    /// True when the registry has the blob in this repository.
    pub async fn has_blob(&self, digest: &str) -> Result<bool, RegistryError> {
        let url = format!("{}/v2/{}/blobs/{digest}", self.base(), self.name());
        let response = self.send(digest, &url, |http, url| http.head(url)).await?;
        match response.status().as_u16() {
            404 => Ok(false),
            _ => self.expect(digest, response, &[200]).await.map(|_| true),
        }
    }

    /// Stores a blob unless it is there already; true when it was sent. Tells how many of its
    /// bytes are done.
    pub async fn upload(
        &self,
        descriptor: &Descriptor,
        blob: &Blob,
        told: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<bool, RegistryError> {
        if self.has_blob(&descriptor.digest).await? {
            told(descriptor.size);
            return Ok(false);
        }
        let mut upload = self.begin(&descriptor.digest).await?;
        let mut failures = 0;
        while let Err(error) = self.push_rest(&mut upload, descriptor, blob, told).await {
            failures += 1;
            if !error.is_transient() || failures >= self.client.options.transfer_attempts {
                return Err(error);
            }
            tokio::time::sleep(self.client.options.resume_delay * failures).await;
            if self.has_blob(&descriptor.digest).await.unwrap_or(false) {
                break;
            }
            upload = self.take_up(upload, &descriptor.digest).await?;
        }
        told(descriptor.size);
        Ok(true)
    }

    async fn begin(&self, digest: &str) -> Result<Upload, RegistryError> {
        let url = format!("{}/v2/{}/blobs/uploads/", self.base(), self.name());
        let response = self
            .send(digest, &url, |http, url| http.post(url).header("content-length", "0"))
            .await?;
        let response = self.expect(digest, response, &[202]).await?;
        let least = header(&response, "oci-chunk-min-length").and_then(|v| v.parse().ok());
        let chunk_bytes = self.client.options.chunk_bytes.max(least.unwrap_or(0));
        Ok(Upload {
            location: self.location(digest, &response)?,
            stored: 0,
            chunk_bytes: chunk_bytes.min(CHUNK_BYTES_MAX),
        })
    }

    /// Asks how far a broken upload got; begins anew when the registry has forgotten it.
    async fn take_up(&self, upload: Upload, digest: &str) -> Result<Upload, RegistryError> {
        let asked = self.send(digest, upload.location.as_str(), |http, url| http.get(url)).await;
        let response = match asked {
            Ok(response) if response.status().is_success() => response,
            _ => return self.begin(digest).await,
        };
        let stored = stored_bytes(header(&response, "range").as_deref());
        let location = self.location(digest, &response).unwrap_or(upload.location);
        Ok(Upload { location, stored, ..upload })
    }

    async fn push_rest(
        &self,
        upload: &mut Upload,
        descriptor: &Descriptor,
        blob: &Blob,
        told: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), RegistryError> {
        let digest = &descriptor.digest;
        told(upload.stored);
        while upload.stored < descriptor.size {
            let rest = descriptor.size - upload.stored;
            let len = rest.min(upload.chunk_bytes as u64) as usize;
            let chunk = blob.read(upload.stored, len).await.map_err(|e| cannot_read(digest, &e))?;
            self.push_chunk(upload, digest, chunk).await?;
            told(upload.stored);
        }
        let mut url = upload.location.clone();
        url.query_pairs_mut().append_pair("digest", digest);
        let response = self
            .send(digest, url.as_str(), |http, url| http.put(url).header("content-length", "0"))
            .await?;
        self.expect(digest, response, &[201, 204]).await.map(|_| ())
    }

    async fn push_chunk(
        &self,
        upload: &mut Upload,
        digest: &str,
        chunk: Bytes,
    ) -> Result<(), RegistryError> {
        let end = upload.stored + chunk.len() as u64;
        let range = format!("{}-{}", upload.stored, end - 1);
        let response = self
            .send(digest, upload.location.as_str(), |http, url| {
                http.patch(url)
                    .header("content-type", "application/octet-stream")
                    .header("content-range", &range)
                    .body(chunk.clone())
            })
            .await?;
        let response = self.expect(digest, response, &[202, 201, 204]).await?;
        upload.location = self.location(digest, &response)?;
        upload.stored = end;
        Ok(())
    }

    /// Where the registry wants the next request; its own host keeps its own scheme.
    fn location(&self, what: &str, response: &Response) -> Result<Url, RegistryError> {
        let missing = || self.unreachable(what, "it named no place for the upload");
        let text = header(response, "location").ok_or_else(missing)?;
        let base = Url::parse(&self.base()).map_err(|_| missing())?;
        let mut url = base.join(&text).map_err(|_| missing())?;
        if url.host_str() == base.host_str() && url.port() == base.port() {
            // The scheme is known to be one the other can be set to.
            let _ = url.set_scheme(base.scheme());
        }
        Ok(url)
    }
}

/// `0-N`: N + 1 bytes are there; registries say `0-0` when there are none.
fn stored_bytes(range: Option<&str>) -> u64 {
    let end = range.and_then(|r| r.trim_start_matches("bytes=").split_once('-'));
    match end.and_then(|(_, end)| end.parse::<u64>().ok()) {
        None | Some(0) => 0,
        Some(end) => end + 1,
    }
}

fn header(response: &Response, name: &str) -> Option<String> {
    response.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned)
}

fn cannot_read(digest: &str, error: &std::io::Error) -> RegistryError {
    RegistryError::Machine { what: format!("read {digest}"), why: error.to_string() }
}
