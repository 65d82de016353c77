//! One line for each request, in gorouter's format (facts 1.13). Pure.

mod quoting;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use lattice_model::Time;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use serde::Deserialize;

use crate::{calendar, decimal};
use quoting::escape;

/// In a short line, the longest that a header may be which browsers write.
const FIELD_BYTES_MAX: usize = 1000;
/// The same for the request's target, and for all headers together that were asked for.
const TARGET_BYTES_MAX: usize = 20_000;
/// What stands in the place of headers that would be too long.
const HEADERS_CUT: &[u8] = b"...EXTRA-REQUEST-HEADERS-TOO-LONG-TO-LOG--TRUNCATED";

/// What a line tells.
#[derive(Debug, Clone)]
pub struct Line<'r> {
    /// The `Host` header.
    pub host: &'r [u8],
    /// When the request came.
    pub at: Time,
    /// The request line.
    pub method: &'r [u8],
    /// The request line's target.
    pub target: &'r [u8],
    /// The request line's version.
    pub version: &'r str,
    /// The answer's status.
    pub status: u16,
    /// Bytes of the request's body.
    pub received: u64,
    /// Bytes of the answer's body.
    pub sent: u64,
    /// `Referer`.
    pub referer: &'r [u8],
    /// `User-Agent`.
    pub user_agent: &'r [u8],
    /// The client's address.
    pub client: &'r str,
    /// The endpoint's address.
    pub backend: &'r str,
    /// `X-Forwarded-For` as the endpoint saw it.
    pub forwarded_for: &'r [u8],
    /// `X-Forwarded-Proto` as the endpoint saw it.
    pub forwarded_proto: &'r [u8],
    /// `X-Vcap-Request-Id`.
    pub request_id: &'r [u8],
    /// From the request's head to the answer's last byte.
    pub took: Duration,
    /// How much of that was the router's own: before an endpoint was asked.
    pub took_here: Duration,
    /// The app's log id.
    pub app: &'r str,
    /// The instance's index.
    pub index: &'r str,
    /// The instance guid.
    pub instance_id: &'r str,
    /// `X-Cf-RouterError`.
    pub error: &'r str,
    /// Fields that were asked for, with their values; none for `-`.
    pub extra: &'r [(ExtraField, Option<Amount>)],
    /// Headers that were asked for, as the endpoint saw them.
    pub headers: &'r [(String, &'r [u8])],
}

/// A field that a line has only if it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExtraField {
    /// How long the endpoint took that was asked last.
    BackendTime,
    /// How long the connection to it took, where it was new.
    DialTime,
    /// How long its name was looked up, where it has one and the connection was new.
    DnsTime,
    /// How many attempts failed.
    FailedAttempts,
    /// How long they took together.
    FailedAttemptsTime,
    /// The router's own address on the connection to the endpoint; none in HTTP/2, which many share.
    LocalAddress,
    /// How long the handshake with the endpoint took, where there was one.
    TlsTime,
}

/// What is shown of a query.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Query {
    /// All of it.
    #[default]
    Shown,
    /// Nothing.
    Hidden,
    /// That it is the same as in another line: its hash (SHA-1).
    Hashed,
}

/// The value of such a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Amount {
    /// A time, in seconds.
    Time(Duration),
    /// A number.
    Count(usize),
    /// A text.
    Text(String),
}

/// How much of a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// All.
    Whole,
    /// What a client sent only up to a length.
    Short,
}

/// Appends the line's text, all of it.
pub fn write(out: &mut Vec<u8>, line: &Line<'_>) {
    write_to(out, line, Extent::Whole);
}

/// The line's text where it must not be longer than this: as gorouter shortens what clients sent,
/// and then cut, should escapes have made that too long again.
pub fn within(line: &Line<'_>, bytes_max: usize) -> Vec<u8> {
    let mut out = Vec::new();
    write_to(&mut out, line, Extent::Short);
    out.truncate(bytes_max);
    out
}

fn write_to(out: &mut Vec<u8>, line: &Line<'_>, extent: Extent) {
    escape(out, if line.host.is_empty() { b"-" } else { line.host });
    out.extend_from_slice(b" - [");
    out.extend_from_slice(&stamp(line.at));
    out.extend_from_slice(b"] \"");
    escape(out, line.method);
    out.push(b' ');
    escape(out, &extent.of(line.target, "REQUEST-URI", TARGET_BYTES_MAX));
    all(out, &[" ", line.version, "\""]);
    for number in [line.status.into(), line.received, line.sent] {
        out.push(b' ');
        decimal::push(out, number);
    }
    for (name, text) in [("REFERER", line.referer), ("USER-AGENT", line.user_agent)] {
        out.push(b' ');
        quoted(out, &extent.of(text, name, FIELD_BYTES_MAX));
    }
    all(out, &[" \"", line.client, "\" "]);
    quoted(out, line.backend.as_bytes());
    for (name, header, text) in [
        ("x_forwarded_for", "X-FORWARDED-FOR", line.forwarded_for),
        ("x_forwarded_proto", "X-FORWARDED-PROTO", line.forwarded_proto),
    ] {
        field(out, name, &extent.of(text, header, FIELD_BYTES_MAX));
    }
    field(out, "vcap_request_id", line.request_id);
    seconds(out, "response_time", line.took);
    seconds(out, "gorouter_time", line.took_here);
    for (name, text) in
        [("app_id", line.app), ("app_index", line.index), ("instance_id", line.instance_id)]
    {
        field(out, name, text.as_bytes());
    }
    line.extra.iter().for_each(|(extra, amount)| further(out, *extra, amount.as_ref()));
    field(out, "x_cf_routererror", line.error.as_bytes());
    headers(out, line.headers, extent);
}

/// A field that was asked for.
fn further(out: &mut Vec<u8>, extra: ExtraField, amount: Option<&Amount>) {
    let name = extra.name();
    match amount {
        None => field(out, name, b""),
        Some(Amount::Time(time)) => seconds(out, name, *time),
        Some(Amount::Text(text)) => field(out, name, text.as_bytes()),
        Some(Amount::Count(count)) => {
            all(out, &[" ", name, ":"]);
            decimal::push(out, *count as u64);
        }
    }
}

/// The headers that were asked for, up to the one with which a short line has too much of them.
fn headers(out: &mut Vec<u8>, headers: &[(String, &[u8])], extent: Extent) {
    let begin = out.len();
    for (name, value) in headers {
        // Colon, quotes and blank, and in place of nothing a dash in quotes.
        let length = name.len() + value.len() + if value.is_empty() { 7 } else { 4 };
        if extent == Extent::Short && out.len() - begin + length >= TARGET_BYTES_MAX {
            out.push(b' ');
            return out.extend_from_slice(HEADERS_CUT);
        }
        field(out, name, value);
    }
}

// === impl Extent ===

impl Extent {
    /// What is written of a text: in a short line its halves, until it is short with the remark.
    fn of<'t>(self, text: &'t [u8], name: &str, bytes_max: usize) -> Cow<'t, [u8]> {
        let mut text = Cow::Borrowed(text);
        while self == Self::Short && text.len() > bytes_max {
            let half = &text[..text.len() / 2];
            let remark = format!("...{name}-TOO-LONG-TO-LOG--TRUNCATED");
            text = Cow::Owned([half, remark.as_bytes()].concat());
        }
        text
    }
}

// === impl Query ===

impl Query {
    /// A target as it is shown.
    pub(crate) fn shown(self, target: &[u8]) -> Cow<'_, [u8]> {
        let Some(mark) = memchr::memchr(b'?', target).filter(|_| self != Self::Shown) else {
            return Cow::Borrowed(target);
        };
        let (path, query) = (&target[..mark], &target[mark + 1..]);
        if self == Self::Hidden || query.is_empty() {
            return Cow::Borrowed(path);
        }
        let mut text = String::from("?hash=");
        for byte in digest(&SHA1_FOR_LEGACY_USE_ONLY, query).as_ref() {
            let _ = write!(text, "{byte:02x}");
        }
        Cow::Owned([path, text.as_bytes()].concat())
    }
}

// === impl ExtraField ===

impl ExtraField {
    fn name(self) -> &'static str {
        match self {
            Self::BackendTime => "backend_time",
            Self::DialTime => "dial_time",
            Self::DnsTime => "dns_time",
            Self::FailedAttempts => "failed_attempts",
            Self::FailedAttemptsTime => "failed_attempts_time",
            Self::LocalAddress => "local_address",
            Self::TlsTime => "tls_time",
        }
    }
}

fn seconds(out: &mut Vec<u8>, name: &str, time: Duration) {
    let time = time + Duration::from_nanos(500);
    all(out, &[" ", name, ":"]);
    decimal::push(out, time.as_secs());
    out.push(b'.');
    decimal::push_padded(out, time.subsec_micros().into(), 6);
}

fn all(out: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}

fn field(out: &mut Vec<u8>, name: &str, text: &[u8]) {
    all(out, &[" ", name, ":"]);
    quoted(out, text);
}

fn quoted(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    if text.is_empty() {
        out.push(b'-');
    } else {
        escape(out, text);
    }
    out.push(b'"');
}

/// `2006-01-02T15:04:05.000000000Z`.
pub(crate) fn timestamp(out: &mut String, at: Time) {
    out.extend(stamp(at).map(char::from));
}

fn stamp(at: Time) -> [u8; 30] {
    const SECOND: i64 = 1_000_000_000;
    let (secs, nanos) = (at.0.div_euclid(SECOND), at.0.rem_euclid(SECOND));
    let (days, second) = (secs.div_euclid(86_400), secs.rem_euclid(86_400));
    let (year, month, day) = calendar::civil(days);
    let mut text = *b"0000-00-00T00:00:00.000000000Z";
    for (end, width, number) in [
        (4, 4, year),
        (7, 2, month),
        (10, 2, day),
        (13, 2, second / 3600),
        (16, 2, second / 60 % 60),
        (19, 2, second % 60),
        (29, 9, nanos),
    ] {
        let mut left = u32::try_from(number).unwrap_or(0);
        for digit in text[end - width..end].iter_mut().rev() {
            *digit = b'0' + u8::try_from(left % 10).unwrap_or(0);
            left /= 10;
        }
    }
    text
}

#[cfg(test)]
mod tests;
