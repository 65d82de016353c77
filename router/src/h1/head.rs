//! Where a head ends, and its parsing.

use std::mem::MaybeUninit;

use httparse::Header;

use super::name::Name;
use super::{Violation, words};

/// The most header lines of any head, whatever the configuration says.
pub(crate) const LINES_CEILING: usize = 256;

/// Room for a head's parsed lines, on the stack.
pub(crate) struct Slots<'b> {
    pub(super) headers: [MaybeUninit<Header<'b>>; LINES_CEILING],
    pub(super) names: [Name; LINES_CEILING],
}

/// The lines of a parsed head. It borrows the bytes they were parsed from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'s, 'b> {
    headers: &'s [Header<'b>],
    names: &'s [Name],
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

// === impl Fields ===

impl<'s, 'b> Fields<'s, 'b> {
    /// Notes which name each line has.
    pub(super) fn new(headers: &'s [Header<'b>], names: &'s mut [Name]) -> Self {
        for (header, name) in headers.iter().zip(&mut *names) {
            *name = Name::of(header.name.as_bytes());
        }
        Self { headers, names: &names[..headers.len()] }
    }

    /// Every line: which name it is, the name as sent, and the value.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (Name, &'b [u8], &'b [u8])> + use<'s, 'b> {
        self.names.iter().zip(self.headers).map(|(name, h)| (*name, h.name.as_bytes(), h.value))
    }

    /// The values under a name.
    pub(crate) fn values(&self, name: Name) -> impl Iterator<Item = &'b [u8]> + use<'s, 'b> {
        self.lines().filter(move |line| line.0 == name).map(|line| line.2)
    }

    /// Whether a name is there.
    pub(crate) fn has(&self, name: Name) -> bool {
        self.names.contains(&name)
    }

    /// Whether `Connection` names this header.
    pub(crate) fn is_named_by_connection(&self, text: &[u8]) -> bool {
        self.values(Name::Connection)
            .any(|value| words(value).any(|w| w.eq_ignore_ascii_case(text)))
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

/// The beginning of a head that is too large as a head of its own: whole lines, at most so many, and
/// none that says how long a body is, for what follows is none. Nothing without a first line.
pub(crate) fn readable(bytes: &[u8], lines_max: usize) -> Option<Vec<u8>> {
    let lines = bytes.split_inclusive(|&b| b == b'\n').take_while(|line| line.ends_with(b"\r\n"));
    let is_framing = |line: &[u8]| {
        let name = line.split(|&b| b == b':').next().unwrap_or_default();
        matches!(Name::of(name), Name::ContentLength | Name::TransferEncoding)
    };
    let mut head: Vec<u8> = Vec::new();
    for line in lines.take(lines_max + 1).take_while(|line| *line != b"\r\n") {
        if head.is_empty() || !is_framing(line) {
            head.extend_from_slice(line);
        }
    }
    (!head.is_empty()).then(|| [head, b"\r\n".to_vec()].concat())
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
