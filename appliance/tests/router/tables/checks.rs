//! Load balancers ask the router itself (family S10).

use super::{Row, Town, row};

const CHECK: &str = "GET / HTTP/1.1\r\nHost: <host>\r\nUser-Agent: HTTP-Monitor/1.1\r\n\r\n";
/// The line of a check; the words behind it are those of every line.
macro_rules! line {
    ($status:literal) => {
        concat!(
            "<host> - [<stamp>] \"GET / HTTP/1.1\" ",
            $status,
            " \"-\" \"HTTP-Monitor/1.1\" \"127.0.0.1:<port>\" \"-\" ",
            "x_forwarded_for:\"127.0.0.1\" x_forwarded_proto:\"http\" vcap_request_id:\"<uuid>\" ",
            "response_time:<seconds> gorouter_time:<seconds> app_id:\"-\" app_index:\"-\" ",
            "instance_id:\"-\" x_cf_routererror:\"-\""
        )
    };
}

const SERVES: &[Row] = &[
    row("a check is answered whatever the host, and the host's app does not hear of it")
        .asks(&[(
            CHECK,
            "HTTP/1.1 200 OK\r\nCache-Control: private, max-age=0\r\nExpires: 0\r\n<refused>\
             Date: <date>\r\nContent-Length: 3\r\n\r\nok\n",
        )])
        .saw(&[])
        .lines(&[line!("200 0 3")])
        .counts(&[("responses{status_group=\"2xx\"}", 1), ("total_requests{component=\"\"}", 1)]),
    row("nor is a route needed").routes(&[]).asks(&[(CHECK, "200")]).lines(&[line!("200 0 3")]),
    row("who only begins with that name is a client")
        .asks(&[("GET / HTTP/1.1\r\nHost: <host>\r\nUser-Agent: HTTP-Monitor/1.1x\r\n\r\n", "200")])
        .shares(&[1]),
];

const ENDS: &[Row] = &[
    row("who would send more is told not to")
        .asks(&[(CHECK, "503")])
        .saw(&[])
        .lines(&[line!("503 0 0")]),
    row("who comes all the same is served").shares(&[1]),
];

#[test]
fn a_load_balancer_learns_whether_to_send_more() {
    let mut town = Town::new("drain_wait: 60s\n");
    town.play(SERVES);
    town.router.signal("USR1");
    town.router.has_eventually_said("gorouter-draining");
    town.play(ENDS);
}
