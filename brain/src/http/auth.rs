//! `POST /v1/auth_cookie`: hands a browser its credentials back as a cookie (B.0).

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use lattice_api::brain::routes;
use lattice_daemon::gate::Authorized;

use super::answer;

pub(super) async fn cookie(_: Authorized, headers: HeaderMap) -> Response {
    let mut response = answer::empty(StatusCode::NO_CONTENT);
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let cookie = authorization.map(|value| format!("{}=\"{value}\"; HttpOnly", routes::COOKIE));
    if let Some(Ok(cookie)) = cookie.map(HeaderValue::try_from) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}
