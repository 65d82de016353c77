//! Cookies in, cookies out (family S13).

use lattice_model::Time;

use super::*;
use crate::h1::head::Slots;

fn rules() -> Sticky {
    Sticky { cookies: ["JSESSIONID", "sid"].map(str::to_owned).into(), ..Sticky::default() }
}

fn of(rules: &Sticky, headers: &str, path: &str) -> Stickiness {
    let bytes = format!("GET / HTTP/1.1\r\n{headers}\r\n");
    let mut slots = Slots::new();
    let head = RequestHead::parse(bytes.as_bytes(), 20, &mut slots).unwrap();
    let uri = format!("web.test{path}");
    Stickiness::of(rules, &head, Arc::new(Route::new(uri.as_str().into(), 0, Time(0))))
}

#[test]
fn both_cookies_together_wish_for_an_instance() {
    for (headers, expected) in [
        ("Cookie: JSESSIONID=x; __VCAP_ID__=guid\r\n", Some("guid")),
        ("Cookie: __VCAP_ID__=\"guid\"\r\nCookie: a=b; JSESSIONID=\r\n", Some("guid")),
        ("Cookie: sid=x; __VCAP_ID__=guid\r\n", Some("guid")),
        ("Cookie: jsessionid=x; __VCAP_ID__=guid\r\n", None),
        ("Cookie: __VCAP_ID__=guid\r\n", None),
        ("Cookie: JSESSIONID=x\r\n", None),
        ("Cookie: __VCAP_ID__=guid\r\nAuthorization: Negotiate abc\r\n", None),
        ("", None),
    ] {
        assert_eq!(of(&rules(), headers, "").wish(), expected, "{headers}");
    }
}

#[test]
fn a_negotiated_authentication_demands_its_instance() {
    let rules = Sticky { negotiate: true, ..rules() };
    for (headers, wish, demand) in [
        ("Cookie: __VCAP_ID__=g\r\nAuthorization: Negotiate abc\r\n", Some("g"), Some("g")),
        ("Cookie: __VCAP_ID__=g\r\nAuthorization: NEGOTIATE abc\r\n", Some("g"), Some("g")),
        ("Cookie: __VCAP_ID__=g; sid=1\r\nAuthorization: Basic abc\r\n", Some("g"), None),
        ("Authorization: Negotiate abc\r\n", None, None),
    ] {
        let stickiness = of(&rules, headers, "");
        assert_eq!((stickiness.wish(), stickiness.demand()), (wish, demand), "{headers}");
    }
}

fn marked(
    rules: &Sticky,
    wish: Option<&str>,
    path: &str,
    lines: &str,
    instance: &str,
) -> Option<String> {
    let cookie = wish.map(|wish| format!("Cookie: sid=1; __VCAP_ID__={wish}\r\n"));
    let stickiness = of(rules, cookie.as_deref().unwrap_or_default(), path);
    let bytes = format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
    let mut slots = Slots::new();
    let head = ResponseHead::parse(bytes.as_bytes(), 20, false, &mut slots).unwrap();
    stickiness.mark(rules, &head, instance)
}

#[test]
fn an_instance_that_sets_the_trigger_is_named() {
    let plain = Some("__VCAP_ID__=g; Path=/; HttpOnly");
    for (wish, path, lines, instance, expected) in [
        (None, "", "Set-Cookie: JSESSIONID=x\r\n", "g", plain),
        (
            None,
            "/app",
            "Set-Cookie: sid=x; Path=/; Secure; SameSite=Lax; Max-Age=-1; HttpOnly; Partitioned\r\n",
            "g",
            Some(
                "__VCAP_ID__=g; Path=/app; HttpOnly; Secure; SameSite=Lax; Max-Age=0; Partitioned",
            ),
        ),
        (None, "", "Set-Cookie: sid=x; Max-Age=5; Domain=d\r\n", "g", plain),
        (None, "", "Set-Cookie: sid=x; Max-Age=soon-\r\n", "g", plain),
        (
            None,
            "",
            "Set-Cookie: sid=x; max-age=0\r\n",
            "g",
            Some("__VCAP_ID__=g; Path=/; HttpOnly; Max-Age=0"),
        ),
        (
            None,
            "",
            "Set-Cookie: sid=x; Expires=Wed, 01 Jan 2020 00:00:00 GMT\r\n",
            "g",
            Some("__VCAP_ID__=g; Path=/; HttpOnly; Expires=Wed, 01 Jan 2020 00:00:00 GMT"),
        ),
        (None, "", "Set-Cookie: a=b\r\nSet-Cookie: sid=x\r\n", "g", plain),
        (Some("old"), "", "", "g", plain),
        (Some("g"), "", "", "g", None),
        (Some("g"), "", "Set-Cookie: sid=x\r\n", "g", plain),
        (None, "", "Set-Cookie: other=x\r\n", "g", None),
        (None, "", "Set-Cookie: sid=x\r\nSet-Cookie: __VCAP_ID__=own\r\n", "g", None),
        (None, "", "Set-Cookie: sid=x\r\n", "", None),
        (None, "", "WWW-Authenticate: Negotiate\r\n", "g", None),
    ] {
        assert_eq!(marked(&rules(), wish, path, lines, instance).as_deref(), expected, "{lines}");
    }
}

#[test]
fn cookies_are_for_https_only_when_that_is_the_rule() {
    let rules = Sticky { secure: true, ..rules() };
    for lines in ["Set-Cookie: sid=x\r\n", "Set-Cookie: sid=x; secure\r\n"] {
        let cookie = marked(&rules, None, "", lines, "g").unwrap();
        assert_eq!(cookie.to_ascii_lowercase().matches("; secure").count(), 1, "{cookie}");
    }
}

#[test]
fn a_negotiation_is_remembered_for_a_minute() {
    let rules = Sticky { negotiate: true, ..rules() };
    let cookie = marked(&rules, None, "", "www-authenticate: Negotiate abc\r\n", "g");
    let expected = "__VCAP_ID__=g; Path=/; HttpOnly; Max-Age=60; SameSite=Strict";
    assert_eq!(cookie.as_deref(), Some(expected));
    assert_eq!(marked(&rules, None, "", "WWW-Authenticate: Basic\r\n", "g"), None);
}
