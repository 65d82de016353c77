//! Clients that stay with their instance (family S13).

use super::{GET, OK, RESETS, Row, Script, play, route, row};

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
    row("one that failed a moment ago is asked all the same")
        .routes(PAIR)
        .backends(&[Script::Answers(&[OK]), Script::Answers(&[RESETS, OK])])
        .asks(&[
            (with!("JSESSIONID=x; __VCAP_ID__=guid-b"), "502"),
            (with!("JSESSIONID=x; __VCAP_ID__=guid-b"), "200"),
            (with!("JSESSIONID=x; __VCAP_ID__=guid-b"), "200"),
        ])
        .shares(&[0, 3]),
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
        "Set-Cookie: __VCAP_ID__=guid-a; Path=/; HttpOnly; Max-Age=0\r\n"
    ),
    sets!(
        "so is one that is none of its time",
        "Set-Cookie: JSESSIONID=x; max-age=0\r\n",
        "Set-Cookie: __VCAP_ID__=guid-a; Path=/; HttpOnly; Max-Age=0\r\n"
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

/// A request of a client that negotiates its authentication with the instance of `b`.
const NEGOTIATES: &str = "GET / HTTP/1.1\r\nHost: <host>\r\nAuthorization: Negotiate abc\r\n\
    Cookie: __VCAP_ID__=guid-b\r\n\r\n";
const GONE: &str = "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain; charset=utf-8\r\n\
    X-Cf-Routererror: endpoint_failure (<why>\r\nX-Content-Type-Options: nosniff\r\n\
    X-Vcap-Request-Id: <uuid>\r\nDate: <date>\r\nContent-Length: 67\r\n\r\n\
    502 Bad Gateway: Registered endpoint failed to handle the request.\n";

const DEMANDS: &[Row] = &[
    row("its instance is there")
        .routes(PAIR)
        .backends(BOTH)
        .asks(&[(NEGOTIATES, "200")])
        .times(4)
        .shares(&[0, 4]),
    row("its instance is gone, and no other will do")
        .routes(&[route!("a"), route!("b"), concat!("-", route!("b"))])
        .backends(BOTH)
        .asks(&[(NEGOTIATES, GONE)])
        .times(2)
        .shares(&[0, 0]),
    row("its instance has enough to do, and no other will do")
        .routes(PAIR)
        .backends(BOTH)
        .holds(&["GET /hold HTTP/1.1\r\nHost: <host>\r\n\
            Cookie: JSESSIONID=x; __VCAP_ID__=guid-b\r\n\r\n"])
        .asks(&[(NEGOTIATES, GONE)])
        .shares(&[0, 0]),
    row("its instance does not answer, and no other will do")
        .routes(PAIR)
        .backends(&[Script::Answers(&[OK]), Script::Refuses])
        .asks(&[(NEGOTIATES, "502")])
        .shares(&[0, 0]),
    row("an instance that begins to negotiate is named for a minute")
        .backends(&[Script::Answers(&[
            "HTTP/1.1 401 No\r\nWWW-Authenticate: Negotiate\r\nContent-Length: 0\r\n\r\n",
        ])])
        .asks(&[(
            GET,
            "HTTP/1.1 401 No\r\nWWW-Authenticate: Negotiate\r\nContent-Length: 0\r\n<answered>\
             Set-Cookie: __VCAP_ID__=guid-a; Path=/; HttpOnly; Max-Age=60; SameSite=Strict\r\n\r\n",
        )]),
];

#[test]
fn who_negotiates_stays_with_one_instance_or_is_refused() {
    play("sticky_sessions_for_auth_negotiate: true\nbackends: {max_conns: 1}", DEMANDS);
}
