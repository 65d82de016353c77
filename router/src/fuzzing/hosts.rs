//! Hosts and paths: how routes spell them, and how requests do.

use core::net::Ipv4Addr;
use serde_json::json;

use super::{heard, registrar};
use crate::h1::head::Slots;
use crate::h1::request::RequestHead;
use crate::proxy::intake;
use crate::table::key::{Key, host_of};

/// Reads a text as a route's uri. Its spelling is one: nothing but the letters' case, a query and
/// slashes at its end may differ. Requests for it and for what is below it find it, in any case
/// and with any port; others do not.
pub fn route_uri(uri: &str) {
    let Some(key) = Key::parse(uri) else { return };
    assert_eq!(Key::parse(&key.uri()).as_ref(), Some(&key), "its own spelling is itself");
    assert_eq!(Key::parse(&uri.to_ascii_uppercase()).as_ref(), Some(&key), "in capitals");
    if !uri.contains('?') && uri.len() < 1000 {
        assert_eq!(Key::parse(&format!("{uri}?x=/Y")).as_ref(), Some(&key), "with a query");
    }
    let mut registrar = registrar(9);
    let told = json!({"host": "127.0.0.1", "port": 1, "uris": [uri]});
    registrar.hear(&heard(told.to_string().as_bytes()));
    let table = registrar.editor.table();
    let asked_for = key.host.replacen('*', "any", 1).to_ascii_uppercase();
    let finds = |host: &str, path: &str| {
        let route = table.find(&host_of(host), path);
        route.is_some_and(|route| *route.uri == *key.uri())
    };
    let path = if key.path.is_empty() { String::new() } else { format!("/{}", key.path) };
    for host in [asked_for.clone(), format!("{asked_for}:8080"), format!("{asked_for}.")] {
        assert!(finds(&host, &format!("{path}/")), "{host} with a slash");
        assert!(finds(&host, &format!("{path}/below")), "{host} below it");
        assert!(finds(&host, &path.to_ascii_uppercase()) || path.is_empty(), "{host} in capitals");
    }
    assert!(!finds(&format!("x{asked_for}x"), &path) || key.host.starts_with("*."));
    assert!(path.is_empty() || !finds(&asked_for, &format!("{path}x")), "half a segment");
}

/// Reads texts as a request's target and host. What it asks for is said without case and port, and
/// is the same as when the target is a URL with that host.
pub fn asked(target: &str, host: &str) {
    // What stands around a value in its line is none of it.
    let host = host.trim_matches([' ', '\t']);
    let Some((asked_host, path)) = read(target, host) else { return };
    assert_eq!(asked_host, asked_host.to_ascii_lowercase());
    assert!(!asked_host.is_empty());
    assert_eq!(host_of(&asked_host), asked_host, "its own spelling is itself");
    assert!(path == "*" || path.starts_with('/'), "{path:?}");
    assert!(!path.contains(['?', ' ', '\r', '\n']), "{path:?}");
    if target.starts_with('/') {
        let whole = format!("http://{host}{target}");
        assert_eq!(read(&whole, host), Some((asked_host.clone(), path)), "as a URL");
        assert_eq!(read(&whole, "elsewhere.test"), None, "as a URL of another host");
    }
    if !host.contains([':', '[']) {
        let with_port = read(target, &format!("{host}:8080"));
        assert!(!target.starts_with('/') || with_port.is_some_and(|(host, _)| host == asked_host));
    }
}

/// The host and the path asked for; nothing, where the request is refused.
fn read(target: &str, host: &str) -> Option<(String, String)> {
    let bytes = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let mut slots = Slots::new();
    let head = RequestHead::parse(bytes.as_bytes(), 9, &mut slots).ok()?;
    let asked = intake::read(&head, Ipv4Addr::LOCALHOST.into()).ok()?;
    Some((asked.host.into_owned(), asked.path.into_owned()))
}

#[cfg(test)]
proptest::proptest! {
    #[test]
    fn whatever_a_route_is_called_it_is_found_by_that_name(
        uri in "(\\*\\.|)[a-cA-C._-]{0,8}\\.?(/[a-cA-C%/?.~]{0,8}){0,2}",
    ) {
        route_uri(&uri);
    }

    #[test]
    fn whatever_is_asked_for_is_the_same_in_either_form(
        target in "(/|\\*|http://[a-c.]{0,3}|)[a-cA-C%?;/.\u{e9}]{0,12}",
        host in "[a-cA-C.]{0,6}(:[0-9]{0,3}|\\[::1\\]|\\.|%41|)",
    ) {
        asked(&target, &host);
    }
}

#[test]
fn white_space_around_a_host_is_none_of_it() {
    asked("/", "\tX\t");
}
