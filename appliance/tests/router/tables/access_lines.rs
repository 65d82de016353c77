//! Access lines, word for word (family S9).

use super::{GET, HANGS_UP, OK, Row, Script, play, route, row};

/// A line to the instance of `a`: the request, status and bytes; referer and user agent; what was
/// forwarded; the error and all behind it.
macro_rules! line {
    ($request:literal, $numbers:literal) => {
        line!($request, $numbers, r#""-" "-""#, r#"x_forwarded_for:"127.0.0.1""#, r#""-""#)
    };
    ($request:literal, $numbers:literal, $agents:literal, $forwarded:literal, $end:literal) => {
        concat!(
            r#"<host> - [<stamp>] ""#,
            $request,
            r#"" "#,
            $numbers,
            " ",
            $agents,
            r#" "127.0.0.1:<port>" "127.0.0.1:<a>" "#,
            $forwarded,
            r#" x_forwarded_proto:"http" vcap_request_id:"<uuid>" response_time:<seconds> "#,
            r#"gorouter_time:<seconds> app_id:"app" app_index:"0" instance_id:"guid-a" "#,
            "x_cf_routererror:",
            $end
        )
    };
}

const ROWS: &[Row] = &[
    row("a plain request").lines(&[line!("GET / HTTP/1.1", "200 0 2")]),
    row("bodies both ways")
        .asks(&[("POST /a HTTP/1.1\r\nHost: <host>\r\nContent-Length: 5\r\n\r\nhello", "200")])
        .lines(&[line!("POST /a HTTP/1.1", "200 5 2")]),
    row("chunks are counted by what is in them")
        .backends(&[Script::Answers(&[
            "HTTP/1.1 201 Made\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nyes\r\n0\r\n\r\n",
        ])])
        .asks(&[(
            "PUT /a HTTP/1.1\r\nHost: <host>\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n\
             0\r\n\r\n",
            "201",
        )])
        .lines(&[line!("PUT /a HTTP/1.1", "201 4 3")]),
    row("no body").asks(&[("HEAD / HTTP/1.1\r\nHost: <host>\r\n\r\n", "200")])
        .backends(&[Script::Answers(&["HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"])])
        .lines(&[line!("HEAD / HTTP/1.1", "200 0 0")]),
    row("who sent the client, and what it is")
        .asks(&[(
            "GET /?q=1 HTTP/1.1\r\nHost: <host>\r\nReferer: http://x/\r\nUser-Agent: me 1.0\r\n\r\n",
            "200",
        )])
        .lines(&[line!(
            "GET /?q=1 HTTP/1.1",
            "200 0 2",
            r#""http://x/" "me 1.0""#,
            r#"x_forwarded_for:"127.0.0.1""#,
            r#""-""#
        )]),
    row("what a client writes cannot end a field")
        .asks(&[(
            "GET /\"a\" HTTP/1.1\r\nHost: <host>\r\nUser-Agent: a\"b\\c\r\n\r\n",
            "200",
        )])
        .lines(&[line!(
            r#"GET /\"a\" HTTP/1.1"#,
            "200 0 2",
            r#""-" "a\"b\\c""#,
            r#"x_forwarded_for:"127.0.0.1""#,
            r#""-""#
        )]),
    row("whom the client has come by")
        .asks(&[("GET / HTTP/1.1\r\nHost: <host>\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n", "200")])
        .lines(&[line!(
            "GET / HTTP/1.1",
            "200 0 2",
            r#""-" "-""#,
            r#"x_forwarded_for:"1.2.3.4, 127.0.0.1""#,
            r#""-""#
        )]),
    row("a semicolon")
        .asks(&[("GET /a;b?c;d HTTP/1.1\r\nHost: <host>\r\n\r\n", "200")])
        .lines(&[line!(
            "GET /a;b?c;d HTTP/1.1",
            "200 0 2",
            r#""-" "-""#,
            r#"x_forwarded_for:"127.0.0.1""#,
            r#""deprecated-semicolon-params""#
        )]),
    row("a semicolon, and something that is wrong")
        .backends(&[Script::Answers(&[HANGS_UP])])
        .asks(&[("POST /a;b HTTP/1.1\r\nHost: <host>\r\nContent-Length: 2\r\n\r\nhi", "502")])
        .lines(&[line!(
            "POST /a;b HTTP/1.1",
            "502 2 67",
            r#""-" "-""#,
            r#"x_forwarded_for:"127.0.0.1""#,
            r#""endpoint_failure (EOF)""#
        )]),
    row("a semicolon, and nobody")
        .routes(&[])
        .asks(&[("GET /a;b HTTP/1.1\r\nHost: <host>\r\n\r\n", "404")])
        .lines(&[concat!(
            r#"<host> - [<stamp>] "GET /a;b HTTP/1.1" 404 0 64 "-" "-" "127.0.0.1:<port>" "-" "#,
            r#"x_forwarded_for:"127.0.0.1" x_forwarded_proto:"http" vcap_request_id:"<uuid>" "#,
            r#"response_time:<seconds> gorouter_time:<seconds> app_id:"-" app_index:"-" "#,
            r#"instance_id:"-" x_cf_routererror:"unknown_route""#
        )]),
    row("an endpoint that hangs up").backends(&[Script::Answers(&[HANGS_UP])])
        .asks(&[("POST / HTTP/1.1\r\nHost: <host>\r\nContent-Length: 2\r\n\r\nhi", "502")])
        .lines(&[line!(
            "POST / HTTP/1.1",
            "502 2 67",
            r#""-" "-""#,
            r#"x_forwarded_for:"127.0.0.1""#,
            r#""endpoint_failure (EOF)""#
        )]),
    row("an old client")
        .asks(&[("GET / HTTP/1.0\r\nHost: <host>\r\n\r\n", "200")])
        .lines(&[line!("GET / HTTP/1.0", "200 0 2")])
        .closes(),
    row("each request of a connection has its own")
        .asks(&[("GET /1 HTTP/1.1\r\nHost: <host>\r\n\r\n", "200"), (GET, "200")])
        .lines(&[line!("GET /1 HTTP/1.1", "200 0 2"), line!("GET / HTTP/1.1", "200 0 2")]),
    row("nobody").routes(&[]).asks(&[(GET, "404")]).lines(&[concat!(
        r#"<host> - [<stamp>] "GET / HTTP/1.1" 404 0 64 "-" "-" "127.0.0.1:<port>" "-" "#,
        r#"x_forwarded_for:"127.0.0.1" x_forwarded_proto:"http" vcap_request_id:"<uuid>" "#,
        r#"response_time:<seconds> gorouter_time:<seconds> app_id:"-" app_index:"-" "#,
        r#"instance_id:"-" x_cf_routererror:"unknown_route""#
    )]),
];

#[test]
fn lines_read_as_gorouters() {
    play("", ROWS);
}

#[test]
fn lines_have_the_fields_and_headers_that_the_file_asks_for() {
    play(
        "logging: {extra_access_log_fields: [backend_time, dial_time, dns_time, failed_attempts, \
         failed_attempts_time, local_address, tls_time]}\n\
         extra_headers_to_log: [Accept, X-CF-InstanceIndex]",
        &[row("one that fails, and another")
            .routes(&[route!("a"), route!("b")])
            .backends(&[Script::Answers(&[OK]), Script::Refuses])
            .asks(&[(
                "GET / HTTP/1.1\r\nHost: <host>\r\nAccept: x/y\r\n\
                 Cookie: JSESSIONID=1; __VCAP_ID__=guid-b\r\n\r\n",
                "200",
            )])
            .lines(&[concat!(
                r#"<host> - [<stamp>] "GET / HTTP/1.1" 200 0 2 "-" "-" "127.0.0.1:<port>" "#,
                r#""127.0.0.1:<a>" x_forwarded_for:"127.0.0.1" x_forwarded_proto:"http" "#,
                r#"vcap_request_id:"<uuid>" response_time:<seconds> gorouter_time:<seconds> "#,
                r#"app_id:"app" app_index:"0" instance_id:"guid-a" backend_time:<seconds> "#,
                r#"dial_time:<seconds> dns_time:"-" failed_attempts:1 "#,
                r#"failed_attempts_time:<seconds> local_address:"127.0.0.1:<port>" "#,
                r#"tls_time:"-" x_cf_routererror:"-" accept:"x/y" x_cf_instanceindex:"0""#
            )])],
    );
}

#[test]
fn lines_hide_what_the_file_hides() {
    play(
        "logging: {redact_query_params: all, disable_log_forwarded_for: true, \
         disable_log_source_ip: true}",
        &[row("a query, and who asks")
            .asks(&[("GET /a?secret HTTP/1.1\r\nHost: <host>\r\n\r\n", "200")])
            .lines(&[concat!(
                r#"<host> - [<stamp>] "GET /a HTTP/1.1" 200 0 2 "-" "-" "-" "127.0.0.1:<a>" "#,
                r#"x_forwarded_for:"-" x_forwarded_proto:"http" vcap_request_id:"<uuid>" "#,
                r#"response_time:<seconds> gorouter_time:<seconds> app_id:"app" app_index:"0" "#,
                r#"instance_id:"guid-a" x_cf_routererror:"-""#
            )])],
    );
    play(
        "logging: {redact_query_params: hash}",
        &[
            row("a query's hash")
                .asks(&[("GET /a?secret HTTP/1.1\r\nHost: <host>\r\n\r\n", "200")])
                .lines(&[line!(
                    "GET /a?hash=e5e9fa1ba31ecd1ae84f75caaa474f3a663f05f4 HTTP/1.1",
                    "200 0 2"
                )]),
            row("a semicolon that is not shown")
                .asks(&[("GET /a?b;c HTTP/1.1\r\nHost: <host>\r\n\r\n", "200")])
                .lines(&[line!(
                    "GET /a?hash=f424221701e0559143856fec880d336b31e7eb25 HTTP/1.1",
                    "200 0 2",
                    r#""-" "-""#,
                    r#"x_forwarded_for:"127.0.0.1""#,
                    r#""deprecated-semicolon-params""#
                )]),
        ],
    );
}
