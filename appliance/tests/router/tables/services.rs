//! Route services (family S14): what they are sent, and what comes back.

use super::{GET, OK, Proof, Row, Script, play, route, row};

/// A route of `a`, whose service is `b`.
const ROUTE: &str = route!("a", "<host>", r#","route_service_url":"https://localhost:<b>/rs?x=y""#);
const BACKENDS: &[Script] = &[
    Script::Answers(&[OK]),
    Script::Secured(Proof::Good, &["HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nserved"]),
];

const ROWS: &[Row] = &[
    row("the service is asked, and told where to go on")
        .routes(&[ROUTE])
        .backends(BACKENDS)
        .asks(&[(
            "GET /p?q=1 HTTP/1.1\r\nHost: <host>\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n<answered>\r\nserved",
        )])
        .saw(&["GET /rs?x=y HTTP/1.1\r\nHost: localhost:<b>\r\nX-CF-Proxy-Signature: <reason>\r\n\
             X-CF-Proxy-Metadata: <reason>\r\nX-CF-Forwarded-Url: http://<host>/p?q=1\r\n\
             <forwarded>\r\n"])
        .shares(&[0, 1])
        .lines(&[concat!(
            r#"<host> - [<stamp>] "GET /p?q=1 HTTP/1.1" 200 0 6 "-" "-" "127.0.0.1:<port>" "-" "#,
            r#"x_forwarded_for:"127.0.0.1" x_forwarded_proto:"http" vcap_request_id:"<uuid>" "#,
            r#"response_time:<seconds> gorouter_time:<seconds> app_id:"-" app_index:"-" "#,
            r#"instance_id:"-" x_cf_routererror:"-""#
        )])
        .counts(&[("lattice_dials", 1), ("responses_route_services{status_group=\"2xx\"}", 1)])
        .shows(&[(
            "<host>",
            r#"[{"address":"127.0.0.1:<a>","availability_zone":"","protocol":"http1","tls":false,
            "ttl":120,"tags":{},"private_instance_id":"guid-a",
            "route_service_url":"https://localhost:<b>/rs?x=y",
            "load_balancing_algorithm":"round-robin"}]"#,
        )]),
    row("a signature that nobody gave")
        .routes(&[ROUTE])
        .backends(BACKENDS)
        .asks(&[(
            "GET / HTTP/1.1\r\nHost: <host>\r\nX-CF-Proxy-Signature: x\r\n\
             X-CF-Proxy-Metadata: y\r\nX-CF-Forwarded-Url: http://<host>/\r\n\r\n",
            "HTTP/1.1 502 Bad Gateway\r\n<refused>Date: <date>\r\nContent-Length: 97\r\n\r\n\
             502 Bad Gateway: Failed to validate Route Service Signature: illegal base64 data at \
             input byte 0\n",
        )])
        .shares(&[0, 0]),
    row("an upgrade")
        .routes(&[ROUTE])
        .backends(BACKENDS)
        .asks(&[(
            "GET / HTTP/1.1\r\nHost: <host>\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\n\r\n",
            "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n\
             X-Cf-Routererror: route_service_unsupported\r\nX-Content-Type-Options: nosniff\r\n\
             Date: <date>\r\nContent-Length: 98\r\nConnection: close\r\n\r\n\
             503 Service Unavailable: Websocket requests are not supported for routes bound to \
             Route Services.\n",
        )])
        .shares(&[0, 0])
        .closes(),
    row("a service that is not believed")
        .routes(&[ROUTE])
        .backends(&[Script::Answers(&[OK]), Script::Secured(Proof::Stranger, &[OK])])
        .asks(&[(GET, "526")])
        .shares(&[0, 0]),
    row("a service that is not there")
        .routes(&[ROUTE])
        .backends(&[Script::Answers(&[OK]), Script::Refuses])
        .asks(&[(GET, "502")])
        .shares(&[0, 0]),
];

#[test]
fn a_routes_service_is_asked_first() {
    play("route_services_secret: secret", ROWS);
}

const UNSUPPORTED: &[Row] =
    &[row("a route with a service").routes(&[ROUTE]).backends(BACKENDS).shares(&[0, 0]).asks(&[(
        GET,
        "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain; charset=utf-8\r\n\
         X-Cf-Routererror: route_service_unsupported\r\nX-Content-Type-Options: nosniff\r\n\
         Date: <date>\r\nContent-Length: 57\r\n\r\n\
         502 Bad Gateway: Support for route services is disabled.\n",
    )])];

#[test]
fn without_a_secret_there_are_no_services() {
    play("", UNSUPPORTED);
}
