//! What an answer's head says.

use httparse::{Header, ParserConfig, Status};

use super::head::{Slots, violation};
use super::name::Name;
use super::request::Persistence;
use super::{Body, Framing, Version, Violation, words};

/// A parsed head. It borrows the bytes it was parsed from.
#[derive(Debug)]
pub(crate) struct ResponseHead<'s, 'b> {
    /// The status code.
    pub(crate) status: u16,
    /// The words behind it.
    pub(crate) reason: &'b [u8],
    /// How the body ends.
    pub(crate) body: Body,
    /// `Content-Length`, where it means something.
    pub(crate) length: Option<u64>,
    /// Whether a body would come in chunks, even if none comes.
    pub(crate) is_chunked: bool,
    /// Whether the endpoint keeps the connection.
    pub(crate) keeps_alive: bool,
    headers: &'s [Header<'b>],
    names: &'s [Name],
}

// === impl ResponseHead ===

impl<'s, 'b> ResponseHead<'s, 'b> {
    /// Parses a whole head, which ends with its empty line; `to_head` when HEAD was asked.
    pub(crate) fn parse(
        bytes: &'b [u8],
        lines_max: usize,
        to_head: bool,
        slots: &'s mut Slots<'b>,
    ) -> Result<Self, Violation> {
        let mut parsed = httparse::Response::new(&mut []);
        let lines = lines_max.min(slots.headers.len());
        let mut config = ParserConfig::default();
        config.allow_obsolete_multiline_headers_in_responses(true);
        let slots_used = &mut slots.headers[..lines];
        match config.parse_response_with_uninit_headers(&mut parsed, bytes, slots_used) {
            Ok(Status::Complete(length)) if length == bytes.len() => {}
            Ok(_) => return Err(Violation::Header),
            Err(error) => return Err(violation(error)),
        }
        let headers: &'s [Header<'b>] = parsed.headers;
        for (header, name) in headers.iter().zip(&mut slots.names) {
            *name = Name::of(header.name.as_bytes());
        }
        let version = match parsed.version {
            Some(0) => Version::Http10,
            _ => Version::Http11,
        };
        let mut head = Self {
            status: parsed.code.unwrap_or_default(),
            reason: parsed.reason.unwrap_or_default().as_bytes(),
            body: Body::Empty,
            length: None,
            is_chunked: false,
            keeps_alive: false,
            headers,
            names: &slots.names[..headers.len()],
        };
        head.judge(version, to_head)?;
        Ok(head)
    }

    /// Every header line: which name it is, the name as sent, and the value.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (Name, &'b [u8], &'b [u8])> {
        self.names.iter().zip(self.headers).map(|(name, h)| (*name, h.name.as_bytes(), h.value))
    }

    /// The values under a name.
    pub(crate) fn values(&self, name: Name) -> impl Iterator<Item = &'b [u8]> {
        self.lines().filter(move |line| line.0 == name).map(|line| line.2)
    }

    /// Whether `Connection` names this header.
    pub(crate) fn is_named_by_connection(&self, text: &[u8]) -> bool {
        self.values(Name::Connection)
            .any(|value| words(value).any(|w| w.eq_ignore_ascii_case(text)))
    }

    fn judge(&mut self, version: Version, to_head: bool) -> Result<(), Violation> {
        if self.status < 100 {
            return Err(Violation::FirstLine);
        }
        let (mut framing, mut persistence) = (Framing::default(), Persistence::default());
        for (name, _, value) in self.lines() {
            match name {
                Name::ContentLength => framing.length(value)?,
                Name::TransferEncoding => framing.encoding(value)?,
                Name::Connection => persistence.read(value),
                _ => {}
            }
        }
        let body = framing.of_answer(version)?;
        let is_bodiless = to_head || self.status < 200 || matches!(self.status, 204 | 304);
        self.body = if is_bodiless { Body::Empty } else { body };
        self.is_chunked = framing.is_chunked();
        self.length = framing.given_length().filter(|_| !self.is_chunked && self.status != 204);
        self.keeps_alive = self.body != Body::UntilClose && persistence.keeps(version);
        Ok(())
    }
}
