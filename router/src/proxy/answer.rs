//! The heads that clients get: an endpoint's, without what concerned the other hop, or the
//! router's own. Pure.

use lattice_model::Time;

use super::exchange::Asks;
use crate::config::HeaderRules;
use crate::decimal;
use crate::h1::name::Name;
use crate::h1::response::ResponseHead;
use crate::h1::{Body, Version};
use crate::http_date;
use crate::verdict::{self, Fault};

/// What is added to an endpoint's head.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Added<'a> {
    pub(crate) asks: Asks,
    pub(crate) request_id: &'a [u8],
    pub(crate) at: Time,
    /// The cookie that names the instance.
    pub(crate) cookie: Option<&'a str>,
    /// Whether the client's connection takes another request after this one.
    pub(crate) keeps_alive: bool,
    /// The address of the endpoint that was asked last.
    pub(crate) endpoint: Option<&'a str>,
    pub(crate) rules: &'a HeaderRules,
}

/// How an endpoint's body goes on to a client: whether in chunks, and whether it ends only with
/// the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Passage {
    pub(crate) in_chunks: bool,
    pub(crate) until_close: bool,
}

// === impl Added ===

impl Added<'_> {
    /// Who answered, for a client that may know.
    fn trace(&self, out: &mut Vec<u8>) {
        let Some((_, router)) = self.rules.trace_key.as_ref().filter(|_| self.asks.is_traced)
        else {
            return;
        };
        line(out, b"X-Vcap-Router", router.as_bytes());
        if let Some(endpoint) = self.endpoint {
            line(out, b"X-Vcap-Backend", endpoint.as_bytes());
            line(out, b"X-Cf-RouteEndpoint", endpoint.as_bytes());
        }
    }

    /// Takes out of a head and adds to it what the rules say; never what frames the message. The
    /// head has no empty line yet.
    fn rewrite(&self, out: &mut Vec<u8>, begin: usize) {
        let rules = self.rules;
        if rules.removed_from_answers.is_empty() && rules.added_to_answers.is_empty() {
            return;
        }
        let written = out.split_off(begin);
        let is_removed = |name: &[u8]| {
            let same = |removed: &String| removed.as_bytes().eq_ignore_ascii_case(name);
            !frames(name) && rules.removed_from_answers.iter().any(same)
        };
        let mut names: Vec<&[u8]> = Vec::new();
        for (nth, whole) in written.split_inclusive(|&b| b == b'\n').enumerate() {
            let name = whole.split(|&b| b == b':').next().unwrap_or_default();
            if nth == 0 || !is_removed(name) {
                out.extend_from_slice(whole);
                names.push(name);
            }
        }
        for (name, value) in &rules.added_to_answers {
            let is_there = names.iter().any(|n| n.eq_ignore_ascii_case(name.as_bytes()));
            if !is_there && !frames(name.as_bytes()) {
                line(out, name.as_bytes(), value.as_bytes());
            }
        }
    }
}

/// Whether a header frames its message, or says what becomes of the connection.
fn frames(name: &[u8]) -> bool {
    let name = Name::of(name);
    name.is_of_hop() || name == Name::ContentLength
}

#[cfg(any(test, fuzzing))]
impl<'a> Added<'a> {
    /// What is added to the answer to a client of HTTP/1.1.
    pub(crate) fn for_test(is_head: bool, rules: &'a HeaderRules) -> Self {
        let asks = Asks { is_head, keeps_alive: true, ..Asks::nothing() };
        let (request_id, at) = (b"id", Time(0));
        Self { asks, request_id, at, cookie: None, keeps_alive: true, endpoint: None, rules }
    }
}

// === impl Passage ===

impl Passage {
    /// How this body goes on.
    pub(crate) fn of(body: Body, version: Version) -> Self {
        let is_open = matches!(body, Body::Chunked | Body::UntilClose);
        let in_chunks = is_open && version == Version::Http11;
        Self { in_chunks, until_close: is_open && !in_chunks }
    }
}

/// Writes the final head.
pub(crate) fn relay(out: &mut Vec<u8>, head: &ResponseHead<'_, '_>, added: Added<'_>) {
    let (version, begin) = (added.asks.version, out.len());
    status_line(out, version, head.status, head.reason);
    passed_on(out, head);
    let passage = Passage::of(head.body, version);
    let would_be_chunked = added.asks.is_head && head.is_chunked && version == Version::Http11;
    if passage.in_chunks || would_be_chunked {
        line(out, b"Transfer-Encoding", b"chunked");
    } else if let Some(length) = head.length {
        content_length(out, length);
    }
    if !head.fields.has(Name::RequestId) {
        line(out, b"X-Vcap-Request-Id", added.request_id);
    }
    if !head.fields.has(Name::Date) {
        line(out, b"Date", &http_date::text(added.at));
    }
    if let Some(cookie) = added.cookie {
        line(out, b"Set-Cookie", cookie.as_bytes());
    }
    added.trace(out);
    persistence(out, version, added.keeps_alive);
    added.rewrite(out, begin);
    out.extend_from_slice(b"\r\n");
}

/// Writes an informational head.
pub(crate) fn inform(out: &mut Vec<u8>, head: &ResponseHead<'_, '_>) {
    status_line(out, Version::Http11, head.status, head.reason);
    passed_on(out, head);
    out.extend_from_slice(b"\r\n");
}

/// Writes the 101 that ends HTTP.
pub(crate) fn switch(out: &mut Vec<u8>, head: &ResponseHead<'_, '_>, added: Added<'_>) {
    status_line(out, Version::Http11, head.status, head.reason);
    passed_on(out, head);
    line(out, b"Connection", b"Upgrade");
    if let Some(protocol) = head.fields.values(Name::Upgrade).next() {
        line(out, b"Upgrade", protocol);
    }
    if !head.fields.has(Name::RequestId) {
        line(out, b"X-Vcap-Request-Id", added.request_id);
    }
    if let Some(cookie) = added.cookie {
        line(out, b"Set-Cookie", cookie.as_bytes());
    }
    added.trace(out);
    out.extend_from_slice(b"\r\n");
}

/// Writes what the router answers by itself, with its body, in gorouter's order.
pub(crate) fn refuse(out: &mut Vec<u8>, answer: &verdict::Answer, added: Added<'_>) {
    if answer.is_bare {
        status_line(out, Version::Http10, answer.status, verdict::reason(answer.status).as_bytes());
        return out.extend_from_slice(b"\r\n");
    }
    let (version, begin) = (added.asks.version, out.len());
    status_line(out, version, answer.status, verdict::reason(answer.status).as_bytes());
    if let Some(control) = answer.cache_control {
        line(out, b"Cache-Control", control.as_bytes());
    }
    if answer.expires_at_once() {
        line(out, b"Expires", b"0");
    }
    let length = answer.body_length();
    if length > 0 {
        let html = if answer.is_page { "text/html" } else { "text/plain" };
        line(out, b"Content-Type", format!("{html}; charset=utf-8").as_bytes());
    }
    if let Some(error) = &answer.error {
        line(out, b"X-Cf-Routererror", printable(error).as_bytes());
    }
    if length > 0 {
        line(out, b"X-Content-Type-Options", b"nosniff");
    }
    if answer.fault == Fault::Endpoint {
        line(out, b"X-Vcap-Request-Id", added.request_id);
    }
    line(out, b"Date", &http_date::text(added.at));
    content_length(out, length);
    added.trace(out);
    persistence(out, version, added.keeps_alive);
    added.rewrite(out, begin);
    out.extend_from_slice(b"\r\n");
    if length > 0 && !added.asks.is_head {
        out.extend_from_slice(answer.body.as_bytes());
        if !answer.is_page {
            out.push(b'\n');
        }
    }
}

fn status_line(out: &mut Vec<u8>, version: Version, status: u16, reason: &[u8]) {
    out.extend_from_slice(version.text().as_bytes());
    out.push(b' ');
    decimal::push(out, status.into());
    out.push(b' ');
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
}

/// The endpoint's own lines, but for those of the hop and the framing, which is ours.
fn passed_on(out: &mut Vec<u8>, head: &ResponseHead<'_, '_>) {
    let has_connection = head.fields.has(Name::Connection);
    for (name, text, value) in head.fields.lines() {
        let is_framing = name.is_of_hop() || name == Name::ContentLength;
        if is_framing
            || name == Name::ProxySignature
            || (has_connection && head.fields.is_named_by_connection(text))
        {
            continue;
        }
        line(out, text, value);
    }
}

/// What the client cannot know by the version alone.
fn persistence(out: &mut Vec<u8>, version: Version, keeps_alive: bool) {
    match (version, keeps_alive) {
        (Version::Http11, false) => line(out, b"Connection", b"close"),
        (Version::Http10, true) => line(out, b"Connection", b"keep-alive"),
        (Version::Http11, true) | (Version::Http10, false) => {}
    }
}

fn content_length(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b"Content-Length: ");
    decimal::push(out, length);
    out.extend_from_slice(b"\r\n");
}

/// One line; a value that was folded over several becomes one.
fn line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    let begin = out.len();
    out.extend_from_slice(value);
    if memchr::memchr2(b'\r', b'\n', value).is_some() {
        for byte in &mut out[begin..] {
            *byte = if b"\r\n".contains(byte) { b' ' } else { *byte };
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// An error's text as a header's value.
fn printable(error: &str) -> String {
    error.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests;
