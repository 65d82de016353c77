//! Which endpoint of a route is asked (family S17): who is there, in which zone, who refuses, who has
//! enough to do; how many of six requests each of them sees. The router is in zone `1`, and an
//! endpoint may have one request under way.

use super::{GET, OK, Row, Script, play, route, row};

type Scripts = &'static [Script];
type Routes = &'static [&'static str];
type Held = &'static [&'static str];

const ON: Script = Script::Answers(&[OK]);
const GONE: Script = Script::Refuses;

/// A request that an instance has until the end.
macro_rules! held {
    ($by:literal) => {
        concat!(
            "GET /hold HTTP/1.1\r\nHost: <host>\r\nCookie: JSESSIONID=1; __VCAP_ID__=guid-",
            $by,
            "\r\n\r\n"
        )
    };
}
const A: &str = held!("a");
const B: &str = held!("b");
const C: &str = held!("c");

/// `a`, `b` and `c` in these zones.
macro_rules! zoned {
    ($a:tt) => {
        &[in_zone!("a", $a)]
    };
    ($a:tt, $b:tt) => {
        &[in_zone!("a", $a), in_zone!("b", $b)]
    };
    ($a:tt, $b:tt, $c:tt) => {
        &[in_zone!("a", $a), in_zone!("b", $b), in_zone!("c", $c)]
    };
}
macro_rules! in_zone {
    ($backend:literal, 1) => {
        route!($backend, "<host>", r#","availability_zone":"1""#)
    };
    ($backend:literal, 2) => {
        route!($backend, "<host>", r#","availability_zone":"2""#)
    };
    ($backend:literal, 0) => {
        route!($backend)
    };
}

const ALONE: Routes = zoned!(0);
const TWO: Routes = zoned!(0, 0);
const THREE: Routes = zoned!(0, 0, 0);

/// What becomes of six requests that are all served.
const fn six(
    about: &'static str,
    routes: Routes,
    backends: Scripts,
    held: Held,
    shares: &'static [usize],
) -> Row {
    row(about).routes(routes).backends(backends).holds(held).times(6).shares(shares)
}

/// What becomes of one that is not, with this status.
macro_rules! refused {
    ($about:literal, $routes:expr, $backends:expr, $held:expr, $status:literal) => {
        row($about).routes($routes).backends($backends).holds($held).asks(&[(GET, $status)])
    };
}

const IN_TURN: &[Row] = &[
    refused!("the only one gone", ALONE, &[GONE], &[], "502"),
    six("one", ALONE, &[ON], &[], &[6]),
    six("two", TWO, &[ON, ON], &[], &[3, 3]),
    six("three", THREE, &[ON, ON, ON], &[], &[2, 2, 2]),
    six("one of two gone", TWO, &[GONE, ON], &[], &[0, 6]),
    six("the other of two gone", TWO, &[ON, GONE], &[], &[6, 0]),
    six("two of three gone", THREE, &[GONE, ON, GONE], &[], &[0, 6, 0]),
    six("one of two busy", TWO, &[ON, ON], &[A], &[0, 6]),
    six("the other of two busy", TWO, &[ON, ON], &[B], &[6, 0]),
    six("one of three busy", THREE, &[ON, ON, ON], &[B], &[3, 0, 3]),
    six("two of three busy", THREE, &[ON, ON, ON], &[A, C], &[0, 6, 0]),
    six("one busy and one gone", THREE, &[ON, GONE, ON], &[A], &[0, 0, 6]),
    refused!("all busy", TWO, &[ON, ON], &[A, B], "503"),
    refused!("the only one busy", ALONE, &[ON], &[A], "503"),
    refused!("all three busy", THREE, &[ON, ON, ON], &[A, B, C], "503"),
    refused!("all gone", TWO, &[GONE, GONE], &[], "502"),
    refused!("all three gone", THREE, &[GONE, GONE, GONE], &[], "502"),
];

#[test]
fn in_turn_past_who_is_gone_or_busy() {
    play("backends: {max_conns: 1}", IN_TURN);
}

const NEARBY: &[Row] = &[
    six("none here, and one gone", zoned!(2, 2), &[GONE, ON], &[], &[0, 6]),
    six("none here, and one busy", zoned!(2, 2), &[ON, ON], &[B], &[6, 0]),
    six("all elsewhere are gone", zoned!(1, 2, 2), &[ON, GONE, GONE], &[], &[6, 0, 0]),
    six("one here and one elsewhere gone", zoned!(1, 2, 2), &[GONE, GONE, ON], &[], &[0, 0, 6]),
    six("who is nowhere is gone", zoned!(1, 0), &[ON, GONE], &[], &[6, 0]),
    six("one here", zoned!(1), &[ON], &[], &[6]),
    six("one elsewhere", zoned!(2), &[ON], &[], &[6]),
    six("one nowhere", zoned!(0), &[ON], &[], &[6]),
    six("here and elsewhere", zoned!(1, 2), &[ON, ON], &[], &[6, 0]),
    six("elsewhere and here", zoned!(2, 1), &[ON, ON], &[], &[0, 6]),
    six("here and nowhere", zoned!(1, 0), &[ON, ON], &[], &[6, 0]),
    six("both elsewhere", zoned!(2, 2), &[ON, ON], &[], &[3, 3]),
    six("elsewhere and nowhere", zoned!(2, 0), &[ON, ON], &[], &[3, 3]),
    six("two here", zoned!(1, 1, 2), &[ON, ON, ON], &[], &[3, 3, 0]),
    six("all here", zoned!(1, 1, 1), &[ON, ON, ON], &[], &[2, 2, 2]),
    six("two elsewhere", zoned!(1, 2, 2), &[ON, ON, ON], &[], &[6, 0, 0]),
    six("who is here is gone", zoned!(1, 2), &[GONE, ON], &[], &[0, 6]),
    six("who is elsewhere is gone", zoned!(1, 2), &[ON, GONE], &[], &[6, 0]),
    six(
        "one of two here is gone, and who is elsewhere",
        zoned!(1, 1, 2),
        &[GONE, ON, GONE],
        &[],
        &[0, 6, 0],
    ),
    six("who is here is busy", zoned!(1, 2), &[ON, ON], &[A], &[0, 6]),
    six("who is elsewhere is busy", zoned!(1, 2), &[ON, ON], &[B], &[6, 0]),
    six("one of two here is busy", zoned!(1, 1, 2), &[ON, ON, ON], &[B], &[6, 0, 0]),
    six("both here are busy", zoned!(1, 1, 2), &[ON, ON, ON], &[A, B], &[0, 0, 6]),
    six("two elsewhere, and who is here is busy", zoned!(1, 2, 2), &[ON, ON, ON], &[A], &[0, 3, 3]),
    refused!("all busy", zoned!(1, 2), &[ON, ON], &[A, B], "503"),
    refused!("all gone", zoned!(1, 2), &[GONE, GONE], &[], "502"),
];

#[test]
fn in_turn_among_those_nearby_and_else_among_all() {
    play(
        "backends: {max_conns: 1}\nzone: \"1\"\n\
         balancing_algorithm_az_preference: locally-optimistic",
        NEARBY,
    );
}

/// One request is under way with each of those held, so those with none are asked; who refuses has
/// none and is asked again and again.
const BY_LOAD: &[Row] = &[
    refused!("the only one gone", ALONE, &[GONE], &[], "502"),
    six("one", ALONE, &[ON], &[], &[6]),
    six("one of two has one", TWO, &[ON, ON], &[A], &[0, 6]),
    six("the other has one", TWO, &[ON, ON], &[B], &[6, 0]),
    six("two of three have one", THREE, &[ON, ON, ON], &[A, C], &[0, 6, 0]),
    six("others of three have one", THREE, &[ON, ON, ON], &[A, B], &[0, 0, 6]),
    six("one has two", TWO, &[ON, ON], &[A, A], &[0, 6]),
    six("two and one", TWO, &[ON, ON], &[A, A, B], &[0, 6]),
    six("two, one and one more", THREE, &[ON, ON, ON], &[A, A, B, B, C], &[0, 0, 6]),
    six("one of two gone", TWO, &[GONE, ON], &[], &[0, 6]),
    six("the other of two gone", TWO, &[ON, GONE], &[], &[6, 0]),
    six("one gone, and one has one", THREE, &[GONE, ON, ON], &[B], &[0, 0, 6]),
    refused!("all gone", TWO, &[GONE, GONE], &[], "502"),
    row("the route says so, whatever the file does")
        .routes(&[
            route!("a", "<host>", r#","options":{"loadbalancing":"round-robin"}"#),
            route!("b", "<host>", r#","options":{"loadbalancing":"round-robin"}"#),
        ])
        .backends(&[ON, ON])
        .holds(&[A])
        .times(6)
        .shares(&[3, 3]),
];

#[test]
fn the_fewest_under_way() {
    play("balancing_algorithm: least-connection", BY_LOAD);
}

const BY_LOAD_NEARBY: &[Row] = &[
    six("who is elsewhere is gone", zoned!(1, 2), &[ON, GONE], &[], &[6, 0]),
    six("all but one here are gone", zoned!(1, 1, 2), &[GONE, ON, GONE], &[], &[0, 6, 0]),
    six("one elsewhere", zoned!(2), &[ON], &[], &[6]),
    six("here and elsewhere", zoned!(1, 2), &[ON, ON], &[], &[6, 0]),
    six("here with more under way", zoned!(1, 2), &[ON, ON], &[A], &[6, 0]),
    six("two here, and one has more", zoned!(1, 1, 2), &[ON, ON, ON], &[A], &[0, 6, 0]),
    six("both elsewhere, and one has more", zoned!(2, 2), &[ON, ON], &[B], &[6, 0]),
    six("who is here is gone", zoned!(1, 2), &[GONE, ON], &[], &[0, 6]),
    six("who is here is busy", zoned!(1, 2), &[ON, ON], &[A, A], &[0, 6]),
    six("both here are busy", zoned!(1, 1, 2), &[ON, ON, ON], &[A, A, B, B], &[0, 0, 6]),
    refused!("all busy", zoned!(1, 2), &[ON, ON], &[A, A, B, B], "503"),
    refused!("all gone", zoned!(1, 2), &[GONE, GONE], &[], "502"),
];

#[test]
fn the_fewest_under_way_nearby_and_else_among_all() {
    play(
        "backends: {max_conns: 2}\nbalancing_algorithm: least-connection\nzone: \"1\"\n\
         balancing_algorithm_az_preference: locally-optimistic",
        BY_LOAD_NEARBY,
    );
}

/// `a`, `b` and `c` on a route that spreads by a hash with these options.
macro_rules! hashing {
    ($options:literal) => {
        &[hashed!("a", $options), hashed!("b", $options), hashed!("c", $options)]
    };
}
macro_rules! hashed {
    ($backend:literal, $options:literal) => {
        concat!(
            r#"{"host":"127.0.0.1","port":<"#,
            $backend,
            r#">,"uris":["<host>"],"private_instance_id":"guid-"#,
            $backend,
            r#"","options":{"loadbalancing":"hash""#,
            $options,
            "}}"
        )
    };
}
const BY_TENANT: Routes = hashing!(r#","hash_header":"X-Tenant""#);
const IN_SHARES: Routes = hashing!(r#","hash_header":"X-Tenant","hash_balance":1.25"#);

/// What becomes of six requests with these lines.
macro_rules! with {
    ($about:literal, $lines:literal, $routes:expr, $held:expr, $shares:expr) => {
        six($about, $routes, &[ON, ON, ON], $held, $shares).asks(&[(asking!($lines), "200")])
    };
}
macro_rules! asking {
    ($lines:literal) => {
        concat!("GET / HTTP/1.1\r\nHost: <host>\r\n", $lines, "\r\n")
    };
}

/// By the hash tenant 6 goes best with `a`, then with `b`, then with `c`; tenant 4 with `b`.
const BY_HASH: &[Row] = &[
    with!("where the value leads", "X-Tenant: 6\r\n", BY_TENANT, &[], &[6, 0, 0]),
    row("another value leads elsewhere")
        .routes(BY_TENANT)
        .backends(&[ON, ON, ON])
        .asks(&[
            (asking!("X-Tenant: 4\r\n"), "200"),
            (asking!("X-Tenant: 6\r\n"), "200"),
            (asking!("X-Tenant: 4\r\n"), "200"),
        ])
        .times(2)
        .shares(&[2, 4, 0]),
    with!("the header's name in small letters", "x-tenant: 6\r\n", BY_TENANT, &[], &[6, 0, 0]),
    with!("without the header in turn", "", BY_TENANT, &[], &[2, 2, 2]),
    with!("with nothing in it as well", "X-Tenant:\r\n", BY_TENANT, &[], &[2, 2, 2]),
    with!("another header means nothing", "X-Tenants: 6\r\n", BY_TENANT, &[], &[2, 2, 2]),
    with!("its own is busy", "X-Tenant: 6\r\n", BY_TENANT, &[A], &[0, 6, 0]),
    with!("the next is busy, too", "X-Tenant: 6\r\n", BY_TENANT, &[A, B], &[0, 0, 6]),
    with!(
        "a client stays with its instance",
        "X-Tenant: 6\r\nCookie: JSESSIONID=1; __VCAP_ID__=guid-c\r\n",
        BY_TENANT,
        &[],
        &[0, 0, 6]
    ),
    with!("its own is gone", "X-Tenant: 6\r\n", BY_TENANT, &[], &[0, 6, 0])
        .backends(&[GONE, ON, ON]),
    with!("the next is gone, too", "X-Tenant: 6\r\n", BY_TENANT, &[], &[0, 0, 6])
        .backends(&[GONE, GONE, ON]),
    refused!("all gone", BY_TENANT, &[GONE, GONE, GONE], &[], "502"),
    refused!("all busy", BY_TENANT, &[ON, ON, ON], &[A, B, C], "503"),
    with!("no header is named", "X-Tenant: 6\r\n", hashing!(""), &[], &[2, 2, 2]),
    with!(
        "a share below the average cannot be",
        "X-Tenant: 6\r\n",
        hashing!(r#","hash_header":"X-Tenant","hash_balance":0.5"#),
        &[],
        &[2, 2, 2]
    ),
];

#[test]
fn a_header_decides_past_who_is_gone_or_busy() {
    play("backends: {max_conns: 1}", BY_HASH);
}

const BY_HASH_IN_SHARES: &[Row] = &[
    with!("any number", "X-Tenant: 6\r\n", BY_TENANT, &[A, A, A], &[6, 0, 0]),
    with!("more than its share", "X-Tenant: 6\r\n", IN_SHARES, &[A, A, A], &[0, 6, 0]),
    with!("the next has, too", "X-Tenant: 6\r\n", IN_SHARES, &[A, A, A, B, B, B], &[0, 0, 6]),
    with!("as many as all have", "X-Tenant: 6\r\n", IN_SHARES, &[A, B, C], &[6, 0, 0]),
    with!("more than its share, but another's", "X-Tenant: 4\r\n", IN_SHARES, &[A, A], &[0, 6, 0]),
    with!(
        "less than a large share",
        "X-Tenant: 6\r\n",
        hashing!(r#","hash_header":"X-Tenant","hash_balance":10"#),
        &[A, A],
        &[6, 0, 0]
    ),
    with!("without the header as the file says", "", IN_SHARES, &[A, B], &[0, 0, 6]),
];

#[test]
fn a_header_decides_past_who_has_more_than_his_share() {
    play("balancing_algorithm: least-connection", BY_HASH_IN_SHARES);
}

/// Two instances of an app, of which a request wishes for one by this line.
macro_rules! wished {
    ($about:literal, $line:literal, $status:literal, $shares:expr) => {
        row($about)
            .routes(INSTANCES)
            .backends(&[ON, ON])
            .asks(&[(concat!("GET / HTTP/1.1\r\nHost: <host>\r\n", $line, "\r\n\r\n"), $status)])
            .shares($shares)
    };
}
const INSTANCES: Routes = &[
    r#"{"host":"127.0.0.1","port":<a>,"uris":["<host>"],"app":"01234567-0123-0123-0123-0123456789ab",
        "private_instance_index":"0","tags":{"process_id":"89abcdef-0123-0123-0123-0123456789ab"}}"#,
    r#"{"host":"127.0.0.1","port":<b>,"uris":["<host>"],"app":"01234567-0123-0123-0123-0123456789ab",
        "private_instance_index":"1","tags":{"process_id":"00000000-0123-0123-0123-0123456789ab"}}"#,
];

const WISHES: &[Row] = &[
    wished!(
        "the first",
        "X-CF-App-Instance: 01234567-0123-0123-0123-0123456789ab:0",
        "200",
        &[1, 0]
    ),
    wished!(
        "the second",
        "X-CF-App-Instance: 01234567-0123-0123-0123-0123456789ab:1",
        "200",
        &[0, 1]
    ),
    wished!("a third", "X-CF-App-Instance: 01234567-0123-0123-0123-0123456789ab:2", "400", &[0, 0]),
    wished!(
        "another app's",
        "X-CF-App-Instance: 11234567-0123-0123-0123-0123456789ab:0",
        "400",
        &[0, 0]
    ),
    wished!(
        "without an index",
        "X-CF-App-Instance: 01234567-0123-0123-0123-0123456789ab",
        "400",
        &[0, 0]
    ),
    wished!(
        "in capitals",
        "X-CF-App-Instance: 01234567-0123-0123-0123-0123456789AB:0",
        "400",
        &[0, 0]
    ),
    wished!(
        "a process",
        "X-CF-Process-Instance: 89abcdef-0123-0123-0123-0123456789ab",
        "200",
        &[1, 0]
    ),
    wished!(
        "a process and an index",
        "X-CF-Process-Instance: 00000000-0123-0123-0123-0123456789ab:1",
        "200",
        &[0, 1]
    ),
    wished!(
        "a process and an index of another's",
        "X-CF-Process-Instance: 00000000-0123-0123-0123-0123456789ab:0",
        "400",
        &[0, 0]
    ),
    wished!(
        "no process",
        "X-CF-Process-Instance: 10000000-0123-0123-0123-0123456789ab",
        "400",
        &[0, 0]
    ),
];

#[test]
fn a_request_for_one_instance_goes_there_or_nowhere() {
    play("", WISHES);
}
