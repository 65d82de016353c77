//! First stage: what the request asks for; refuses what could be meant for two.
//!
//! How the message is framed was judged by [`crate::h1`]; what is judged here is whom it is for.
//! Pure.

use core::net::IpAddr;
use std::borrow::Cow;

use crate::h1::Version;
use crate::h1::name::Name;
use crate::h1::request::{Expects, RequestHead};
use crate::table::key;
use crate::verdict::Failure;

/// What the request asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Asked<'b> {
    /// As sent.
    pub(crate) named: &'b str,
    /// Lower-case, without port.
    pub(crate) host: Cow<'b, str>,
    /// Without query; as sent.
    pub(crate) path: Cow<'b, str>,
}

/// A target, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target<'b> {
    pub(crate) authority: Option<&'b [u8]>,
    /// Path and query.
    pub(crate) origin: &'b [u8],
}

/// Reads what a request asks for; `client` is where it came from.
pub(crate) fn read<'b>(head: &RequestHead<'_, 'b>, client: IpAddr) -> Result<Asked<'b>, Failure> {
    if head.method == "CONNECT" {
        return Err(Failure::Unsupported);
    }
    if head.expects == Expects::Unknown {
        return Err(Failure::Expectation);
    }
    let target = Target::read(head.target);
    let Some(target) = target.filter(|target| target.origin != b"*" || head.method == "OPTIONS")
    else {
        return Err(Failure::Ambiguous("the request's target is neither a path nor a URL"));
    };
    let named = named_host(head, &target)?;
    let host = key::host_of(named);
    // gorouter takes a request for the client's own address as one without a host.
    let is_clients = host.parse().is_ok_and(|ip: IpAddr| ip == client);
    if host.is_empty() || is_clients {
        return Err(Failure::EmptyHost);
    }
    let path = target.origin.split(|&b| b == b'?').next().unwrap_or_default();
    Ok(Asked { named, host, path: String::from_utf8_lossy(path) })
}

// === impl Target ===

impl<'b> Target<'b> {
    /// Takes a target apart; `None` for what is neither a path, nor a URL of http, nor `*`.
    pub(crate) fn read(target: &'b [u8]) -> Option<Self> {
        if target.contains(&b'#') {
            return None;
        }
        if target.starts_with(b"/") || target == b"*" {
            return Some(Self { authority: None, origin: target });
        }
        let scheme = target.iter().position(|&b| b == b':')?;
        let is_http = [b"http".as_slice(), b"https"]
            .iter()
            .any(|known| known.eq_ignore_ascii_case(&target[..scheme]));
        let rest = target[scheme..].strip_prefix(b"://").filter(|_| is_http)?;
        let end = rest.iter().position(|b| b"/?".contains(b)).unwrap_or(rest.len());
        let origin = if end == rest.len() { b"/".as_slice() } else { &rest[end..] };
        Some(Self { authority: Some(&rest[..end]), origin })
    }
}

/// The host the request names, once: a request line with another host than the header is refused,
/// because the endpoint might believe the other one.
fn named_host<'b>(head: &RequestHead<'_, 'b>, target: &Target<'b>) -> Result<&'b str, Failure> {
    let mut hosts = head.fields.values(Name::Host);
    let host = match hosts.next() {
        Some(host) => host,
        None if head.version == Version::Http10 => return Err(Failure::EmptyHost),
        None => return Err(Failure::MalformedHost),
    };
    if hosts.next().is_some() || !is_host(host) {
        return Err(Failure::MalformedHost);
    }
    if target.authority.is_some_and(|authority| !authority.eq_ignore_ascii_case(host)) {
        let why = "the request line and the Host header name different hosts";
        return Err(Failure::Ambiguous(why));
    }
    std::str::from_utf8(host).map_err(|_| Failure::MalformedHost)
}

/// Whether it can be a host, and has no more than one port.
fn is_host(host: &[u8]) -> bool {
    let name = if host.starts_with(b"[") { host.iter().position(|&b| b == b']') } else { Some(0) };
    let Some(name) = name else { return false };
    let mut port = host[name..].splitn(2, |&b| b == b':').skip(1);
    host.iter().all(|&b| is_host_byte(b))
        && port.next().is_none_or(|port| port.iter().all(u8::is_ascii_digit))
}

fn is_host_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-._~%:[]!$&'()*+;=".contains(&b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h1::head::Slots;

    #[track_caller]
    fn check(head: &str, expected: Result<(&str, &str), Failure>) {
        let mut slots = Slots::new();
        let head = format!("{head}\r\n\r\n");
        let parsed = RequestHead::parse(head.as_bytes(), 10, &mut slots).unwrap();
        let asked = read(&parsed, "10.1.1.1".parse().unwrap());
        let asked = asked.as_ref().map(|asked| (&*asked.host, &*asked.path));
        assert_eq!(asked, expected.as_ref().copied(), "{head}");
    }

    #[test]
    fn host_and_path_are_found() {
        for (head, host, path) in [
            ("GET /a?b HTTP/1.1\r\nHost: Web.test:80", "web.test", "/a"),
            ("GET / HTTP/1.0\r\nHost: Web.test.", "web.test", "/"),
            ("GET http://web.test:80/x HTTP/1.1\r\nHost: Web.test:80", "web.test", "/x"),
            ("GET HTTPS://web.test?y HTTP/1.1\r\nHost: web.test", "web.test", ""),
            ("GET http://web.test HTTP/1.1\r\nHost: web.test", "web.test", "/"),
            ("OPTIONS * HTTP/1.1\r\nHost: web.test", "web.test", "*"),
            ("GET //a//b HTTP/1.1\r\nHost: web.test", "web.test", "//a//b"),
            ("GET / HTTP/1.1\r\nHost: web.test:", "web.test", "/"),
            ("GET / HTTP/1.1\r\nHost: [::1]:80", "[::1]", "/"),
        ] {
            check(head, Ok((host, path)));
        }
    }

    #[test]
    fn what_names_no_host_or_two_is_refused() {
        use Failure::{EmptyHost, Expectation, MalformedHost, Unsupported};
        for (head, failure) in [
            ("GET / HTTP/1.1", MalformedHost),
            ("GET / HTTP/1.0", EmptyHost),
            ("GET / HTTP/1.1\r\nHost:", EmptyHost),
            ("GET / HTTP/1.1\r\nHost: :80", EmptyHost),
            ("GET / HTTP/1.1\r\nHost: 10.1.1.1", EmptyHost),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: a", MalformedHost),
            ("GET / HTTP/1.1\r\nHost: a b", MalformedHost),
            ("GET / HTTP/1.1\r\nHost: a,b", MalformedHost),
            ("GET / HTTP/1.1\r\nHost: a/b", MalformedHost),
            ("GET / HTTP/1.1\r\nHost: user@a", MalformedHost),
            ("GET / HTTP/1.1\r\nHost: a:b", MalformedHost),
            ("GET / HTTP/1.1\r\nHost: a:80:b", MalformedHost),
            ("GET / HTTP/1.1\r\nHost: a:80:81", MalformedHost),
            ("GET / HTTP/1.1\r\nHost: [::1]:80:81", MalformedHost),
            ("GET / HTTP/1.1\r\nHost: [::1", MalformedHost),
            ("CONNECT a:80 HTTP/1.1\r\nHost: a", Unsupported),
            ("GET / HTTP/1.1\r\nHost: a\r\nExpect: x", Expectation),
        ] {
            check(head, Err(failure));
        }
    }

    #[test]
    fn what_is_no_target_of_ours_is_refused() {
        for target in ["http://b/", "http://a@b/", "ftp://a/", "a", "*", "/x#y", "http:/a", "a:80"]
        {
            let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
            let mut slots = Slots::new();
            let parsed = RequestHead::parse(head.as_bytes(), 10, &mut slots).unwrap();
            let refused = read(&parsed, "10.1.1.1".parse().unwrap());
            assert!(matches!(refused, Err(Failure::Ambiguous(_))), "{target}");
        }
    }
}
