//! HTTP/1 as bytes, without sockets: strict where two readers could read differently. Pure.
//!
//! | Part | Is |
//! |---|---|
//! | [`buffer`] | bytes that were read and not yet used |
//! | [`head`] | where a head ends, and its parsing by `httparse` |
//! | [`name`] | the header names that mean something to a proxy |
//! | [`request`], [`response`] | what a head says about its message |
//! | [`body`] | where a body ends, and its trailers |
//! | [`transfer`] | a body from one framing into another |
//!
//! A request is refused where RFC 9112 lets a reader choose; an answer only where its end would be
//! unknown. Chunks are written anew, so that what leaves has one form whatever came in.

pub(crate) mod body;
pub(crate) mod buffer;
pub(crate) mod head;
pub(crate) mod name;
#[cfg(any(test, fuzzing))]
pub(crate) mod reading;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod transfer;

/// What a message must not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Violation {
    /// A line without CR LF at its end, or with a CR inside.
    #[error("a line does not end with CR LF")]
    LineEnd,
    /// Not a request line or status line.
    #[error("the first line is malformed")]
    FirstLine,
    /// No version of HTTP.
    #[error("the version is neither HTTP/1.0 nor HTTP/1.1")]
    Version,
    /// A version 1 other than HTTP/1.0 and HTTP/1.1.
    #[error("the version is of HTTP/1, and neither HTTP/1.0 nor HTTP/1.1")]
    MinorVersion,
    /// A version other than 1.
    #[error("unsupported protocol version")]
    MajorVersion,
    /// A header line with a bad name or value, or one that continues on the next line.
    #[error("a header line is malformed")]
    Header,
    /// The beginning of HTTP/2, where HTTP/1 is spoken.
    #[error("HTTP/2 is spoken under TLS only")]
    Http2,
    /// More bytes or lines in a head than the limit.
    #[error("the head is too large")]
    TooLarge,
    /// Both `Content-Length` and `Transfer-Encoding`.
    #[error("both Content-Length and Transfer-Encoding")]
    LengthAndEncoding,
    /// A `Content-Length` that is no number, or two that differ.
    #[error("Content-Length is not one number")]
    Length,
    /// A `Transfer-Encoding` other than one `chunked`, or any in HTTP/1.0.
    #[error("Transfer-Encoding is not one chunked of HTTP/1.1")]
    Encoding,
    /// A chunk without a proper size or end, or with more framing than data.
    #[error("a chunk is malformed")]
    Chunk,
    /// The body ended before its end.
    #[error("the body ended early")]
    Early,
}

/// The version of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    /// There is none.
    Empty,
    /// After so many bytes.
    Length(u64),
    /// With a chunk of size 0.
    Chunked,
    /// With the connection; answers only.
    UntilClose,
}

/// What `Content-Length` and `Transfer-Encoding` say, line by line.
#[derive(Debug, Default)]
pub(crate) struct Framing {
    length: Option<u64>,
    /// There is one without a value, which means nothing.
    has_empty: bool,
    is_chunked: bool,
}

// === impl Version ===

impl Version {
    /// As it stands in a line.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
        }
    }
}

// === impl Framing ===

impl Framing {
    /// One `Content-Length`; the same number twice is one, and nothing is none.
    pub(crate) fn length(&mut self, value: &[u8]) -> Result<(), Violation> {
        if value.is_empty() {
            self.has_empty = true;
            return if self.length.is_none() { Ok(()) } else { Err(Violation::Length) };
        }
        if self.has_empty || !value.iter().all(u8::is_ascii_digit) {
            return Err(Violation::Length);
        }
        let text = std::str::from_utf8(value).map_err(|_| Violation::Length)?;
        let length = text.parse().map_err(|_| Violation::Length)?;
        if self.length.is_some_and(|known| known != length) {
            return Err(Violation::Length);
        }
        self.length = Some(length);
        Ok(())
    }

    /// One `Transfer-Encoding`.
    pub(crate) fn encoding(&mut self, value: &[u8]) -> Result<(), Violation> {
        if self.is_chunked || !value.eq_ignore_ascii_case(b"chunked") {
            return Err(Violation::Encoding);
        }
        self.is_chunked = true;
        Ok(())
    }

    /// What they come to in a request.
    pub(crate) fn of_request(&self, version: Version) -> Result<Body, Violation> {
        match (self.is_chunked, self.length) {
            (true, Some(_)) => Err(Violation::LengthAndEncoding),
            (true, None) if self.has_empty => Err(Violation::LengthAndEncoding),
            (true, None) if version == Version::Http10 => Err(Violation::Encoding),
            (true, None) => Ok(Body::Chunked),
            (false, None | Some(0)) => Ok(Body::Empty),
            (false, Some(length)) => Ok(Body::Length(length)),
        }
    }

    /// What they come to in an answer: a length beside chunks means nothing (RFC 9112 6.3).
    pub(crate) fn of_answer(&self, version: Version) -> Result<Body, Violation> {
        match (self.is_chunked, self.length) {
            (true, _) if version == Version::Http10 => Err(Violation::Encoding),
            (true, _) => Ok(Body::Chunked),
            (false, Some(0)) => Ok(Body::Empty),
            (false, Some(length)) => Ok(Body::Length(length)),
            (false, None) => Ok(Body::UntilClose),
        }
    }

    /// The length, where one was given.
    pub(crate) fn given_length(&self) -> Option<u64> {
        self.length
    }

    /// Whether a length was given that is none.
    pub(crate) fn has_empty_length(&self) -> bool {
        self.has_empty
    }

    /// Whether chunks were announced.
    pub(crate) fn is_chunked(&self) -> bool {
        self.is_chunked
    }
}

/// The words of a list in a header's value, without blanks.
pub(crate) fn words(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&b| b == b',').map(<[u8]>::trim_ascii).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests;
