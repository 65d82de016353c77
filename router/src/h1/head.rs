//! Where a head ends, and its parsing.

use std::mem::MaybeUninit;

use httparse::Header;

use super::Violation;
use super::name::Name;

/// The most header lines of any head, whatever the configuration says.
pub(crate) const LINES_CEILING: usize = 256;

/// Room for a head's parsed lines, on the stack.
pub(crate) struct Slots<'b> {
    pub(super) headers: [MaybeUninit<Header<'b>>; LINES_CEILING],
    pub(super) names: [Name; LINES_CEILING],
}

/// Follows a head as it comes in, so that no byte is looked at twice.
#[derive(Debug, Default)]
pub(crate) struct HeadEnd {
    seen: usize,
    line: usize,
}

/// Which ends of lines are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineEnds {
    /// CR LF only.
    Strict,
    /// LF alone, too; only where the head is written anew.
    Lenient,
}

// === impl Slots ===

impl Slots<'_> {
    /// Empty room.
    pub(crate) fn new() -> Self {
        Self {
            headers: [const { MaybeUninit::uninit() }; LINES_CEILING],
            names: [Name::Other; LINES_CEILING],
        }
    }
}

// === impl HeadEnd ===

impl HeadEnd {
    /// The head's length with its empty line, once that is among `bytes`; they are those of the
    /// earlier calls and perhaps more.
    pub(crate) fn find(
        &mut self,
        bytes: &[u8],
        ends: LineEnds,
    ) -> Result<Option<usize>, Violation> {
        while let Some(at) = memchr::memchr(b'\n', &bytes[self.seen..]) {
            let end = self.seen + at;
            let line = &bytes[self.line..end];
            let content = line.strip_suffix(b"\r");
            if ends == LineEnds::Strict && content.is_none() {
                return Err(Violation::LineEnd);
            }
            (self.seen, self.line) = (end + 1, end + 1);
            if content.unwrap_or(line).is_empty() {
                return Ok(Some(end + 1));
            }
        }
        self.seen = bytes.len();
        Ok(None)
    }
}

/// What the parser's complaint means.
pub(super) fn violation(error: httparse::Error) -> Violation {
    match error {
        httparse::Error::HeaderName | httparse::Error::HeaderValue | httparse::Error::NewLine => {
            Violation::Header
        }
        httparse::Error::Status | httparse::Error::Token => Violation::FirstLine,
        httparse::Error::TooManyHeaders => Violation::TooLarge,
        httparse::Error::Version => Violation::Version,
    }
}
