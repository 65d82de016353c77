//! A client of registries that speak the OCI distribution protocol: what cells pull with and
//! `ltc` pushes with. It verifies every byte, and sends no secret in the clear.

pub mod auth;
pub mod document;
mod download;
mod error;
mod request;
mod upload;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lattice_model::{ImageRef, RegistryCredentials};
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;

pub use document::{Descriptor, ImageDocument, Index, Manifest, Platform};
pub use error::RegistryError;
pub use upload::Blob;

/// The most bytes of a manifest, an index or an image's configuration.
pub const DOCUMENT_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Talks to registries. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    /// For hosts elsewhere; honours the environment's proxies.
    remote: reqwest::Client,
    /// For this machine, where no proxy has a place.
    local: reqwest::Client,
    /// For names whose address is known without asking DNS, by host.
    pinned: Arc<std::sync::Mutex<HashMap<String, reqwest::Client>>>,
    options: Arc<Options>,
}

/// How to talk to registries.
#[derive(Debug, Clone)]
pub struct Options {
    /// Hosts, `host` or `host:port`, that are spoken to in plain HTTP. Loopback hosts always are.
    pub insecure_registries: Vec<String>,
    /// The platform's own registry, which is never looked for in DNS nor through a proxy.
    pub own: Option<OwnRegistry>,
    /// The most time until a connection stands.
    pub connect_timeout: Duration,
    /// The most time without a byte.
    pub read_timeout: Duration,
    /// How often one blob's transfer is begun or resumed without coming on before it counts as
    /// failed.
    pub transfer_attempts: u32,
    /// How long to wait before it is resumed; twice as long each time.
    pub resume_delay: Duration,
    /// How many bytes go into one request of an upload.
    pub chunk_bytes: usize,
    /// The architecture to choose from an index, in Go's words.
    pub architecture: String,
}

/// The registry that is a part of the platform. It is sent the administrator's password in plain
/// HTTP, which is why nobody else is asked where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnRegistry {
    /// `host` or `host:port`, as images name it.
    pub host: String,
    /// Where it is reached.
    pub address: SocketAddr,
}

/// What one is allowed to do with a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Fetch.
    Pull,
    /// Fetch and store.
    Push,
}

/// One repository of a registry, with the credentials to use there. Clones share their token.
#[derive(Clone)]
pub struct Repository {
    client: Client,
    target: Arc<Target>,
    authorization: Arc<Mutex<Option<auth::Authorization>>>,
}

/// Which repository, and as whom.
pub(crate) struct Target {
    pub(crate) registry: String,
    pub(crate) name: String,
    pub(crate) access: Access,
    pub(crate) credentials: Option<RegistryCredentials>,
}

/// A manifest or index as it came, verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Its digest.
    pub digest: String,
    /// What kind of document the registry said it is.
    pub media_type: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// The manifest of one image, chosen from an index where there was one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The manifest's own digest.
    pub digest: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What it says.
    pub manifest: Manifest,
}

// === impl Options ===

impl Default for Options {
    fn default() -> Self {
        Self {
            insecure_registries: Vec::new(),
            own: None,
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(30),
            transfer_attempts: 4,
            resume_delay: Duration::from_millis(250),
            chunk_bytes: 5 * 1024 * 1024,
            architecture: host_architecture().to_owned(),
        }
    }
}

impl Options {
    /// True when that host is spoken to in plain HTTP.
    pub fn is_plain(&self, host: &str) -> bool {
        is_loopback(host) || self.is_own(host) || self.insecure_registries.iter().any(|h| h == host)
    }

    fn is_own(&self, host: &str) -> bool {
        self.own.as_ref().is_some_and(|own| own.host.eq_ignore_ascii_case(host))
    }
}

// === impl Client ===

impl Client {
    /// A client; a TLS provider must be installed already.
    pub fn new(options: Options) -> Result<Self, RegistryError> {
        let options = Arc::new(options);
        let remote = request::http_client(&options, request::Way::Remote)?;
        let local = request::http_client(&options, request::Way::Local)?;
        Ok(Self { remote, local, pinned: Arc::default(), options })
    }

    /// How it talks.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The repository an image is in.
    pub fn repository(
        &self,
        image: &ImageRef,
        credentials: Option<&RegistryCredentials>,
        access: Access,
    ) -> Repository {
        self.at(&image.registry, &image.repository, credentials, access)
    }

    /// Asks whether a registry is there and takes the credentials, as a login does.
    pub async fn check(
        &self,
        registry: &str,
        credentials: Option<&RegistryCredentials>,
    ) -> Result<(), RegistryError> {
        let repository = self.at(registry, "", credentials, Access::Pull);
        let url = format!("{}/v2/", repository.base());
        repository.get("the registry", &url, None).await.map(|_| ())
    }

    fn at(
        &self,
        registry: &str,
        name: &str,
        credentials: Option<&RegistryCredentials>,
        access: Access,
    ) -> Repository {
        let target = Target {
            registry: registry.to_owned(),
            name: name.to_owned(),
            access,
            credentials: credentials.cloned(),
        };
        Repository {
            client: self.clone(),
            target: Arc::new(target),
            authorization: Arc::new(Mutex::new(None)),
        }
    }
}

// === impl Repository ===

impl Repository {
    /// The registry's host as people write it.
    pub fn registry(&self) -> &str {
        &self.target.registry
    }

    /// The repository's name.
    pub fn name(&self) -> &str {
        &self.target.name
    }

    /// Fetches a manifest or index by tag or digest, and verifies it.
    pub async fn manifest(&self, reference: &str) -> Result<Fetched, RegistryError> {
        let what = self.title(reference);
        let url = format!("{}/v2/{}/manifests/{reference}", self.base(), self.name());
        let response = self.get(&what, &url, Some(document::ACCEPT)).await?;
        let header = |name: &str| {
            response.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned)
        };
        let promised = reference.starts_with("sha256:").then(|| reference.to_owned());
        let promised = promised.or_else(|| header("docker-content-digest"));
        let media_type = header("content-type").unwrap_or_default();
        let bytes = self.read_document(&what, response, DOCUMENT_BYTES_MAX).await?;
        let digest = digest_of(&bytes);
        if let Some(promised) = promised.filter(|p| p.starts_with("sha256:") && *p != digest) {
            return Err(self.corrupt(&what, format!("promised {promised}, got {digest}")));
        }
        Ok(Fetched { digest, media_type, bytes })
    }

    /// Fetches the manifest of the image to run here: through an index where there is one.
    pub async fn resolve(&self, reference: &str) -> Result<Resolved, RegistryError> {
        let what = self.title(reference);
        let mut fetched = self.manifest(reference).await?;
        if document::is_index(&fetched.media_type, &fetched.bytes) {
            let index: Index = self.parse(&what, &fetched.bytes)?;
            let chosen = index.choose(&self.client.options.architecture).ok_or_else(|| {
                RegistryError::NoPlatform {
                    what: what.clone(),
                    registry: self.registry().to_owned(),
                    wanted: format!("linux/{}", self.client.options.architecture),
                    offered: index.platforms(),
                }
            })?;
            fetched = self.manifest(&chosen.digest).await?;
        }
        let manifest: Manifest = self.parse(&what, &fetched.bytes)?;
        manifest.check().map_err(|why| self.corrupt(&what, why))?;
        Ok(Resolved { digest: fetched.digest, bytes: fetched.bytes, manifest })
    }

    /// Fetches a small blob, an image's configuration, into memory, and verifies it.
    pub async fn document(&self, blob: &Descriptor) -> Result<Vec<u8>, RegistryError> {
        if blob.size > DOCUMENT_BYTES_MAX {
            let why = format!("{} bytes; at most {DOCUMENT_BYTES_MAX} are taken", blob.size);
            return Err(self.corrupt(&blob.digest, why));
        }
        let mut bytes = Vec::new();
        self.download(blob, &mut bytes, &|_| {}).await?;
        Ok(bytes)
    }

    /// Reads an image's configuration.
    pub async fn image_document(&self, image: &Resolved) -> Result<ImageDocument, RegistryError> {
        let bytes = self.document(&image.manifest.config).await?;
        self.parse(&self.title(&image.digest), &bytes)
    }

    /// Stores a manifest or index under a tag or its digest; answers its digest.
    pub async fn put_manifest(
        &self,
        reference: &str,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<String, RegistryError> {
        let url = format!("{}/v2/{}/manifests/{reference}", self.base(), self.name());
        let what = self.title(reference);
        let body = bytes::Bytes::copy_from_slice(bytes);
        let response = self
            .send(&what, &url, |http, url| {
                http.put(url).header("content-type", media_type).body(body.clone())
            })
            .await?;
        self.expect(&what, response, &[200, 201, 202]).await?;
        Ok(digest_of(bytes))
    }

    /// `HOST/NAME:TAG` or `HOST/NAME@DIGEST`.
    fn title(&self, reference: &str) -> String {
        let join = if reference.starts_with("sha256:") { '@' } else { ':' };
        format!("{}/{}{join}{reference}", self.registry(), self.name())
    }

    fn parse<T: serde::de::DeserializeOwned>(
        &self,
        what: &str,
        bytes: &[u8],
    ) -> Result<T, RegistryError> {
        serde_json::from_slice(bytes)
            .map_err(|e| self.corrupt(what, format!("the document does not parse: {e}")))
    }

    fn corrupt(&self, what: &str, why: impl Into<String>) -> RegistryError {
        RegistryError::Corrupt {
            what: what.to_owned(),
            registry: self.registry().to_owned(),
            why: why.into(),
        }
    }

    fn unreachable(&self, what: &str, why: impl Into<String>) -> RegistryError {
        RegistryError::Unreachable {
            what: what.to_owned(),
            registry: self.registry().to_owned(),
            why: why.into(),
        }
    }
}

/// The sha256 digest of some bytes, as registries write it.
pub fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// True for a host, with or without a port, that is this machine: `127.0.0.0/8`, `::1`,
/// `localhost` and names under it.
pub fn is_loopback(host: &str) -> bool {
    let name = host_name(host);
    let address = name.trim_start_matches('[').trim_end_matches(']');
    match address.parse::<std::net::IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => {
            let name = name.to_ascii_lowercase();
            name == "localhost" || name.ends_with(".localhost")
        }
    }
}

/// A host without its port.
fn host_name(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => {
            name
        }
        _ => host,
    }
}

/// This machine's architecture in Go's words.
pub fn host_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests;
