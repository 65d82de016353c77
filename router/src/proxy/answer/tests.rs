//! What clients get, byte for byte.

use super::*;
use crate::h1::head::Slots;
use crate::verdict::{Failure, Trouble};

const DATE: &str = "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n";

fn refused(failure: &Failure, change: impl FnOnce(&mut Added<'_>)) -> String {
    let rules = HeaderRules::default();
    let mut added = Added::for_test(false, &rules);
    change(&mut added);
    let mut out = Vec::new();
    refuse(&mut out, &failure.answer(), added);
    String::from_utf8(out).unwrap()
}

#[test]
fn what_the_router_says_itself_reads_as_gorouters() {
    let host = "web.test".to_owned();
    for (failure, expected) in [
        (
            Failure::UnknownRoute { host },
            format!(
                "HTTP/1.1 404 Not Found\r\nCache-Control: no-cache, no-store\r\n\
                 Content-Type: text/plain; charset=utf-8\r\nX-Cf-Routererror: unknown_route\r\n\
                 X-Content-Type-Options: nosniff\r\n{DATE}Content-Length: 60\r\n\r\n\
                 404 Not Found: Requested route ('web.test') does not exist.\n"
            ),
        ),
        (
            Failure::Endpoint(Trouble::Timeout),
            format!(
                "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain; charset=utf-8\r\n\
                 X-Cf-Routererror: endpoint_failure (context deadline exceeded)\r\n\
                 X-Content-Type-Options: nosniff\r\nX-Vcap-Request-Id: id\r\n{DATE}\
                 Content-Length: 67\r\n\r\n\
                 502 Bad Gateway: Registered endpoint failed to handle the request.\n"
            ),
        ),
        (
            Failure::HeadTooLarge,
            format!(
                "HTTP/1.1 431 Request Header Fields Too Large\r\n\
                 X-Cf-Routererror: max-request-size-exceeded\r\n{DATE}Content-Length: 0\r\n\r\n"
            ),
        ),
    ] {
        assert_eq!(refused(&failure, |_| {}), expected);
    }
}

#[test]
fn what_an_endpoint_did_cannot_add_a_line() {
    let failure = Failure::Endpoint(Trouble::Dial("a\r\nSet-Cookie: b\u{e9}".to_owned()));
    let said = refused(&failure, |_| {});
    assert!(
        said.contains("X-Cf-Routererror: endpoint_failure (dial: a??Set-Cookie: b?)\r\n"),
        "{said}"
    );
}

#[test]
fn a_head_is_refused_with_a_head_and_an_old_client_in_its_version() {
    let said = refused(&Failure::EmptyHost, |added| added.asks.is_head = true);
    assert!(said.contains("Content-Length: 47\r\n") && said.ends_with("\r\n\r\n"), "{said}");
    for (version, keeps, line, connection) in [
        (Version::Http10, false, "HTTP/1.0 400", None),
        (Version::Http10, true, "HTTP/1.0 400", Some("Connection: keep-alive\r\n")),
        (Version::Http11, false, "HTTP/1.1 400", Some("Connection: close\r\n")),
        (Version::Http11, true, "HTTP/1.1 400", None),
    ] {
        let said = refused(&Failure::EmptyHost, |added| {
            added.asks.version = version;
            added.keeps_alive = keeps;
        });
        assert!(said.starts_with(line), "{said}");
        assert_eq!(said.contains("Connection: "), connection.is_some(), "{said}");
        assert!(connection.is_none_or(|connection| said.contains(connection)), "{said}");
    }
}

#[track_caller]
fn relayed(head: &str, version: Version, cookie: Option<&str>) -> String {
    let bytes = format!("{head}\r\n");
    let mut slots = Slots::new();
    let parsed = ResponseHead::parse(bytes.as_bytes(), 20, false, &mut slots).unwrap();
    let rules = HeaderRules::default();
    let mut added = Added::for_test(false, &rules);
    added.asks.version = version;
    added.cookie = cookie;
    let mut out = Vec::new();
    relay(&mut out, &parsed, added);
    String::from_utf8(out).unwrap()
}

#[test]
fn an_endpoints_head_keeps_its_own_words_and_loses_its_hop() {
    let head = "HTTP/1.1 418 I'm a pot\r\nX-vcap-request-ID: own\r\nDATE: yesterday\r\n\
                Connection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nUpgrade: x\r\n\
                X-Cf-Proxy-Signature: s\r\nSet-Cookie: a\r\nset-cookie: b\r\nContent-Length: 007\r\n";
    assert_eq!(
        relayed(head, Version::Http11, Some("c")),
        "HTTP/1.1 418 I'm a pot\r\nX-vcap-request-ID: own\r\nDATE: yesterday\r\nSet-Cookie: a\r\n\
         set-cookie: b\r\nContent-Length: 7\r\nSet-Cookie: c\r\n\r\n"
    );
}

#[test]
fn a_body_without_length_goes_on_as_the_client_can_read_it() {
    for head in ["HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"] {
        let new = relayed(head, Version::Http11, None);
        assert!(new.contains("\r\nTransfer-Encoding: chunked\r\n"), "{new}");
        let old = relayed(head, Version::Http10, None);
        assert!(!old.contains("Transfer-Encoding") && old.starts_with("HTTP/1.0 200 OK"), "{old}");
    }
    assert!(Passage::of(Body::UntilClose, Version::Http10).until_close);
    assert!(!Passage::of(Body::Length(3), Version::Http10).until_close);
}

#[test]
fn answers_are_rewritten_but_for_their_framing() {
    let rules = HeaderRules {
        removed_from_answers: ["x-PLATFORM", "Content-Length", "X-Vcap-Request-Id"]
            .map(str::to_owned)
            .into(),
        added_to_answers: [("Strict", "yes"), ("Set-Cookie", "z"), ("Connection", "x")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        ..HeaderRules::default()
    };
    let head =
        "HTTP/1.1 200 OK\r\nX-Platform: a\r\nSet-Cookie: b\r\nDate: d\r\nContent-Length: 1\r\n\r\n";
    let mut slots = Slots::new();
    let parsed = ResponseHead::parse(head.as_bytes(), 20, false, &mut slots).unwrap();
    let mut out = b"before ".to_vec();
    relay(&mut out, &parsed, Added::for_test(false, &rules));
    let expected = "before HTTP/1.1 200 OK\r\nSet-Cookie: b\r\nDate: d\r\nContent-Length: 1\r\nStrict: yes\r\n\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
    let mut out = Vec::new();
    refuse(&mut out, &Failure::EmptyHost.answer(), Added::for_test(false, &rules));
    let said = String::from_utf8(out).unwrap();
    assert!(said.contains("\r\nStrict: yes\r\nSet-Cookie: z\r\n\r\n400 Bad Request"), "{said}");
}

#[test]
fn who_may_know_is_told_which_endpoint_answered() {
    let rules = HeaderRules {
        trace_key: Some(("key".to_owned(), "10.0.0.1".to_owned())),
        ..HeaderRules::default()
    };
    for is_traced in [false, true] {
        let mut added = Added::for_test(false, &rules);
        added.asks.is_traced = is_traced;
        added.endpoint = Some("10.0.0.2:80");
        let mut out = Vec::new();
        refuse(&mut out, &Failure::Endpoint(Trouble::Timeout).answer(), added);
        let said = String::from_utf8(out).unwrap();
        let told = "X-Vcap-Router: 10.0.0.1\r\nX-Vcap-Backend: 10.0.0.2:80\r\n\
                    X-Cf-RouteEndpoint: 10.0.0.2:80\r\n";
        assert_eq!(said.contains(told), is_traced, "{said}");
    }
}
