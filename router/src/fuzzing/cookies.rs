//! Cookies, both ways.

use std::sync::Arc;

use lattice_model::Time;

use crate::config::Sticky;
use crate::h1::head::Slots;
use crate::h1::request::RequestHead;
use crate::h1::response::ResponseHead;
use crate::pool::Route;
use crate::proxy::sticky::Stickiness;

/// What a cookie of ours may say beside its own.
const ATTRIBUTES: [&str; 5] = ["secure", "samesite", "expires", "partitioned", "max-age"];

/// Reads a text as a client's cookies, and another as a cookie that an endpoint sets. A wish is what
/// some cookie says, wherever it stands among the others; what we set is one cookie, ours.
pub fn cookies(sent: &str, set: &str) {
    if sent.contains(['\r', '\n']) {
        // It would be several lines, the second of which is no cookie.
        return;
    }
    let wish = wish_of(&format!("Cookie: {sent}\r\n"));
    if let Some(wish) = &wish {
        assert!(sent.contains(&format!("__VCAP_ID__={wish}")) || sent.contains('"'), "{wish:?}");
        assert!(sent.contains("sid="), "without a trigger nothing is wished for");
        assert!(!wish.contains([';', '\r', '\n', '"']) || wish.trim_matches('"') == wish);
    }
    assert_eq!(wish_of(&format!("Cookie: a=b; {sent}\r\n")), wish, "another cookie before it");
    assert_eq!(wish_of(&format!("Cookie: {sent}\r\nCookie: a=b\r\n")), wish, "one behind it");
    for (at, _) in sent.match_indices(';') {
        let (first, second) = (&sent[..at], &sent[at + 1..]);
        let apart = format!("Cookie: {first}\r\nCookie: {second}\r\n");
        assert_eq!(wish_of(&apart), wish, "in two lines");
    }
    if let Some(cookie) = mark_of(set) {
        assert!(!cookie.contains(['\r', '\n', '\0']), "{cookie:?}");
        let rest = cookie.strip_prefix("__VCAP_ID__=guid; Path=/; HttpOnly").expect("it is ours");
        for attribute in rest.split(';').skip(1) {
            let name = attribute.split('=').next().unwrap_or_default().trim().to_ascii_lowercase();
            assert!(ATTRIBUTES.contains(&&*name), "{cookie:?}");
        }
    }
}

fn rules() -> Sticky {
    Sticky { cookies: vec!["sid".to_owned()], ..Sticky::default() }
}

fn route() -> Arc<Route> {
    Arc::new(Route::new("web.test".into(), 0, Time(0)))
}

/// What a request with these lines wishes for; nothing, where it is none.
fn wish_of(lines: &str) -> Option<String> {
    let bytes = format!("GET / HTTP/1.1\r\n{lines}\r\n");
    let mut slots = Slots::new();
    let head = RequestHead::parse(bytes.as_bytes(), 9, &mut slots).ok()?;
    Stickiness::of(&rules(), &head, route()).wish().map(str::to_owned)
}

/// What the client is told of who has set this cookie.
fn mark_of(set: &str) -> Option<String> {
    let bytes = format!("HTTP/1.1 200 OK\r\nSet-Cookie: {set}\r\n\r\n");
    let mut slots = Slots::new();
    let head = ResponseHead::parse(bytes.as_bytes(), 9, false, &mut slots).ok()?;
    let request = b"GET / HTTP/1.1\r\n\r\n";
    let mut slots = Slots::new();
    let asked = RequestHead::parse(request, 9, &mut slots).ok()?;
    Stickiness::of(&rules(), &asked, route()).mark(&rules(), &head, "guid")
}

#[cfg(test)]
proptest::proptest! {
    #[test]
    fn whatever_cookies_say_they_wish_for_one_instance_and_get_one_cookie(
        sent in "((sid|__VCAP_ID__|a|)[= ;\"]{1,2}(guid|\"g\"|=|)[; ]{0,2}){0,5}",
        set in "(sid|a)=x(; ?(Secure|SameSite=Lax|Max-Age=-?[0-9]|Domain=d|Path=/p|=|\u{e9})){0,4}",
    ) {
        cookies(&sent, &set);
    }
}

#[test]
fn what_stands_in_another_line_is_no_cookie() {
    cookies("sid=x\nX: y; __VCAP_ID__=guid", "");
}
