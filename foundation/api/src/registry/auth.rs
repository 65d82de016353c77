//! Who one is to a registry: challenges, basic authentication and bearer tokens.

use std::fmt;

use base64::Engine as _;
use serde::Deserialize;

use super::{Access, RegistryError, Repository};

const TOKEN_BYTES_MAX: u64 = 256 * 1024;

/// The value of an `Authorization` header. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Authorization(pub(crate) String);

/// What a registry asks for in `WWW-Authenticate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// A user and password.
    Basic,
    /// A token, to be had elsewhere.
    Bearer {
        /// Where.
        realm: String,
        /// For whom.
        service: Option<String>,
        /// For what.
        scope: Option<String>,
    },
}

#[derive(Deserialize)]
struct TokenDocument {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
}

// === impl Challenge ===

impl Challenge {
    /// Reads one header; `None` for a scheme that is not spoken here.
    pub fn parse(header: &str) -> Option<Self> {
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let parameters = parameters(rest);
        let find = |name: &str| {
            let found = parameters.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.clone())
        };
        Some(Self::Bearer { realm: find("realm")?, service: find("service"), scope: find("scope") })
    }
}

// === impl Authorization ===

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authorization(..)")
    }
}

// === impl Repository ===

impl Repository {
    /// Gets what the challenge asks for.
    pub(crate) async fn answer(
        &self,
        what: &str,
        challenge: &Challenge,
    ) -> Result<Authorization, RegistryError> {
        match challenge {
            Challenge::Basic => self
                .basic()
                .ok_or_else(|| self.unauthorized(what, "it asks for a user and password")),
            Challenge::Bearer { realm, service, scope } => {
                let scope = self.scope(scope.as_deref());
                self.token(what, realm, service.as_deref(), scope.as_deref()).await
            }
        }
    }

    pub(crate) fn unauthorized(&self, what: &str, why: impl Into<String>) -> RegistryError {
        let registry = self.registry();
        let next = match &self.target.credentials {
            None => format!("run ltc registry login {registry}, or check the image's name"),
            Some(c) => format!(
                "it was asked as user '{}': run ltc registry login {registry} with other \
                 credentials, or check the image's name",
                c.username
            ),
        };
        RegistryError::Unauthorized {
            what: what.to_owned(),
            registry: registry.to_owned(),
            why: why.into(),
            next,
        }
    }

    fn basic(&self) -> Option<Authorization> {
        let c = self.target.credentials.as_ref()?;
        let pair = format!("{}:{}", c.username, c.password);
        let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
        Some(Authorization(format!("Basic {encoded}")))
    }

    fn scope(&self, asked: Option<&str>) -> Option<String> {
        let name = self.name();
        match (self.target.access, asked) {
            (_, None) if name.is_empty() => None,
            (Access::Pull, Some(asked)) => Some(asked.to_owned()),
            (Access::Pull, None) => Some(format!("repository:{name}:pull")),
            (Access::Push, _) => Some(format!("repository:{name}:pull,push")),
        }
    }

    async fn token(
        &self,
        what: &str,
        realm: &str,
        service: Option<&str>,
        scope: Option<&str>,
    ) -> Result<Authorization, RegistryError> {
        let url = reqwest::Url::parse(realm)
            .map_err(|_| self.unreachable(what, format!("its token server '{realm}' is no URL")))?;
        if !self.may_visit(&url) {
            let why = format!("its token server {realm} would get your password in plain HTTP");
            return Err(self.unauthorized(what, why));
        }
        if self.trespasses(&url) {
            let why = format!("its token server {realm} is on this machine, and it is not");
            return Err(self.unauthorized(what, why));
        }
        let query: Vec<_> = [("service", service), ("scope", scope)]
            .into_iter()
            .filter_map(|(name, value)| value.map(|v| (name, v)))
            .collect();
        let mut request = self.client.http_for(&url)?.get(url).query(&query);
        if let Some(Authorization(basic)) = self.basic() {
            request = request.header("authorization", basic);
        }
        let response = request.send().await.map_err(|e| self.broken(what, &e))?;
        match response.status().as_u16() {
            200 => {}
            401 | 403 => return Err(self.unauthorized(what, "its token server says no")),
            other => {
                let why = format!("its token server answered with status {other}");
                return Err(self.unreachable(what, why));
            }
        }
        let bytes = self.read_document(what, response, TOKEN_BYTES_MAX).await?;
        match token_of(&bytes) {
            Some(token) => Ok(Authorization(format!("Bearer {token}"))),
            None => Err(self.unreachable(what, "its token server answered without a token")),
        }
    }
}

/// The token in what a token server answered; `None` when there is none, or none that a header can
/// hold.
pub fn token_of(answer: &[u8]) -> Option<String> {
    let document: TokenDocument = serde_json::from_slice(answer).ok()?;
    let token = document.token.or(document.access_token)?;
    let is_sound = !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
    is_sound.then_some(token)
}

/// `name="value", name=value`: quoted values may hold commas.
fn parameters(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text.trim();
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_matches([' ', ',']).to_owned();
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(',').unwrap_or((after, "")),
        };
        found.push((name, value.trim().to_owned()));
        rest = after;
    }
    found
}
