//! What a request's head says.

use httparse::Status;

use super::head::{Fields, Slots, violation};
use super::name::Name;
use super::{Body, Framing, Version, Violation, words};

/// What looks like a head to who does not expect HTTP/2 (RFC 9113 3.4).
const HTTP2_BEGINS: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";

/// A parsed head. It borrows the bytes it was parsed from.
#[derive(Debug)]
pub(crate) struct RequestHead<'s, 'b> {
    /// The method.
    pub(crate) method: &'b str,
    /// The target, as sent.
    pub(crate) target: &'b [u8],
    /// The version.
    pub(crate) version: Version,
    /// How the body ends.
    pub(crate) body: Body,
    /// `Content-Length`, where there is one.
    pub(crate) length: Option<u64>,
    /// Whether there is a `Content-Length` without a value.
    pub(crate) has_empty_length: bool,
    /// Whether the client wants to use the connection again.
    pub(crate) keeps_alive: bool,
    /// The protocol that is asked for, if `Connection` says that the asking is meant for us.
    pub(crate) upgrade: Option<&'b [u8]>,
    /// What is expected of us before the body is sent.
    pub(crate) expects: Expects,
    /// Its lines.
    pub(crate) fields: Fields<'s, 'b>,
}

/// What `Expect` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expects {
    /// Nothing.
    Nothing,
    /// `100 Continue` before the body.
    Continue,
    /// Something nobody knows.
    Unknown,
}

/// What `Connection` says.
#[derive(Debug, Default)]
pub(super) struct Persistence {
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) upgrade: bool,
}

// === impl RequestHead ===

impl<'s, 'b> RequestHead<'s, 'b> {
    /// Parses a whole head, which ends with its empty line.
    pub(crate) fn parse(
        bytes: &'b [u8],
        lines_max: usize,
        slots: &'s mut Slots<'b>,
    ) -> Result<Self, Violation> {
        let mut parsed = httparse::Request::new(&mut []);
        let lines = lines_max.min(slots.headers.len());
        match parsed.parse_with_uninit_headers(bytes, &mut slots.headers[..lines]) {
            Ok(Status::Complete(length)) if length == bytes.len() => {}
            Ok(_) => return Err(Violation::Header),
            Err(_) if bytes == HTTP2_BEGINS => return Err(Violation::Http2),
            Err(httparse::Error::Version) => return Err(unspoken(bytes)),
            Err(error) => return Err(violation(error)),
        }
        let version = match parsed.version {
            Some(0) => Version::Http10,
            _ => Version::Http11,
        };
        let mut head = Self {
            method: parsed.method.unwrap_or_default(),
            target: parsed.path.unwrap_or_default().as_bytes(),
            version,
            body: Body::Empty,
            length: None,
            has_empty_length: false,
            keeps_alive: false,
            upgrade: None,
            expects: Expects::Nothing,
            fields: Fields::new(parsed.headers, &mut slots.names),
        };
        head.judge()?;
        Ok(head)
    }

    fn judge(&mut self) -> Result<(), Violation> {
        let (mut framing, mut persistence) = (Framing::default(), Persistence::default());
        for (name, _, value) in self.fields.lines() {
            match name {
                Name::ContentLength => framing.length(value)?,
                Name::TransferEncoding => framing.encoding(value)?,
                Name::Connection => persistence.read(value),
                _ => {}
            }
        }
        self.body = framing.of_request(self.version)?;
        self.length = framing.given_length();
        self.has_empty_length = framing.has_empty_length();
        self.keeps_alive = persistence.keeps(self.version);
        if self.version == Version::Http11 {
            let upgrade = self.fields.values(Name::Upgrade).next();
            let expects = self.fields.values(Name::Expect).fold(Expects::Nothing, |_, value| {
                match value.eq_ignore_ascii_case(b"100-continue") {
                    true => Expects::Continue,
                    false => Expects::Unknown,
                }
            });
            self.upgrade = upgrade.filter(|_| persistence.upgrade);
            self.expects = expects;
        }
        Ok(())
    }
}

/// What is wrong with a request line whose version is not spoken.
fn unspoken(head: &[u8]) -> Violation {
    let line = head.split(|&b| b == b'\r').next().unwrap_or_default();
    let version = line.rsplit(|&b| b == b' ').next().unwrap_or_default();
    match version.strip_prefix(b"HTTP/") {
        Some([b'1', b'.', minor]) if minor.is_ascii_digit() => Violation::MinorVersion,
        Some([major, b'.', minor]) if major.is_ascii_digit() && minor.is_ascii_digit() => {
            Violation::MajorVersion
        }
        Some(_) | None => Violation::Version,
    }
}

// === impl Persistence ===

impl Persistence {
    pub(super) fn read(&mut self, value: &[u8]) {
        for word in words(value) {
            self.close |= word.eq_ignore_ascii_case(b"close");
            self.keep_alive |= word.eq_ignore_ascii_case(b"keep-alive");
            self.upgrade |= word.eq_ignore_ascii_case(b"upgrade");
        }
    }

    pub(super) fn keeps(&self, version: Version) -> bool {
        !self.close && (version == Version::Http11 || self.keep_alive)
    }
}
