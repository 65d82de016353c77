//! A case: what it says, and the form that messages are compared in. Also played by the process of
//! the router, in the appliance's tests.

/// One exchange on one client connection.
pub(crate) struct Case {
    /// What it shows.
    pub(crate) about: &'static str,
    /// What the client sends.
    pub(crate) sends: &'static str,
    /// What the endpoint answers, request by request.
    pub(crate) answers: &'static [&'static str],
    /// What the endpoint sees, message by message.
    pub(crate) saw: &'static [&'static str],
    /// What the client gets, message by message; a status alone stands for any answer with it.
    pub(crate) gets: &'static [&'static str],
    /// What becomes of the client's connection.
    pub(crate) then: Then,
}

/// What becomes of the client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// It serves another request.
    Stays,
    /// The router closes it.
    Closes,
}

/// An endpoint's usual answer.
pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// What the client gets of it.
pub(crate) const GETS_OK: &str = "HTTP/1.1 200 OK | content-length: 2 || ok";
/// What the endpoint sees of a plain request.
pub(crate) const SAW: &str = "GET / HTTP/1.1 | host: web.test";

/// What every request gains; shown only where a case is about it, by another value.
const ALWAYS: [&str; 6] = [
    "x-cf-applicationid: web",
    "x-cf-instanceid: guid-0",
    "x-cf-instanceindex: 0",
    "x-forwarded-for: 127.0.0.1",
    "x-forwarded-proto: http",
    "connection: close",
];

/// A plain GET with some header lines, and what the endpoint sees of them.
macro_rules! seen {
    ($about:literal, $given:literal, $seen:literal) => {
        $crate::wire::Case {
            about: $about,
            sends: concat!("GET / HTTP/1.1\r\nHost: web.test\r\n", $given, "\r\n"),
            answers: &[$crate::wire::OK],
            saw: &[concat!("GET / HTTP/1.1 | ", $seen)],
            gets: &[$crate::wire::GETS_OK],
            then: $crate::wire::Then::Stays,
        }
    };
}
pub(crate) use seen;

impl Case {
    /// The method of each request that it sends.
    pub(crate) fn methods(&self) -> impl Iterator<Item = &'static str> {
        let heads = self.sends.split("\r\n\r\n");
        heads.map(|head| head.split(' ').next().unwrap_or("").trim())
    }

    /// Whether a message is the one expected in this place.
    pub(crate) fn expects(expected: &str, got: &str) -> bool {
        got == expected || got.get(9..12) == Some(expected)
    }
}

/// `first line | name: value | ... || body`, sorted, without what always is there.
pub(crate) fn normal(head: &str, body: &str) -> String {
    let mut lines = head.trim_end().split("\r\n");
    let first = lines.next().unwrap_or_default().to_owned();
    let mut fields: Vec<String> = lines.map(field).filter(|field| !is_usual(field)).collect();
    fields.sort();
    fields.insert(0, first);
    let head = fields.join(" | ");
    if body.is_empty() { head } else { format!("{head} || {body}") }
}

fn field(line: &str) -> String {
    let (name, value) = line.split_once(':').unwrap_or((line, ""));
    format!("{}: {}", name.to_ascii_lowercase(), value.trim())
}

fn is_usual(field: &str) -> bool {
    let (name, value) = field.split_once(": ").unwrap_or((field, ""));
    ALWAYS.contains(&field)
        || name == "date"
        || (name == "x-vcap-request-id" && value.len() == 36)
        || (name == "x-request-start" && value.len() == 13)
}
