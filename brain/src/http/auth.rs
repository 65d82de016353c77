//! `POST /v1/auth_cookie`: hands a browser its credentials back as a cookie (B.0).
//!
//! No script can read it, no page of another site makes the browser send it, and it is forgotten
//! after half a day.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use lattice_api::brain::routes::COOKIE;
use lattice_daemon::gate::{Authorized, Presented};

use super::answer;

/// How long a browser keeps the cookie, in seconds.
const COOKIE_AGE_S: u32 = 12 * 60 * 60;

pub(super) async fn cookie(_: Authorized, headers: HeaderMap) -> Response {
    let mut response = answer::empty(StatusCode::NO_CONTENT);
    let Some(presented) = Presented::by(&headers, Some(COOKIE)) else { return response };
    let value = presented.to_header();
    let cookie =
        format!("{COOKIE}=\"{value}\"; Path=/; Max-Age={COOKIE_AGE_S}; HttpOnly; SameSite=Strict");
    let cookie = HeaderValue::try_from(cookie).expect("base64 is fit for a header");
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    response
}
