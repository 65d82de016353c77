//! What endpoints are told of the scheme that the client came by (family S2), by what the file says.

use super::{Over, Row, play, row};

/// A request with these lines; what its endpoint sees of them, and what the router says behind.
macro_rules! told {
    ($about:literal, $over:ident, $given:literal, $kept:literal, $own:literal) => {
        row($about)
            .over(Over::$over)
            .asks(&[(concat!("GET / HTTP/1.1\r\nHost: <host>\r\n", $given, "\r\n"), "200")])
            .saw(&[concat!(
                "GET / HTTP/1.1\r\nHost: <host>\r\n",
                $kept,
                "X-Forwarded-For: 127.0.0.1\r\n",
                $own,
                "X-Request-Start: <ms>\r\nX-Vcap-Request-Id: <uuid>\r\n<app-a>\r\n"
            )])
    };
}

/// What the client says is passed on.
macro_rules! kept {
    ($about:literal, $over:ident, $given:literal) => {
        told!($about, $over, $given, $given, "")
    };
}
/// The router says this instead.
macro_rules! replaced {
    ($about:literal, $over:ident, $given:literal, $scheme:literal) => {
        told!($about, $over, $given, "", $scheme)
    };
}

const KEPT: &[Row] = &[
    replaced!("in clear, nothing said", Plain, "", "X-Forwarded-Proto: http\r\n"),
    replaced!(
        "in clear, nothing behind the name",
        Plain,
        "X-Forwarded-Proto: \r\n",
        "X-Forwarded-Proto: http\r\n"
    ),
    kept!("in clear, http", Plain, "X-Forwarded-Proto: http\r\n"),
    kept!("in clear, https", Plain, "X-Forwarded-Proto: https\r\n"),
    kept!("in clear, something else", Plain, "X-Forwarded-Proto: gopher\r\n"),
    replaced!("under TLS, nothing said", Tls, "", "X-Forwarded-Proto: https\r\n"),
    kept!("under TLS, http", Tls, "X-Forwarded-Proto: http\r\n"),
    kept!("under TLS, https", Tls, "X-Forwarded-Proto: https\r\n"),
    kept!("under TLS, something else", Tls, "X-Forwarded-Proto: gopher\r\n"),
];

#[test]
fn what_the_client_says_is_kept_and_else_filled_in() {
    play("", KEPT);
}

const SANITIZED: &[Row] = &[
    replaced!("in clear, nothing said", Plain, "", "X-Forwarded-Proto: http\r\n"),
    replaced!(
        "in clear, http",
        Plain,
        "X-Forwarded-Proto: http\r\n",
        "X-Forwarded-Proto: http\r\n"
    ),
    replaced!(
        "in clear, https",
        Plain,
        "X-Forwarded-Proto: https\r\n",
        "X-Forwarded-Proto: http\r\n"
    ),
    replaced!(
        "in clear, something else",
        Plain,
        "X-Forwarded-Proto: gopher\r\n",
        "X-Forwarded-Proto: http\r\n"
    ),
    replaced!("under TLS, nothing said", Tls, "", "X-Forwarded-Proto: https\r\n"),
    replaced!(
        "under TLS, http",
        Tls,
        "X-Forwarded-Proto: http\r\n",
        "X-Forwarded-Proto: https\r\n"
    ),
    replaced!(
        "under TLS, https",
        Tls,
        "X-Forwarded-Proto: https\r\n",
        "X-Forwarded-Proto: https\r\n"
    ),
    replaced!(
        "under TLS, something else",
        Tls,
        "X-Forwarded-Proto: gopher\r\n",
        "X-Forwarded-Proto: https\r\n"
    ),
];

#[test]
fn what_the_client_says_is_replaced_where_the_file_says_so() {
    play("sanitize_forwarded_proto: true", SANITIZED);
}

const FORCED: &[Row] = &[
    replaced!("in clear, nothing said", Plain, "", "X-Forwarded-Proto: https\r\n"),
    replaced!(
        "in clear, http",
        Plain,
        "X-Forwarded-Proto: http\r\n",
        "X-Forwarded-Proto: https\r\n"
    ),
    replaced!(
        "in clear, https",
        Plain,
        "X-Forwarded-Proto: https\r\n",
        "X-Forwarded-Proto: https\r\n"
    ),
    replaced!(
        "in clear, something else",
        Plain,
        "X-Forwarded-Proto: gopher\r\n",
        "X-Forwarded-Proto: https\r\n"
    ),
    replaced!("under TLS, nothing said", Tls, "", "X-Forwarded-Proto: https\r\n"),
    replaced!(
        "under TLS, http",
        Tls,
        "X-Forwarded-Proto: http\r\n",
        "X-Forwarded-Proto: https\r\n"
    ),
    replaced!(
        "under TLS, https",
        Tls,
        "X-Forwarded-Proto: https\r\n",
        "X-Forwarded-Proto: https\r\n"
    ),
    replaced!(
        "under TLS, something else",
        Tls,
        "X-Forwarded-Proto: gopher\r\n",
        "X-Forwarded-Proto: https\r\n"
    ),
];

#[test]
fn all_is_https_where_the_file_says_so() {
    play("force_forwarded_proto_https: true", FORCED);
}

const FILTERED: &[Row] = &[
    told!(
        "what the file names stays",
        Plain,
        "Connection: X-Forwarded-Proto, x-kept\r\nX-Forwarded-Proto: https\r\nX-Kept: 1\r\n",
        "X-Forwarded-Proto: https\r\nX-Kept: 1\r\n",
        ""
    ),
    told!(
        "what it does not name goes",
        Plain,
        "Connection: x-kept, x-lost\r\nX-Kept: 1\r\nX-Lost: 2\r\n",
        "X-Kept: 1\r\n",
        "X-Forwarded-Proto: http\r\n"
    ),
];

#[test]
fn what_the_file_names_cannot_be_taken_away() {
    play("hop_by_hop_headers_to_filter: [X-Forwarded-Proto, X-Kept]", FILTERED);
}
