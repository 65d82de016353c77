//! Which connections to endpoints are kept (families S7 and S19).

use super::{GET, OK, Proof, Row, Script, Town, play, route, row};

const KEPT: &[Row] = &[
    row("one connection for one request after the other").times(4).connections(&[1]),
    row("also where the endpoint is registered again")
        .routes(&[route!("a"), route!("a")])
        .times(4)
        .connections(&[1]),
    row("also where it has another zone and other tags meanwhile")
        .times(3)
        .between(&[route!("a", "<host>", r#","availability_zone":"z2","tags":{"x":"y"}"#)])
        .shares(&[3])
        .connections(&[1]),
    row("also where another host leads there, too")
        .routes(&[route!("a"), route!("a", "two.<host>")])
        .asks(&[(GET, "200"), ("GET / HTTP/1.1\r\nHost: two.<host>\r\n\r\n", "200")])
        .times(2)
        .connections(&[1]),
    row("also under TLS")
        .routes(&[route!("a", "<host>", r#","tls_port":<a>,"server_cert_domain_san":"guid-a""#)])
        .backends(&[Script::Secured(Proof::Good, &[OK])])
        .times(4)
        .connections(&[1]),
    row("none where the endpoint says that it ends")
        .backends(&[Script::Answers(&[
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        ])])
        .times(3)
        .connections(&[3]),
    row("none where the answer ends with it")
        .backends(&[Script::Answers(&["HTTP/1.1 200 OK\r\n\r\nok"])])
        .times(3)
        .connections(&[3]),
];

#[test]
fn a_connection_is_used_again_where_it_can_be() {
    play("", KEPT);
}

const NONE_KEPT: &[Row] = &[
    row("a connection for each request").times(4).shares(&[4]).connections(&[4]),
    row("also under TLS")
        .routes(&[route!("a", "<host>", r#","tls_port":<a>,"server_cert_domain_san":"guid-a""#)])
        .backends(&[Script::Secured(Proof::Good, &[OK])])
        .times(3)
        .connections(&[3]),
];

#[test]
fn none_is_used_again_where_the_file_says_so() {
    play("disable_keep_alives: true", NONE_KEPT);
}

/// The same host and instance, each time with what the registration said before.
const AGAIN: Row = row("a heartbeat").times(2).shares(&[2]).connections(&[1]);

#[test]
fn rows_of_one_process_do_not_disturb_each_other() {
    let mut town = Town::new("");
    for _ in 0..3 {
        town.play(&[AGAIN, AGAIN]);
    }
}
