//! What endpoints are told of the scheme that the client came by (family S2), by what the file says.

use super::{Over, Row, play, row};

/// A request with these lines; what its endpoint sees of them, and what the router says behind.
macro_rules! told {
    ($about:literal, $over:ident, $given:expr, $kept:expr, $own:expr) => {
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

/// What says that the client came by this scheme.
macro_rules! by {
    ($scheme:literal) => {
        concat!("X-Forwarded-Proto: ", $scheme, "\r\n")
    };
}
/// The client says so, and it is passed on.
macro_rules! kept {
    ($about:literal, $over:ident, $said:literal) => {
        told!($about, $over, by!($said), by!($said), "")
    };
}
/// The client says nothing, and the router this.
macro_rules! filled_in {
    ($about:literal, $over:ident, $scheme:literal) => {
        told!($about, $over, "", "", by!($scheme))
    };
}
/// The client says so, and the router this instead.
macro_rules! replaced {
    ($about:literal, $over:ident, $said:literal, $scheme:literal) => {
        told!($about, $over, by!($said), "", by!($scheme))
    };
}

const KEPT: &[Row] = &[
    filled_in!("in clear, nothing said", Plain, "http"),
    replaced!("in clear, nothing behind the name", Plain, "", "http"),
    kept!("in clear, http", Plain, "http"),
    kept!("in clear, https", Plain, "https"),
    kept!("in clear, something else", Plain, "gopher"),
    filled_in!("under TLS, nothing said", Tls, "https"),
    kept!("under TLS, http", Tls, "http"),
    kept!("under TLS, https", Tls, "https"),
    kept!("under TLS, something else", Tls, "gopher"),
];

#[test]
fn what_the_client_says_is_kept_and_else_filled_in() {
    play("", KEPT);
}

const SANITIZED: &[Row] = &[
    filled_in!("in clear, nothing said", Plain, "http"),
    replaced!("in clear, http", Plain, "http", "http"),
    replaced!("in clear, https", Plain, "https", "http"),
    replaced!("in clear, something else", Plain, "gopher", "http"),
    filled_in!("under TLS, nothing said", Tls, "https"),
    replaced!("under TLS, http", Tls, "http", "https"),
    replaced!("under TLS, https", Tls, "https", "https"),
    replaced!("under TLS, something else", Tls, "gopher", "https"),
];

#[test]
fn what_the_client_says_is_replaced_where_the_file_says_so() {
    play("sanitize_forwarded_proto: true", SANITIZED);
}

const FORCED: &[Row] = &[
    filled_in!("in clear, nothing said", Plain, "https"),
    replaced!("in clear, http", Plain, "http", "https"),
    replaced!("in clear, https", Plain, "https", "https"),
    replaced!("in clear, something else", Plain, "gopher", "https"),
    filled_in!("under TLS, nothing said", Tls, "https"),
    replaced!("under TLS, http", Tls, "http", "https"),
    replaced!("under TLS, https", Tls, "https", "https"),
    replaced!("under TLS, something else", Tls, "gopher", "https"),
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
