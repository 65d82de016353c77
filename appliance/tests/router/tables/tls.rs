//! TLS to endpoints (family S8): what a client is told of who does not prove himself, and what
//! becomes of him.

use super::{GET, GETS_OK, OK, Proof, Row, Script, play, route, row};

const ROUTE: &str = route!("a", "<host>", r#","tls_port":<a>,"server_cert_domain_san":"guid-a""#);
/// What is shown of an endpoint that is still there.
const STAYS: &str = r#"[{"address":"127.0.0.1:<a>","availability_zone":"","protocol":"http1",
    "tls":true,"ttl":120,"tags":{},"private_instance_id":"guid-a",
    "server_cert_domain_san":"guid-a","load_balancing_algorithm":"round-robin"}]"#;

/// What the router says of an endpoint, with the length of the body.
macro_rules! told {
    ($status:literal, $why:literal, $length:literal, $body:literal) => {
        concat!(
            "HTTP/1.1 ",
            $status,
            "\r\nContent-Type: text/plain; charset=utf-8\r\nX-Cf-Routererror: endpoint_failure (",
            $why,
            "<reason>\r\nX-Content-Type-Options: nosniff\r\nX-Vcap-Request-Id: <uuid>\r\n",
            "Date: <date>\r\nContent-Length: ",
            $length,
            "\r\n\r\n",
            $body,
            "\n"
        )
    };
}

const ROWS: &[Row] = &[
    row("who shows what he should")
        .routes(&[ROUTE])
        .backends(&[Script::Secured(Proof::Good, &[OK])])
        .asks(&[(GET, GETS_OK), (GET, GETS_OK)])
        .shows(&[("<host>", STAYS)])
        .shares(&[2])
        .connections(&[1]),
    row("another's name")
        .routes(&[ROUTE])
        .backends(&[Script::Secured(Proof::OtherName, &[OK])])
        .asks(&[(GET, told!("503 Service Unavailable", "", "24", "503 Service Unavailable"))])
        .shows(&[("<host>", "")])
        .counts(&[
            ("backend_invalid_id", 1),
            ("lattice_dials", 1),
            ("responses{status_group=\"5xx\"}", 1),
            ("total_requests{component=\"\"}", 1),
        ]),
    row("a stranger")
        .routes(&[ROUTE])
        .backends(&[Script::Secured(Proof::Stranger, &[OK])])
        .asks(&[(GET, "526")])
        .shows(&[("<host>", "")]),
    row("expired")
        .routes(&[ROUTE])
        .backends(&[Script::Secured(Proof::Expired, &[OK])])
        .asks(&[(GET, "526")])
        .shows(&[("<host>", "")]),
    row("who wants ours, and we have none")
        .routes(&[ROUTE])
        .backends(&[Script::Secured(Proof::Demands, &[OK])])
        .asks(&[(GET, "496")])
        .shows(&[("<host>", "")]),
    row("no TLS at all")
        .routes(&[ROUTE])
        .backends(&[Script::Answers(&["HTTP/1.1 400 No\r\nConnection: close\r\n\r\n"])])
        .asks(&[(GET, "525")])
        .shows(&[("<host>", "")]),
    row("nobody there")
        .routes(&[ROUTE])
        .backends(&[Script::Refuses])
        .asks(&[(GET, "502")])
        .shows(&[("<host>", "")]),
    row("nobody there in clear, who stays")
        .backends(&[Script::Refuses])
        .asks(&[(GET, "502")])
        .shows(&[(
            "<host>",
            r#"[{"address":"127.0.0.1:<a>","availability_zone":"","protocol":"http1",
            "tls":false,"ttl":120,"tags":{},"private_instance_id":"guid-a",
            "load_balancing_algorithm":"round-robin"}]"#,
        )]),
];

#[test]
fn who_does_not_prove_himself_is_told_apart_and_forgotten() {
    play("", ROWS);
}
