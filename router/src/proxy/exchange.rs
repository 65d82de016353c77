//! One request's record, from its head to the answer's last byte; its end writes the access line.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use http::header::{HOST, REFERER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version};
use lattice_model::envelope::Log;
use lattice_model::{Envelope, Time};
use tracing::debug;

use super::headers::{X_FORWARDED_FOR, X_FORWARDED_PROTO};
use super::sticky::Stickiness;
use super::upload::Tally;
use crate::access_log::Line;
use crate::metrics::count;
use crate::pool::Endpoint;
use crate::worker::{Peer, Worker};

/// What is logged for a client that left before the answer was complete.
const CLIENT_GONE: u16 = 499;

/// The record. It is boxed where it begins: it passes through many hands.
pub(crate) struct Exchange {
    pub(crate) worker: Rc<Worker>,
    pub(crate) peer: Rc<Peer>,
    pub(crate) tally: Rc<Tally>,
    /// When the request came.
    pub(crate) at: Time,
    pub(crate) request_id: HeaderValue,
    /// The host without port, for messages.
    pub(crate) host_asked: String,
    /// The request is for a host of the platform, whose targets may hold secrets.
    pub(crate) is_platform: bool,
    pub(crate) stickiness: Stickiness,
    /// Bytes of the answer's body.
    pub(crate) sent: u64,
    endpoint: Option<Arc<Endpoint>>,
    status: u16,
    is_complete: bool,
    error: String,
    started: Instant,
    method: Method,
    uri: Uri,
    version: Version,
    host: Option<HeaderValue>,
    referer: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
    forwarded_for: Option<HeaderValue>,
    forwarded_proto: Option<HeaderValue>,
}

// === impl Exchange ===

impl Exchange {
    pub(crate) fn begin<B>(worker: Rc<Worker>, peer: Rc<Peer>, request: &Request<B>) -> Box<Self> {
        count(&worker.traffic.requests);
        peer.wire.begin_request();
        let header = |name| request.headers().get(name).cloned();
        Box::new(Self {
            tally: Rc::default(),
            at: worker.shared.clock.now(),
            request_id: request_id(),
            host_asked: String::new(),
            is_platform: false,
            stickiness: Stickiness::default(),
            sent: 0,
            endpoint: None,
            status: CLIENT_GONE,
            is_complete: false,
            error: String::new(),
            started: Instant::now(),
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            host: header(HOST),
            referer: header(REFERER),
            user_agent: header(USER_AGENT),
            forwarded_for: None,
            forwarded_proto: None,
            worker,
            peer,
        })
    }

    /// Notes the headers that the endpoint sees and the line shows.
    pub(crate) fn note_forwarded(&mut self, headers: &HeaderMap) {
        self.forwarded_for = headers.get(X_FORWARDED_FOR).cloned();
        self.forwarded_proto = headers.get(X_FORWARDED_PROTO).cloned();
    }

    /// Notes which endpoint is tried.
    pub(crate) fn goes_to(&mut self, endpoint: &Arc<Endpoint>) {
        self.endpoint = Some(endpoint.clone());
    }

    /// The endpoint that was tried last.
    pub(crate) fn endpoint(&self) -> Option<&Arc<Endpoint>> {
        self.endpoint.as_ref()
    }

    /// Notes the answer's status.
    pub(crate) fn answered(&mut self, status: u16) {
        self.status = status;
    }

    /// Notes what the router answers by itself.
    pub(crate) fn refused(&mut self, status: u16, error: &str, sent: usize) {
        count(&self.worker.traffic.answered_here);
        self.status = status;
        self.sent = sent as u64;
        error.clone_into(&mut self.error);
        self.is_complete = true;
    }

    /// Notes that the answer was passed on to its last byte.
    pub(crate) fn completed(&mut self) {
        self.is_complete = true;
    }

    /// Notes that the endpoint ended its answer too early.
    pub(crate) fn broke_off(&mut self, why: &hyper::Error) {
        self.error = format!("endpoint_failure (answer broke off: {why})");
        self.is_complete = true;
    }

    fn status_logged(&self) -> u16 {
        if self.is_complete { self.status } else { CLIENT_GONE }
    }

    /// Writes the line into the app's log, if there is an app.
    fn log(&self) {
        let Some(endpoint) = self.endpoint.as_ref().filter(|_| !self.is_platform) else { return };
        if endpoint.app.is_empty() {
            return;
        }
        let shared = &self.worker.shared;
        self.worker.lines.add(&self.line(endpoint), |text| {
            let log = Log::out(shared.source_type.clone(), text);
            let (app, index) = (endpoint.app.clone(), endpoint.index.clone());
            Envelope::log(app, index, shared.clock.now(), log)
        });
    }

    fn line<'e>(&'e self, endpoint: &'e Endpoint) -> Line<'e> {
        Line {
            host: self.host.as_ref().and_then(|host| host.to_str().ok()).unwrap_or("-"),
            at: self.at,
            method: &self.method,
            uri: &self.uri,
            version: self.version,
            status: self.status_logged(),
            received: self.tally.received.get(),
            sent: self.sent,
            referer: self.referer.as_ref(),
            user_agent: self.user_agent.as_ref(),
            client: &self.peer.label,
            backend: &endpoint.backend.label,
            forwarded_for: self.forwarded_for.as_ref(),
            forwarded_proto: self.forwarded_proto.as_ref(),
            request_id: self.request_id.to_str().unwrap_or_default(),
            took: self.started.elapsed(),
            app: &endpoint.app,
            index: &endpoint.index,
            instance_id: &endpoint.backend.instance_id,
            error: &self.error,
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.peer.wire.end_request();
        if !self.is_complete {
            count(&self.worker.traffic.cancelled);
        }
        let status = self.status_logged();
        debug!(host = %self.host_asked, path = self.uri.path(), status, "request ended");
        self.log();
    }
}

/// A fresh uuid. The thread's own generator: asking the kernel for each request would cost a call.
fn request_id() -> HeaderValue {
    let uuid = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
    let mut text = uuid::Uuid::encode_buffer();
    HeaderValue::from_str(uuid.hyphenated().encode_lower(&mut text))
        .unwrap_or(HeaderValue::from_static("-"))
}
