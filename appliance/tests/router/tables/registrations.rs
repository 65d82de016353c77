//! What is published, and what becomes of it (family S19): `/routes` and the client.

use super::{GET, OK, Row, Script, play, route, row};

/// A message that is none, and changes nothing.
macro_rules! ignored {
    ($about:literal, $message:literal) => {
        row($about)
            .routes(&[$message])
            .asks(&[(GET, "404")])
            .shows(&[("<host>", "")])
            .hears(&[("lattice_registrations_ignored", 1)])
    };
}

const IGNORED: &[Row] = &[
    ignored!("no JSON", "nonsense"),
    ignored!("half of it", r#"{"host":"127.0.0.1","port":<a>,"uris":["<host>"#),
    ignored!("a list", r#"[{"host":"127.0.0.1","port":<a>,"uris":["<host>"]}]"#),
    ignored!("uris of nothing", r#"{"host":"127.0.0.1","port":<a>,"uris":[null]}"#),
    ignored!("a host of nothing", r#"{"host":null,"port":<a>,"uris":["<host>"]}"#),
    ignored!("no host", r#"{"port":<a>,"uris":["<host>"]}"#),
    ignored!("no port", r#"{"host":"127.0.0.1","uris":["<host>"]}"#),
    ignored!("a port that is none", r#"{"host":"127.0.0.1","port":99999,"uris":["<host>"]}"#),
    ignored!("a port in words", r#"{"host":"127.0.0.1","port":"<a>","uris":["<host>"]}"#),
    ignored!(
        "a route service without TLS",
        r#"{"host":"127.0.0.1","port":<a>,"uris":["<host>"],"route_service_url":"http://rs"}"#
    ),
];

#[test]
fn what_is_no_registration_changes_nothing_and_is_counted() {
    play("", IGNORED);
}

/// What is shown of `a` with these in place of the usual.
macro_rules! shown {
    ($algorithm:literal, $zone:literal, $tls:literal, $ttl:literal, $more:literal) => {
        concat!(
            r#"[{"address":"127.0.0.1:<a>","protocol":"http1","load_balancing_algorithm":""#,
            $algorithm,
            r#"","availability_zone":""#,
            $zone,
            r#"","tls":"#,
            $tls,
            r#","ttl":"#,
            $ttl,
            $more,
            "}]"
        )
    };
}
/// The same for a registration of [`route!`] with these keys.
macro_rules! keyed {
    ($about:literal, $keys:literal, $shown:expr) => {
        row($about).routes(&[route!("a", "<host>", $keys)]).shows(&[("<host>", $shown)])
    };
}
macro_rules! usual {
    ($ttl:literal, $more:literal) => {
        shown!("round-robin", "", "false", $ttl, $more)
    };
}

const KEYS: &[Row] = &[
    row("the least")
        .routes(&[r#"{"host":"127.0.0.1","port":<a>,"uris":["<host>"]}"#])
        .shows(&[("<host>", usual!("120", r#","tags":{}"#))])
        .saw(&["GET / HTTP/1.1\r\nHost: <host>\r\n<forwarded>X-CF-ApplicationID: \r\n\
             X-CF-InstanceID: 127.0.0.1:<a>\r\nX-CF-InstanceIndex: \r\n\r\n"]),
    row("nothing, as Go writes it")
        .routes(&[r#"{"host":"127.0.0.1","port":<a>,"tls_port":null,"uris":["<host>"],
            "app":null,"private_instance_id":null,"private_instance_index":null,"tags":null,
            "stale_threshold_in_seconds":null,"route_service_url":null,
            "server_cert_domain_san":null,"isolation_segment":null,"protocol":null,
            "availability_zone":null,"endpoint_updated_at_ns":null,"modification_tag":null,
            "options":null}"#])
        .shows(&[("<host>", usual!("120", r#","tags":{}"#))])
        .hears(&[("registry_message{action=\"added\",component=\"\"}", 1)]),
    keyed!(
        "no tags, as route-registrar writes it",
        r#","tags":null"#,
        usual!("120", r#","tags":{},"private_instance_id":"guid-a""#)
    ),
    keyed!(
        "a tag of nothing",
        r#","tags":{"component":null,"x":"y"}"#,
        usual!("120", r#","tags":{"component":"","x":"y"},"private_instance_id":"guid-a""#)
    ),
    keyed!(
        "options of nothing",
        r#","options":{"loadbalancing":null,"hash_header":null,"hash_balance":null}"#,
        usual!("120", r#","tags":{},"private_instance_id":"guid-a""#)
    ),
    keyed!("the usual", "", usual!("120", r#","tags":{},"private_instance_id":"guid-a""#)),
    keyed!(
        "keys that nobody knows",
        r#","dea":"x","weight":{"a":[1]}"#,
        usual!("120", r#","tags":{},"private_instance_id":"guid-a""#)
    ),
    keyed!(
        "tags",
        r#","tags":{"component":"c","x":"y"}"#,
        usual!("120", r#","tags":{"component":"c","x":"y"},"private_instance_id":"guid-a""#)
    ),
    keyed!(
        "a shorter life",
        r#","stale_threshold_in_seconds":60"#,
        usual!("60", r#","tags":{},"private_instance_id":"guid-a""#)
    ),
    keyed!(
        "no longer one",
        r#","stale_threshold_in_seconds":600"#,
        usual!("120", r#","tags":{},"private_instance_id":"guid-a""#)
    ),
    keyed!(
        "a zone",
        r#","availability_zone":"z1""#,
        shown!("round-robin", "z1", "false", "120", r#","tags":{},"private_instance_id":"guid-a""#)
    ),
    keyed!(
        "a segment",
        r#","isolation_segment":"is1""#,
        usual!("120", r#","tags":{},"private_instance_id":"guid-a","isolation_segment":"is1""#)
    ),
    keyed!(
        "how it is spread",
        r#","options":{"loadbalancing":"least-connection"}"#,
        shown!(
            "least-connection",
            "",
            "false",
            "120",
            r#","tags":{},"private_instance_id":"guid-a""#
        )
    ),
    keyed!(
        "how it cannot be spread",
        r#","options":{"loadbalancing":"dice"}"#,
        usual!("120", r#","tags":{},"private_instance_id":"guid-a""#)
    ),
];

#[test]
fn a_registrations_keys_are_shown() {
    play("", KEYS);
}

const TLS: &[Row] = &[keyed!(
    "TLS takes the port's place",
    r#","tls_port":<a>,"server_cert_domain_san":"guid-a""#,
    shown!(
        "round-robin",
        "",
        "true",
        "120",
        r#","tags":{},"private_instance_id":"guid-a","server_cert_domain_san":"guid-a""#
    )
)
.backends(&[Script::Secured(super::Proof::Good, &[OK])])];

#[test]
fn an_endpoint_may_speak_tls() {
    play("", TLS);
}

const CHANGES: &[Row] = &[
    row("several uris of one message")
        .routes(&[r#"{"host":"127.0.0.1","port":<a>,"uris":["<host>","two.<host>","<host>/p"]}"#])
        .asks(&[
            (GET, "200"),
            ("GET / HTTP/1.1\r\nHost: two.<host>\r\n\r\n", "200"),
            ("GET /p HTTP/1.1\r\nHost: <host>\r\n\r\n", "200"),
        ])
        .shares(&[3]),
    row("withdrawn").routes(&[route!("a"), concat!("-", route!("a"))]).asks(&[(GET, "404")]),
    row("withdrawn by another's address")
        .routes(&[
            route!("a"),
            r#"-{"host":"127.0.0.2","port":<a>,"uris":["<host>"]}"#,
            r#"-{"host":"127.0.0.1","port":1,"uris":["<host>"]}"#,
        ])
        .shares(&[1]),
    row("one of two withdrawn")
        .routes(&[route!("a"), route!("b"), concat!("-", route!("a"))])
        .backends(&[Script::Answers(&[OK]), Script::Answers(&[OK])])
        .times(3)
        .shares(&[0, 3]),
    row("withdrawn and back")
        .routes(&[route!("a"), concat!("-", route!("a")), route!("a")])
        .shares(&[1]),
    row("withdrawn without the app's name")
        .routes(&[route!("a"), r#"-{"host":"127.0.0.1","port":<a>,"uris":["<host>"]}"#])
        .asks(&[(GET, "404")]),
    row("a stranger's path is not withdrawn")
        .routes(&[route!("a"), concat!("-", route!("a", "<host>/p"))])
        .shares(&[1]),
    row("the same twice is one").routes(&[route!("a"), route!("a")]).times(2).shares(&[2]),
];

#[test]
fn registrations_come_and_go() {
    play("", CHANGES);
}
