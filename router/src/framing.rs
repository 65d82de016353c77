//! Reads where each HTTP/1 request of a connection begins and ends, strictly, beside hyper. Pure.
//!
//! hyper is lenient where a proxy must not be: it takes a bare LF for a line's end, and drops a
//! `Content-Length` beside a `Transfer-Encoding` before anyone can see both. This scanner follows
//! the same bytes, and the first one that two readers could read differently ends the connection
//! before hyper gets it. It refuses nothing that RFC 9112 demands.

/// Follows the bytes of one client connection.
#[derive(Debug)]
pub(crate) struct Framing {
    state: State,
    /// The current line, as far as it came in earlier reads.
    line: Vec<u8>,
    head: Head,
    /// Bytes came after a head that asks for an upgrade.
    is_premature: bool,
    line_bytes_max: usize,
}

/// Where the scanner stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Line(Line),
    Body {
        left: u64,
    },
    ChunkData {
        left: u64,
    },
    /// After a head that asks for an upgrade: what follows is not HTTP until the answer says so.
    Undecided,
    Tunnel,
}

/// What the current line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Request,
    Header,
    ChunkSize,
    ChunkEnd,
    Trailer,
}

/// What matters of the current head.
#[derive(Debug, Default)]
struct Head {
    is_http_10: bool,
    content_length: Option<u64>,
    is_chunked: bool,
    is_upgrade: bool,
}

/// What two readers could read differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Violation {
    /// A line that ends without CR, or a CR within a line.
    LineEnd,
    /// A header that continues on the next line.
    Folded,
    /// Not HTTP/1.0 or HTTP/1.1.
    Version,
    /// A header line without a name.
    HeaderName,
    /// Both `Content-Length` and `Transfer-Encoding`.
    LengthAndEncoding,
    /// A `Content-Length` that is no number, or two that differ.
    Length,
    /// A `Transfer-Encoding` other than one `chunked`, or any in HTTP/1.0.
    Encoding,
    /// A chunk without a proper size or end.
    Chunk,
    /// A line beyond the limit.
    TooLong,
}

/// Whether the connection is between requests, in a head, or past one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// No byte of the next request came.
    Between,
    /// Within a head.
    Head,
    /// In a body.
    Body,
    /// After a head that asks for an upgrade.
    Undecided,
    /// Upgraded.
    Tunnel,
}

/// The longest chunk-size or trailer line.
const CHUNK_LINE_BYTES_MAX: usize = 4096;

// === impl Framing ===

impl Framing {
    /// At the start of a connection.
    pub(crate) fn new(line_bytes_max: usize) -> Self {
        Self {
            state: State::Line(Line::Request),
            line: Vec::new(),
            head: Head::default(),
            is_premature: false,
            line_bytes_max,
        }
    }

    /// Where the connection stands.
    pub(crate) fn place(&self) -> Place {
        match self.state {
            State::Line(Line::Request) if self.line.is_empty() => Place::Between,
            State::Line(Line::Request | Line::Header) => Place::Head,
            State::Line(Line::ChunkSize | Line::ChunkEnd | Line::Trailer) => Place::Body,
            State::Body { .. } | State::ChunkData { .. } => Place::Body,
            State::Undecided => Place::Undecided,
            State::Tunnel => Place::Tunnel,
        }
    }

    /// Whether bytes came between an upgrade's request and its answer, whose meaning depends on it.
    pub(crate) fn is_premature(&self) -> bool {
        self.is_premature
    }

    /// The upgrade was accepted: nothing is HTTP any more.
    pub(crate) fn tunnel(&mut self) {
        self.state = State::Tunnel;
    }

    /// The upgrade was refused: the next byte begins a request.
    pub(crate) fn resume(&mut self) {
        self.begin_request();
    }

    /// Follows the next bytes; a violation comes with the number of bytes that are still good.
    pub(crate) fn scan(&mut self, bytes: &[u8]) -> Result<(), (usize, Violation)> {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            at += match self.state {
                State::Line(line) => self.scan_line(line, rest).map_err(|(n, v)| (at + n, v))?,
                State::Body { left } => {
                    let taken = take(rest, left);
                    match left - taken as u64 {
                        0 => self.after_body(),
                        left => self.state = State::Body { left },
                    }
                    taken
                }
                State::ChunkData { left } => {
                    let taken = take(rest, left);
                    self.state = match left - taken as u64 {
                        0 => State::Line(Line::ChunkEnd),
                        left => State::ChunkData { left },
                    };
                    taken
                }
                State::Undecided => {
                    self.is_premature = true;
                    rest.len()
                }
                State::Tunnel => rest.len(),
            };
        }
        Ok(())
    }

    fn scan_line(&mut self, kind: Line, rest: &[u8]) -> Result<usize, (usize, Violation)> {
        let max = match kind {
            Line::Request | Line::Header => self.line_bytes_max,
            Line::ChunkSize | Line::ChunkEnd | Line::Trailer => CHUNK_LINE_BYTES_MAX,
        };
        let end = rest.iter().position(|&b| b == b'\n');
        let part = end.map_or(rest, |end| &rest[..=end]);
        if self.line.len() + part.len() > max {
            return Err((0, Violation::TooLong));
        }
        let Some(end) = end else {
            self.line.extend_from_slice(part);
            return Ok(part.len());
        };
        let read = if self.line.is_empty() {
            self.read_line(kind, part)
        } else {
            self.line.extend_from_slice(part);
            let line = std::mem::take(&mut self.line);
            let read = self.read_line(kind, &line);
            self.line = line;
            self.line.clear();
            read
        };
        read.map(|()| end + 1).map_err(|violation| (end, violation))
    }

    fn read_line(&mut self, kind: Line, line: &[u8]) -> Result<(), Violation> {
        let line = line.strip_suffix(b"\r\n").ok_or(Violation::LineEnd)?;
        if line.contains(&b'\r') {
            return Err(Violation::LineEnd);
        }
        match kind {
            Line::Request if line.is_empty() => {}
            Line::Request => {
                self.head.is_http_10 = request_line(line, &mut self.head.is_upgrade)?;
                self.state = State::Line(Line::Header);
            }
            Line::Header if line.is_empty() => self.after_head()?,
            Line::Header => self.head.read(line)?,
            Line::ChunkSize => {
                self.state = match chunk_size(line)? {
                    0 => State::Line(Line::Trailer),
                    left => State::ChunkData { left },
                };
            }
            Line::ChunkEnd if line.is_empty() => self.state = State::Line(Line::ChunkSize),
            Line::ChunkEnd => return Err(Violation::Chunk),
            Line::Trailer if line.is_empty() => self.after_body(),
            Line::Trailer => {
                header(line)?;
            }
        }
        Ok(())
    }

    fn after_head(&mut self) -> Result<(), Violation> {
        let head = &self.head;
        if head.is_chunked && head.content_length.is_some() {
            return Err(Violation::LengthAndEncoding);
        }
        if head.is_chunked && head.is_http_10 {
            return Err(Violation::Encoding);
        }
        match (head.is_chunked, head.content_length) {
            (true, _) => self.state = State::Line(Line::ChunkSize),
            (false, None | Some(0)) => self.after_body(),
            (false, Some(left)) => self.state = State::Body { left },
        }
        Ok(())
    }

    fn after_body(&mut self) {
        if self.head.is_upgrade {
            self.state = State::Undecided;
        } else {
            self.begin_request();
        }
    }

    fn begin_request(&mut self) {
        self.head = Head::default();
        self.state = State::Line(Line::Request);
    }
}

// === impl Head ===

impl Head {
    fn read(&mut self, line: &[u8]) -> Result<(), Violation> {
        let (name, value) = header(line)?;
        if name.eq_ignore_ascii_case(b"content-length") {
            let length = length(value)?;
            if self.content_length.is_some_and(|known| known != length) {
                return Err(Violation::Length);
            }
            self.content_length = Some(length);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if self.is_chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Violation::Encoding);
            }
            self.is_chunked = true;
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            self.is_upgrade |= !self.is_http_10;
        }
        Ok(())
    }
}

/// Reads a request line; true for HTTP/1.0. CONNECT counts as an upgrade.
fn request_line(line: &[u8], is_upgrade: &mut bool) -> Result<bool, Violation> {
    *is_upgrade = line.starts_with(b"CONNECT ");
    if line.ends_with(b" HTTP/1.1") {
        Ok(false)
    } else if line.ends_with(b" HTTP/1.0") {
        Ok(true)
    } else {
        Err(Violation::Version)
    }
}

/// Splits a header line into its name and its value without outer blanks.
fn header(line: &[u8]) -> Result<(&[u8], &[u8]), Violation> {
    if line.first().is_some_and(|&b| b == b' ' || b == b'\t') {
        return Err(Violation::Folded);
    }
    let colon = line.iter().position(|&b| b == b':').ok_or(Violation::HeaderName)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if name.is_empty() || name.iter().any(|b| b.is_ascii_whitespace()) {
        return Err(Violation::HeaderName);
    }
    Ok((name, value.trim_ascii()))
}

fn length(value: &[u8]) -> Result<u64, Violation> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(Violation::Length);
    }
    let text = std::str::from_utf8(value).map_err(|_| Violation::Length)?;
    text.parse().map_err(|_| Violation::Length)
}

fn chunk_size(line: &[u8]) -> Result<u64, Violation> {
    let digits = line.split(|&b| b == b';').next().unwrap_or_default();
    let digits = digits.trim_ascii_end();
    if digits.is_empty() || digits.len() > 16 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(Violation::Chunk);
    }
    let text = std::str::from_utf8(digits).map_err(|_| Violation::Chunk)?;
    u64::from_str_radix(text, 16).map_err(|_| Violation::Chunk)
}

/// How many of `rest` belong to a run of `left` bytes.
fn take(rest: &[u8], left: u64) -> usize {
    usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()))
}

#[cfg(test)]
mod tests;
