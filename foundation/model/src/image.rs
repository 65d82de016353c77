//! Names of images and the secrets to fetch them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The registry meant when an image names none.
pub const DEFAULT_REGISTRY: &str = "docker.io";

/// Where an image is: a registry's host, a repository, and a tag or digest.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ImageRef {
    /// `host` or `host:port`.
    pub registry: String,
    /// The repository, with `library/` where docker.io wants it.
    pub repository: String,
    /// Which version.
    pub version: ImageVersion,
}

/// Which version of an image.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ImageVersion {
    /// A name that may move.
    Tag(String),
    /// `sha256:` and 64 hex digits.
    Digest(String),
}

/// Why a text names no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageRefError {
    /// The scheme is not `docker`.
    #[error("'{0}' is not a docker:// URL")]
    NotDocker(String),
    /// There is no repository.
    #[error("'{0}' names no repository")]
    NoRepository(String),
    /// A part has a character it must not have.
    #[error("'{0}' is not a valid image name: {1}")]
    Malformed(String, &'static str),
}

/// A user and password for one registry. `Debug` does not show the password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryCredentials {
    /// The registry's host, as in [`ImageRef::registry`].
    pub registry: String,
    /// The user.
    pub username: String,
    /// The password or token.
    pub password: String,
}

/// For which registry credentials are kept, and whose they are; how they are told of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryAccount {
    /// The registry's host, as in [`ImageRef::registry`].
    pub registry: String,
    /// The user.
    pub username: String,
}

impl ImageRef {
    /// Reads what people type: `[HOST[:PORT]/]REPO[:TAG][@DIGEST]`.
    pub fn parse(text: &str) -> Result<Self, ImageRefError> {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        };
        let last_segment = name.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match name[last_segment..].find(':') {
            Some(colon) => {
                let at = last_segment + colon;
                (&name[..at], Some(&name[at + 1..]))
            }
            None => (name, None),
        };
        let (registry, repository) = match name.split_once('/') {
            Some((host, rest)) if is_host(host) => (host, rest),
            _ => ("", name),
        };
        Self::assemble(text, registry, repository, tag, digest)
    }

    /// Reads an LRP's rootfs: `docker://[HOST]/REPO[#TAG]`, where the tag may be `sha256:...`.
    pub fn from_rootfs(rootfs: &str) -> Result<Self, ImageRefError> {
        let rest = rootfs
            .strip_prefix("docker://")
            .ok_or_else(|| ImageRefError::NotDocker(rootfs.to_owned()))?;
        let (path, fragment) = match rest.split_once('#') {
            Some((path, fragment)) => (path, Some(fragment)),
            None => (rest, None),
        };
        let (registry, repository) = path.split_once('/').unwrap_or(("", path));
        let (tag, digest) = match fragment {
            Some(f) if f.starts_with("sha256:") => (None, Some(f)),
            other => (other, None),
        };
        Self::assemble(rootfs, registry, repository, tag, digest)
    }

    /// The rootfs URL [`ImageRef::from_rootfs`] reads.
    pub fn to_rootfs(&self) -> String {
        let host = if self.registry == DEFAULT_REGISTRY { "" } else { &self.registry };
        let version = match &self.version {
            ImageVersion::Tag(v) | ImageVersion::Digest(v) => v,
        };
        format!("docker://{host}/{}#{version}", self.repository)
    }

    fn assemble(
        whole: &str,
        registry: &str,
        repository: &str,
        tag: Option<&str>,
        digest: Option<&str>,
    ) -> Result<Self, ImageRefError> {
        let malformed = |why| ImageRefError::Malformed(whole.to_owned(), why);
        if repository.is_empty() {
            return Err(ImageRefError::NoRepository(whole.to_owned()));
        }
        if !is_host_name(registry) {
            return Err(malformed("the host has a bad character"));
        }
        if !repository.split('/').all(is_repository_segment) {
            return Err(malformed("the repository has an empty or malformed part"));
        }
        let version = match (tag, digest) {
            (_, Some(digest)) if is_digest(digest) => ImageVersion::Digest(digest.to_owned()),
            (_, Some(_)) => return Err(malformed("the digest is not sha256: and 64 hex digits")),
            (Some(tag), None) if is_tag(tag) => ImageVersion::Tag(tag.to_owned()),
            (Some(_), None) => return Err(malformed("the tag has a bad character")),
            (None, None) => ImageVersion::Tag("latest".to_owned()),
        };
        let registry = if registry.is_empty() { DEFAULT_REGISTRY } else { registry };
        let bare = registry == DEFAULT_REGISTRY && !repository.contains('/');
        let repository = if bare { format!("library/{repository}") } else { repository.to_owned() };
        Ok(Self { registry: registry.to_owned(), repository, version })
    }
}

impl ImageVersion {
    /// The tag or digest as the distribution protocol's `reference`.
    pub fn reference(&self) -> &str {
        match self {
            Self::Tag(v) | Self::Digest(v) => v,
        }
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            ImageVersion::Tag(tag) => write!(f, "{}/{}:{tag}", self.registry, self.repository),
            ImageVersion::Digest(d) => write!(f, "{}/{}@{d}", self.registry, self.repository),
        }
    }
}

impl fmt::Debug for RegistryCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryCredentials")
            .field("registry", &self.registry)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

fn is_host(text: &str) -> bool {
    text == "localhost" || text.contains(['.', ':'])
}

/// Empty (the default registry), or letters, digits and `.-:[]`, beginning with no dot or dash.
fn is_host_name(text: &str) -> bool {
    !text.starts_with(['.', '-', ':'])
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b))
}

fn is_repository_segment(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
    let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = text.as_bytes();
    edge(bytes.first()) && edge(bytes.last()) && bytes.iter().all(|b| inner(*b))
}

fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    !text.is_empty()
        && text.len() <= 128
        && word(text.as_bytes()[0])
        && text.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

/// True for `sha256:` and 64 lower-case hex digits.
pub fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_name_images_as_docker_does() {
        for (typed, rootfs) in [
            ("redis", "docker:///library/redis#latest"),
            ("me/app:v1", "docker:///me/app#v1"),
            ("localhost:5000/app", "docker://localhost:5000/app#latest"),
            ("reg.example.com/a/b/c:x", "docker://reg.example.com/a/b/c#x"),
        ] {
            let image = ImageRef::parse(typed).unwrap();
            assert_eq!(image.to_rootfs(), rootfs);
            assert_eq!(ImageRef::from_rootfs(rootfs).unwrap(), image);
        }
    }

    #[test]
    fn a_digest_wins_over_a_tag() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let image = ImageRef::parse(&format!("h.io/app:v1@{digest}")).unwrap();
        assert_eq!(image.version, ImageVersion::Digest(digest.clone()));
        assert_eq!(ImageRef::from_rootfs(&image.to_rootfs()).unwrap(), image);
    }

    #[test]
    fn nonsense_is_named_as_such() {
        for bad in ["", "h.io/", "UPPER", "a//b", "a:", "../x", "a@sha256:12", "a b", "-a"] {
            assert!(ImageRef::parse(bad).is_err(), "{bad}");
        }
        assert!(ImageRef::from_rootfs("preloaded:x").is_err());
    }

    #[test]
    fn debug_never_shows_a_password() {
        let c = RegistryCredentials {
            registry: "h".into(),
            username: "u".into(),
            password: "hunter2".into(),
        };
        assert!(!format!("{c:?}").contains("hunter2"));
    }
}
