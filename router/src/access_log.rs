//! One line for each request, in gorouter's format (facts 1.13). Pure.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use lattice_model::Time;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use serde::Deserialize;

use crate::{calendar, decimal};

/// The longest a client's text may be in a line, as gorouter cuts it.
const FIELD_BYTES_MAX: usize = 1000;
/// The same for the request's target.
const TARGET_BYTES_MAX: usize = 20_000;

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
    /// Nothing: endpoints have addresses.
    DnsTime,
    /// How many attempts failed.
    FailedAttempts,
    /// How long they took together.
    FailedAttemptsTime,
    /// The router's address on the client's connection.
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

/// Appends the line's text.
pub fn write(out: &mut Vec<u8>, line: &Line<'_>) {
    let target = &line.target[..line.target.len().min(TARGET_BYTES_MAX)];
    escape(out, if line.host.is_empty() { b"-" } else { line.host });
    out.extend_from_slice(b" - [");
    out.extend_from_slice(&stamp(line.at));
    out.extend_from_slice(b"] \"");
    escape(out, line.method);
    out.push(b' ');
    escape(out, target);
    all(out, &[" ", line.version, "\""]);
    for number in [line.status.into(), line.received, line.sent] {
        out.push(b' ');
        decimal::push(out, number);
    }
    out.push(b' ');
    quoted(out, line.referer);
    out.push(b' ');
    quoted(out, line.user_agent);
    all(out, &[" \"", line.client, "\" "]);
    quoted(out, line.backend.as_bytes());
    for (name, text) in [
        ("x_forwarded_for", line.forwarded_for),
        ("x_forwarded_proto", line.forwarded_proto),
        ("vcap_request_id", line.request_id),
    ] {
        field(out, name, text);
    }
    seconds(out, "response_time", line.took);
    seconds(out, "gorouter_time", line.took_here);
    for (name, text) in
        [("app_id", line.app), ("app_index", line.index), ("instance_id", line.instance_id)]
    {
        field(out, name, text.as_bytes());
    }
    for (extra, amount) in line.extra {
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
    field(out, "x_cf_routererror", line.error.as_bytes());
    for (name, value) in line.headers {
        field(out, name, value);
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
        let end = text.len().min(FIELD_BYTES_MAX);
        escape(out, &text[..end]);
        if end < text.len() {
            out.extend_from_slice(b"...TRUNCATED");
        }
    }
    out.push(b'"');
}

/// Nothing a client sends can end a field or a line, or reach a terminal as a control sequence.
fn escape(out: &mut Vec<u8>, text: &[u8]) {
    let is_plain = |b: u8| (0x20..=0x7e).contains(&b) && b != b'"' && b != b'\\';
    // Looking at all of it takes less time than looking for the first that is not.
    if text.iter().fold(true, |all, &b| all & is_plain(b)) {
        return out.extend_from_slice(text);
    }
    for &b in text {
        match b {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', b]),
            0x20..=0x7e => out.push(b),
            _ => {
                let digit = |half: u8| b"0123456789abcdef"[usize::from(half)];
                out.extend_from_slice(&[b'\\', b'x', digit(b >> 4), digit(b & 15)]);
            }
        }
    }
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
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_as_gorouters() {
        let mut line = Vec::new();
        write(
            &mut line,
            &Line {
                host: b"web.test:8080",
                at: Time(1_700_000_000_123_456_789),
                method: b"GET",
                target: b"/a%20b?c='d'",
                version: "HTTP/1.1",
                status: 200,
                received: 3,
                sent: 1024,
                referer: b"",
                user_agent: b"evil\"agent\\ \xff",
                client: "127.0.0.1:5000",
                backend: "10.0.0.9:8080",
                forwarded_for: b"10.0.0.1, 127.0.0.1",
                forwarded_proto: b"",
                request_id: b"id-1",
                took: Duration::from_micros(1500),
                took_here: Duration::from_micros(20),
                app: "web",
                index: "0",
                instance_id: "guid",
                error: "",
                extra: &[
                    (ExtraField::FailedAttempts, Some(Amount::Count(2))),
                    (ExtraField::DialTime, Some(Amount::Time(Duration::from_micros(7)))),
                    (ExtraField::DnsTime, None),
                    (ExtraField::LocalAddress, Some(Amount::Text("10.0.0.2:80".to_owned()))),
                ],
                headers: &[("x_tenant".to_owned(), b"a\nb"), ("x_none".to_owned(), b"")],
            },
        );
        let expected = concat!(
            "web.test:8080 - [2023-11-14T22:13:20.123456789Z] \"GET /a%20b?c='d' HTTP/1.1\" 200 3 ",
            "1024 \"-\" \"evil\\\"agent\\\\ \\xff\" \"127.0.0.1:5000\" \"10.0.0.9:8080\" ",
            "x_forwarded_for:\"10.0.0.1, 127.0.0.1\" x_forwarded_proto:\"-\" ",
            "vcap_request_id:\"id-1\" response_time:0.001500 gorouter_time:0.000020 app_id:\"web\" app_index:\"0\" ",
            "instance_id:\"guid\" failed_attempts:2 dial_time:0.000007 dns_time:\"-\" ",
            "local_address:\"10.0.0.2:80\" x_cf_routererror:\"-\" x_tenant:\"a\\x0ab\" x_none:\"-\"",
        );
        assert_eq!(String::from_utf8(line).unwrap(), expected);
    }

    #[test]
    fn queries_are_shown_hidden_or_hashed() {
        use Query::{Hashed, Hidden, Shown};
        const ABC: &str = "/a?hash=a9993e364706816aba3e25717850c26c9cd0d89d";
        for (query, target, expected) in [
            (Shown, "/a?abc", "/a?abc"),
            (Hidden, "/a?abc", "/a"),
            (Hashed, "/a?abc", ABC),
            (Hashed, "/a", "/a"),
            (Hashed, "/a?", "/a"),
            (Hidden, "/a?b?c", "/a"),
            (Hashed, "?abc", &ABC[2..]),
        ] {
            assert_eq!(query.shown(target.as_bytes()), expected.as_bytes(), "{query:?} {target}");
        }
    }

    #[test]
    fn dates_are_right_at_their_edges() {
        for (secs, expected) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_400, "2000-02-29T00:00:00.000000000Z"),
            (951_868_799, "2000-02-29T23:59:59.000000000Z"),
            (951_868_800, "2000-03-01T00:00:00.000000000Z"),
            (4_102_444_799, "2099-12-31T23:59:59.000000000Z"),
            (-1, "1969-12-31T23:59:59.000000000Z"),
        ] {
            let mut out = String::new();
            timestamp(&mut out, Time::from_secs(secs));
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn a_field_is_cut_at_its_limit() {
        let mut out = Vec::new();
        quoted(&mut out, &[b'x'; FIELD_BYTES_MAX + 1]);
        assert_eq!(out.len(), FIELD_BYTES_MAX + "\"...TRUNCATED\"".len());
    }
}
