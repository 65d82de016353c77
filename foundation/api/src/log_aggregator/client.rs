//! Reads logs from a log-aggregator over HTTP and websockets.

use std::net::Ipv4Addr;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures_util::{StreamExt as _, stream};
use lattice_model::Envelope;
use lattice_model::wire::dropsonde;
use reqwest::{RequestBuilder, Response, StatusCode, Upgraded, Url};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::{EnvelopeStream, LogError, LogReader, multipart};

const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);
/// Three of the server's pings.
const SILENCE_MAX: Duration = Duration::from_secs(90);
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
const REFUSAL_BYTES_MAX: usize = 1024;

type Socket = WebSocketStream<Upgraded>;

/// A [`LogReader`] on the other end of a network. The process must have a TLS provider.
///
/// Names under `localhost` are this machine, whatever its resolver thinks of them.
#[derive(Clone)]
pub struct LogClient {
    base_url: String,
    authorization: Option<String>,
}

// === impl LogClient ===

impl LogClient {
    /// A client of the log-aggregator at `base_url` (`http://doppler.lattice.localhost:8080`),
    /// with a user and password if it demands them.
    pub fn new(base_url: impl Into<String>, credentials: Option<(String, String)>) -> Self {
        let authorization = credentials.map(|(user, password)| {
            format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
        });
        Self { base_url: base_url.into(), authorization }
    }

    fn url(&self, app_id: &str, what: &str) -> Result<Url, LogError> {
        let bad = |cause: &str| unreachable(&self.base_url, cause);
        let mut url = Url::parse(&self.base_url).map_err(|e| bad(&e.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(bad("it does not begin with http:// or https://"));
        }
        url.path_segments_mut()
            .map_err(|()| bad("it is not an address of a server"))?
            .pop_if_empty()
            .extend(["apps", app_id, what]);
        Ok(url)
    }

    async fn envelopes(&self, app_id: &str, what: &str) -> Result<Vec<Envelope>, LogError> {
        let url = self.url(app_id, what)?;
        let request = http_client(&url)?.get(url.clone()).timeout(ANSWER_PATIENCE);
        let response = self.answer(&url, request, StatusCode::OK).await?;
        let content_type = header(&response, "content-type");
        let bytes = read_at_most(response, &url, ANSWER_BYTES_MAX).await?;
        let parts = multipart::decode(&content_type, &bytes)
            .map_err(|e| bad_answer(&url, e.to_string()))?;
        // A part of a kind that we do not carry is none of our reader's.
        Ok(parts.into_iter().filter_map(|part| dropsonde::decode(part).ok()).collect())
    }

    async fn connect(&self, url: &Url) -> Result<Socket, LogError> {
        let key = generate_key();
        let request = http_client(url)?
            .get(url.clone())
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", &key);
        let answer = self.answer(url, request, StatusCode::SWITCHING_PROTOCOLS);
        let response = match timeout(ANSWER_PATIENCE, answer).await {
            Ok(response) => response?,
            Err(_) => {
                let silence = format!("no answer within {} s", ANSWER_PATIENCE.as_secs());
                return Err(unreachable(url, silence));
            }
        };
        if header(&response, "sec-websocket-accept") != derive_accept_key(key.as_bytes()) {
            return Err(bad_answer(url, "it speaks another protocol than websocket".to_owned()));
        }
        let upgraded = response.upgrade().await.map_err(|e| unreachable(url, chain(&e)))?;
        Ok(Socket::from_raw_socket(upgraded, Role::Client, None).await)
    }

    /// Sends the request with the credentials; an answer of another status is an error.
    async fn answer(
        &self,
        url: &Url,
        mut request: RequestBuilder,
        expected: StatusCode,
    ) -> Result<Response, LogError> {
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        let response = request.send().await.map_err(|e| unreachable(url, chain(&e)))?;
        let status = response.status();
        if status == expected {
            return Ok(response);
        }
        let text = read_at_most(response, url, REFUSAL_BYTES_MAX).await.unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        if status == StatusCode::UNAUTHORIZED {
            return Err(LogError::Unauthorized(text.trim().to_owned()));
        }
        Err(bad_answer(url, format!("{status}: {}", text.trim())))
    }
}

#[async_trait]
impl LogReader for LogClient {
    async fn stream(&self, app_id: &str) -> Result<EnvelopeStream, LogError> {
        let url = self.url(app_id, "stream")?;
        let socket = self.connect(&url).await?;
        let envelopes = stream::unfold(Some((socket, url)), |state| async {
            let (mut socket, url) = state?;
            match next_envelope(&mut socket, &url).await? {
                Ok(envelope) => Some((Ok(envelope), Some((socket, url)))),
                Err(e) => Some((Err(e), None)),
            }
        });
        Ok(envelopes.boxed())
    }

    async fn recent(&self, app_id: &str) -> Result<Vec<Envelope>, LogError> {
        self.envelopes(app_id, "recentlogs").await
    }

    async fn container_metrics(&self, app_id: &str) -> Result<Vec<Envelope>, LogError> {
        self.envelopes(app_id, "containermetrics").await
    }
}

impl std::fmt::Debug for LogClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogClient").field("base_url", &self.base_url).finish_non_exhaustive()
    }
}

/// The next envelope; none when the server has ended the stream. Other frames are passed over.
async fn next_envelope(socket: &mut Socket, url: &Url) -> Option<Result<Envelope, LogError>> {
    loop {
        let Ok(frame) = timeout(SILENCE_MAX, socket.next()).await else {
            let silence = format!("nothing was heard for {} s", SILENCE_MAX.as_secs());
            return Some(Err(unreachable(url, silence)));
        };
        match frame? {
            Ok(Message::Binary(bytes)) => {
                if let Ok(envelope) = dropsonde::decode(&bytes) {
                    return Some(Ok(envelope));
                }
            }
            Ok(Message::Close(_)) => return None,
            Ok(Message::Text(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {}
            Err(e) => return Some(Err(unreachable(url, e))),
        }
    }
}

fn http_client(url: &Url) -> Result<reqwest::Client, LogError> {
    let mut builder = reqwest::Client::builder()
        .http1_only()
        .connect_timeout(CONNECT_PATIENCE)
        .redirect(reqwest::redirect::Policy::none());
    if let Some(host) = url.host_str().filter(|host| is_this_machine(host)) {
        // The port is the URL's.
        builder = builder.no_proxy().resolve(host, (Ipv4Addr::LOCALHOST, 0).into());
    }
    builder.build().map_err(|e| unreachable(url, chain(&e)))
}

async fn read_at_most(
    mut response: Response,
    url: &Url,
    bytes_max: usize,
) -> Result<Vec<u8>, LogError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| unreachable(url, chain(&e)))? {
        if bytes.len() + chunk.len() > bytes_max {
            return Err(bad_answer(url, format!("more than {bytes_max} bytes")));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// A header's value, or nothing.
fn header(response: &Response, name: &str) -> String {
    let value = response.headers().get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_owned()
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.ends_with(".localhost")
}

fn bad_answer(url: &Url, what: String) -> LogError {
    LogError::BadAnswer { url: url.to_string(), what }
}

fn unreachable(url: impl ToString, cause: impl ToString) -> LogError {
    LogError::Unreachable { url: url.to_string(), cause: cause.to_string() }
}

/// An error with its causes; reqwest's own text holds only the outermost.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_id_of_any_text_is_one_segment_of_the_path() {
        let client = LogClient::new("http://doppler.lattice.localhost:8080", None);
        for (app_id, expected) in [
            ("web", "/apps/web/recentlogs"),
            ("a/b c?d#e%", "/apps/a%2Fb%20c%3Fd%23e%25/recentlogs"),
            ("ü", "/apps/%C3%BC/recentlogs"),
        ] {
            assert_eq!(client.url(app_id, "recentlogs").unwrap().path(), expected);
        }
    }

    #[test]
    fn names_under_localhost_are_this_machine() {
        for (host, expected) in [
            ("doppler.lattice.localhost", true),
            ("localhost", true),
            ("notlocalhost", false),
            ("localhost.example.com", false),
        ] {
            assert_eq!(is_this_machine(host), expected, "{host}");
        }
    }

    #[test]
    fn an_unusable_address_is_said() {
        for (base_url, cause) in [
            ("doppler", "relative URL without a base"),
            ("ftp://doppler.example.com", "it does not begin with http:// or https://"),
        ] {
            let told = LogClient::new(base_url, None).url("web", "stream").unwrap_err();
            let expected = format!("cannot reach the log-aggregator at {base_url}: {cause}");
            assert_eq!(told.to_string(), expected);
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let client = LogClient::new("http://d", Some(("u".into(), "secret".into())));
        assert_eq!(format!("{client:?}"), "LogClient { base_url: \"http://d\", .. }");
    }
}
