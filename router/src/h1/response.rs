//! What an answer's head says.

use httparse::{ParserConfig, Status};

use super::head::{Fields, Slots, violation};
use super::name::Name;
use super::request::Persistence;
use super::{Body, Framing, Version, Violation};

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
    /// Its lines.
    pub(crate) fields: Fields<'s, 'b>,
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
            fields: Fields::new(parsed.headers, &mut slots.names),
        };
        head.judge(version, to_head)?;
        Ok(head)
    }

    fn judge(&mut self, version: Version, to_head: bool) -> Result<(), Violation> {
        if self.status < 100 {
            return Err(Violation::FirstLine);
        }
        let (mut framing, mut persistence) = (Framing::default(), Persistence::default());
        for (name, _, value) in self.fields.lines() {
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
