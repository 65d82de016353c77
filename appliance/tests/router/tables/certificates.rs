//! What endpoints are told of a client's certificate (family S21).

use super::{Over, Row, play, row};

/// A request with these lines, and which of them its endpoint sees; the router's own stands behind.
macro_rules! told {
    ($about:literal, $over:ident, $given:expr, $kept:expr, $own:literal) => {
        row($about)
            .over(Over::$over)
            .asks(&[(concat!("GET / HTTP/1.1\r\nHost: <host>\r\n", $given, "\r\n"), "200")])
            .saw(&[concat!(
                "GET / HTTP/1.1\r\nHost: <host>\r\n",
                $kept,
                "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: ",
                scheme!($over),
                "\r\n",
                $own,
                "X-Request-Start: <ms>\r\nX-Vcap-Request-Id: <uuid>\r\n<app-a>\r\n"
            )])
    };
}
macro_rules! scheme {
    (Plain) => {
        "http"
    };
    ($secured:ident) => {
        "https"
    };
}

/// The client says so, and it is passed on.
macro_rules! kept {
    ($about:literal, $over:ident, $said:expr) => {
        told!($about, $over, $said, $said, "")
    };
}
/// The client says so, and it is not passed on.
macro_rules! lost {
    ($about:literal, $over:ident, $said:expr) => {
        told!($about, $over, $said, "", "")
    };
}
/// The client says so and is known, and the router says whom it knows instead.
macro_rules! replaced {
    ($about:literal, $said:expr) => {
        told!($about, MutualTls, $said, "", "X-Forwarded-Client-Cert: <person>\r\n")
    };
}

macro_rules! once {
    () => {
        "X-Forwarded-Client-Cert: c\r\n"
    };
}
macro_rules! twice {
    () => {
        concat!(once!(), "x-forwarded-client-cert: d\r\n")
    };
}
macro_rules! taken_away {
    () => {
        concat!("Connection: X-Forwarded-Client-Cert\r\n", once!())
    };
}
macro_rules! beside_another {
    () => {
        "X-A: b\r\nX-FORWARDED-CLIENT-CERT: c\r\n"
    };
}

const ALWAYS_FORWARD: &[Row] = &[
    kept!("in clear, nothing said", Plain, ""),
    kept!("in clear", Plain, once!()),
    kept!("in clear, twice", Plain, twice!()),
    lost!("in clear, and taken away", Plain, taken_away!()),
    kept!("under TLS, nothing said", Tls, ""),
    kept!("under TLS", Tls, once!()),
    kept!("under TLS, twice", Tls, twice!()),
    lost!("under TLS, and taken away", Tls, taken_away!()),
    kept!("known, nothing said", MutualTls, ""),
    kept!("known", MutualTls, once!()),
    kept!("known, twice", MutualTls, twice!()),
    lost!("known, and taken away", MutualTls, taken_away!()),
];

#[test]
fn what_a_client_says_is_passed_on() {
    play("forwarded_client_cert: always_forward", ALWAYS_FORWARD);
}

#[test]
fn that_is_so_where_the_file_says_nothing() {
    play("", &[kept!("in clear", Plain, once!()), kept!("known", MutualTls, once!())]);
}

const FORWARD: &[Row] = &[
    lost!("in clear, nothing said", Plain, ""),
    lost!("in clear", Plain, once!()),
    lost!("in clear, twice", Plain, twice!()),
    told!("in clear, beside another", Plain, beside_another!(), "X-A: b\r\n", ""),
    lost!("under TLS, nothing said", Tls, ""),
    lost!("under TLS", Tls, once!()),
    lost!("under TLS, twice", Tls, twice!()),
    told!("under TLS, beside another", Tls, beside_another!(), "X-A: b\r\n", ""),
    kept!("known, nothing said", MutualTls, ""),
    kept!("known", MutualTls, once!()),
    kept!("known, twice", MutualTls, twice!()),
    lost!("known, and taken away", MutualTls, taken_away!()),
];

#[test]
fn what_a_client_says_is_passed_on_if_he_is_known() {
    play("forwarded_client_cert: forward", FORWARD);
}

const SANITIZE_SET: &[Row] = &[
    lost!("in clear, nothing said", Plain, ""),
    lost!("in clear", Plain, once!()),
    lost!("in clear, twice", Plain, twice!()),
    lost!("under TLS, nothing said", Tls, ""),
    lost!("under TLS", Tls, once!()),
    lost!("under TLS, twice", Tls, twice!()),
    replaced!("known, nothing said", ""),
    replaced!("known", once!()),
    replaced!("known, twice", twice!()),
    replaced!("known, and it cannot be taken away", taken_away!()),
];

#[test]
fn what_the_router_has_seen_itself_is_told_and_nothing_else() {
    play("forwarded_client_cert: sanitize_set", SANITIZE_SET);
}
