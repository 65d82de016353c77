//! One request to a registry: where it may go, as whom, and what its answer means.

use std::error::Error as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use reqwest::{Response, StatusCode, Url};

use super::auth::{Authorization, Challenge};
use super::{Client, Options, RegistryError, Repository, document, is_loopback};
use crate::localhost;

const REDIRECTS_MAX: usize = 10;
const ERROR_BYTES_MAX: u64 = 64 * 1024;
/// How many hosts' clients are kept; more hosts than that begin anew.
const PINNED_MAX: usize = 32;

/// How a client finds its hosts.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Way<'a> {
    /// By DNS, through proxies.
    Remote,
    /// By DNS, without proxies.
    Local,
    /// One host at an address, whatever DNS says, without proxies.
    Pinned(&'a str, SocketAddr),
}

pub(crate) fn http_client(
    options: &Arc<Options>,
    way: Way<'_>,
) -> Result<reqwest::Client, RegistryError> {
    let rules = Arc::clone(options);
    let redirects = reqwest::redirect::Policy::custom(move |attempt| {
        let from = attempt.previous().last();
        let wrong_way = from.is_none_or(|from| is_trespass(&rules, from, attempt.url()));
        if attempt.previous().len() > REDIRECTS_MAX {
            attempt.error("too many redirects")
        } else if wrong_way || !may_visit(&rules, attempt.url()) {
            attempt.error("it redirects to a place that is not safe to follow")
        } else {
            attempt.follow()
        }
    });
    let builder = reqwest::Client::builder()
        .user_agent(concat!("lattice/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(options.connect_timeout)
        .read_timeout(options.read_timeout)
        .redirect(redirects);
    let builder = match way {
        Way::Remote => builder,
        Way::Local => builder.no_proxy(),
        Way::Pinned(host, address) => builder.no_proxy().resolve(host, address),
    };
    builder.build().map_err(|e| RegistryError::Machine {
        what: "set up the registry client".to_owned(),
        why: chain(&e),
    })
}

impl Client {
    /// The client to reach this URL with.
    pub(crate) fn http_for(&self, url: &Url) -> Result<reqwest::Client, RegistryError> {
        let Some((host, address)) = pinned(&self.options, url) else {
            let is_local = is_loopback_url(url);
            return Ok(if is_local { self.local.clone() } else { self.remote.clone() });
        };
        let mut known = self.pinned.lock().expect("no holder panics");
        if let Some(client) = known.get(&with_port(url, host)) {
            return Ok(client.clone());
        }
        let client = http_client(&self.options, Way::Pinned(host, address))?;
        if known.len() >= PINNED_MAX {
            known.clear();
        }
        known.insert(with_port(url, host), client.clone());
        Ok(client)
    }
}

impl Repository {
    /// The registry's root.
    pub(crate) fn base(&self) -> String {
        let host = match self.registry() {
            "docker.io" | "index.docker.io" => "registry-1.docker.io",
            other => other,
        };
        let scheme = if self.client.options.is_plain(host) { "http" } else { "https" };
        format!("{scheme}://{host}")
    }

    /// Fetches, or says why not.
    pub(crate) async fn get(
        &self,
        what: &str,
        url: &str,
        accept: Option<&str>,
    ) -> Result<Response, RegistryError> {
        let response = self
            .send(what, url, |http, url| {
                let request = http.get(url);
                match accept {
                    Some(accept) => request.header("accept", accept),
                    None => request,
                }
            })
            .await?;
        self.expect(what, response, &[200]).await
    }

    /// Sends a request; answers a challenge once.
    pub(crate) async fn send(
        &self,
        what: &str,
        url: &str,
        build: impl Fn(&reqwest::Client, Url) -> reqwest::RequestBuilder,
    ) -> Result<Response, RegistryError> {
        let url = Url::parse(url)
            .map_err(|e| self.unreachable(what, format!("'{url}' is no URL: {e}")))?;
        if !self.may_visit(&url) {
            let why = format!("{url} is plain HTTP; allow it with --insecure-registry");
            return Err(self.unreachable(what, why));
        }
        let is_home = Url::parse(&self.base()).is_ok_and(|base| base.origin() == url.origin());
        let http = &self.client.http_for(&url)?;
        let first = if is_home { self.authorization.lock().await.clone() } else { None };
        let response = self.attempt(what, build(http, url.clone()), first.as_ref()).await?;
        if response.status() != StatusCode::UNAUTHORIZED || !is_home {
            return Ok(response);
        }
        let answer = self.renew(what, &response, first).await?;
        let response = self.attempt(what, build(http, url), Some(&answer)).await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            let why = self.reason(response).await;
            return Err(self.unauthorized(what, why));
        }
        Ok(response)
    }

    /// Turns an answer with another status into an error.
    pub(crate) async fn expect(
        &self,
        what: &str,
        response: Response,
        statuses: &[u16],
    ) -> Result<Response, RegistryError> {
        let status = response.status().as_u16();
        if statuses.contains(&status) {
            return Ok(response);
        }
        let why = self.reason(response).await;
        Err(match status {
            401 | 403 => self.unauthorized(what, why),
            404 => RegistryError::NotFound {
                what: what.to_owned(),
                registry: self.registry().to_owned(),
                why,
            },
            408 | 429 | 500.. => self.unreachable(what, why),
            _ => RegistryError::Refused {
                what: what.to_owned(),
                registry: self.registry().to_owned(),
                why,
            },
        })
    }

    /// Reads a small answer.
    pub(crate) async fn read_document(
        &self,
        what: &str,
        mut response: Response,
        bytes_max: u64,
    ) -> Result<Vec<u8>, RegistryError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| self.broken(what, &e))? {
            if bytes.len() as u64 + chunk.len() as u64 > bytes_max {
                let why = format!("more than {bytes_max} bytes, which is the most that is taken");
                return Err(self.corrupt(what, why));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    pub(crate) fn broken(&self, what: &str, error: &reqwest::Error) -> RegistryError {
        let mut why = chain(error);
        if error.is_timeout() {
            let seconds = self.client.options.read_timeout.as_secs_f32();
            why = format!("nothing came for {seconds} s ({why})");
        }
        self.unreachable(what, why)
    }

    pub(crate) fn may_visit(&self, url: &Url) -> bool {
        may_visit(&self.client.options, url)
    }

    /// True when this registry has no business to name that URL.
    pub(crate) fn trespasses(&self, url: &Url) -> bool {
        let home = Url::parse(&self.base());
        home.map_or(true, |home| is_trespass(&self.client.options, &home, url))
    }

    async fn attempt(
        &self,
        what: &str,
        request: reqwest::RequestBuilder,
        authorization: Option<&Authorization>,
    ) -> Result<Response, RegistryError> {
        let request = match authorization {
            Some(Authorization(value)) => request.header("authorization", value),
            None => request,
        };
        request.send().await.map_err(|e| self.broken(what, &e))
    }

    /// A new authorization, unless another clone of this has fetched one meanwhile.
    async fn renew(
        &self,
        what: &str,
        response: &Response,
        used: Option<Authorization>,
    ) -> Result<Authorization, RegistryError> {
        let mut held = self.authorization.lock().await;
        if let Some(newer) = held.as_ref().filter(|h| Some(*h) != used.as_ref()) {
            return Ok(newer.clone());
        }
        let headers = response.headers().get_all("www-authenticate");
        let mut challenges = headers.iter().filter_map(|v| v.to_str().ok());
        let challenge = challenges
            .find_map(Challenge::parse)
            .ok_or_else(|| self.unauthorized(what, "it asks for no way to log in known here"))?;
        let answer = self.answer(what, &challenge).await?;
        *held = Some(answer.clone());
        Ok(answer)
    }

    /// What the registry says is wrong: its own words where it has some.
    async fn reason(&self, response: Response) -> String {
        let status = response.status();
        let bytes =
            self.read_document("answer", response, ERROR_BYTES_MAX).await.unwrap_or_default();
        match document::refusal(&bytes) {
            Some(words) => format!("{words} (status {})", status.as_u16()),
            None => format!("status {status}"),
        }
    }
}

/// Plain HTTP goes to loopback and to hosts that are listed only.
fn may_visit(options: &Options, url: &Url) -> bool {
    match url.scheme() {
        "https" => true,
        "http" => url
            .host_str()
            .is_some_and(|host| options.is_plain(host) || options.is_plain(&with_port(url, host))),
        _ => false,
    }
}

fn is_loopback_url(url: &Url) -> bool {
    url.host_str().is_some_and(is_loopback)
}

/// True when somebody elsewhere sends us to a place on this machine.
pub(super) fn is_trespass(options: &Options, from: &Url, to: &Url) -> bool {
    is_here(options, to) && !is_here(options, from)
}

/// True for whatever ends on this machine: loopback, the address that means any, and the
/// platform's own registry.
fn is_here(options: &Options, url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let address = address.map(|address| address.to_canonical());
    address.is_ok_and(|address| address.is_loopback() || address.is_unspecified())
        || is_loopback(host)
        || options.is_own(&with_port(url, host))
}

/// The host whose address is known, and the address. That of names under `localhost` is 127.0.0.1
/// alone: another program may listen on the same port of `::1`.
fn pinned<'a>(options: &Options, url: &'a Url) -> Option<(&'a str, SocketAddr)> {
    let host = url.host_str()?;
    let own = options.own.as_ref().filter(|_| options.is_own(&with_port(url, host)));
    let address = match own {
        Some(own) => own.address,
        None => SocketAddr::new(localhost::address(host)?, 0),
    };
    Some((host, address))
}

/// `host`, or `host:port` where the port is not the scheme's usual one.
fn with_port(url: &Url, host: &str) -> String {
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// An error with all that is below it, without its URL, which may hold a secret.
fn chain(error: &reqwest::Error) -> String {
    let mut words = Vec::new();
    let mut source = error.source();
    while let Some(cause) = source {
        words.push(cause.to_string());
        source = cause.source();
    }
    match words.last() {
        Some(last) => last.clone(),
        None => "the request failed".to_owned(),
    }
}
