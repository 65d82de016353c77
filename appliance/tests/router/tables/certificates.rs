//! What endpoints are told of a client's certificate (family S21).

use super::{Over, Row, play, row};

/// A request with these lines, and which of them its endpoint sees; the router's own stands behind.
macro_rules! told {
    ($about:literal, $over:ident, $proto:literal, $given:literal, $kept:literal, $own:literal) => {
        row($about)
            .over(Over::$over)
            .asks(&[(concat!("GET / HTTP/1.1\r\nHost: <host>\r\n", $given, "\r\n"), "200")])
            .saw(&[concat!(
                "GET / HTTP/1.1\r\nHost: <host>\r\n",
                $kept,
                "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: ",
                $proto,
                "\r\n",
                $own,
                "X-Request-Start: <ms>\r\nX-Vcap-Request-Id: <uuid>\r\n<app-a>\r\n"
            )])
    };
}

/// In clear.
macro_rules! clear {
    ($about:literal, $given:literal, $kept:literal) => {
        told!($about, Plain, "http", $given, $kept, "")
    };
}

/// Under TLS, by somebody who shows nothing.
macro_rules! secure {
    ($about:literal, $given:literal, $kept:literal) => {
        told!($about, Tls, "https", $given, $kept, "")
    };
}

/// Under TLS, by somebody who shows who he is.
macro_rules! known {
    ($about:literal, $given:literal, $kept:literal) => {
        known!($about, $given, $kept, "")
    };
    ($about:literal, $given:literal, $kept:literal, $own:literal) => {
        told!($about, MutualTls, "https", $given, $kept, $own)
    };
}

const ALWAYS_FORWARD: &[Row] = &[
    clear!("in clear, nothing said", "", ""),
    clear!("in clear", "X-Forwarded-Client-Cert: c\r\n", "X-Forwarded-Client-Cert: c\r\n"),
    clear!(
        "in clear, twice",
        "X-Forwarded-Client-Cert: c\r\nx-forwarded-client-cert: d\r\n",
        "X-Forwarded-Client-Cert: c\r\nx-forwarded-client-cert: d\r\n"
    ),
    clear!(
        "in clear, and taken away",
        "Connection: X-Forwarded-Client-Cert\r\nX-Forwarded-Client-Cert: c\r\n",
        ""
    ),
    secure!("under TLS, nothing said", "", ""),
    secure!("under TLS", "X-Forwarded-Client-Cert: c\r\n", "X-Forwarded-Client-Cert: c\r\n"),
    secure!(
        "under TLS, twice",
        "X-Forwarded-Client-Cert: c\r\nx-forwarded-client-cert: d\r\n",
        "X-Forwarded-Client-Cert: c\r\nx-forwarded-client-cert: d\r\n"
    ),
    secure!(
        "under TLS, and taken away",
        "Connection: X-Forwarded-Client-Cert\r\nX-Forwarded-Client-Cert: c\r\n",
        ""
    ),
    known!("known, nothing said", "", ""),
    known!("known", "X-Forwarded-Client-Cert: c\r\n", "X-Forwarded-Client-Cert: c\r\n"),
    known!(
        "known, twice",
        "X-Forwarded-Client-Cert: c\r\nx-forwarded-client-cert: d\r\n",
        "X-Forwarded-Client-Cert: c\r\nx-forwarded-client-cert: d\r\n"
    ),
    known!(
        "known, and taken away",
        "Connection: X-Forwarded-Client-Cert\r\nX-Forwarded-Client-Cert: c\r\n",
        ""
    ),
];

#[test]
fn what_a_client_says_is_passed_on() {
    play("forwarded_client_cert: always_forward", ALWAYS_FORWARD);
}

#[test]
fn that_is_so_where_the_file_says_nothing() {
    play(
        "",
        &[
            clear!("in clear", "X-Forwarded-Client-Cert: c\r\n", "X-Forwarded-Client-Cert: c\r\n"),
            known!("known", "X-Forwarded-Client-Cert: c\r\n", "X-Forwarded-Client-Cert: c\r\n"),
        ],
    );
}

const FORWARD: &[Row] = &[
    clear!("in clear, nothing said", "", ""),
    clear!("in clear", "X-Forwarded-Client-Cert: c\r\n", ""),
    clear!("in clear, twice", "X-Forwarded-Client-Cert: c\r\nx-forwarded-client-cert: d\r\n", ""),
    clear!("in clear, beside another", "X-A: b\r\nX-FORWARDED-CLIENT-CERT: c\r\n", "X-A: b\r\n"),
    secure!("under TLS, nothing said", "", ""),
    secure!("under TLS", "X-Forwarded-Client-Cert: c\r\n", ""),
    secure!("under TLS, twice", "X-Forwarded-Client-Cert: c\r\nx-forwarded-client-cert: d\r\n", ""),
    secure!("under TLS, beside another", "X-A: b\r\nX-FORWARDED-CLIENT-CERT: c\r\n", "X-A: b\r\n"),
    known!("known, nothing said", "", ""),
    known!("known", "X-Forwarded-Client-Cert: c\r\n", "X-Forwarded-Client-Cert: c\r\n"),
    known!(
        "known, twice",
        "X-Forwarded-Client-Cert: c\r\nx-forwarded-client-cert: d\r\n",
        "X-Forwarded-Client-Cert: c\r\nx-forwarded-client-cert: d\r\n"
    ),
    known!(
        "known, and taken away",
        "Connection: X-Forwarded-Client-Cert\r\nX-Forwarded-Client-Cert: c\r\n",
        ""
    ),
];

#[test]
fn what_a_client_says_is_passed_on_if_he_is_known() {
    play("forwarded_client_cert: forward", FORWARD);
}

const SANITIZE_SET: &[Row] = &[
    clear!("in clear, nothing said", "", ""),
    clear!("in clear", "X-Forwarded-Client-Cert: c\r\n", ""),
    clear!("in clear, twice", "X-Forwarded-Client-Cert: c\r\nx-forwarded-client-cert: d\r\n", ""),
    secure!("under TLS, nothing said", "", ""),
    secure!("under TLS", "X-Forwarded-Client-Cert: c\r\n", ""),
    secure!("under TLS, twice", "X-Forwarded-Client-Cert: c\r\nx-forwarded-client-cert: d\r\n", ""),
    known!("known, nothing said", "", "", "X-Forwarded-Client-Cert: <person>\r\n"),
    known!("known", "X-Forwarded-Client-Cert: c\r\n", "", "X-Forwarded-Client-Cert: <person>\r\n"),
    known!(
        "known, twice",
        "X-Forwarded-Client-Cert: c\r\nx-forwarded-client-cert: d\r\n",
        "",
        "X-Forwarded-Client-Cert: <person>\r\n"
    ),
    known!(
        "known, and it cannot be taken away",
        "Connection: X-Forwarded-Client-Cert\r\nX-Forwarded-Client-Cert: c\r\n",
        "",
        "X-Forwarded-Client-Cert: <person>\r\n"
    ),
];

#[test]
fn what_the_router_has_seen_itself_is_told_and_nothing_else() {
    play("forwarded_client_cert: sanitize_set", SANITIZE_SET);
}
