//! One request's record, from its head to the answer's last byte; its end writes the access line.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lattice_model::envelope::Log;
use lattice_model::{Envelope, Time};
use tracing::debug;

use super::answer::Added;
use super::course::Course;
use super::lookup::{self, Sought};
use super::outbound::{Outbound, Told};
use super::service::Passage;
use super::trace::{Ids, Trace};
use super::upload::Upload;
use crate::access_log::{Amount, ExtraField, Line};
use crate::config::{AccessLines, HeaderRules};
use crate::h1::head::Slots;
use crate::h1::name::Name;
use crate::h1::request::{Expects, RequestHead};
use crate::h1::response::ResponseHead;
use crate::h1::transfer::Transfer;
use crate::h1::{Version, Violation};
use crate::metrics::count;
use crate::pool::{Endpoint, Route};
use crate::records::{Record, Records, Served};
use crate::verdict::{Answer, Failure, Shape, Trouble};
use crate::watch::Phase;
use crate::worker::{Peer, Worker};

/// What is logged for a client that left before the answer was complete.
const CLIENT_GONE: u16 = 499;
/// What a line says of a target with a semicolon.
const SEMICOLON: &str = "deprecated-semicolon-params";

/// The record, and the two bodies on their way.
pub(crate) struct Exchange {
    pub(crate) worker: Rc<Worker>,
    pub(crate) peer: Rc<Peer>,
    /// When the request came.
    pub(crate) at: Time,
    pub(crate) request_id: [u8; 36],
    /// Where in a trace it stands, if it is traced.
    trace: Option<Ids>,
    pub(crate) outbound: Outbound,
    /// The request, from the client to the endpoint.
    pub(crate) up: Upload,
    /// The answer, from the endpoint to the client.
    pub(crate) down: Transfer,
    pub(crate) asks: Asks,
    pub(crate) sought: Sought,
    /// The endpoint that was tried last.
    pub(crate) endpoint: Option<Arc<Endpoint>>,
    /// `X-Cf-RouterError`.
    error: String,
    status: u16,
    /// Bytes of a body of the router's own.
    sent_here: u64,
    is_complete: bool,
    pub(crate) course: Course,
}

/// A record, which is large and handed on, and the route, or why there is none.
type Begun = (Box<Exchange>, Result<Arc<Route>, Failure>);

/// What a request asks of this hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asks {
    pub(crate) version: Version,
    pub(crate) shape: Shape,
    /// It is a HEAD: the answer has no body.
    pub(crate) is_head: bool,
    pub(crate) keeps_alive: bool,
    /// The connection may become something else than HTTP.
    pub(crate) is_upgrade: bool,
    /// And is to become a websocket, which is what gorouter counts.
    pub(crate) is_websocket: bool,
    /// The client holds its body back.
    pub(crate) expects_continue: bool,
    /// The endpoint's connection takes no further request, whatever it says.
    pub(crate) ends_endpoint: bool,
    /// The client may know which endpoint answered.
    pub(crate) is_traced: bool,
}

// === impl Exchange ===

impl Exchange {
    /// Reads a head and begins the record; with it goes the route, or why there is none.
    pub(crate) fn begin(
        worker: &Rc<Worker>,
        peer: &Rc<Peer>,
        bytes: &[u8],
    ) -> Result<Begun, Violation> {
        let mut slots = Slots::new();
        let head = RequestHead::parse(bytes, worker.shared.limits.headers_max, &mut slots)?;
        count(&worker.traffic.requests);
        if head.has_empty_length {
            count(&worker.traffic.empty_lengths);
        }
        let (at, rules) = (worker.shared.clock.now(), &worker.shared.headers);
        let trace = Trace::of(&head, &rules.tracing, || (rand::random(), rand::random()));
        let request_id = request_id(&trace);
        let client = peer.ip();
        let tls = peer.tls.as_ref();
        let course = Course::begin();
        let (sought, route) = match lookup::seek(&worker.shared, peer, &head, at) {
            Ok((sought, route)) => (sought, Ok(route)),
            Err(failure) => (Sought::default(), Err(failure)),
        };
        worker.traffic.looked_up(course.started.elapsed());
        let (request, passage) = (&request_id, &sought.passage);
        let told = Told { client, tls, request_id: request, at, rules, trace: &trace, passage };
        let memory = &worker.memory;
        let exchange = Box::new(Self {
            worker: worker.clone(),
            peer: peer.clone(),
            at,
            request_id,
            outbound: Outbound::new(memory.lend_text(), &head, told),
            up: Upload::new(memory.lend_text(), head.body, Asks::of(&head, rules).expects_continue),
            down: Transfer::new(memory.lend_text()),
            asks: Asks::of(&head, rules),
            trace: trace.ids,
            sought,
            error: String::new(),
            endpoint: None,
            status: CLIENT_GONE,
            sent_here: 0,
            is_complete: false,
            course,
        });
        Ok((exchange, route))
    }

    /// Notes which endpoint is tried, and names it to itself.
    pub(crate) fn goes_to(&mut self, endpoint: &Arc<Endpoint>) {
        self.outbound.address(|head| endpoint.tell(head));
        self.endpoint = Some(endpoint.clone());
    }

    /// The host that was asked for as the client wrote it, for messages.
    pub(crate) fn host(&self) -> String {
        String::from_utf8_lossy(self.outbound.at(&self.outbound.marks.host)).into_owned()
    }

    /// Whether it is on its way to a route service.
    pub(crate) fn is_outing(&self) -> bool {
        matches!(self.sought.passage, Passage::To(_))
    }

    /// The cookie that names the instance to the client, if it will need it.
    pub(crate) fn cookie(&self, head: &ResponseHead<'_, '_>) -> Option<String> {
        let instance = self.endpoint.as_ref().map(|endpoint| endpoint.backend.instance_id());
        let rules = &self.worker.shared.sticky;
        self.sought.stickiness.mark(rules, head, instance.unwrap_or_default())
    }

    /// What the head of an answer gains, and where it is written.
    pub(crate) fn heading<'e>(
        &'e mut self,
        cookie: Option<&'e str>,
        keeps_alive: bool,
    ) -> (Added<'e>, &'e mut Vec<u8>) {
        let endpoint = self.endpoint.as_ref().map(|endpoint| endpoint.backend.label());
        let (asks, at, request_id) = (self.asks, self.at, &self.request_id);
        let rules = &self.worker.shared.headers;
        let added = Added { asks, request_id, at, cookie, keeps_alive, endpoint, rules };
        (added, self.down.before())
    }

    /// Why no endpoint is left: all have enough to do, or there is none.
    pub(crate) fn nobody(&self, is_busy: bool) -> Failure {
        match (self.sought.stickiness.demand(), is_busy) {
            (Some(_), _) => Failure::Endpoint(Trouble::InstanceGone),
            (None, true) => Failure::Busy { host: self.host() },
            (None, false) => Failure::NoEndpoints { host: self.host() },
        }
    }

    /// Notes the answer's status.
    pub(crate) fn answered(&mut self, status: u16) {
        self.status = status;
    }

    /// Notes what the router answers by itself.
    pub(crate) fn refused(&mut self, answer: &Answer) {
        count(&self.worker.traffic.answered_here);
        self.status = answer.status;
        self.sent_here = answer.body_length();
        self.error = answer.error.clone().unwrap_or_default();
        self.is_complete = true;
    }

    /// Notes that the answer was passed on to its last byte, and when, unless more than an answer
    /// follows.
    pub(crate) fn completed(&mut self, at: Option<Instant>) {
        self.is_complete = true;
        self.course.ended = at;
    }

    /// Notes that the endpoint ended its answer too early.
    pub(crate) fn broke_off(&mut self, why: &str) {
        self.error = format!("endpoint_failure (answer broke off: {why})");
        self.is_complete = true;
    }

    fn status_logged(&self) -> u16 {
        if self.is_complete { self.status } else { CLIENT_GONE }
    }

    /// Writes the line, if there is to be one.
    fn log(&self, took: Duration) {
        let shared = &self.worker.shared;
        let endpoint = self.endpoint.as_deref();
        let is_of_app =
            endpoint.is_some_and(|e| !e.facts.app.is_empty()) && !self.sought.is_platform;
        match shared.lines {
            AccessLines::All => {}
            AccessLines::OfApps if is_of_app => {}
            AccessLines::OfApps | AccessLines::None => return,
        }
        let rules = &shared.line_rules;
        let value = |field: &ExtraField| (*field, self.course.value(*field, took));
        let extra: Vec<Extra> = rules.extra.iter().map(value).collect();
        let shown = |name: &String| {
            (name.to_ascii_lowercase().replace('-', "_"), self.outbound.header(name.as_bytes()))
        };
        let headers: Vec<_> = rules.headers.iter().map(shown).collect();
        let target = self.target_shown();
        self.worker.lines.add(&self.line(endpoint, took, (&target, &extra, &headers)), |text| {
            let log = Log::out(shared.source_type.clone(), text);
            let whose = endpoint.map(|e| (e.facts.app.clone(), e.index.clone()));
            let (app, index) = whose.unwrap_or_else(|| ("".into(), "".into()));
            let now = shared.clock.now();
            let facts = shared.records.as_ref().and(endpoint).map(|e| e.facts.clone());
            let wants_served = shared.records.as_ref().is_some_and(Records::wants_served);
            let served = wants_served.then(|| Box::new(self.served(now)));
            Record { facts, served, ..Envelope::log(app, index, now, log).into() }
        });
    }

    /// The request itself, which ends now.
    fn served(&self, ended: Time) -> Served {
        let (sent, marks) = (&self.outbound, &self.outbound.marks);
        let text = |mark| String::from_utf8_lossy(sent.at(mark)).into_owned();
        let target = text(&marks.target);
        let path = target.split('?').next().unwrap_or_default();
        let scheme = if self.peer.tls.is_some() { "https" } else { "http" };
        let after = |at: Instant| at.duration_since(self.course.started).as_nanos();
        let at = |instant| Time(self.at.0 + i64::try_from(after(instant)).unwrap_or(0));
        Served {
            began: self.at,
            asked: self.course.asked.map(|(_, last)| at(last)),
            ended,
            request_id: String::from_utf8_lossy(&self.request_id).into_owned(),
            trace: self.trace.as_ref().map(|ids| (ids.trace.clone(), ids.span.clone())),
            method: text(&marks.method),
            uri: format!("{scheme}://{}{path}", text(&marks.host)),
            client: self.peer.label.clone(),
            user_agent: text(&marks.user_agent),
            forwarded_for: text(&marks.forwarded_for),
            status: self.status_logged(),
            sent: self.down.moved() + self.sent_here,
            instance_id: self
                .endpoint
                .as_ref()
                .map_or_else(String::new, |endpoint| endpoint.backend.instance_id().to_owned()),
        }
    }

    /// What was wrong; where nothing else was, what is said in the line only.
    fn error_logged(&self) -> &str {
        let target = self.outbound.at(&self.outbound.marks.target);
        match self.error.is_empty() && target.contains(&b';') {
            true => SEMICOLON,
            false => &self.error,
        }
    }

    /// The target, with what may be shown of its query.
    fn target_shown(&self) -> Cow<'_, [u8]> {
        let (sent, marks) = (&self.outbound, &self.outbound.marks);
        let target = if marks.target.is_empty() { b"/" } else { sent.at(&marks.target) };
        let query = self.worker.shared.line_rules.query;
        match sent.at(&marks.method) == b"GET" {
            true => query.shown(target),
            false => Cow::Borrowed(target),
        }
    }

    fn line<'e>(
        &'e self,
        endpoint: Option<&'e Endpoint>,
        took: Duration,
        (target, extra, headers): Shown<'e>,
    ) -> Line<'e> {
        let (sent, marks) = (&self.outbound, &self.outbound.marks);
        let of_endpoint = |text: fn(&'e Endpoint) -> &'e str| endpoint.map_or("", text);
        let rules = &self.worker.shared.line_rules;
        Line {
            host: sent.at(&marks.host),
            at: self.at,
            method: sent.at(&marks.method),
            target,
            version: if self.peer.speaks_http2() { "HTTP/2.0" } else { self.asks.version.text() },
            status: self.status_logged(),
            received: self.up.body.moved(),
            sent: self.down.moved() + self.sent_here,
            referer: sent.at(&marks.referer),
            user_agent: sent.at(&marks.user_agent),
            client: if rules.hides_client { "-" } else { &self.peer.label },
            backend: of_endpoint(|e| e.backend.label()),
            forwarded_for: match rules.hides_forwarded_for {
                true => b"",
                false => sent.at(&marks.forwarded_for),
            },
            forwarded_proto: sent.at(&marks.forwarded_proto),
            request_id: &self.request_id,
            took,
            took_here: self.course.here(took),
            app: of_endpoint(|e| &e.facts.app),
            index: of_endpoint(|e| &e.index),
            instance_id: of_endpoint(|e| e.backend.instance_id()),
            error: self.error_logged(),
            extra,
            headers,
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        // Whoever catches that answers and counts it; a second panic would end the process.
        if std::thread::panicking() {
            return;
        }
        if !self.is_complete {
            count(&self.worker.traffic.cancelled);
        }
        let ids = self.trace.as_ref().map(|ids| (&*ids.trace, &*ids.span)).unzip();
        let (trace_id, span_id) = ids;
        let status = self.status_logged();
        debug!(host = %self.host(), status, trace_id, span_id, "request ended");
        let (took, component) = (self.course.took(), self.endpoint.as_ref());
        let component = component.map_or(0, |endpoint| endpoint.facts.component);
        let traffic = &self.worker.traffic;
        if self.worker.shared.measures_apps {
            let app = self.endpoint.as_ref().and_then(|endpoint| endpoint.latency.as_ref());
            app.map_or_else(|| traffic.ended_here(took), |app| app.latency.add_shared(took));
        }
        traffic.passed_on(self.course.here(took));
        match self.is_outing() {
            true => traffic.service_ended(self.status_logged()),
            false => traffic.ended(self.status_logged(), component, took),
        }
        self.log(took);
        let memory = &self.worker.memory;
        memory.take_text(self.outbound.take_memory());
        memory.take_text(self.up.body.take_memory());
        memory.take_text(self.down.take_memory());
    }
}

// === impl Asks ===

impl Asks {
    /// What is asked where no request could be read.
    pub(crate) fn nothing() -> Self {
        Self {
            version: Version::Http11,
            shape: Shape { is_idempotent: false, has_body: false },
            is_head: false,
            keeps_alive: false,
            is_upgrade: false,
            is_websocket: false,
            expects_continue: false,
            ends_endpoint: false,
            is_traced: false,
        }
    }

    /// How it waits for an endpoint. Who still has to send a body cannot wait for ever.
    pub(crate) fn awaiting(self) -> Phase {
        match self.is_upgrade && !self.shape.has_body {
            true => Phase::Upgrading,
            false => Phase::Awaiting,
        }
    }

    fn of(head: &RequestHead<'_, '_>, rules: &HeaderRules) -> Self {
        let shape = Shape::of(head);
        let trace_key = rules.trace_key.as_ref().map(|(key, _)| key.as_bytes());
        Self {
            version: head.version,
            shape,
            is_head: head.method == "HEAD",
            keeps_alive: head.keeps_alive,
            is_upgrade: head.upgrade.is_some(),
            is_websocket: head.upgrade.is_some_and(|to| to.eq_ignore_ascii_case(b"websocket")),
            expects_continue: head.expects == Expects::Continue && shape.has_body,
            ends_endpoint: rules.ends_connection(head),
            is_traced: trace_key.is_some()
                && head.fields.values(Name::VcapTrace).next() == trace_key,
        }
    }
}

/// What a line shows by its rules: the target, further fields, headers.
type Shown<'e> = (&'e [u8], &'e [Extra], &'e [(String, &'e [u8])]);
/// A further field of the access line.
type Extra = (ExtraField, Option<Amount>);

/// A fresh uuid, or the trace's id as one. The thread's own generator: asking the kernel for each
/// request would cost a call.
fn request_id(trace: &Trace) -> [u8; 36] {
    let known = trace.ids.as_ref().and_then(|ids| u128::from_str_radix(&ids.trace, 16).ok());
    let uuid = match known {
        Some(id) => uuid::Uuid::from_u128(id),
        None => uuid::Builder::from_random_bytes(rand::random()).into_uuid(),
    };
    let mut text = [0; 36];
    uuid.hyphenated().encode_lower(&mut text);
    text
}
