//! The gate in front of every API: who may pass, and from which pages.
//!
//! A handler takes [`Authorized`], which only the gate can make; a server without the gate does
//! not compile into one that answers.

mod origins;

use std::fmt;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

pub use self::origins::{NotAnOrigin, Origins, parse_origin};
use crate::credentials::Admin;

/// Proof that the request passed the gate.
#[derive(Debug, Clone, Copy)]
pub struct Authorized(());

/// Why a request did not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// Credentials are missing or wrong.
    Unauthorized,
    /// A page of another origin made the browser send it.
    ForeignOrigin,
}

/// A user and a password as a request brings them. `Debug` does not show the password.
pub struct Presented {
    username: String,
    password: String,
}

/// The rules of one server's gate. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Gate(Arc<Rules>);

#[derive(Debug)]
struct Rules {
    admin: Option<Admin>,
    cookie: Option<&'static str>,
    origins: Origins,
    render: fn(Denied) -> Response,
}

impl Gate {
    /// A gate that demands `admin`, or lets everyone pass when there is none (`--no-auth`), and
    /// answers the others with `render`.
    pub fn new(admin: Option<Admin>, render: fn(Denied) -> Response) -> Self {
        Self(Arc::new(Rules { admin, cookie: None, origins: Origins::default(), render }))
    }

    /// Also reads the `Authorization` value from this cookie, which then replaces the header.
    #[must_use]
    pub fn with_cookie(self, name: &'static str) -> Self {
        let rules = Arc::into_inner(self.0).expect("a gate is configured before it is shared");
        Self(Arc::new(Rules { cookie: Some(name), ..rules }))
    }

    /// Lets pages of these origins pass.
    #[must_use]
    pub fn with_origins(self, origins: impl Into<Origins>) -> Self {
        let origins = origins.into();
        let rules = Arc::into_inner(self.0).expect("a gate is configured before it is shared");
        Self(Arc::new(Rules { origins, ..rules }))
    }

    /// Decides by the headers alone.
    pub fn check(&self, headers: &HeaderMap) -> Result<Authorized, Denied> {
        if !self.is_own_origin(headers) {
            return Err(Denied::ForeignOrigin);
        }
        let Some(admin) = &self.0.admin else { return Ok(Authorized(())) };
        match Presented::by(headers, self.0.cookie) {
            Some(who) if admin.is(&who.username, &who.password) => Ok(Authorized(())),
            _ => Err(Denied::Unauthorized),
        }
    }

    /// The middleware: `axum::middleware::from_fn_with_state(gate, Gate::guard)`, around every
    /// path of a server, unknown ones too.
    pub async fn guard(State(gate): State<Self>, mut request: Request, next: Next) -> Response {
        match gate.check(request.headers()) {
            Ok(authorized) => {
                request.extensions_mut().insert(authorized);
                next.run(request).await
            }
            Err(denied) => (gate.0.render)(denied),
        }
    }

    fn is_own_origin(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(header::ORIGIN) else { return true };
        let Ok(origin) = origin.to_str() else { return false };
        if self.0.origins.allows(origin) {
            return true;
        }
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        authority.is_some() && authority == host
    }
}

impl Presented {
    /// What a request brings: in this cookie, where it has one, or else in its header.
    pub fn by(headers: &HeaderMap, in_cookie: Option<&str>) -> Option<Self> {
        let from_cookie = in_cookie.and_then(|name| cookie(headers, name));
        let from_header = || headers.get(header::AUTHORIZATION)?.to_str().ok().map(str::to_owned);
        let value = from_cookie.or_else(from_header)?;
        let (scheme, encoded) = value.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = String::from_utf8(BASE64_STANDARD.decode(encoded.trim()).ok()?).ok()?;
        let (username, password) = decoded.split_once(':')?;
        Some(Self { username: username.to_owned(), password: password.to_owned() })
    }

    /// The value of an `Authorization` header that brings the same.
    pub fn to_header(&self) -> String {
        let Self { username, password } = self;
        format!("Basic {}", BASE64_STANDARD.encode(format!("{username}:{password}")))
    }
}

impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presented").field("username", &self.username).finish_non_exhaustive()
    }
}

impl<S: Sync> FromRequestParts<S> for Authorized {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        let missing = || StatusCode::INTERNAL_SERVER_ERROR.into_response();
        parts.extensions.get::<Self>().copied().ok_or_else(missing)
    }
}

/// A cookie's value, without the quotes that it may stand in.
fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let all = headers.get_all(header::COOKIE).into_iter();
    let pairs = all.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(';'));
    let found = pairs.filter_map(|pair| pair.trim().split_once('=')).find(|(key, _)| *key == name);
    found.map(|(_, value)| value.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate() -> Gate {
        let admin = Admin { username: "u".into(), password: "p".into() };
        Gate::new(Some(admin), |_| StatusCode::UNAUTHORIZED.into_response())
            .with_cookie("receptor_authorization")
            .with_origins(vec!["http://localhost".into()])
    }

    #[test]
    fn only_the_right_credentials_from_an_own_page_pass() {
        let good = "Basic dTpw";
        for (headers, expected) in [
            (vec![], Err(Denied::Unauthorized)),
            (vec![("authorization", good)], Ok(())),
            (vec![("authorization", "Basic dTpx")], Err(Denied::Unauthorized)),
            (vec![("authorization", "Basic !!")], Err(Denied::Unauthorized)),
            (vec![("authorization", "Bearer dTpw")], Err(Denied::Unauthorized)),
            (vec![("cookie", "a=b; receptor_authorization=\"Basic dTpw\"")], Ok(())),
            (vec![("cookie", "receptor_authorization=Basic dTpw")], Ok(())),
            (
                vec![("cookie", "receptor_authorization=x"), ("authorization", good)],
                Err(Denied::Unauthorized),
            ),
            (
                vec![("authorization", good), ("origin", "http://evil.example")],
                Err(Denied::ForeignOrigin),
            ),
            (vec![("authorization", good), ("origin", "null")], Err(Denied::ForeignOrigin)),
            (vec![("authorization", good), ("origin", "http://localhost")], Ok(())),
            (
                vec![
                    ("authorization", good),
                    ("origin", "http://receptor.l.localhost:8080"),
                    ("host", "receptor.l.localhost:8080"),
                ],
                Ok(()),
            ),
        ] {
            let mut map = HeaderMap::new();
            for (name, value) in &headers {
                map.insert(*name, value.parse().unwrap());
            }
            assert_eq!(gate().check(&map).map(|_| ()), expected, "{headers:?}");
        }
    }
}
