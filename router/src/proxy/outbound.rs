//! Third stage: the head that endpoints get (facts 1.7), written once for all attempts but for the
//! lines that name the endpoint. Pure.

use std::ops::Range;

use lattice_model::Time;

use super::intake::Target;
use super::service::{Outing, Passage};
use super::trace::Trace;
use crate::config::{ForwardedCertificate, ForwardedProto, HeaderRules};
use crate::decimal;
use crate::h1::name::Name;
use crate::h1::request::{Expects, RequestHead};
use crate::h1::{Body, words};
use crate::verdict::Shape;
use crate::worker::Known;

/// The head, and where in it stands what the access line shows.
#[derive(Debug, Default)]
pub(crate) struct Outbound {
    bytes: Vec<u8>,
    /// Where the head begins; what a route service is not told, and a line shows, stands before.
    begin: usize,
    /// Where the lines about the endpoint begin.
    common: usize,
    pub(crate) marks: Marks,
}

/// Where in the head a value stands; empty for none.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    pub(crate) method: Range<usize>,
    /// Path and query; empty for the root of a URL that ends with its host.
    pub(crate) target: Range<usize>,
    pub(crate) host: Range<usize>,
    pub(crate) referer: Range<usize>,
    pub(crate) user_agent: Range<usize>,
    pub(crate) forwarded_for: Range<usize>,
    pub(crate) forwarded_proto: Range<usize>,
}

/// What is told about the client and the request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told<'a> {
    /// The client's address without port.
    pub(crate) client: &'a str,
    /// What its handshake came to; none in clear.
    pub(crate) tls: Option<&'a Known>,
    /// `X-Vcap-Request-Id`.
    pub(crate) request_id: &'a [u8],
    /// When the request came.
    pub(crate) at: Time,
    pub(crate) rules: &'a HeaderRules,
    pub(crate) trace: &'a Trace,
    /// How the request stands to the service of its route.
    pub(crate) passage: &'a Passage,
}

// === impl Outbound ===

impl Outbound {
    /// Writes the head into this memory.
    pub(crate) fn new(memory: Vec<u8>, head: &RequestHead<'_, '_>, told: Told<'_>) -> Self {
        let mut outbound = Self { bytes: memory, ..Self::default() };
        match told.passage {
            Passage::To(outing) => outbound.request_line_to(head, outing),
            Passage::Straight | Passage::Returned => outbound.request_line(head),
        }
        outbound.passed_on(head, told);
        outbound.framing(head);
        if told.rules.ends_connection(head) {
            outbound.line(b"Connection", b"close");
        }
        outbound.forwarded(head, told);
        if !head.fields.has(Name::RequestStart) {
            let millis = u64::try_from(told.at.0 / 1_000_000).unwrap_or(0);
            outbound.number(b"X-Request-Start", millis);
        }
        outbound.line(b"X-Vcap-Request-Id", told.request_id);
        for (name, value) in &told.trace.lines {
            outbound.line(name.as_bytes(), value.as_bytes());
        }
        outbound.common = outbound.bytes.len();
        outbound
    }

    /// Names the endpoint, instead of the one before; ends the head.
    pub(crate) fn address(&mut self, tell: impl FnOnce(&mut Vec<u8>)) {
        self.bytes.truncate(self.common);
        tell(&mut self.bytes);
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// The head.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[self.begin..]
    }

    /// The value of a header; empty if there is none.
    pub(crate) fn header(&self, name: &[u8]) -> &[u8] {
        for line in self.bytes().split(|&b| b == b'\n').skip(1) {
            let Some(colon) = line.iter().position(|&b| b == b':') else { continue };
            if line[..colon].eq_ignore_ascii_case(name) {
                return line[colon + 1..].trim_ascii();
            }
        }
        b""
    }

    /// What stands at a mark.
    pub(crate) fn at(&self, mark: &Range<usize>) -> &[u8] {
        self.bytes.get(mark.clone()).unwrap_or_default()
    }

    /// Gives its memory back.
    pub(crate) fn take_memory(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    fn request_line(&mut self, head: &RequestHead<'_, '_>) {
        self.bytes.extend_from_slice(head.method.as_bytes());
        self.marks.method = 0..self.bytes.len();
        self.bytes.push(b' ');
        self.bytes.extend_from_slice(head.target);
        // A URL without path has an origin that does not stand in it.
        let origin = Target::read(head.target).map_or(head.target, |target| target.origin);
        let shown = if head.target.ends_with(origin) { origin.len() } else { 0 };
        self.marks.target = self.bytes.len() - shown..self.bytes.len();
        self.bytes.extend_from_slice(b" HTTP/1.1\r\n");
    }

    /// To a route service: its own target and host, and what comes back with the request.
    fn request_line_to(&mut self, head: &RequestHead<'_, '_>, outing: &Outing) {
        let Some(place) = outing.place() else { return self.request_line(head) };
        let origin = Target::read(head.target).map_or(head.target, |target| target.origin);
        let host = head.fields.values(Name::Host).next().unwrap_or_default();
        self.marks.target = self.aside(origin);
        self.marks.host = self.aside(host);
        self.begin = self.bytes.len();
        for part in [head.method, " ", &place.target, " HTTP/1.1\r\nHost: ", &place.authority] {
            self.bytes.extend_from_slice(part.as_bytes());
        }
        self.marks.method = self.begin..self.begin + head.method.len();
        self.bytes.extend_from_slice(b"\r\n");
        self.bytes.extend_from_slice(outing.lines.as_bytes());
    }

    fn aside(&mut self, text: &[u8]) -> Range<usize> {
        let begin = self.bytes.len();
        self.bytes.extend_from_slice(text);
        begin..self.bytes.len()
    }

    /// The client's own lines, but for those of the hop, and those that only we may say.
    fn passed_on(&mut self, head: &RequestHead<'_, '_>, told: Told<'_>) {
        let has_connection = head.fields.has(Name::Connection);
        for (name, text, value) in head.fields.lines() {
            let is_dropped = name.is_of_hop()
                || is_ours(name)
                || told.replaces(name, value)
                || (name == Name::ForwardedClientCert && !told.passes_certificate())
                || told.trace.replaces(name)
                || (has_connection && told.is_taken_away(head, name, text));
            if is_dropped {
                continue;
            }
            let mark = self.line(text, value);
            match name {
                Name::Host => self.marks.host = mark,
                Name::Referer => self.marks.referer = mark,
                Name::UserAgent => self.marks.user_agent = mark,
                Name::ForwardedProto => self.marks.forwarded_proto = mark,
                _ => {}
            }
        }
    }

    fn framing(&mut self, head: &RequestHead<'_, '_>) {
        if let Some(length) = head.length {
            self.number(b"Content-Length", length);
        }
        if head.body == Body::Chunked {
            self.line(b"Transfer-Encoding", b"chunked");
        }
        if let Some(protocol) = head.upgrade {
            self.line(b"Connection", b"upgrade");
            self.line(b"Upgrade", protocol);
        }
        let mut te = head.fields.values(Name::Te).flat_map(words);
        if te.any(|word| word.eq_ignore_ascii_case(b"trailers")) {
            self.line(b"TE", b"trailers");
        }
    }

    fn forwarded(&mut self, head: &RequestHead<'_, '_>, told: Told<'_>) {
        self.bytes.extend_from_slice(b"X-Forwarded-For: ");
        let begin = self.bytes.len();
        if !told.is_taken_away(head, Name::ForwardedFor, b"x-forwarded-for") {
            for earlier in head.fields.values(Name::ForwardedFor) {
                self.bytes.extend_from_slice(earlier);
                self.bytes.extend_from_slice(b", ");
            }
        }
        self.bytes.extend_from_slice(told.client.as_bytes());
        self.marks.forwarded_for = begin..self.bytes.len();
        self.bytes.extend_from_slice(b"\r\n");
        let is_returned = matches!(told.passage, Passage::Returned);
        if self.marks.forwarded_proto.is_empty() && !is_returned {
            let scheme = told.scheme().as_bytes();
            self.marks.forwarded_proto = self.line(b"X-Forwarded-Proto", scheme);
        }
        if let Some(certificate) = told.certificate() {
            self.line(b"X-Forwarded-Client-Cert", certificate.as_bytes());
        }
    }

    fn number(&mut self, name: &[u8], value: u64) {
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(b": ");
        decimal::push(&mut self.bytes, value);
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// Adds a line; where its value stands.
    fn line(&mut self, name: &[u8], value: &[u8]) -> Range<usize> {
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(b": ");
        let begin = self.bytes.len();
        self.bytes.extend_from_slice(value);
        let mark = begin..self.bytes.len();
        self.bytes.extend_from_slice(b"\r\n");
        mark
    }
}

// === impl Told ===

impl Told<'_> {
    /// The scheme that endpoints are told when they are not told the client's.
    fn scheme(&self) -> &'static str {
        match self.rules.forwarded_proto {
            ForwardedProto::Https => "https",
            ForwardedProto::Keep | ForwardedProto::Sanitize if self.tls.is_some() => "https",
            ForwardedProto::Keep | ForwardedProto::Sanitize => "http",
        }
    }

    /// The certificate that the client has shown.
    fn shown(&self) -> Option<&str> {
        self.tls.and_then(|known| known.certificate.as_deref())
    }

    /// Whether a line of the client's has one of ours in its place, or none: what the route's
    /// service has brought back was said by a router, and counts.
    fn replaces(&self, name: Name, value: &[u8]) -> bool {
        match (name, self.passage) {
            (Name::ForwardedProto, Passage::Straight | Passage::To(_)) => {
                self.rules.replaces_proto() || value.is_empty()
            }
            (Name::ForwardedProto, Passage::Returned) => false,
            (
                Name::ProxySignature | Name::ProxyMetadata | Name::ForwardedUrl,
                Passage::To(_) | Passage::Returned,
            )
            | (Name::Host, Passage::To(_)) => true,
            _ => false,
        }
    }

    /// Whether endpoints get what the client says of a certificate.
    fn passes_certificate(&self) -> bool {
        let is_returned = matches!(self.passage, Passage::Returned);
        match self.rules.client_certificate {
            ForwardedCertificate::AlwaysForward => true,
            ForwardedCertificate::Forward => self.shown().is_some() && !is_returned,
            ForwardedCertificate::SanitizeSet => is_returned && self.tls.is_some(),
        }
    }

    /// What endpoints get in its place.
    fn certificate(&self) -> Option<&str> {
        let sets = self.rules.client_certificate == ForwardedCertificate::SanitizeSet;
        self.shown().filter(|_| sets && !self.passes_certificate())
    }

    /// Whether the client's `Connection` keeps a line from the endpoint.
    fn is_taken_away(&self, head: &RequestHead<'_, '_>, name: Name, text: &[u8]) -> bool {
        let is_kept = |kept: &String| kept.as_bytes().eq_ignore_ascii_case(text);
        name != Name::Host
            && head.fields.is_named_by_connection(text)
            && !self.rules.not_of_hop.iter().any(is_kept)
    }
}

// === impl HeaderRules ===

impl HeaderRules {
    /// Whether endpoints are not told the scheme that the client says.
    fn replaces_proto(&self) -> bool {
        self.forwarded_proto != ForwardedProto::Keep
    }

    /// Whether the endpoint's connection is not used again after a request.
    pub(super) fn ends_connection(&self, head: &RequestHead<'_, '_>) -> bool {
        let waits = head.expects == Expects::Continue && head.upgrade.is_none();
        self.closes_after_continue && waits
    }
}

// === impl Shape ===

impl Shape {
    /// What decides about another attempt.
    pub(crate) fn of(head: &RequestHead<'_, '_>) -> Self {
        let is_idempotent = matches!(head.method, "GET" | "HEAD" | "OPTIONS" | "TRACE")
            || head.fields.has(Name::IdempotencyKey);
        Self { is_idempotent, has_body: head.body != Body::Empty }
    }
}

/// Whether this is for us, or only we say it, whatever the client says.
fn is_ours(name: Name) -> bool {
    matches!(
        name,
        Name::AppInstance
            | Name::ApplicationId
            | Name::ContentLength
            | Name::ForwardedFor
            | Name::InstanceId
            | Name::InstanceIndex
            | Name::RequestId
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h1::head::Slots;

    #[test]
    fn a_retry_names_another_endpoint_and_changes_nothing_else() {
        let head = b"GET http://web.test/a?b HTTP/1.1\r\nhost: web.test\r\nReferer: r\r\n\r\n";
        let mut slots = Slots::new();
        let parsed = RequestHead::parse(head, 10, &mut slots).unwrap();
        let (rules, trace) = (HeaderRules::default(), Trace::default());
        let (client, at) = ("10.0.0.1", Time(5_000_000));
        let (tls, passage) = (None, &Passage::Straight);
        let told =
            Told { client, tls, request_id: b"id", at, rules: &rules, trace: &trace, passage };
        let mut outbound = Outbound::new(Vec::new(), &parsed, told);
        for endpoint in ["X-A: 1\r\n", "X-A: 22\r\n"] {
            outbound.address(|head| head.extend_from_slice(endpoint.as_bytes()));
            let expected = format!(
                "GET http://web.test/a?b HTTP/1.1\r\nhost: web.test\r\nReferer: r\r\n\
                 X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Request-Start: 5\r\n\
                 X-Vcap-Request-Id: id\r\n{endpoint}\r\n"
            );
            assert_eq!(std::str::from_utf8(outbound.bytes()).unwrap(), expected);
        }
        for (mark, expected) in [
            (&outbound.marks.method, "GET"),
            (&outbound.marks.target, "/a?b"),
            (&outbound.marks.host, "web.test"),
            (&outbound.marks.referer, "r"),
            (&outbound.marks.user_agent, ""),
            (&outbound.marks.forwarded_for, "10.0.0.1"),
            (&outbound.marks.forwarded_proto, "http"),
        ] {
            assert_eq!(outbound.at(mark), expected.as_bytes());
        }
    }
}
