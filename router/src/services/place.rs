//! Where a route service is, by its URL. Pure.

use std::sync::Arc;

/// The place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Without port; an address of IPv6 without brackets.
    pub(crate) host: Arc<str>,
    pub(crate) port: u16,
    /// Host and port as written, for `Host`.
    pub(crate) authority: String,
    /// Path and query.
    pub(crate) target: String,
}

impl Place {
    /// Reads a URL of https.
    pub(crate) fn parse(url: &str) -> Option<Self> {
        let rest = url.strip_prefix("https://")?;
        if !rest.bytes().all(|b| b.is_ascii_graphic()) {
            return None;
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let authority = authority.rsplit('@').next().unwrap_or_default();
        let (host, port) = split_port(authority)?;
        let is_name = |b: u8| b.is_ascii_alphanumeric() || b"-._:".contains(&b);
        if host.is_empty() || !host.bytes().all(is_name) {
            return None;
        }
        let root = if target.starts_with('/') { "" } else { "/" };
        Some(Self {
            host: host.into(),
            port,
            authority: authority.to_owned(),
            target: format!("{root}{target}"),
        })
    }

    /// The path without query.
    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }
}

fn split_port(authority: &str) -> Option<(&str, u16)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        return match port.strip_prefix(':') {
            None if port.is_empty() => Some((host, 443)),
            None => None,
            Some(port) => Some((host, port.parse().ok()?)),
        };
    }
    match authority.split_once(':') {
        None | Some((_, "")) => Some((authority.trim_end_matches(':'), 443)),
        Some((host, port)) if !port.contains(':') => Some((host, port.parse().ok()?)),
        Some(_) => None,
    }
}

#[test]
fn urls_say_where_services_are() {
    for (url, expected) in [
        ("https://rs.test", Some(("rs.test", 443, "rs.test", "/"))),
        ("https://RS.test/", Some(("RS.test", 443, "RS.test", "/"))),
        ("https://rs.test:8443/a/b?c=d#e", Some(("rs.test", 8443, "rs.test:8443", "/a/b?c=d"))),
        ("https://rs.test?x", Some(("rs.test", 443, "rs.test", "/?x"))),
        ("https://me:secret@rs.test/", Some(("rs.test", 443, "rs.test", "/"))),
        ("https://10.0.0.1:1/", Some(("10.0.0.1", 1, "10.0.0.1:1", "/"))),
        ("https://[::1]:1/", Some(("::1", 1, "[::1]:1", "/"))),
        ("https://[::1]/", Some(("::1", 443, "[::1]", "/"))),
        ("http://rs.test", None),
        ("https:rs.test", None),
        ("https://", None),
        ("https://:1/", None),
        ("https://rs.test:99999/", None),
        ("https://rs.test:x/", None),
        ("https://a:1:2/", None),
        ("https://[::1/", None),
        ("https://rs.test/a b", None),
        ("https://rs.test/a\r\nX: y", None),
        ("https://rs\u{e9}.test/", None),
    ] {
        let place = Place::parse(url);
        let place = place.as_ref().map(|p| (&*p.host, p.port, &*p.authority, &*p.target));
        assert_eq!(place, expected, "{url}");
    }
    assert_eq!(Place::parse("https://a/b?c").map(|p| p.path().to_owned()).as_deref(), Some("/b"));
}
