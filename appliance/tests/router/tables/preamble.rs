//! The PROXY protocol on both listeners: whom endpoints and access lines are told of.

use super::{GET, Over, Row, play, row};

/// A connection that begins so; whom the endpoint and the line name, and the scheme.
macro_rules! for_whom {
    ($about:literal, $over:expr, $header:literal, $ip:literal, $client:literal, $proto:literal) => {
        row($about)
            .announces($header)
            .over($over)
            .asks(&[(GET, "200"), (GET, "200")])
            .saw(&[
                concat!(
                    "GET / HTTP/1.1\r\nHost: <host>\r\nX-Forwarded-For: ",
                    $ip,
                    "\r\nX-Forwarded-Proto: ",
                    $proto,
                    "\r\nX-Request-Start: <ms>\r\nX-Vcap-Request-Id: <uuid>\r\n<app-a>\r\n"
                ),
                concat!(
                    "GET / HTTP/1.1\r\nHost: <host>\r\nX-Forwarded-For: ",
                    $ip,
                    "\r\nX-Forwarded-Proto: ",
                    $proto,
                    "\r\nX-Request-Start: <ms>\r\nX-Vcap-Request-Id: <uuid>\r\n<app-a>\r\n"
                ),
            ])
            .lines(&[line!($ip, $client, $proto), line!($ip, $client, $proto)])
    };
}
macro_rules! line {
    ($ip:literal, $client:literal, $proto:literal) => {
        concat!(
            r#"<host> - [<stamp>] "GET / HTTP/1.1" 200 0 2 "-" "-" ""#,
            $client,
            r#"" "127.0.0.1:<a>" x_forwarded_for:""#,
            $ip,
            r#"" x_forwarded_proto:""#,
            $proto,
            r#"" vcap_request_id:"<uuid>" response_time:<seconds> gorouter_time:<seconds> "#,
            r#"app_id:"app" app_index:"0" instance_id:"guid-a" x_cf_routererror:"-""#
        )
    };
}

const ROWS: &[Row] = &[
    for_whom!(
        "a line, in clear",
        Over::Plain,
        "PROXY TCP4 1.2.3.4 5.6.7.8 99 80\r\n",
        "1.2.3.4",
        "1.2.3.4:99",
        "http"
    ),
    for_whom!(
        "a line before TLS",
        Over::Tls,
        "PROXY TCP4 1.2.3.4 5.6.7.8 99 443\r\n",
        "1.2.3.4",
        "1.2.3.4:99",
        "https"
    ),
    for_whom!(
        "a line before TLS with a certificate",
        Over::MutualTls,
        "PROXY TCP6 ::1 ::2 99 443\r\n",
        "::1",
        "[::1]:99",
        "https"
    ),
    for_whom!(
        "a record before TLS",
        Over::Tls,
        "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x01\x02\x03\x04\x05\x06\x07\x08\0\x63\0\x50",
        "1.2.3.4",
        "1.2.3.4:99",
        "https"
    ),
    for_whom!(
        "for nobody, before TLS",
        Over::Tls,
        "PROXY UNKNOWN\r\n",
        "127.0.0.1",
        "127.0.0.1:<port>",
        "https"
    ),
    for_whom!("no word, in clear", Over::Plain, "", "127.0.0.1", "127.0.0.1:<port>", "http"),
    for_whom!("no word, under TLS", Over::Tls, "", "127.0.0.1", "127.0.0.1:<port>", "https"),
];

#[test]
fn endpoints_and_lines_are_told_of_whom_the_load_balancer_speaks_for() {
    // However busy the machine is, whoever says nothing yet is waited for.
    play("enable_proxy: true\nproxy_header_timeout: 1h", ROWS);
}
