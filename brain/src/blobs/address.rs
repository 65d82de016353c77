//! What a path of the protocol names. Pure; every name is checked here, before it becomes a file's.

use core::fmt;

use lattice_model::image::is_digest;
use uuid::Uuid;

use super::answer::{Code, Problem};

/// The longest repository name, in bytes.
const NAME_BYTES_MAX: usize = 255;
/// The longest tag, in bytes.
const TAG_BYTES_MAX: usize = 128;

/// A repository's name, checked: no `..`, no empty part, nothing that begins with `_`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name(String);

/// `sha256:` and 64 hex digits, checked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Digest(String);

/// A tag, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tag(String);

/// How a manifest is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reference {
    Tag(Tag),
    Digest(Digest),
}

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Resource {
    Root,
    Catalog,
    Tags(Name),
    Blob(Name, Digest),
    Uploads(Name),
    Upload(Name, Uuid),
    Manifest(Name, Reference),
    Referrers(Name, Digest),
}

// === impl Name ===

impl Name {
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        if text.len() <= NAME_BYTES_MAX && text.split('/').all(is_part) {
            return Ok(Self(text.to_owned()));
        }
        let rule = "lower-case letters and digits, joined by `.`, `_`, `-` or `/`";
        let message = format!("a repository's name has at most {NAME_BYTES_MAX} bytes of {rule}");
        Err(Problem::new(Code::NameInvalid, message))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl Digest ===

impl Digest {
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        // Some clients encode the colon.
        let text = text.replacen("%3A", ":", 1).replacen("%3a", ":", 1);
        if is_digest(&text) {
            return Ok(Self(text));
        }
        let message = "a digest is `sha256:` and 64 lower-case hex digits";
        Err(Problem::new(Code::DigestInvalid, message))
    }

    /// The digest whose hex digits these are.
    pub(super) fn of_hex(hex: &str) -> Option<Self> {
        let text = format!("sha256:{hex}");
        is_digest(&text).then_some(Self(text))
    }

    /// The hex digits.
    pub(super) fn hex(&self) -> &str {
        &self.0["sha256:".len()..]
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl Tag ===

impl Tag {
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let is_inner = |b: u8| is_word(b) || b == b'.' || b == b'-';
        let is_tag = text.bytes().next().is_some_and(is_word) && text.bytes().all(is_inner);
        if is_tag && text.len() <= TAG_BYTES_MAX {
            return Ok(Self(text.to_owned()));
        }
        let rule = "letters, digits, `_`, `.` and `-`, beginning with a letter, digit or `_`";
        let message = format!("a tag has at most {TAG_BYTES_MAX} bytes of {rule}");
        Err(Problem::new(Code::TagInvalid, message))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

// === impl Reference ===

impl Reference {
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        if text.contains(':') || text.contains('%') {
            return Digest::parse(text).map(Self::Digest);
        }
        Tag::parse(text).map(Self::Tag)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => f.write_str(&tag.0),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

/// Reads a path. It is not decoded first: what the protocol names needs no escapes, so that an
/// escaped `..` stays the nonsense that it is.
pub(super) fn parse(path: &str) -> Result<Resource, Problem> {
    let unknown = || Problem::new(Code::NotFound, "not a path of the distribution protocol");
    if path == "/v2" || path == "/v2/" {
        return Ok(Resource::Root);
    }
    let rest = path.strip_prefix("/v2/").ok_or_else(unknown)?;
    if rest == "_catalog" {
        return Ok(Resource::Catalog);
    }
    if let Some(name) = rest.strip_suffix("/tags/list") {
        return Ok(Resource::Tags(Name::parse(name)?));
    }
    if let Some(name) =
        rest.strip_suffix("/blobs/uploads/").or_else(|| rest.strip_suffix("/blobs/uploads"))
    {
        return Ok(Resource::Uploads(Name::parse(name)?));
    }
    let (head, last) = rest.rsplit_once('/').ok_or_else(unknown)?;
    if let Some(name) = head.strip_suffix("/blobs/uploads") {
        let unknown = |_| Problem::new(Code::BlobUploadUnknown, "no such upload");
        return Ok(Resource::Upload(Name::parse(name)?, last.parse().map_err(unknown)?));
    }
    if let Some(name) = head.strip_suffix("/blobs") {
        return Ok(Resource::Blob(Name::parse(name)?, Digest::parse(last)?));
    }
    if let Some(name) = head.strip_suffix("/manifests") {
        return Ok(Resource::Manifest(Name::parse(name)?, Reference::parse(last)?));
    }
    if let Some(name) = head.strip_suffix("/referrers") {
        return Ok(Resource::Referrers(Name::parse(name)?, Digest::parse(last)?));
    }
    Err(unknown())
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_part(text: &str) -> bool {
    let is_alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let mut separator = String::new();
    let is_separator = |s: &str| matches!(s, "." | "_" | "__") || s.bytes().all(|b| b == b'-');
    for byte in text.bytes() {
        if is_alphanumeric(byte) {
            if !is_separator(&separator) {
                return false;
            }
            separator.clear();
        } else if b"._-".contains(&byte) {
            separator.push(char::from(byte));
        } else {
            return false;
        }
    }
    let first = text.bytes().next();
    separator.is_empty() && first.is_some_and(is_alphanumeric)
}

#[cfg(test)]
mod tests;
