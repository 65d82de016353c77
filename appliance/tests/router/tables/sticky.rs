//! Clients that stay with their instance (family S13).

use super::{GET, OK, Row, Script, play, route, row};

const PAIR: &[&str] = &[route!("a"), route!("b")];
const BOTH: &[Script] = &[Script::Answers(&[OK]), Script::Answers(&[OK])];

/// A request with these cookies.
macro_rules! with {
    ($cookies:literal) => {
        concat!("GET / HTTP/1.1\r\nHost: <host>\r\nCookie: ", $cookies, "\r\n\r\n")
    };
}

/// An endpoint's answer with these lines, and what the client gets where this one is added.
macro_rules! sets {
    ($about:literal, $lines:literal, $added:literal) => {
        row($about)
            .backends(&[Script::Answers(&[concat!(
                "HTTP/1.1 200 OK\r\n",
                $lines,
                "Content-Length: 2\r\n\r\nok"
            )])])
            .asks(&[(
                GET,
                concat!(
                    "HTTP/1.1 200 OK\r\n",
                    $lines,
                    "Content-Length: 2\r\n",
                    "X-Vcap-Request-Id: <uuid>\r\n",
                    "Date: <date>\r\n",
                    $added,
                    "\r\nok"
                ),
            )])
    };
}

const WISHES: &[Row] = &[
    row("both cookies lead to the instance")
        .routes(PAIR)
        .backends(BOTH)
        .asks(&[(with!("JSESSIONID=x; __VCAP_ID__=guid-b"), "200")])
        .times(4)
        .shares(&[0, 4]),
    row("in any order")
        .routes(PAIR)
        .backends(BOTH)
        .asks(&[(with!("a=b; __VCAP_ID__=guid-a; JSESSIONID=x"), "200")])
        .times(4)
        .shares(&[4, 0]),
    row("in quotes")
        .routes(PAIR)
        .backends(BOTH)
        .asks(&[(with!("JSESSIONID=\"x\"; __VCAP_ID__=\"guid-a\""), "200")])
        .times(4)
        .shares(&[4, 0]),
    row("the instance alone means nothing")
        .routes(PAIR)
        .backends(BOTH)
        .asks(&[(with!("__VCAP_ID__=guid-a"), "200")])
        .times(4)
        .shares(&[2, 2]),
    row("nor does the trigger alone")
        .routes(PAIR)
        .backends(BOTH)
        .asks(&[(with!("JSESSIONID=x"), "200")])
        .times(4)
        .shares(&[2, 2]),
    row("nor a trigger of another name")
        .routes(PAIR)
        .backends(BOTH)
        .asks(&[(with!("jsessionid=x; __VCAP_ID__=guid-a"), "200")])
        .times(4)
        .shares(&[2, 2]),
    row("an instance that is gone has its place taken, and the client is told").asks(&[(
        with!("JSESSIONID=x; __VCAP_ID__=gone"),
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Vcap-Request-Id: <uuid>\r\nDate: <date>\r\n\
             Set-Cookie: __VCAP_ID__=guid-a; Path=/; HttpOnly\r\n\r\nok",
    )]),
    row("so has one that does not answer")
        .routes(PAIR)
        .backends(&[Script::Answers(&[OK]), Script::Refuses])
        .asks(&[(
            with!("JSESSIONID=x; __VCAP_ID__=guid-b"),
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Vcap-Request-Id: <uuid>\r\nDate: <date>\r\n\
             Set-Cookie: __VCAP_ID__=guid-a; Path=/; HttpOnly\r\n\r\nok",
        )]),
];

#[test]
fn both_cookies_together_wish_for_an_instance() {
    play("", WISHES);
}

const MARKS: &[Row] = &[
    sets!(
        "the trigger",
        "Set-Cookie: JSESSIONID=x\r\n",
        "Set-Cookie: __VCAP_ID__=guid-a; Path=/; HttpOnly\r\n"
    ),
    sets!(
        "its attributes are taken over",
        "Set-Cookie: JSESSIONID=x; Secure; SameSite=Lax; Partitioned\r\n",
        "Set-Cookie: __VCAP_ID__=guid-a; Path=/; HttpOnly; Secure; SameSite=Lax; Partitioned\r\n"
    ),
    sets!(
        "its end is taken over",
        "Set-Cookie: JSESSIONID=x; Max-Age=-1\r\n",
        "Set-Cookie: __VCAP_ID__=guid-a; Path=/; HttpOnly; Max-Age=-1\r\n"
    ),
    sets!(
        "its age and its domain are not",
        "Set-Cookie: JSESSIONID=x; Max-Age=9; Domain=d; Path=/p\r\n",
        "Set-Cookie: __VCAP_ID__=guid-a; Path=/; HttpOnly\r\n"
    ),
    sets!("another cookie", "Set-Cookie: other=x\r\n", ""),
    sets!(
        "an endpoint that names itself",
        "Set-Cookie: JSESSIONID=x\r\nSet-Cookie: __VCAP_ID__=own\r\n",
        ""
    ),
    sets!("no cookie", "", ""),
];

#[test]
fn an_instance_that_sets_the_trigger_is_named() {
    play("", MARKS);
}

#[test]
fn cookies_have_the_names_and_the_safety_that_the_file_gives_them() {
    play(
        "sticky_session_cookie_names: [sid]\nsecure_cookies: true",
        &[
            sets!(
                "the file's name",
                "Set-Cookie: sid=x\r\n",
                "Set-Cookie: __VCAP_ID__=guid-a; Path=/; HttpOnly; Secure\r\n"
            ),
            sets!("no other", "Set-Cookie: JSESSIONID=x\r\n", ""),
            row("a context path")
                .routes(&[route!("a", "<host>/app")])
                .backends(&[Script::Answers(&[
                    "HTTP/1.1 200 OK\r\nSet-Cookie: sid=x\r\nContent-Length: 0\r\n\r\n",
                ])])
                .asks(&[(
                    "GET /app/x HTTP/1.1\r\nHost: <host>\r\n\r\n",
                    "HTTP/1.1 200 OK\r\nSet-Cookie: sid=x\r\nContent-Length: 0\r\n\
                     X-Vcap-Request-Id: <uuid>\r\nDate: <date>\r\n\
                     Set-Cookie: __VCAP_ID__=guid-a; Path=/app; HttpOnly; Secure\r\n\r\n",
                )]),
        ],
    );
}
