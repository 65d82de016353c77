//! Origins: whose pages a browser may let ask.

use axum::http::{HeaderMap, HeaderValue, header};

/// Whose pages may ask, besides the server's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// Those of these origins (`http://localhost:3000`); of none when empty.
    Listed(Vec<String>),
    /// Everyone's, with whatever credentials their visitors' browsers hold.
    Any,
}

/// Why a text is not an origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not an origin: take scheme, host and port in lower case, such as {EXAMPLE}")]
pub struct NotAnOrigin(String);

const EXAMPLE: &str = "http://dashboard.example.com:3000";

// === impl Origins ===

impl Origins {
    /// True when no other page may ask.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Listed(origins) if origins.is_empty())
    }

    /// True for an origin whose pages may ask.
    pub fn allows(&self, origin: &str) -> bool {
        match self {
            Self::Listed(origins) => origins.iter().any(|allowed| allowed == origin),
            Self::Any => !origin.is_empty(),
        }
    }

    /// The origin a request comes from, where its pages may ask.
    pub fn allowed<'a>(&self, headers: &'a HeaderMap) -> Option<&'a HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        origin.to_str().is_ok_and(|text| self.allows(text)).then_some(origin)
    }
}

impl Default for Origins {
    fn default() -> Self {
        Self::Listed(Vec::new())
    }
}

impl From<Vec<String>> for Origins {
    fn from(origins: Vec<String>) -> Self {
        Self::Listed(origins)
    }
}

/// Reads an origin as browsers write it: scheme, host, and the port where it is not the usual one.
pub fn parse_origin(text: &str) -> Result<String, NotAnOrigin> {
    let authority = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let of_host = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-_[]:".contains(&b);
    let is_authority = |text: &str| !text.is_empty() && text.bytes().all(of_host);
    if authority.is_some_and(is_authority) {
        Ok(text.to_owned())
    } else {
        Err(NotAnOrigin(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        for good in ["http://localhost", "https://a.example.com:8443", "http://[::1]:3000"] {
            assert_eq!(parse_origin(good).as_deref(), Ok(good));
        }
        for bad in ["", "*", "null", "localhost", "http://", "http://a/", "HTTP://a", "http://A.b"]
        {
            let said = parse_origin(bad).unwrap_err().to_string();
            assert!(said.contains(bad) && said.contains(EXAMPLE), "{said}");
        }
    }

    #[test]
    fn only_listed_origins_are_allowed_unless_all_are() {
        let listed = Origins::from(vec!["http://a".to_owned()]);
        for (origins, origin, expected) in [
            (Origins::default(), "http://a", false),
            (listed.clone(), "http://a", true),
            (listed.clone(), "http://a:80", false),
            (listed, "null", false),
            (Origins::Any, "http://b", true),
            (Origins::Any, "null", true),
            (Origins::Any, "", false),
        ] {
            let headers = HeaderMap::from_iter([(header::ORIGIN, origin.parse().unwrap())]);
            assert_eq!(origins.allowed(&headers).is_some(), expected, "{origins:?} {origin}");
        }
    }
}
