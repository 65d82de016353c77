//! What stands in the request line reaches the endpoint byte for byte (family S1).

use super::{Case, GETS_OK, OK, Then, check};

macro_rules! target {
    ($method:literal, $target:literal) => {
        Case {
            about: $target,
            sends: concat!($method, " ", $target, " HTTP/1.1\r\nHost: web.test\r\n\r\n"),
            answers: &[OK],
            saw: &[concat!($method, " ", $target, " HTTP/1.1 | host: web.test")],
            gets: &[GETS_OK],
            then: Then::Stays,
        }
    };
}

#[tokio::test]
async fn targets_are_not_touched() {
    check(&[
        target!("GET", "/"),
        target!("GET", "/a"),
        target!("GET", "/a/"),
        target!("GET", "/a%2fb%2Fc%20d"),
        target!("GET", "/:@!$&'()*+,=~-._"),
        target!("GET", "/a;b=c?x=%22&y;z"),
        target!("GET", "/?"),
        target!("GET", "/a?b?c=/d//e"),
        target!("GET", "/{a}|b\\c^d`e"),
        target!("GET", "/\"<a>\""),
        target!("GET", "//a//b"),
        target!("GET", "//evil.test/b"),
        target!("GET", "/a/../b/./c"),
        target!("GET", "/\u{e9}t\u{e9}"),
        target!("GET", "http://web.test/abs?x"),
        target!("GET", "http://web.test"),
        target!("GET", "http://web.test?x"),
        target!("OPTIONS", "*"),
        target!("PATCH", "/a"),
        target!("WHATEVER-1", "/a"),
    ])
    .await;
}
