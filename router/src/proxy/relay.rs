//! Last stage: the answer's head, an endpoint's or our own.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, HeaderValue, Response, StatusCode, Version};
use http_body_util::Full;

use super::download::{Download, Reply};
use super::exchange::Exchange;
use super::forward::Answer;
use super::headers::{self, X_VCAP_REQUEST_ID};
use crate::verdict::{Failure, Fault};

const X_CF_ROUTER_ERROR: HeaderName = HeaderName::from_static("x-cf-routererror");

/// Passes an endpoint's answer on.
pub(crate) fn answer(mut exchange: Box<Exchange>, answer: Answer) -> Response<Reply> {
    let (mut parts, body) = answer.response.into_parts();
    headers::strip_response(&mut parts.headers, false);
    parts.version = Version::HTTP_11;
    let id = exchange.request_id.clone();
    parts.headers.entry(X_VCAP_REQUEST_ID).or_insert(id);
    if let Some(endpoint) = exchange.endpoint() {
        exchange.stickiness.mark(&mut parts.headers, &endpoint.backend.instance_id);
    }
    exchange.answered(parts.status.as_u16());
    let download = Download::new(body, answer.lease, exchange);
    Response::from_parts(parts, Reply::Relayed(download))
}

/// Tells the client what went wrong.
pub(crate) fn refusal(mut exchange: Box<Exchange>, failure: &Failure) -> Response<Reply> {
    let answer = failure.answer();
    let body = format!("{}\n", answer.body);
    let error = answer.error.as_deref().unwrap_or_default();
    exchange.refused(answer.status, error, body.len());
    let mut response = Response::new(Reply::Own(Full::new(Bytes::from(body))));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if answer.error.is_some() {
        let error = HeaderValue::from_str(error);
        let error = error.unwrap_or(HeaderValue::from_static("endpoint_failure"));
        headers.insert(X_CF_ROUTER_ERROR, error);
    }
    if let Some(cache_control) = answer.cache_control {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache_control));
    }
    if answer.closes {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if answer.fault == Fault::Endpoint {
        headers.insert(X_VCAP_REQUEST_ID, exchange.request_id.clone());
    }
    response
}
