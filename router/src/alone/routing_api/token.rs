//! Tokens of UAA, by a client's own credentials (RFC 6749, 4.4).

use std::fmt;
use std::time::Duration;

use reqwest::header::{ACCEPT, HeaderValue};
use serde::Deserialize;
use tokio::time::Instant;
use tracing::{debug, error};

use super::server::{Fault, Server, whole};

/// The longest answer taken, in bytes.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// No token is kept longer, whatever is said of it.
const KEPT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Who gives tokens, and to whom. `Debug` does not show the secret.
#[derive(Clone)]
pub struct Uaa {
    /// `https://host:port`.
    pub url: String,
    /// The client's name.
    pub client: String,
    /// Its secret.
    pub secret: String,
    /// How UAA is known.
    pub tls: rustls::ClientConfig,
    /// How often it is asked again at the start.
    pub retries_max: u32,
    /// How long to wait before that.
    pub retry_interval: Duration,
    /// A token is not used for so long before it expires.
    pub expiry_buffer: Duration,
}

/// A token, for as long as it is good.
#[derive(Debug)]
pub(super) struct Tokens {
    uaa: Uaa,
    server: Server,
    kept: Option<(HeaderValue, Instant)>,
}

/// What UAA answers.
#[derive(Deserialize)]
struct Granted {
    access_token: String,
    /// Seconds; from some servers as text.
    #[serde(default)]
    expires_in: serde_json::Value,
}

// === impl Tokens ===

impl Tokens {
    pub(super) fn new(uaa: Uaa) -> Result<Self, Fault> {
        let server = Server::new(&uaa.url, &uaa.tls)?;
        Ok(Self { uaa, server, kept: None })
    }

    /// The first one, with patience.
    pub(super) async fn first(&mut self) -> Result<(), Fault> {
        let mut retries = 0;
        while let Err(fault) = self.get().await {
            error!(error = %fault, "error-fetching-token");
            if retries == self.uaa.retries_max {
                return Err(fault);
            }
            retries += 1;
            debug!(retries, "retry-fetching-token");
            tokio::time::sleep(self.uaa.retry_interval).await;
        }
        Ok(())
    }

    /// What to show: the token that is kept, or a new one.
    pub(super) async fn get(&mut self) -> Result<HeaderValue, Fault> {
        if let Some((token, until)) = &self.kept
            && Instant::now() < *until
        {
            return Ok(token.clone());
        }
        self.fetch().await.map_err(|fault| Fault::Token(Box::new(fault)))
    }

    /// Keeps none: the one that was shown is not taken any more.
    pub(super) fn forget(&mut self) {
        self.kept = None;
    }

    async fn fetch(&mut self) -> Result<HeaderValue, Fault> {
        debug!("started-fetching-token");
        let asked_at = Instant::now();
        let uaa = &self.uaa;
        // Names and secrets may have any character: UAA reads them escaped where it is told so.
        let request = self
            .server
            .post("/oauth/token")
            .basic_auth(escaped(&uaa.client), Some(escaped(&uaa.secret)))
            .header("X-CF-ENCODED-CREDENTIALS", "true")
            .header(ACCEPT, "application/json")
            .form(&[("grant_type", "client_credentials"), ("token_format", "jwt")]);
        let granted = whole(request, ANSWER_BYTES_MAX).await?;
        let (token, lasts) = read(&granted)?;
        debug!("successfully-fetched-token");
        let until = asked_at + lasts.saturating_sub(uaa.expiry_buffer);
        self.kept = Some((token.clone(), until));
        Ok(token)
    }
}

/// What to show, and for how long it is good. The error never has any of the token.
fn read(granted: &[u8]) -> Result<(HeaderValue, Duration), Fault> {
    let malformed = |why: &str| Fault::Malformed(why.to_owned());
    let granted: Granted =
        serde_json::from_slice(granted).map_err(|_| malformed("no JSON with an access_token"))?;
    if granted.access_token.is_empty() {
        return Err(malformed("empty token fetched"));
    }
    let mut token = HeaderValue::try_from(format!("bearer {}", granted.access_token))
        .map_err(|_| malformed("the token does not fit into a header"))?;
    token.set_sensitive(true);
    let secs = &granted.expires_in;
    let secs = secs.as_u64().or_else(|| secs.as_str()?.parse().ok()).unwrap_or_default();
    Ok((token, Duration::from_secs(secs).min(KEPT_MAX)))
}

/// As in a form.
fn escaped(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let escape = |byte: u8| match is_plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}

impl fmt::Debug for Uaa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uaa")
            .field("url", &self.url)
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_read_with_its_time_and_never_shown() {
        let lasts = |text: &str| {
            let (token, lasts) = read(text.as_bytes()).ok()?;
            assert!(token.is_sensitive());
            Some((token.to_str().unwrap().to_owned(), lasts.as_secs()))
        };
        for (text, expected) in [
            (r#"{"access_token":"t","expires_in":43199,"token_type":"bearer"}"#, Some(43199)),
            (r#"{"access_token":"t","expires_in":"60"}"#, Some(60)),
            (r#"{"access_token":"t","expires_in":18446744073709551615}"#, Some(86400)),
            (r#"{"access_token":"t","expires_in":-1}"#, Some(0)),
            (r#"{"access_token":"t"}"#, Some(0)),
            (r#"{"access_token":""}"#, None),
            (r#"{"access_token":"t\r\nHost: x"}"#, None),
            (r#"{"access_token":5}"#, None),
            (r#"{"error":"unauthorized"}"#, None),
            ("", None),
        ] {
            assert_eq!(lasts(text), expected.map(|secs| ("bearer t".to_owned(), secs)), "{text}");
        }
        let refused = read(br#"{"access_token":"very secret\n"}"#).unwrap_err();
        assert!(!refused.to_string().contains("secret"), "{refused}");
    }

    #[test]
    fn credentials_are_escaped_as_in_a_form() {
        assert_eq!(escaped("gorouter-1.a_b~c"), "gorouter-1.a_b~c");
        assert_eq!(escaped("a:b c+%\u{e9}"), "a%3Ab%20c%2B%25%C3%A9");
    }
}
