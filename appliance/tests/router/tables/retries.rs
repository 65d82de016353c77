//! What is tried again with another endpoint, or on another connection (family S15). A sticky
//! cookie decides who is asked first.

use super::{HANGS_UP, OK, Proof, RESETS, Row, SAYS_NOTHING, Script, play, route, row};

/// A request for `a` first.
macro_rules! first {
    ($method:literal) => {
        first!($method, "", "")
    };
    ($method:literal, $lines:literal, $body:literal) => {
        concat!(
            $method,
            " / HTTP/1.1\r\nHost: <host>\r\nCookie: JSESSIONID=1; __VCAP_ID__=guid-a\r\n",
            $lines,
            "\r\n",
            $body
        )
    };
}

type Asks = &'static [(&'static str, &'static str)];
type Scripts = &'static [Script];

const OF_LENGTH: &str = first!("POST", "Content-Length: 2\r\n", "hi");
const HANGS: Scripts = &[Script::Answers(&[HANGS_UP]), Script::Answers(&[OK])];
const REFUSES: Scripts = &[Script::Refuses, Script::Answers(&[OK])];

/// What is asked of `a`, beside which there is `b`; how many requests each sees.
const fn tried(
    about: &'static str,
    backends: Scripts,
    asks: Asks,
    shares: &'static [usize],
) -> Row {
    row(about).routes(&[route!("a"), route!("b")]).backends(backends).asks(asks).shares(shares)
}

const UNSENT: &[Row] = &[
    tried("GET", REFUSES, &[(first!("GET"), "200")], &[0, 1]),
    tried("HEAD", REFUSES, &[(first!("HEAD"), "200")], &[0, 1]),
    tried("OPTIONS", REFUSES, &[(first!("OPTIONS"), "200")], &[0, 1]),
    tried("PUT", REFUSES, &[(first!("PUT", "Content-Length: 2\r\n", "hi"), "200")], &[0, 1]),
    tried("PATCH", REFUSES, &[(first!("PATCH", "Content-Length: 2\r\n", "hi"), "200")], &[0, 1]),
    tried("DELETE", REFUSES, &[(first!("DELETE"), "200")], &[0, 1]),
    tried("POST without a body", REFUSES, &[(first!("POST"), "200")], &[0, 1]),
    tried("POST with its body", REFUSES, &[(OF_LENGTH, "200")], &[0, 1])
        .saw(&["POST / HTTP/1.1\r\nHost: <host>\r\nCookie: JSESSIONID=1; __VCAP_ID__=guid-a\r\n\
         Content-Length: 2\r\n<forwarded><app-b>\r\nhi"]),
    tried(
        "POST with chunks",
        REFUSES,
        &[(first!("POST", "Transfer-Encoding: chunked\r\n", "2\r\nhi\r\n0\r\n\r\n"), "200")],
        &[0, 1],
    ),
];

#[test]
fn what_was_never_sent_is_sent_to_another_whatever_it_is() {
    play("", UNSENT);
}

const UNANSWERED: &[Row] = &[
    tried("GET", HANGS, &[(first!("GET"), "200")], &[1, 1]),
    tried("HEAD", HANGS, &[(first!("HEAD"), "200")], &[1, 1]),
    tried("OPTIONS", HANGS, &[(first!("OPTIONS"), "200")], &[1, 1]),
    tried("TRACE", HANGS, &[(first!("TRACE"), "200")], &[1, 1]),
    tried("PUT", HANGS, &[(first!("PUT"), "502")], &[1, 0]),
    tried("PATCH", HANGS, &[(first!("PATCH"), "502")], &[1, 0]),
    tried("DELETE", HANGS, &[(first!("DELETE"), "502")], &[1, 0]),
    tried("POST without a body", HANGS, &[(first!("POST"), "502")], &[1, 0]),
    tried("POST with a body", HANGS, &[(OF_LENGTH, "502")], &[1, 0]),
    tried(
        "GET with a body",
        HANGS,
        &[(first!("GET", "Content-Length: 2\r\n", "hi"), "502")],
        &[1, 0],
    ),
    tried(
        "GET with chunks",
        HANGS,
        &[(first!("GET", "Transfer-Encoding: chunked\r\n", "2\r\nhi\r\n0\r\n\r\n"), "502")],
        &[1, 0],
    ),
    tried(
        "POST with a key of its own",
        HANGS,
        &[(first!("POST", "Idempotency-Key: 1\r\n", ""), "200")],
        &[1, 1],
    ),
    tried(
        "POST with such a key of old",
        HANGS,
        &[(first!("POST", "X-Idempotency-Key: 1\r\n", ""), "200")],
        &[1, 1],
    ),
    tried(
        "POST with a key and a body",
        HANGS,
        &[(first!("POST", "Idempotency-Key: 1\r\nContent-Length: 2\r\n", "hi"), "502")],
        &[1, 0],
    ),
    tried(
        "PATCH with a key of its own",
        HANGS,
        &[(first!("PATCH", "Idempotency-Key: 1\r\n", ""), "200")],
        &[1, 1],
    ),
];

#[test]
fn what_was_sent_is_sent_again_only_if_nothing_can_have_come_of_it_twice() {
    play("", UNANSWERED);
}

const ANSWERED: &[Row] = &[
    tried(
        "POST, and the endpoint resets",
        &[Script::Answers(&[RESETS]), Script::Answers(&[OK])],
        &[(OF_LENGTH, "502")],
        &[1, 0],
    ),
    tried(
        "an answer that is none",
        &[Script::Answers(&["garbage\r\n\r\n"]), Script::Answers(&[OK])],
        &[(first!("GET"), "502")],
        &[1, 0],
    ),
    tried(
        "half a head",
        &[Script::Answers(&["HTTP/1.1 200 OK\r\nContent-"]), Script::Answers(&[OK])],
        &[(first!("POST"), "502")],
        &[1, 0],
    ),
    tried(
        "an answer of 500",
        &[
            Script::Answers(&["HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"]),
            Script::Answers(&[OK]),
        ],
        &[(first!("GET"), "500")],
        &[1, 0],
    ),
    tried(
        "an answer of 503",
        &[
            Script::Answers(&["HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"]),
            Script::Answers(&[OK]),
        ],
        &[(first!("GET"), "503")],
        &[1, 0],
    ),
];

const SILENT: &[Row] = &[tried(
    "no answer in time",
    &[Script::Answers(&[SAYS_NOTHING]), Script::Answers(&[OK])],
    &[(first!("GET"), "502")],
    &[1, 0],
)];

#[test]
fn an_answer_is_an_answer_and_silence_is_not_asked_twice() {
    play("", ANSWERED);
    play("endpoint_timeout: 300ms", SILENT);
}

const KEPT: &[Row] = &[
    row("GET on a kept connection that dies")
        .backends(&[Script::Answers(&[OK, HANGS_UP, OK])])
        .asks(&[(super::GET, "200"), (super::GET, "200")])
        .shares(&[3])
        .connections(&[2]),
    row("GET on a kept connection that is reset")
        .backends(&[Script::Answers(&[OK, RESETS, OK])])
        .asks(&[(super::GET, "200"), (super::GET, "200")])
        .shares(&[3])
        .connections(&[2]),
    row("POST on a kept connection that dies")
        .backends(&[Script::Answers(&[OK, HANGS_UP, OK])])
        .asks(&[
            (super::GET, "200"),
            ("POST / HTTP/1.1\r\nHost: <host>\r\nContent-Length: 2\r\n\r\nhi", "502"),
        ])
        .shares(&[2])
        .connections(&[1]),
    row("POST after an endpoint has said that it closes")
        .backends(&[Script::Answers(&[
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        ])])
        .asks(&[
            (super::GET, "200"),
            ("POST / HTTP/1.1\r\nHost: <host>\r\nContent-Length: 2\r\n\r\nhi", "200"),
        ])
        .shares(&[2])
        .connections(&[2]),
];

#[test]
fn a_connection_that_died_is_no_endpoint_that_did() {
    play("", KEPT);
}

const DEAD_4: &[Script] = &[Script::Refuses, Script::Refuses, Script::Refuses, Script::Refuses];
const ALL_4: &[&str] = &[route!("a"), route!("b"), route!("c"), route!("d")];

/// How often `a` to `d`, which refuse, are asked.
macro_rules! attempts {
    ($about:literal, $routes:expr, $dials:literal, $retries:literal) => {
        row($about).routes($routes).backends(DEAD_4).asks(&[(super::GET, "502")]).counts(&[
            ("bad_gateways", 1),
            ("lattice_dials", $dials),
            ("lattice_retries", $retries),
            ("responses{status_group=\"5xx\"}", 1),
            ("total_requests{component=\"\"}", 1),
        ])
    };
}

#[test]
fn three_endpoints_are_tried_and_none_twice() {
    play(
        "",
        &[
            row("one endpoint, once").backends(&[Script::Refuses]).asks(&[(super::GET, "502")]),
            attempts!("two endpoints, each once", &[route!("a"), route!("b")], 2, 1),
            attempts!("three, each once", &[route!("a"), route!("b"), route!("c")], 3, 2),
            attempts!("four, and three of them", ALL_4, 3, 2),
        ],
    );
}

#[test]
fn as_many_are_tried_as_the_file_says() {
    play(
        "backends: {max_attempts: 2}",
        &[
            attempts!("four, and two of them", ALL_4, 2, 1),
            attempts!("two of two", &[route!("a"), route!("b")], 2, 1),
        ],
    );
    play(
        "backends: {max_attempts: 5}",
        &[
            attempts!("four, and all of them", ALL_4, 4, 3),
            attempts!("three of three", &[route!("a"), route!("b"), route!("c")], 3, 2),
        ],
    );
}

/// `a` shows this, and `b` what it should.
macro_rules! proves {
    ($about:literal, $proof:expr, $request:expr) => {
        row($about)
            .routes(&[
                route!("a", "<host>", r#","tls_port":<a>,"server_cert_domain_san":"guid-a""#),
                route!("b", "<host>", r#","tls_port":<b>,"server_cert_domain_san":"guid-b""#),
            ])
            .backends(&[Script::Secured($proof, &[OK]), Script::Secured(Proof::Good, &[OK])])
            .asks(&[($request, "200")])
            .shares(&[0, 1])
    };
}

const UNPROVED: &[Row] = &[
    proves!("another's name", Proof::OtherName, OF_LENGTH),
    proves!("a stranger", Proof::Stranger, OF_LENGTH),
    proves!("expired", Proof::Expired, OF_LENGTH),
    proves!("who wants ours", Proof::Demands, first!("GET")),
];

#[test]
fn who_does_not_prove_himself_was_told_nothing() {
    play("", UNPROVED);
}
