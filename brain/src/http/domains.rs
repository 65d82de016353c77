//! `/v1/domains` (B.1), and the `domain` filter of lists.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use lattice_api::brain::bodies::DOMAIN_BYTES_MAX;
use lattice_daemon::gate::Authorized;
use lattice_model::id::IdError;
use lattice_model::{Domain, ErrorName, Refusal};
use serde::Deserialize;

use super::Api;
use super::answer::{Answer, empty, ok};
use super::parts::Path;

const MAX_AGE: &str = "max-age=";

/// `?domain=D`; empty means all.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Filter {
    #[serde(default)]
    domain: String,
}

// === impl Filter ===

impl Filter {
    /// The domain asked for, where there is one.
    pub(super) fn domain(&self) -> Result<Option<Domain>, IdError> {
        let asked = Some(self.domain.as_str()).filter(|text| !text.is_empty());
        asked.map(Domain::new).transpose()
    }
}

pub(super) async fn list(_: Authorized, State(api): State<Api>) -> Answer {
    Ok(ok(&api.receptor.domains().await?))
}

pub(super) async fn upsert(
    _: Authorized,
    State(api): State<Api>,
    Path(domain): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let ttl_s = ttl_s(&headers)?;
    let named = Domain::new(&domain).ok().filter(|_| domain.len() <= DOMAIN_BYTES_MAX);
    let Some(domain) = named else {
        let message = format!("a domain has 1 to {DOMAIN_BYTES_MAX} bytes");
        return Err(Refusal::new(ErrorName::InvalidDomain, message).into());
    };
    api.receptor.upsert_domain(domain, ttl_s).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

/// How long the domain stays fresh, from `Cache-Control`; without one, for ever.
fn ttl_s(headers: &HeaderMap) -> Result<Option<u64>, Refusal> {
    let invalid = |message: String| Refusal::new(ErrorName::InvalidRequest, message);
    let value = headers.get(header::CACHE_CONTROL).map(|value| value.to_str().unwrap_or("?"));
    let Some(directive) = value.filter(|value| !value.is_empty()) else { return Ok(None) };
    let Some(age) = directive.strip_prefix(MAX_AGE) else {
        return Err(invalid("max-age directive missing from request".to_owned()));
    };
    let malformed = |_| invalid(format!("invalid-max-age-directive: {directive}"));
    age.parse().map(Some).map_err(malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freshness_comes_from_cache_control() {
        let missing = "max-age directive missing from request";
        for (value, expected) in [
            (None, Ok(None)),
            (Some(""), Ok(None)),
            (Some("max-age=120"), Ok(Some(120))),
            (Some("max-age=abc"), Err("invalid-max-age-directive: max-age=abc")),
            (Some("max-age=-1"), Err("invalid-max-age-directive: max-age=-1")),
            (Some("public, max-age=1"), Err(missing)),
            (Some("no-cache"), Err(missing)),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert(header::CACHE_CONTROL, value.parse().unwrap());
            }
            let found = ttl_s(&headers).map_err(|refusal| refusal.message);
            assert_eq!(found, expected.map_err(str::to_owned), "{value:?}");
        }
    }
}
