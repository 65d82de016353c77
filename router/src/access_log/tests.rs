//! Lines, whole and short.

use super::*;

impl Line<'static> {
    /// A line about nothing in particular.
    pub(crate) fn for_test() -> Self {
        Self {
            host: b"web.test",
            at: Time(0),
            method: b"GET",
            target: b"/",
            version: "HTTP/1.1",
            status: 200,
            received: 0,
            sent: 0,
            referer: b"",
            user_agent: b"",
            client: "",
            backend: "",
            forwarded_for: b"",
            forwarded_proto: b"",
            request_id: b"",
            took: Duration::ZERO,
            took_here: Duration::ZERO,
            app: "web",
            index: "0",
            instance_id: "",
            error: "",
            extra: &[],
            headers: &[],
        }
    }
}

#[test]
fn a_line_reads_as_gorouters() {
    let mut line = Vec::new();
    write(
        &mut line,
        &Line {
            host: b"web.test:8080",
            at: Time(1_700_000_000_123_456_789),
            method: b"GET",
            target: b"/a%20b?c='d'",
            version: "HTTP/1.1",
            status: 200,
            received: 3,
            sent: 1024,
            referer: b"",
            user_agent: b"evil\"agent\\ \xff",
            client: "127.0.0.1:5000",
            backend: "10.0.0.9:8080",
            forwarded_for: b"10.0.0.1, 127.0.0.1",
            forwarded_proto: b"",
            request_id: b"id-1",
            took: Duration::from_micros(1500),
            took_here: Duration::from_micros(20),
            app: "web",
            index: "0",
            instance_id: "guid",
            error: "",
            extra: &[
                (ExtraField::FailedAttempts, Some(Amount::Count(2))),
                (ExtraField::DialTime, Some(Amount::Time(Duration::from_micros(7)))),
                (ExtraField::DnsTime, None),
                (ExtraField::LocalAddress, Some(Amount::Text("10.0.0.2:80".to_owned()))),
            ],
            headers: &[("x_tenant".to_owned(), b"a\nb"), ("x_none".to_owned(), b"")],
        },
    );
    let expected = concat!(
        "web.test:8080 - [2023-11-14T22:13:20.123456789Z] \"GET /a%20b?c='d' HTTP/1.1\" 200 3 ",
        "1024 \"-\" \"evil\\\"agent\\\\ \\xff\" \"127.0.0.1:5000\" \"10.0.0.9:8080\" ",
        "x_forwarded_for:\"10.0.0.1, 127.0.0.1\" x_forwarded_proto:\"-\" ",
        "vcap_request_id:\"id-1\" response_time:0.001500 gorouter_time:0.000020 app_id:\"web\" app_index:\"0\" ",
        "instance_id:\"guid\" failed_attempts:2 dial_time:0.000007 dns_time:\"-\" ",
        "local_address:\"10.0.0.2:80\" x_cf_routererror:\"-\" x_tenant:\"a\\nb\" x_none:\"-\"",
    );
    assert_eq!(String::from_utf8(line).unwrap(), expected);
}

#[test]
fn queries_are_shown_hidden_or_hashed() {
    use Query::{Hashed, Hidden, Shown};
    const ABC: &str = "/a?hash=a9993e364706816aba3e25717850c26c9cd0d89d";
    for (query, target, expected) in [
        (Shown, "/a?abc", "/a?abc"),
        (Hidden, "/a?abc", "/a"),
        (Hashed, "/a?abc", ABC),
        (Hashed, "/a", "/a"),
        (Hashed, "/a?", "/a"),
        (Hidden, "/a?b?c", "/a"),
        (Hashed, "?abc", &ABC[2..]),
    ] {
        assert_eq!(query.shown(target.as_bytes()), expected.as_bytes(), "{query:?} {target}");
    }
}

#[test]
fn dates_are_right_at_their_edges() {
    for (secs, expected) in [
        (0, "1970-01-01T00:00:00.000000000Z"),
        (951_782_400, "2000-02-29T00:00:00.000000000Z"),
        (951_868_799, "2000-02-29T23:59:59.000000000Z"),
        (951_868_800, "2000-03-01T00:00:00.000000000Z"),
        (4_102_444_799, "2099-12-31T23:59:59.000000000Z"),
        (-1, "1969-12-31T23:59:59.000000000Z"),
    ] {
        let mut out = String::new();
        timestamp(&mut out, Time::from_secs(secs));
        assert_eq!(out, expected);
    }
}

/// A text of so many bytes as gorouter shortens it: how many stay, and the remark.
#[test]
fn what_clients_sent_is_whole_or_halved_until_it_is_short() {
    for (length, max, stay) in
        [(0, 10, None), (1000, 1000, None), (1001, 1000, Some(500)), (5000, 1000, Some(652))]
    {
        let text = vec![b'x'; length];
        let whole = Extent::Whole.of(&text, "REFERER", max);
        assert_eq!(*whole, *text);
        let short = Extent::Short.of(&text, "REFERER", max);
        let remark = if stay.is_some() { "...REFERER-TOO-LONG-TO-LOG--TRUNCATED" } else { "" };
        let expected = ["x".repeat(stay.unwrap_or(length)), remark.to_owned()].concat();
        assert_eq!(*short, *expected.as_bytes(), "{length}");
    }
}

#[test]
fn a_short_line_says_what_it_left_out_and_a_whole_one_leaves_nothing_out() {
    let long = vec![b'a'; 30_000];
    let extra = [
        ("x_a".to_owned(), &long[..19_000]),
        ("x_b".to_owned(), &long[..1000]),
        ("x_c".to_owned(), &b"c"[..]),
    ];
    let line = Line {
        target: &long,
        referer: &long[..1001],
        user_agent: &long[..2000],
        forwarded_for: &long[..1001],
        forwarded_proto: &long[..1001],
        headers: &extra,
        ..Line::for_test()
    };
    let mut whole = Vec::new();
    write(&mut whole, &line);
    let whole = String::from_utf8(whole).unwrap();
    assert!(whole.len() > 50_000 && !whole.contains("TRUNCATED"));
    assert!(whole.ends_with(" x_c:\"c\""));
    let short = String::from_utf8(within(&line, 65_400)).unwrap();
    assert!(short.len() < 40_000, "{}", short.len());
    for name in ["REQUEST-URI", "REFERER", "USER-AGENT", "X-FORWARDED-FOR", "X-FORWARDED-PROTO"] {
        let remark = format!("aa...{name}-TOO-LONG-TO-LOG--TRUNCATED");
        assert_eq!(short.matches(&remark).count(), 1, "{name}");
    }
    assert!(short.ends_with("a\" ...EXTRA-REQUEST-HEADERS-TOO-LONG-TO-LOG--TRUNCATED"));
    assert_eq!(within(&line, 100), short.as_bytes()[..100]);
}
