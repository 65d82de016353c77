//! Answers that are rewritten, and what who has the key is told (family S6).

use super::{GET, GETS_OK, Row, Script, play, row};

/// An endpoint's answer with these lines, and those that the client gets: the endpoint's, and the
/// router's behind its own.
macro_rules! answer {
    ($about:literal, $given:literal, $kept:literal, $added:literal) => {
        row($about)
            .backends(&[Script::Answers(&[concat!(
                "HTTP/1.1 200 OK\r\n",
                $given,
                "Content-Length: 2\r\n\r\nok"
            )])])
            .asks(&[(
                GET,
                concat!(
                    "HTTP/1.1 200 OK\r\n",
                    $kept,
                    "Content-Length: 2\r\n<answered>",
                    $added,
                    "\r\nok"
                ),
            )])
    };
}

const ROWS: &[Row] = &[
    answer!("a line that is not there", "", "", "X-Added: a\r\n"),
    answer!("a line that is", "x-added: b\r\n", "x-added: b\r\n", ""),
    answer!("a line that is to go", "X-LOST: 1\r\n", "", "X-Added: a\r\n"),
    answer!(
        "as often as it is there",
        "x-lost: 1\r\nX-Kept: k\r\nX-Lost: 2\r\n",
        "X-Kept: k\r\n",
        "X-Added: a\r\n"
    ),
    row("the router's own answers, too").routes(&[]).asks(&[(
        GET,
        "HTTP/1.1 404 Not Found\r\nCache-Control: no-cache, no-store\r\n\
         Content-Type: text/plain; charset=utf-8\r\nX-Cf-Routererror: unknown_route\r\n\
         X-Content-Type-Options: nosniff\r\nDate: <date>\r\nContent-Length: 64\r\n\
         X-Added: a\r\n\r\n404 Not Found: Requested route ('<host>') does not exist.\n",
    )]),
    answer!(
        "a signature is nobody's business",
        "X-CF-Proxy-Signature: s\r\n",
        "",
        "X-Added: a\r\n"
    ),
];

#[test]
fn lines_are_added_and_taken_out() {
    play(
        "http_rewrite: {responses: {add_headers_if_not_present: [{name: X-Added, value: a}], \
         remove_headers: [{name: X-Lost}]}}",
        ROWS,
    );
}

const TRACED: &[Row] = &[
    row("who has the key").asks(&[(
        "GET / HTTP/1.1\r\nHost: <host>\r\nX-Vcap-Trace: open\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n<answered>X-Vcap-Router: <reason>\r\n\
             X-Vcap-Backend: 127.0.0.1:<a>\r\nX-Cf-RouteEndpoint: 127.0.0.1:<a>\r\n\r\nok",
    )]),
    row("who has another")
        .asks(&[("GET / HTTP/1.1\r\nHost: <host>\r\nX-Vcap-Trace: shut\r\n\r\n", GETS_OK)]),
    row("who has none").asks(&[(GET, GETS_OK)]),
];

#[test]
fn who_has_the_key_is_told_where_the_answer_comes_from() {
    play("trace_key: open", TRACED);
}
