//! The spelling of routes and of the hosts and paths that ask for them. Case never matters.

use std::borrow::Cow;

/// The longest uri a registration may carry.
const URI_BYTES_MAX: usize = 2048;

/// A registered host and context path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// Lower-case; may begin with `*.`.
    pub host: String,
    /// Lower-case, without leading and trailing slash; empty for the whole host.
    pub path: String,
}

/// The name of a host as it is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Name<'a> {
    /// It stands for every host below the rest.
    is_wildcard: bool,
    rest: &'a str,
}

// === impl Name ===

impl<'a> Name<'a> {
    /// Reads a host, which may begin with `*.`.
    pub fn of(host: &'a str) -> Self {
        match host.strip_prefix("*.") {
            Some(rest) => Self { is_wildcard: true, rest },
            None => Self { is_wildcard: false, rest: host },
        }
    }

    /// Whether it is a wildcard.
    pub fn is_wildcard(self) -> bool {
        self.is_wildcard
    }

    /// The wildcard one level above: `a.b.c` and `*.b.c` give `*.b.c` and `*.c`.
    pub fn wildcard_above(self) -> Option<Self> {
        let (_, parent) = self.rest.split_once('.')?;
        (!parent.is_empty()).then_some(Self { is_wildcard: true, rest: parent })
    }
}

// === impl Key ===

impl Key {
    /// Reads a registration's uri; `None` when it names no host.
    pub fn parse(uri: &str) -> Option<Self> {
        if uri.len() > URI_BYTES_MAX {
            return None;
        }
        let uri = uri.split('?').next().unwrap_or_default().to_ascii_lowercase();
        let (host, path) = uri.split_once('/').unwrap_or((&uri, ""));
        let host = host.trim_end_matches('.');
        let name = host.strip_prefix("*.").unwrap_or(host);
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if name.is_empty() || !name.bytes().all(allowed) {
            return None;
        }
        let path = path.trim_end_matches('/').to_owned();
        Some(Self { host: host.to_owned(), path })
    }

    /// Host and path in one.
    pub fn uri(&self) -> String {
        if self.path.is_empty() {
            self.host.clone()
        } else {
            format!("{}/{}", self.host, self.path)
        }
    }
}

/// The host of a `Host` header without its port and trailing dot, in lower case.
pub fn host_of(header: &str) -> Cow<'_, str> {
    let end = match header.strip_prefix('[') {
        Some(v6) => v6.find(']').map_or(header.len(), |i| i + 2),
        None => header.find(':').unwrap_or(header.len()),
    };
    let host = header[..end].trim_end_matches('.');
    lower(host)
}

/// The text in lower case, copied only if it was not.
pub fn lower(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}

/// At most `depth` segments of a request's path, without the outer slashes.
pub fn head_of(path: &str, depth: usize) -> &str {
    let path = path.strip_prefix('/').unwrap_or(path);
    let end = path.match_indices('/').nth(depth.saturating_sub(1)).map_or(path.len(), |(i, _)| i);
    if depth == 0 { "" } else { path[..end].trim_end_matches('/') }
}

/// How many segments a context path has, which stands without outer slashes.
pub fn depth_of(path: &str) -> usize {
    if path.is_empty() { 0 } else { path.split('/').count() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_is_a_host_and_perhaps_a_path() {
        for (uri, expected) in [
            ("Web.Example.com", Some(("web.example.com", ""))),
            ("web.example.com/", Some(("web.example.com", ""))),
            ("web.example.com/Api/V1/?x=y", Some(("web.example.com", "api/v1"))),
            ("*.example.com/p", Some(("*.example.com", "p"))),
            ("web.example.com.", Some(("web.example.com", ""))),
            ("", None),
            ("./path", None),
            ("*..", None),
            ("/path", None),
            ("*.", None),
            ("a*b.example.com", None),
            ("a b", None),
            ("web:80", None),
        ] {
            let key = Key::parse(uri);
            let key = key.as_ref().map(|k| (k.host.as_str(), k.path.as_str()));
            assert_eq!(key, expected, "{uri}");
        }
    }

    #[test]
    fn a_host_header_is_cut_to_its_host() {
        for (header, expected) in [
            ("Web.example.com:8080", "web.example.com"),
            ("web.example.com.", "web.example.com"),
            ("web.example.com.:80", "web.example.com"),
            ("[::1]:80", "[::1]"),
            ("[::1", "[::1"),
            ("", ""),
        ] {
            assert_eq!(host_of(header), expected, "{header}");
        }
    }

    #[test]
    fn a_path_is_looked_up_no_deeper_than_any_route() {
        for (path, depth, expected) in [
            ("/a/b/c", 0, ""),
            ("/a/b/c", 1, "a"),
            ("/a/b/c", 2, "a/b"),
            ("/a/b/c/", 9, "a/b/c"),
            ("/", 3, ""),
            ("*", 1, "*"),
            ("//a", 1, ""),
        ] {
            assert_eq!(head_of(path, depth), expected, "{path} {depth}");
        }
    }

    #[test]
    fn wildcards_climb_label_by_label() {
        for (host, expected) in [
            ("a.b.c", Some("*.b.c")),
            ("*.b.c", Some("*.c")),
            ("*.c", None),
            ("c", None),
            ("c.", None),
            ("", None),
        ] {
            assert_eq!(Name::of(host).wildcard_above(), expected.map(Name::of), "{host}");
        }
    }
}
