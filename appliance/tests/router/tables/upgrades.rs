//! Connections that become something else (family S12).

use super::{HANGS_UP, Row, Script, play, row};

const UPGRADE: &str = "GET /chat HTTP/1.1\r\nHost: <host>\r\nConnection: Upgrade\r\n\
                       Upgrade: websocket\r\n\r\n";

/// An endpoint that does not answer an upgrade.
macro_rules! failed {
    ($about:literal, $script:expr) => {
        row($about).backends(&[$script]).asks(&[(UPGRADE, "502")]).closes().counts(&[
            ("bad_gateways", 1),
            ("lattice_dials", 1),
            ("responses{status_group=\"5xx\"}", 1),
            ("total_requests{component=\"\"}", 1),
            ("websocket_failures", 1),
        ])
    };
}

const ROWS: &[Row] = &[
    row("an endpoint that agrees, and speaks first")
        .backends(&[Script::Answers(&["HTTP/1.1 101 Switching Protocols\r\n\
             Connection: Upgrade\r\nUpgrade: websocket\r\n\r\nhi"])])
        .asks(&[(
            UPGRADE,
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nX-Vcap-Request-Id: <uuid:id>\r\n\r\nhi",
        )])
        .saw(&["GET /chat HTTP/1.1\r\nHost: <host>\r\nConnection: upgrade\r\n\
             Upgrade: websocket\r\n<forwarded><app-a>\r\n"])
        .lines(&[concat!(
            r#"<host> - [<stamp>] "GET /chat HTTP/1.1" 101 0 2 "-" "-" "127.0.0.1:<port>" "#,
            r#""127.0.0.1:<a>" x_forwarded_for:"127.0.0.1" x_forwarded_proto:"http" "#,
            r#"vcap_request_id:"<uuid:id>" response_time:<seconds> gorouter_time:<seconds> "#,
            r#"app_id:"app" app_index:"0" instance_id:"guid-a" x_cf_routererror:"-""#
        )])
        .counts(&[
            ("lattice_dials", 1),
            ("total_requests{component=\"\"}", 1),
            ("websocket_upgrades", 1),
        ])
        .closes(),
    row("one that names itself, and a client that may know which it is")
        .backends(&[Script::Answers(&["HTTP/1.1 101 Switching Protocols\r\n\
             Set-Cookie: JSESSIONID=x\r\nUpgrade: websocket\r\n\r\n"])])
        .asks(&[(
            "GET /chat HTTP/1.1\r\nHost: <host>\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nX-Vcap-Trace: key\r\n\r\n",
            "HTTP/1.1 101 Switching Protocols\r\nSet-Cookie: JSESSIONID=x\r\n\
             Connection: Upgrade\r\nUpgrade: websocket\r\nX-Vcap-Request-Id: <uuid>\r\n\
             Set-Cookie: __VCAP_ID__=guid-a; Path=/; HttpOnly\r\nX-Vcap-Router: <reason>\r\n\
             X-Vcap-Backend: 127.0.0.1:<a>\r\nX-Cf-RouteEndpoint: 127.0.0.1:<a>\r\n\r\n",
        )])
        .closes(),
    row("a request with a body, which goes up first")
        .backends(&[Script::Answers(&["HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nhi"])])
        .asks(&[(
            "POST / HTTP/1.1\r\nHost: <host>\r\nConnection: upgrade\r\nUpgrade: x\r\n\
             Content-Length: 5\r\n\r\nhello",
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\
             X-Vcap-Request-Id: <uuid>\r\n\r\nhi",
        )])
        .saw(&["POST / HTTP/1.1\r\nHost: <host>\r\nContent-Length: 5\r\n\
             Connection: upgrade\r\nUpgrade: x\r\n<forwarded><app-a>\r\nhello"])
        .closes(),
    row("one that answers instead")
        .asks(&[(UPGRADE, super::GETS_OK), (super::GET, super::GETS_OK)])
        .counts(&[
            ("lattice_dials", 1),
            ("responses{status_group=\"2xx\"}", 2),
            ("total_requests{component=\"\"}", 2),
            ("websocket_failures", 1),
        ]),
    failed!("one that hangs up", Script::Answers(&[HANGS_UP])),
    failed!("one that refuses", Script::Refuses),
    row("an upgrade to what the endpoint does not know").asks(&[(
        "GET / HTTP/1.1\r\nHost: <host>\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        "200",
    )]),
    row("an upgrade that Connection does not name")
        .asks(&[("GET / HTTP/1.1\r\nHost: <host>\r\nUpgrade: websocket\r\n\r\n", "200")])
        .saw(&["GET / HTTP/1.1\r\nHost: <host>\r\n<forwarded><app-a>\r\n"]),
];

#[test]
fn an_upgrade_is_the_endpoints_matter() {
    play("trace_key: key", ROWS);
}
