//! Which route a request takes (family S16).

use super::{GET, OK, Row, Script, play, route, row};

const BOTH: &[Script] = &[Script::Answers(&[OK]), Script::Answers(&[OK])];

/// `a` at the first uri, `b` at the second; the target and host asked for; who sees it.
macro_rules! leads {
    ($about:literal, $a:literal, $b:literal, $target:literal, $host:literal, $shares:expr) => {
        row($about)
            .routes(&[route!("a", $a), route!("b", $b)])
            .backends(BOTH)
            .asks(&[(concat!("GET ", $target, " HTTP/1.1\r\nHost: ", $host, "\r\n\r\n"), "200")])
            .shares($shares)
    };
}
/// Nobody sees it.
macro_rules! nowhere {
    ($about:literal, $a:literal, $target:literal, $host:literal) => {
        row($about)
            .routes(&[route!("a", $a)])
            .asks(&[(concat!("GET ", $target, " HTTP/1.1\r\nHost: ", $host, "\r\n\r\n"), "404")])
    };
}

const HOSTS: &[Row] = &[
    leads!("a host", "<host>", "b.<host>", "/", "<host>", &[1, 0]),
    leads!("another", "<host>", "b.<host>", "/", "b.<host>", &[0, 1]),
    leads!("in capitals", "<host>", "b.<host>", "/", "B.<host>", &[0, 1]),
    leads!("registered in capitals", "<host>", "B.<host>", "/", "b.<host>", &[0, 1]),
    leads!("with a port", "<host>", "b.<host>", "/", "b.<host>:8080", &[0, 1]),
    leads!("a wildcard", "<host>", "*.<host>", "/", "x.<host>", &[0, 1]),
    leads!("a wildcard over two labels", "<host>", "*.<host>", "/", "y.x.<host>", &[0, 1]),
    leads!("the nearer wildcard", "*.<host>", "*.x.<host>", "/", "y.x.<host>", &[0, 1]),
    leads!("an exact host before a wildcard", "x.<host>", "*.<host>", "/", "x.<host>", &[1, 0]),
    leads!("a wildcard with a path", "<host>", "*.<host>/p", "/p/q", "x.<host>", &[0, 1]),
    nowhere!("a wildcard is not its own domain", "*.<host>", "/", "<host>"),
    nowhere!("nor another's", "*.<host>", "/", "x<host>"),
    nowhere!("a wildcard without its path", "*.<host>/p", "/q", "x.<host>"),
    nowhere!("a domain is not what is below it", "<host>", "/", "x.<host>"),
];

#[test]
fn a_host_leads_to_its_route_and_the_nearest_wildcard_to_the_rest() {
    play("", HOSTS);
}

const PATHS: &[Row] = &[
    leads!("the longest path", "<host>", "<host>/p", "/p", "<host>", &[0, 1]),
    leads!("and all below it", "<host>", "<host>/p", "/p/q/r", "<host>", &[0, 1]),
    leads!("with a query", "<host>", "<host>/p", "/p?q=/", "<host>", &[0, 1]),
    leads!("with a slash", "<host>", "<host>/p", "/p/", "<host>", &[0, 1]),
    leads!("in capitals", "<host>", "<host>/p", "/P", "<host>", &[0, 1]),
    leads!("registered in capitals", "<host>", "<host>/P", "/p", "<host>", &[0, 1]),
    leads!("whole segments only", "<host>", "<host>/p", "/pq", "<host>", &[1, 0]),
    leads!("of two", "<host>/p", "<host>/p/q", "/p/q/r", "<host>", &[0, 1]),
    leads!("as much as there is", "<host>/p", "<host>/p/q", "/p/x", "<host>", &[1, 0]),
    leads!("an escape is itself", "<host>", "<host>/p%2fq", "/p%2fq", "<host>", &[0, 1]),
    leads!("and not what it stands for", "<host>", "<host>/p/q", "/p%2fq", "<host>", &[1, 0]),
    leads!("registered with a query", "<host>", "<host>/p?x=y", "/p", "<host>", &[0, 1]),
    leads!("registered with a slash", "<host>", "<host>/p/", "/p", "<host>", &[0, 1]),
    nowhere!("another path", "<host>/p", "/q", "<host>"),
    nowhere!("none", "<host>/p", "/", "<host>"),
    row("a path that is withdrawn gives way to what is above it")
        .routes(&[route!("a"), route!("b", "<host>/p"), concat!("-", route!("b", "<host>/p"))])
        .backends(BOTH)
        .asks(&[("GET /p HTTP/1.1\r\nHost: <host>\r\n\r\n", "200")])
        .shares(&[1, 0]),
];

#[test]
fn the_longest_path_of_whole_segments_decides() {
    play("", PATHS);
}

const EMPTY: &[Row] = &[
    row("an empty path gives way to what is above it")
        .routes(&[route!("a"), route!("b", "<host>/p"), concat!("-", route!("b", "<host>/p"))])
        .backends(BOTH)
        .asks(&[("GET /p HTTP/1.1\r\nHost: <host>\r\n\r\n", "200")])
        .shares(&[1, 0])
        .shows(&[("<host>/p", "[]")]),
    row("an empty host does not give way to a wildcard")
        .routes(&[
            route!("a", "*.<host>"),
            route!("b", "x.<host>"),
            concat!("-", route!("b", "x.<host>")),
        ])
        .backends(BOTH)
        .asks(&[("GET / HTTP/1.1\r\nHost: x.<host>\r\n\r\n", "503")])
        .shares(&[0, 0]),
];

#[test]
fn an_empty_route_that_is_kept_still_has_its_host() {
    play("empty_pool_response_code_503: true\nempty_pool_timeout: 60s", EMPTY);
}

/// A registration for a segment, and whether it is carried.
macro_rules! of_segment {
    ($about:literal, $keys:literal, $status:literal) => {
        row($about).routes(&[route!("a", "<host>", $keys)]).asks(&[(GET, $status)])
    };
}

const LISTED: &[Row] = &[
    of_segment!("a listed one", r#","isolation_segment":"is1""#, "200"),
    of_segment!("another listed one", r#","isolation_segment":"is2""#, "200"),
    of_segment!("an unlisted one", r#","isolation_segment":"is3""#, "404"),
    of_segment!("in capitals", r#","isolation_segment":"IS1""#, "404"),
    of_segment!("none", "", "404"),
];

const SHARED: &[Row] = &[
    of_segment!("a listed one", r#","isolation_segment":"is1""#, "200"),
    of_segment!("an unlisted one", r#","isolation_segment":"is3""#, "404"),
    of_segment!("none", "", "200"),
    of_segment!("an empty one", r#","isolation_segment":"""#, "200"),
];

#[test]
fn segments_are_carried_as_the_file_says() {
    play("routing_table_sharding_mode: segments\nisolation_segments: [is1, is2]", LISTED);
    play("routing_table_sharding_mode: shared-and-segments\nisolation_segments: [is1]", SHARED);
}

const TAG_1: &str = route!("a", "<host>", r#","modification_tag":{"guid":"g","index":1}"#);
const TAG_2: &str = route!("a", "<host>", r#","modification_tag":{"guid":"g","index":2}"#);
const TAG_2_IN_Z2: &str =
    route!("a", "<host>", r#","availability_zone":"z2","modification_tag":{"guid":"g","index":2}"#);
const TAG_3_IN_Z3: &str =
    route!("a", "<host>", r#","availability_zone":"z3","modification_tag":{"guid":"g","index":3}"#);
const OTHER_TAG: &str = route!("a", "<host>", r#","modification_tag":{"guid":"h","index":0}"#);
const END_1: &str =
    concat!("-", route!("a", "<host>", r#","modification_tag":{"guid":"g","index":1}"#));
const END_3: &str =
    concat!("-", route!("a", "<host>", r#","modification_tag":{"guid":"g","index":3}"#));

/// What is shown of `a` in this zone.
macro_rules! in_zone {
    ($zone:literal) => {
        concat!(
            r#"[{"address":"127.0.0.1:<a>","availability_zone":""#,
            $zone,
            r#"","protocol":"http1","tls":false,"ttl":120,"tags":{},"#,
            r#""private_instance_id":"guid-a","load_balancing_algorithm":"round-robin"}]"#
        )
    };
}

const TAGS: &[Row] = &[
    row("a newer one changes the endpoint")
        .routes(&[TAG_1, TAG_3_IN_Z3])
        .shows(&[("<host>", in_zone!("z3"))]),
    row("an older one does not")
        .routes(&[TAG_3_IN_Z3, TAG_2_IN_Z2])
        .shows(&[("<host>", in_zone!("z3"))]),
    row("an older one does not end it").routes(&[TAG_2, END_1]).shows(&[("<host>", in_zone!(""))]),
    row("a newer one does").routes(&[TAG_2, END_3]).asks(&[(GET, "404")]),
    row("one of another guid changes it")
        .routes(&[TAG_3_IN_Z3, OTHER_TAG])
        .shows(&[("<host>", in_zone!(""))]),
];

#[test]
fn what_is_older_than_what_is_known_changes_nothing() {
    play("", TAGS);
}
