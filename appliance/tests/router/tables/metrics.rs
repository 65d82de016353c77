//! What is counted of what (family S24): of every row, all counters that grow, and no other does.

use super::{GET, HANGS_UP, OK, Proof, RESETS, Row, Script, play, route, row};

/// An endpoint's answer with this status, and the group that it is counted in.
macro_rules! answered {
    ($status:literal, $group:literal) => {
        row(concat!("an answer of ", $status))
            .backends(&[Script::Answers(&[concat!(
                "HTTP/1.1 ",
                $status,
                " X\r\nContent-Length: 0\r\n\r\n"
            )])])
            .asks(&[(GET, $status)])
            .counts(&[
                ("lattice_dials", 1),
                (concat!("responses{status_group=\"", $group, "\"}"), 1),
                ("total_requests{component=\"\"}", 1),
            ])
    };
}

/// A request without an endpoint.
macro_rules! refused {
    ($about:literal, $request:literal, $status:literal) => {
        row($about).asks(&[($request, $status)]).counts(&[
            ("rejected_requests", 1),
            ("responses{status_group=\"4xx\"}", 1),
            ("total_requests{component=\"\"}", 1),
        ])
    };
}

/// What is counted of an endpoint that fails beside what is said.
macro_rules! failed {
    ($about:literal, $script:expr, $status:literal, $counter:literal) => {
        row($about)
            .routes(&[route!(
                "a",
                "<host>",
                r#","tls_port":<a>,"server_cert_domain_san":"guid-a""#
            )])
            .backends(&[$script])
            .asks(&[(GET, $status)])
            .counts(&[
                ($counter, 1),
                ("lattice_dials", 1),
                ("responses{status_group=\"5xx\"}", 1),
                ("total_requests{component=\"\"}", 1),
            ])
    };
}

const ANSWERS: &[Row] = &[
    answered!("200", "2xx"),
    answered!("204", "2xx"),
    answered!("301", "3xx"),
    answered!("304", "3xx"),
    answered!("404", "4xx"),
    answered!("499", "4xx"),
    answered!("500", "5xx"),
    answered!("503", "5xx"),
    answered!("600", "xxx"),
    row("requests of one connection to the same endpoint")
        .asks(&[(GET, "200"), (GET, "200"), (GET, "200")])
        .counts(&[
            ("lattice_dials", 1),
            ("responses{status_group=\"2xx\"}", 3),
            ("total_requests{component=\"\"}", 3),
        ]),
    row("a component's")
        .routes(&[route!("a", "<host>", r#","tags":{"component":"emitter"}"#)])
        .counts(&[
            ("lattice_dials", 1),
            ("responses{status_group=\"2xx\"}", 1),
            ("total_requests{component=\"emitter\"}", 1),
        ]),
];

#[test]
fn answers_are_counted_by_their_kind_and_requests_by_their_component() {
    play("", ANSWERS);
}

const FAILURES: &[Row] = &[
    refused!("no such route", "GET / HTTP/1.1\r\nHost: x<host>\r\n\r\n", "404"),
    refused!("no host", "GET / HTTP/1.1\r\nHost: \r\n\r\n", "400"),
    refused!(
        "no such instance",
        "GET / HTTP/1.1\r\nHost: <host>\r\nX-CF-App-Instance: \
         01234567-0123-0123-0123-0123456789ab:3\r\n\r\n",
        "400"
    ),
    refused!(
        "an instance that is malformed",
        "GET / HTTP/1.1\r\nHost: <host>\r\nX-CF-App-Instance: x\r\n\r\n",
        "400"
    ),
    row("what is no request")
        .asks(&[("nonsense\r\n\r\n", "400")])
        .counts(&[
            ("rejected_requests", 1),
            ("responses{status_group=\"4xx\"}", 1),
            ("total_requests{component=\"\"}", 1),
        ])
        .lines(&[])
        .closes(),
    row("an endpoint that hangs up")
        .backends(&[Script::Answers(&[HANGS_UP])])
        .asks(&[(GET, "502")])
        .counts(&[
            ("bad_gateways", 1),
            ("lattice_dials", 1),
            ("responses{status_group=\"5xx\"}", 1),
            ("total_requests{component=\"\"}", 1),
        ]),
    row("one that resets").backends(&[Script::Answers(&[RESETS])]).asks(&[(GET, "502")]).counts(&[
        ("bad_gateways", 1),
        ("lattice_dials", 1),
        ("responses{status_group=\"5xx\"}", 1),
        ("total_requests{component=\"\"}", 1),
    ]),
    row("one that refuses").backends(&[Script::Refuses]).asks(&[(GET, "502")]).counts(&[
        ("bad_gateways", 1),
        ("lattice_dials", 1),
        ("responses{status_group=\"5xx\"}", 1),
        ("total_requests{component=\"\"}", 1),
    ]),
    row("a second attempt")
        .routes(&[route!("a"), route!("b")])
        .backends(&[Script::Refuses, Script::Answers(&[OK])])
        .asks(&[(
            "GET / HTTP/1.1\r\nHost: <host>\r\nCookie: JSESSIONID=1; __VCAP_ID__=guid-a\r\n\r\n",
            "200",
        )])
        .counts(&[
            ("lattice_dials", 2),
            ("lattice_retries", 1),
            ("responses{status_group=\"2xx\"}", 1),
            ("total_requests{component=\"\"}", 1),
        ]),
    failed!(
        "another's name",
        Script::Secured(Proof::OtherName, &[OK]),
        "503",
        "backend_invalid_id"
    ),
    failed!(
        "a stranger",
        Script::Secured(Proof::Stranger, &[OK]),
        "526",
        "backend_invalid_tls_cert"
    ),
    failed!("expired", Script::Secured(Proof::Expired, &[OK]), "526", "backend_invalid_tls_cert"),
    failed!(
        "no TLS",
        Script::Answers(&["HTTP/1.1 400 No\r\nConnection: close\r\n\r\n"]),
        "525",
        "backend_tls_handshake_failed"
    ),
];

#[test]
fn what_fails_is_counted_by_its_reason() {
    play("", FAILURES);
}

const BUSY: &[Row] = &[row("one too many, and one whose client leaves")
    .holds(&["GET /hold HTTP/1.1\r\nHost: <host>\r\n\r\n"])
    .asks(&[(GET, "503")])
    .counts(&[
        ("backend_exhausted_conns", 1),
        ("lattice_cancelled_requests", 1),
        ("responses{status_group=\"4xx\"}", 1),
        ("responses{status_group=\"5xx\"}", 1),
        ("total_requests{component=\"\"}", 2),
    ])];

#[test]
fn who_has_enough_to_do_is_counted() {
    play("backends: {max_conns: 1}", BUSY);
}

const MESSAGES: &[Row] = &[
    row("a new endpoint").hears(&[("registry_message{action=\"added\",component=\"\"}", 1)]),
    row("a component's")
        .routes(&[route!("a", "<host>", r#","tags":{"component":"emitter"}"#)])
        .hears(&[("registry_message{action=\"added\",component=\"emitter\"}", 1)]),
    row("once more").routes(&[route!("a"), route!("a")]).hears(&[
        ("registry_message{action=\"added\",component=\"\"}", 1),
        ("registry_message{action=\"unmodified\",component=\"\"}", 1),
    ]),
    row("changed").routes(&[route!("a"), route!("a", "<host>", r#","tags":{"x":"y"}"#)]).hears(&[
        ("registry_message{action=\"added\",component=\"\"}", 1),
        ("registry_message{action=\"updated\",component=\"\"}", 1),
    ]),
    row("withdrawn").routes(&[route!("a"), concat!("-", route!("a"))]).asks(&[(GET, "404")]).hears(
        &[
            ("registry_message{action=\"added\",component=\"\"}", 1),
            ("unregistry_message{component=\"\"}", 1),
        ],
    ),
    row("nonsense")
        .routes(&["{nonsense"])
        .asks(&[(GET, "404")])
        .hears(&[("lattice_registrations_ignored", 1)]),
];

#[test]
fn messages_are_counted_by_what_they_change() {
    play("", MESSAGES);
}
