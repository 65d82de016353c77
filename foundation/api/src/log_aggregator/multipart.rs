//! `multipart/x-protobuf`: how recent lines and metrics are answered; parts without headers.

/// Why an answer cannot be taken apart.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MultipartError {
    /// The content type is another one.
    #[error("its content type is `{0}` where `multipart/x-protobuf` was expected")]
    NotMultipart(String),
    /// The content type does not name the boundary, or a boundary that cannot be one.
    #[error("its content type names no usable boundary")]
    NoBoundary,
    /// A part begins but does not end.
    #[error("it ends in the middle of part {0}")]
    Truncated(usize),
}

const MEDIA_TYPE: &str = "multipart/x-protobuf";
const BOUNDARY_BYTES_MAX: usize = 70; // RFC 2046, 5.1.1

/// The `Content-Type` that goes with this boundary.
pub fn content_type(boundary: &str) -> String {
    format!("{MEDIA_TYPE}; boundary={boundary}")
}

/// Joins the parts. The boundary must be one that no part can hold: a random one.
pub fn encode<P: AsRef<[u8]>>(parts: &[P], boundary: &str) -> Vec<u8> {
    let each = boundary.len() + 8;
    let size = parts.iter().map(|part| part.as_ref().len() + each).sum::<usize>() + each;
    let mut bytes = Vec::with_capacity(size);
    for (i, part) in parts.iter().enumerate() {
        let start = if i == 0 { "--" } else { "\r\n--" };
        bytes.extend_from_slice(start.as_bytes());
        bytes.extend_from_slice(boundary.as_bytes());
        bytes.extend_from_slice(b"\r\n\r\n");
        bytes.extend_from_slice(part.as_ref());
    }
    bytes.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    bytes
}

/// Takes an answer apart. Headers of parts are passed over, and so is what stands before the
/// first boundary and after the last.
pub fn decode<'a>(content_type: &str, bytes: &'a [u8]) -> Result<Vec<&'a [u8]>, MultipartError> {
    let boundary = boundary(content_type)?;
    let mut parts = Vec::new();
    let mut rest = match find_delimiter(bytes, boundary.as_bytes(), true) {
        Some((_, Delimiter::Part, after)) => after,
        Some((_, Delimiter::End, _)) => return Ok(parts),
        None => return Err(MultipartError::Truncated(0)),
    };
    loop {
        let truncated = || MultipartError::Truncated(parts.len() + 1);
        let content = after_headers(rest).ok_or_else(truncated)?;
        let (part, delimiter, after) =
            find_delimiter(content, boundary.as_bytes(), false).ok_or_else(truncated)?;
        parts.push(part);
        match delimiter {
            Delimiter::Part => rest = after,
            Delimiter::End => return Ok(parts),
        }
    }
}

enum Delimiter {
    Part,
    End,
}

/// The boundary that a content type names.
fn boundary(content_type: &str) -> Result<String, MultipartError> {
    let mut fields = content_type.split(';');
    let media_type = fields.next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case(MEDIA_TYPE) {
        return Err(MultipartError::NotMultipart(media_type.to_owned()));
    }
    let mut pairs = fields.filter_map(|field| field.trim().split_once('='));
    let (_, value) = pairs
        .find(|(name, _)| name.eq_ignore_ascii_case("boundary"))
        .ok_or(MultipartError::NoBoundary)?;
    let value = value.trim_matches('"');
    let usable = !value.is_empty()
        && value.len() <= BOUNDARY_BYTES_MAX
        && value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    if usable { Ok(value.to_owned()) } else { Err(MultipartError::NoBoundary) }
}

/// The bytes before the next delimiter line, what it is, and the bytes after its line end. At the
/// very beginning a delimiter needs no line end before it.
fn find_delimiter<'a>(
    bytes: &'a [u8],
    boundary: &[u8],
    at_start: bool,
) -> Option<(&'a [u8], Delimiter, &'a [u8])> {
    let line = [b"\r\n--", boundary].concat();
    if at_start && let Some(found) = bytes.strip_prefix(&line[2..]).and_then(delimiter) {
        return Some((&bytes[..0], found.0, found.1));
    }
    let mut from = 0;
    while let Some(at) = find(&bytes[from..], &line).map(|at| from + at) {
        if let Some((found, after)) = delimiter(&bytes[at + line.len()..]) {
            return Some((&bytes[..at], found, after));
        }
        from = at + 1;
    }
    None
}

/// What stands behind a boundary: `--` at the end, a line end before another part.
fn delimiter(after: &[u8]) -> Option<(Delimiter, &[u8])> {
    if let Some(after) = after.strip_prefix(b"--") {
        return Some((Delimiter::End, after));
    }
    after.strip_prefix(b"\r\n").map(|after| (Delimiter::Part, after))
}

/// What follows the empty line that ends a part's headers.
fn after_headers(part: &[u8]) -> Option<&[u8]> {
    match part.strip_prefix(b"\r\n") {
        Some(content) => Some(content),
        None => find(part, b"\r\n\r\n").map(|at| &part[at + 4..]),
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TYPE: &str = "multipart/x-protobuf; boundary=b";

    #[test]
    fn parts_are_joined_as_the_original_joins_them() {
        assert_eq!(encode(&["one", "two"], "b"), b"--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--\r\n");
        assert_eq!(encode::<&[u8]>(&[], "b"), b"\r\n--b--\r\n");
    }

    #[test]
    fn answers_are_taken_apart_or_refused_with_the_reason() {
        let parts = |parts: &[&'static str]| {
            Ok(parts.iter().map(|part| part.as_bytes()).collect::<Vec<_>>())
        };
        let other = |other: &str| Err(MultipartError::NotMultipart(other.into()));
        for (content_type, bytes, expected) in [
            (TYPE, "--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--\r\n", parts(&["one", "two"])),
            (TYPE, "--b\r\n\r\n\r\n--b--", parts(&[""])),
            (TYPE, "\r\n--b--\r\n", parts(&[])),
            (TYPE, "--b--", parts(&[])),
            (TYPE, "before\r\n--b\r\n\r\none\r\n--b--after", parts(&["one"])),
            (TYPE, "--b\r\nA: x\r\nB: y\r\n\r\none\r\n--b--", parts(&["one"])),
            (TYPE, "--b\r\n\r\na\r\n--bc\r\n--b--", parts(&["a\r\n--bc"])),
            ("Multipart/X-Protobuf;Boundary=\"b\"", "--b\r\n\r\nx\r\n--b--", parts(&["x"])),
            (TYPE, "", Err(MultipartError::Truncated(0))),
            (TYPE, "--b\r\n", Err(MultipartError::Truncated(1))),
            (TYPE, "--b\r\n\r\none\r\n--b\r\n\r\ntwo", Err(MultipartError::Truncated(2))),
            ("multipart/x-protobuf", "", Err(MultipartError::NoBoundary)),
            ("multipart/x-protobuf; boundary=", "", Err(MultipartError::NoBoundary)),
            ("text/html; boundary=b", "", other("text/html")),
            ("", "", other("")),
        ] {
            assert_eq!(decode(content_type, bytes.as_bytes()), expected, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_joined_is_taken_apart(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..8)
        ) {
            let boundary = "a-boundary-that-no-short-part-can-hold-as-it-is-longer-than-each-one";
            let bytes = encode(&parts, boundary);
            let again = decode(&content_type(boundary), &bytes).unwrap();
            prop_assert_eq!(again, parts);
        }

        #[test]
        fn garbage_never_panics(content_type in ".{0,60}", tail in "[-b\r\n]{0,40}") {
            let _ = decode(&content_type, tail.as_bytes());
            let _ = decode(TYPE, tail.as_bytes());
        }
    }
}
