//! What the router answers itself, byte for byte (family S11).

use super::{GET, Row, Script, play, route, row};

/// An answer of the router's: the status, the lines before the common ones, `X-Cf-RouterError`, what
/// follows before the length, and the body.
macro_rules! says {
    ($status:literal, $before:literal, $error:literal, $length:literal, $body:literal) => {
        says!($status, $before, $error, "Date: <date>\r\n", $length, $body)
    };
    ($status:literal, $before:literal, $error:literal, $after:literal, $length:literal, $body:literal) => {
        concat!(
            "HTTP/1.1 ",
            $status,
            "\r\n",
            $before,
            "Content-Type: text/plain; charset=utf-8\r\n",
            $error,
            "X-Content-Type-Options: nosniff\r\n",
            $after,
            "Content-Length: ",
            $length,
            "\r\n\r\n",
            $body
        )
    };
}

/// A request with these lines.
macro_rules! with {
    ($lines:literal) => {
        concat!("GET / HTTP/1.1\r\nHost: <host>\r\n", $lines, "\r\n\r\n")
    };
}

const UNKNOWN: &str = says!(
    "404 Not Found",
    "Cache-Control: no-cache, no-store\r\n",
    "X-Cf-Routererror: unknown_route\r\n",
    "64",
    "404 Not Found: Requested route ('<host>') does not exist.\n"
);
const HOSTLESS: &str = says!(
    "400 Bad Request",
    "Cache-Control: public,max-age=2\r\n",
    "X-Cf-Routererror: empty_host\r\n",
    "47",
    "400 Bad Request: Request had empty Host header\n"
);
const MALFORMED_HOST: &str = says!(
    "400 Bad Request",
    "",
    "",
    "39\r\nConnection: close",
    "400 Bad Request: malformed Host header\n"
);

const ROUTES: &[Row] = &[
    row("nobody has the host").routes(&[]).asks(&[(GET, UNKNOWN)]).counts(&[
        ("rejected_requests", 1),
        ("responses{status_group=\"4xx\"}", 1),
        ("total_requests{component=\"\"}", 1),
    ]),
    row("a host is told as it was written").routes(&[]).asks(&[(
        "GET / HTTP/1.1\r\nHost: Nobody.Test:8080\r\n\r\n",
        says!(
            "404 Not Found",
            "Cache-Control: no-cache, no-store\r\n",
            "X-Cf-Routererror: unknown_route\r\n",
            "68",
            "404 Not Found: Requested route ('Nobody.Test:8080') does not exist.\n"
        ),
    )]),
    row("nobody has the path").routes(&[route!("a", "<host>/only")]).asks(&[(GET, UNKNOWN)]),
    row("a HEAD gets the same head alone").routes(&[]).asks(&[(
        "HEAD / HTTP/1.1\r\nHost: <host>\r\n\r\n",
        says!(
            "404 Not Found",
            "Cache-Control: no-cache, no-store\r\n",
            "X-Cf-Routererror: unknown_route\r\n",
            "64",
            ""
        ),
    )]),
    row("an old client")
        .routes(&[])
        .asks(&[(
            "GET / HTTP/1.0\r\nHost: <host>\r\n\r\n",
            "HTTP/1.0 404 Not Found\r\nCache-Control: no-cache, no-store\r\n\
             Content-Type: text/plain; charset=utf-8\r\nX-Cf-Routererror: unknown_route\r\n\
             X-Content-Type-Options: nosniff\r\nDate: <date>\r\nContent-Length: 64\r\n\r\n\
             404 Not Found: Requested route ('<host>') does not exist.\n",
        )])
        .closes(),
    row("a host with nothing in it").asks(&[("GET / HTTP/1.1\r\nHost: \r\n\r\n", HOSTLESS)]),
    row("the client's own address for a host")
        .asks(&[("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", HOSTLESS)]),
    row("no host").asks(&[("GET / HTTP/1.1\r\n\r\n", MALFORMED_HOST)]).closes(),
    row("a host that is none")
        .asks(&[("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", MALFORMED_HOST)])
        .closes(),
    row("a host in the place of a port")
        .asks(&[("GET / HTTP/1.1\r\nHost: <host>:other.test\r\n\r\n", MALFORMED_HOST)])
        .saw(&[])
        .closes(),
    row("something behind the port")
        .asks(&[("GET / HTTP/1.1\r\nHost: <host>:80:x\r\n\r\n", MALFORMED_HOST)])
        .saw(&[])
        .closes(),
    row("a second port")
        .asks(&[("GET / HTTP/1.1\r\nHost: <host>:80:81\r\n\r\n", MALFORMED_HOST)])
        .saw(&[])
        .closes(),
];

#[test]
fn who_asks_for_nobody_is_told_so() {
    play("", ROUTES);
}

const INSTANCES: &[Row] = &[
    row("a wish for an instance that is malformed").asks(&[(
        with!("X-CF-App-Instance: x"),
        says!(
            "400 Bad Request",
            "Cache-Control: no-cache, no-store\r\n",
            "X-Cf-Routererror: invalid_cf_app_instance_header\r\n",
            "50",
            "400 Bad Request: Invalid X-CF-App-Instance Header\n"
        ),
    )]),
    row("a wish for a process that is malformed").asks(&[(
        with!("X-CF-Process-Instance: x"),
        says!(
            "400 Bad Request",
            "Cache-Control: no-cache, no-store\r\n",
            "X-Cf-Routererror: invalid_cf_process_instance_header\r\n",
            "54",
            "400 Bad Request: Invalid X-CF-Process-Instance Header\n"
        ),
    )]),
    row("a wish for an instance that is not there").asks(&[(
        with!("X-CF-App-Instance: 01234567-0123-0123-0123-0123456789ab:3"),
        says!(
            "400 Bad Request",
            "Cache-Control: no-cache, no-store\r\n",
            "X-Cf-Routererror: unknown_route\r\n",
            "135",
            "400 Bad Request: Requested instance ('3') with guid \
             ('01234567-0123-0123-0123-0123456789ab') does not exist for route ('<host>')\n"
        ),
    )]),
    row("a wish for a process that is not there").asks(&[(
        with!("X-CF-Process-Instance: 01234567-0123-0123-0123-0123456789ab:3"),
        says!(
            "400 Bad Request",
            "Cache-Control: no-cache, no-store\r\n",
            "X-Cf-Routererror: unknown_route\r\n",
            "143",
            "400 Bad Request: Requested instance ('3') with process guid \
             ('01234567-0123-0123-0123-0123456789ab') does not exist for route ('<host>')\n"
        ),
    )]),
    row("a wish for an instance of nobody").routes(&[]).asks(&[(
        with!("X-CF-App-Instance: 01234567-0123-0123-0123-0123456789ab:3"),
        says!(
            "400 Bad Request",
            "Cache-Control: no-cache, no-store\r\n",
            "X-Cf-Routererror: unknown_route\r\n",
            "135",
            "400 Bad Request: Requested instance ('3') with guid \
                 ('01234567-0123-0123-0123-0123456789ab') does not exist for route ('<host>')\n"
        ),
    )]),
    row("a wish that is malformed, and nobody").routes(&[]).asks(&[(
        with!("X-CF-Process-Instance: x"),
        says!(
            "400 Bad Request",
            "Cache-Control: no-cache, no-store\r\n",
            "X-Cf-Routererror: invalid_cf_process_instance_header\r\n",
            "54",
            "400 Bad Request: Invalid X-CF-Process-Instance Header\n"
        ),
    )]),
];

#[test]
fn who_asks_for_an_instance_that_is_none_is_told_so() {
    play("", INSTANCES);
}

const UNREAD: &[Row] = &[
    row("a version that nobody speaks")
        .asks(&[(
            "GET / HTTP/2.5\r\nHost: <host>\r\n\r\n",
            says!(
                "505 HTTP Version Not Supported",
                "",
                "",
                "61\r\nConnection: close",
                "505 HTTP Version Not Supported: unsupported protocol version\n"
            ),
        )])
        .counts(&[
            ("rejected_requests", 1),
            ("responses{status_group=\"5xx\"}", 1),
            ("total_requests{component=\"\"}", 1),
        ])
        .lines(&[])
        .closes(),
    row("a version of HTTP/1 that there is not")
        .asks(&[("GET / HTTP/1.2\r\nHost: <host>\r\n\r\n", "HTTP/1.0 400 Bad Request\r\n\r\n")])
        .lines(&[])
        .closes(),
    row("HTTP/2 that nobody has agreed upon")
        .asks(&[(
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            says!(
                "400 Bad Request",
                "Cache-Control: public,max-age=2\r\n",
                "X-Cf-Routererror: empty_host\r\n",
                "47\r\nConnection: close",
                "400 Bad Request: Request had empty Host header\n"
            ),
        )])
        .lines(&[])
        .closes(),
    row("a CONNECT")
        .asks(&[(
            "CONNECT <host>:443 HTTP/1.1\r\nHost: <host>\r\n\r\n",
            says!(
                "405 Method Not Allowed",
                "",
                "X-Cf-Routererror: unsupported_method\r\n",
                "54\r\nConnection: close",
                "405 Method Not Allowed: the router carries no CONNECT\n"
            ),
        )])
        .closes(),
];

#[test]
fn what_is_no_request_of_this_router_is_refused() {
    play("", UNREAD);
}

const ENDPOINTS: &[Row] = &[row("an endpoint that refuses")
    .backends(&[Script::Refuses])
    .asks(&[(
        GET,
        says!(
            "502 Bad Gateway",
            "",
            "X-Cf-Routererror: endpoint_failure (dial: <why>\r\n",
            "X-Vcap-Request-Id: <uuid:id>\r\nDate: <date>\r\n",
            "67",
            "502 Bad Gateway: Registered endpoint failed to handle the request.\n"
        ),
    )])
    .lines(&[concat!(
        "<host> - [<stamp>] \"GET / HTTP/1.1\" 502 0 67 \"-\" \"-\" \"127.0.0.1:<port>\" ",
        "\"127.0.0.1:<a>\" x_forwarded_for:\"127.0.0.1\" x_forwarded_proto:\"http\" ",
        "vcap_request_id:\"<uuid:id>\" response_time:<seconds> gorouter_time:<seconds> ",
        "app_id:\"app\" app_index:\"0\" instance_id:\"guid-a\" ",
        "x_cf_routererror:\"endpoint_failure (dial: <why>\""
    )])];

#[test]
fn an_endpoints_fault_is_told_to_the_client_and_in_the_line() {
    play("", ENDPOINTS);
}

const BUSY: &[Row] = &[row("every endpoint has enough to do")
    .holds(&["GET /hold HTTP/1.1\r\nHost: <host>\r\n\r\n"])
    .asks(&[(
        GET,
        says!(
            "503 Service Unavailable",
            "",
            "X-Cf-Routererror: Connection Limit Reached\r\n",
            "92",
            "503 Service Unavailable: Requested route ('<host>') has reached the connection \
             limit.\n"
        ),
    )])];

const ENOUGH: &[Row] = &[
    row("a tunnel is nothing that its endpoint has under way")
        .backends(&[Script::Answers(&[
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
            super::OK,
        ])])
        .holds(&["GET /held HTTP/1.1\r\nHost: <host>\r\nConnection: Upgrade\r\n\
            Upgrade: x\r\n\r\n"])
        .shares(&[1]),
    row("nor is an answer that has begun")
        .backends(&[Script::Answers(&[
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
            super::OK,
        ])])
        .holds(&["GET /held HTTP/1.1\r\nHost: <host>\r\n\r\n"])
        .shares(&[1]),
];

const EMPTY: &[Row] = &[row("a route without endpoints")
    .routes(&[route!("a"), concat!("-", route!("a"))])
    .asks(&[(
        GET,
        says!(
            "503 Service Unavailable",
            "Cache-Control: public,max-age=2\r\n",
            "X-Cf-Routererror: no_endpoints\r\n",
            "86",
            "503 Service Unavailable: Requested route ('<host>') has no available endpoints.\n"
        ),
    )])
    .shows(&[("<host>", "[]")])];

#[test]
fn a_route_that_nobody_can_serve_now_is_unavailable() {
    play("backends: {max_conns: 1}", BUSY);
    play("backends: {max_conns: 1}", ENOUGH);
    play("empty_pool_response_code_503: true\nempty_pool_timeout: 60s", EMPTY);
}

const TOO_LARGE: &str = "HTTP/1.1 431 Request Header Fields Too Large\r\n\
    X-Cf-Routererror: max-request-size-exceeded\r\nDate: <date>\r\nContent-Length: 0\r\n\
    Connection: close\r\n\r\n";

/// Its line shows for whom it was, and who would have been asked.
const LINE_OF_LARGE: &str = concat!(
    r#"<host> - [<stamp>] "GET / HTTP/1.1" 431 0 0 "-" "-" "127.0.0.1:<port>" "127.0.0.1:<a>" "#,
    r#"x_forwarded_for:"127.0.0.1" x_forwarded_proto:"http" vcap_request_id:"<uuid>" "#,
    r#"response_time:<seconds> gorouter_time:<seconds> app_id:"app" app_index:"0" "#,
    r#"instance_id:"guid-a" x_cf_routererror:"max-request-size-exceeded""#
);

const LARGE: &[Row] = &[
    row("a head beyond the limit")
        .asks(&[(
            with!(
                "X-A: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
                 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
                 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
                 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
            ),
            TOO_LARGE,
        )])
        .lines(&[LINE_OF_LARGE])
        .closes(),
    row("more lines than the limit")
        .asks(&[(with!("A: 1\r\nA: 2\r\nA: 3\r\nA: 4\r\nA: 5"), TOO_LARGE)])
        .lines(&[LINE_OF_LARGE])
        .closes(),
];

#[test]
fn heads_have_limits() {
    play("max_request_header_bytes: 256\nmax_request_headers: 4", LARGE);
}
