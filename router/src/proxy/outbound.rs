//! A request on its way to an endpoint, which can be sent again while nothing of it was used.

use std::rc::Rc;
use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, Request, Uri};
use hyper::body::{Body, Incoming};
use hyper::upgrade::OnUpgrade;

use super::headers;
use super::upload::{Gate, Tally, Upload};
use crate::pool::Endpoint;
use crate::verdict::Shape;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const X_IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("x-idempotency-key");

/// What is sent, but for what names the endpoint.
pub(crate) struct Outbound {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Option<Incoming>,
    tally: Rc<Tally>,
    expects_continue: bool,
    /// The client's end, when the request asks for an upgrade.
    pub(crate) client: Option<OnUpgrade>,
    /// What decides about another attempt.
    pub(crate) shape: Shape,
}

// === impl Outbound ===

impl Outbound {
    pub(crate) fn new(
        parts: Parts,
        body: Incoming,
        tally: Rc<Tally>,
        client: Option<OnUpgrade>,
        expects_continue: bool,
    ) -> Self {
        let has_body = !body.is_end_stream();
        let shape = Shape { is_idempotent: is_idempotent(&parts), has_body };
        let body = has_body.then_some(body);
        let Parts { method, uri, headers, .. } = parts;
        Self { method, uri, headers, body, tally, expects_continue, client, shape }
    }

    /// The request for one endpoint. What cannot be sent twice is given away; [`Outbound::recover`]
    /// takes it back.
    pub(crate) fn request(&mut self, endpoint: &Endpoint) -> Request<Upload> {
        let may_repeat = self.shape.is_idempotent && !self.shape.has_body;
        let headers =
            if may_repeat { self.headers.clone() } else { std::mem::take(&mut self.headers) };
        let body = self.body.take();
        let gate = (self.expects_continue && body.is_some()).then(|| Arc::new(Gate::default()));
        let mut request = Request::new(Upload::new(body, self.tally.clone(), gate.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = headers;
        headers::address(request.headers_mut(), &endpoint.headers);
        if let Some(gate) = gate {
            hyper::ext::on_informational(&mut request, move |_| gate.open());
        }
        request
    }

    /// Takes back a request that was not sent.
    pub(crate) fn recover(&mut self, request: Request<Upload>) {
        let (parts, upload) = request.into_parts();
        self.headers = parts.headers;
        self.body = upload.into_unread();
    }
}

fn is_idempotent(parts: &Parts) -> bool {
    matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
        || parts.headers.contains_key(IDEMPOTENCY_KEY)
        || parts.headers.contains_key(X_IDEMPOTENCY_KEY)
}
