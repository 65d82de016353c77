//! Who may listen, and what the others are told, in doppler's words.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use lattice_daemon::credentials::Admin;
use lattice_daemon::gate::{Denied, Gate};

const COOKIE: &str = "authorization";
/// What the original's client library names as its origin.
const CLIENT_ORIGIN: &str = "http://localhost";

/// The log-aggregator's gate: demands `admin`, or lets everyone pass when there is none.
pub fn gate(admin: Option<Admin>) -> Gate {
    Gate::new(admin, refusal).with_origins(vec![CLIENT_ORIGIN.to_owned()])
}

fn refusal(denied: Denied) -> Response {
    match denied {
        Denied::Unauthorized => {
            let text = "You are not authorized. The user or password is missing or wrong.";
            let challenge = [(header::WWW_AUTHENTICATE, "Basic")];
            (StatusCode::UNAUTHORIZED, challenge, text).into_response()
        }
        Denied::ForeignOrigin => {
            let text = "You are not authorized. A page of another origin sent this request.";
            (StatusCode::FORBIDDEN, text).into_response()
        }
    }
}

/// Where the header is missing or empty, the cookie of a browser stands for it.
pub(super) async fn authorization_from_cookie(mut request: Request, next: Next) -> Response {
    let headers = request.headers_mut();
    let has_header = headers.get(header::AUTHORIZATION).is_some_and(|value| !value.is_empty());
    if !has_header && let Some(value) = from_cookie(headers) {
        headers.insert(header::AUTHORIZATION, value);
    }
    next.run(request).await
}

fn from_cookie(headers: &HeaderMap) -> Option<HeaderValue> {
    let all = headers.get_all(header::COOKIE).into_iter();
    let pairs = all.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(';'));
    let mut named = pairs.filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = named.find(|(name, _)| *name == COOKIE)?;
    HeaderValue::from_bytes(&percent_decode(value.trim_matches('"').as_bytes())).ok()
}

/// Replaces `%XX`. A `+` stays one: base64 has it.
fn percent_decode(mut text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    while let Some((&first, rest)) = text.split_first() {
        let byte = if first == b'%' { hex_byte(rest) } else { None };
        decoded.push(byte.unwrap_or(first));
        text = if byte.is_some() { &rest[2..] } else { rest };
    }
    decoded
}

fn hex_byte(text: &[u8]) -> Option<u8> {
    let digits = text.get(..2)?;
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(digits[0])? * 16 + digit(digits[1])?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_stands_for_the_header() {
        for (cookies, expected) in [
            (&["authorization=Basic dTpw"][..], Some("Basic dTpw")),
            (&["authorization=\"Basic dTpw\""], Some("Basic dTpw")),
            (&["authorization=Basic%20dTp%2B+%3D%3d"], Some("Basic dTp++==")),
            (&["a=b", "c=d; authorization=x"], Some("x")),
            (&["authorization=100%"], Some("100%")),
            (&["authorization=%4"], Some("%4")),
            (&["authorization=%zz"], Some("%zz")),
            (&["authorization=a%0d%0ab"], None),
            (&["other=x"], None),
            (&[], None),
        ] {
            let mut headers = HeaderMap::new();
            for cookie in cookies {
                headers.append(header::COOKIE, cookie.parse().unwrap());
            }
            let found = from_cookie(&headers);
            let found = found.as_ref().map(|value| value.to_str().unwrap());
            assert_eq!(found, expected, "{cookies:?}");
        }
    }
}
