//! What a client could try: each is refused, with the connection or alone, and no endpoint sees it.

use std::time::Duration;

use super::frames::{
    ACK, COMPRESSION_ERROR, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR, GET, GOAWAY, HEADERS, INTERNAL_ERROR, PING, PROTOCOL_ERROR, REFUSED_STREAM,
    RST_STREAM, Raw, SETTINGS, WINDOW_UPDATE, frame, packed,
};
use super::world;
use crate::support::{Endpoint, PATIENCE, Silent, eventually};

const WHOLE: u8 = END_HEADERS | END_STREAM;

/// Sends one request of these lines and data after it, which must end it, or the connection. No
/// endpoint may see it.
async fn check(about: &str, lines: &[(&str, &str)], data: Option<&[u8]>) {
    let (world, authority) = world(|_| {}).await;
    let endpoint = Endpoint::saying("seen").await;
    world.route("web.test", endpoint.addr).await;
    let mut raw = Raw::connect(&world, &authority).await;
    let flags = if data.is_some() { END_HEADERS } else { WHOLE };
    raw.send(HEADERS, flags, 1, &packed(lines)).await;
    if let Some(data) = data {
        raw.send(DATA, END_STREAM, 1, data).await;
    }
    let reason = raw.ends().await.map(|(reason, _)| reason);
    assert_eq!(reason, Some(PROTOCOL_ERROR), "{about}");
    assert_eq!((world.router.totals().requests, endpoint.connections()), (0, 0), "{about}");
}

fn with<'l>(more: &[(&'l str, &'l str)]) -> Vec<(&'l str, &'l str)> {
    [GET.as_slice(), more].concat()
}

fn instead<'l>(name: &str, value: &'l str) -> Vec<(&'l str, &'l str)> {
    GET.iter().map(|(n, v)| if *n == name { (*n, value) } else { (*n, *v) }).collect()
}

#[tokio::test]
async fn headers_that_could_be_smuggled_are_refused() {
    for (about, more) in [
        ("CR LF in a value", ("x-a", "b\r\nx-c: d")),
        ("LF in a value", ("x-a", "b\nx-c: d")),
        ("NUL in a value", ("x-a", "b\0c")),
        ("CR LF in a name", ("x-a: b\r\nx-c", "d")),
        ("a colon in a name", ("x-a:b", "d")),
        ("a blank in a name", ("x a", "d")),
        ("an upper case name", ("X-A", "d")),
        ("an empty name", ("", "d")),
        ("connection", ("connection", "x-forwarded-for")),
        ("transfer-encoding", ("transfer-encoding", "chunked")),
        ("upgrade", ("upgrade", "websocket")),
        ("keep-alive", ("keep-alive", "timeout=5")),
        ("proxy-connection", ("proxy-connection", "close")),
        ("te but for trailers", ("te", "gzip")),
        ("a pseudo-header after the others", (":path", "/b")),
        ("a pseudo-header of answers", (":status", "200")),
        ("a pseudo-header nobody knows", (":other", "x")),
    ] {
        check(about, &with(&[more]), None).await;
    }
}

#[tokio::test]
async fn requests_that_name_no_target_or_an_odd_one_are_refused() {
    for (about, lines) in [
        ("no method", GET[1..].to_vec()),
        ("no scheme", [&GET[..1], &GET[2..]].concat()),
        ("no path", GET[..3].to_vec()),
        ("an empty path", instead(":path", "")),
        ("a path twice", [&GET[..], &GET[3..]].concat()),
        ("a URL for a path", instead(":path", "http://other.test/")),
        ("a path without a slash", instead(":path", "a/b")),
        ("a blank in a path", instead(":path", "/a b")),
        ("CR LF in a path", instead(":path", "/ HTTP/1.1\r\nhost: other.test\r\nx: ")),
        ("CR LF in a host", instead(":authority", "web.test\r\nx-a: b")),
        ("CR LF in a method", instead(":method", "GET / HTTP/1.1\r\nx: y\r\n\r\nGET")),
        ("an empty method", instead(":method", "")),
        ("a websocket by an extended CONNECT", {
            let connect = instead(":method", "CONNECT");
            [&connect[..1], &[(":protocol", "websocket")], &connect[1..]].concat()
        }),
    ] {
        check(about, &lines, None).await;
    }
}

#[tokio::test]
async fn two_hosts_are_refused_and_one_that_is_said_twice_is_one() {
    let (world, authority) = world(|config| config.workers = 1).await;
    let endpoint = Endpoint::echoing_heads().await;
    world.route("web.test", endpoint.addr).await;
    for (authority_line, host, expected) in [
        (Some("web.test"), Some("web.test"), 200),
        (Some("web.test"), Some("WEB.test"), 200),
        (Some("web.test"), None, 200),
        (None, Some("web.test"), 200),
        (None, None, 400),
        (Some("web.test"), Some("other.test"), 400),
        (Some("other.test"), Some("web.test"), 400),
        (Some("web.test"), Some(""), 400),
        (Some("user@web.test"), None, 400),
    ] {
        let mut raw = Raw::connect(&world, &authority).await;
        let mut lines = vec![(":method", "GET"), (":scheme", "https"), (":path", "/")];
        lines.extend(authority_line.map(|name| (":authority", name)));
        lines.extend(host.map(|name| ("host", name)));
        raw.send(HEADERS, WHOLE, 1, &packed(&lines)).await;
        let answer = raw.next_of(&[HEADERS, RST_STREAM]).await.unwrap();
        let status = match (answer.kind, answer.payload.first()) {
            // Statuses that are in the static table (RFC 7541 appendix A).
            (HEADERS, Some(0x88)) => 200,
            (HEADERS, Some(0x8c)) => 400,
            _ => 0,
        };
        assert_eq!(status, expected, "{authority_line:?} {host:?} {answer:?}");
    }
    assert_eq!(endpoint.connections(), 1);
}

#[tokio::test]
async fn a_body_of_another_length_than_said_is_refused() {
    let said = |length| [&[(":method", "POST")], &GET[1..], &[("content-length", length)]].concat();
    for (about, length, data) in
        [("longer", "2", Some("long")), ("shorter", "9", Some("short")), ("none", "2", None)]
    {
        let (world, authority) = world(|_| {}).await;
        let endpoint = Endpoint::saying("seen").await;
        world.route("web.test", endpoint.addr).await;
        let mut raw = Raw::connect(&world, &authority).await;
        let flags = if data.is_some() { END_HEADERS } else { WHOLE };
        raw.send(HEADERS, flags, 1, &packed(&said(length))).await;
        if let Some(data) = data {
            raw.send(DATA, END_STREAM, 1, data.as_bytes()).await;
        }
        let end = raw.ends().await;
        assert!(matches!(end, Some((PROTOCOL_ERROR | INTERNAL_ERROR, false))), "{about} {end:?}");
    }
    for length in ["-1", "x", "18446744073709551616"] {
        check(length, &said(length), Some(b"hi")).await;
    }
}

#[tokio::test]
async fn heads_without_end_are_refused() {
    let (world, authority) = world(|_| {}).await;
    let big = "x".repeat(10_000);
    // A head that goes on and on, in frames that each are small.
    let mut raw = Raw::connect(&world, &authority).await;
    raw.send(HEADERS, END_STREAM, 1, &packed(&GET)).await;
    let mut sent = 0;
    while raw.send(CONTINUATION, 0, 1, &packed(&[("x-a", &big)])).await && sent < 1000 {
        sent += 1;
    }
    let (reason, is_of_connection) = raw.ends().await.unwrap_or((ENHANCE_YOUR_CALM, true));
    assert!(is_of_connection && sent < 1000, "{reason} after {sent} frames");
    // Frames with nothing in them.
    let mut raw = Raw::connect(&world, &authority).await;
    raw.send(HEADERS, END_STREAM, 1, &packed(&GET)).await;
    let nothing = frame(CONTINUATION, 0, 1, b"").repeat(2000);
    while raw.send_bytes(&nothing).await && sent < 2000 {
        sent += 1;
    }
    assert!(sent < 2000, "frames without anything were taken for ever");
    // One that is too large, and whole: refused alone, and others go on.
    let mut raw = Raw::connect(&world, &authority).await;
    let large = packed(&with(&[("x-a", big.as_str()); 8]));
    raw.send(HEADERS, END_STREAM, 1, &large[..16_000]).await;
    for (nth, piece) in large[16_000..].chunks(16_000).enumerate() {
        let is_last = 16_000 * (nth + 2) >= large.len();
        raw.send(CONTINUATION, if is_last { END_HEADERS } else { 0 }, 1, piece).await;
    }
    let answer = raw.next_of(&[HEADERS, RST_STREAM, GOAWAY]).await.unwrap();
    assert_eq!((answer.kind, answer.stream), (HEADERS, 1), "431 {answer:?}");
    raw.send(HEADERS, WHOLE, 3, &packed(&GET)).await;
    while raw.next_of(&[HEADERS]).await.unwrap().stream != 3 {}
}

#[tokio::test]
async fn headers_that_unpack_to_much_are_refused() {
    let (world, authority) = world(|_| {}).await;
    let endpoint = Endpoint::saying("seen").await;
    world.route("web.test", endpoint.addr).await;
    let mut raw = Raw::connect(&world, &authority).await;
    // One line goes into the table (RFC 7541 6.2.1), and is named 10,000 times by one byte each.
    let mut lines = packed(&GET);
    lines.extend_from_slice(&[0x40, 3]);
    lines.extend_from_slice(b"x-a");
    lines.extend_from_slice(&[127, 128, 30]);
    lines.extend_from_slice("y".repeat(127 + 30 * 128).as_bytes());
    lines.extend_from_slice(&[0x80 | 62; 10_000]);
    raw.send(HEADERS, WHOLE, 1, &lines).await;
    let answer = raw.next_of(&[HEADERS, RST_STREAM, GOAWAY]).await;
    assert!(answer.is_some_and(|answer| answer.kind != DATA));
    // What is no code at all ends the connection.
    let mut raw = Raw::connect(&world, &authority).await;
    raw.send(HEADERS, WHOLE, 1, &[0xff; 20]).await;
    let end = raw.ends().await;
    assert!(matches!(end, Some((COMPRESSION_ERROR | PROTOCOL_ERROR, true))), "{end:?}");
    assert_eq!(endpoint.connections(), 0);
}

#[tokio::test]
async fn who_takes_requests_back_again_and_again_is_sent_away() {
    let (world, authority) = world(|_| {}).await;
    let endpoint = Endpoint::new(|mut wire| async move {
        wire.request().await;
        assert!(wire.is_closed().await);
    })
    .await;
    world.route("web.test", endpoint.addr).await;
    // In one write, so that most are taken back before they are begun.
    let mut raw = Raw::connect(&world, &authority).await;
    let mut flood = Vec::new();
    for stream in (1..20_000).step_by(2) {
        flood.extend(frame(HEADERS, WHOLE, stream, &packed(&GET)));
        flood.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    }
    raw.send_bytes(&flood).await;
    let end = raw.next_of(&[GOAWAY]).await;
    assert!(end.is_none_or(|end| end.payload[4..8] == ENHANCE_YOUR_CALM.to_be_bytes()));
    assert!(endpoint.connections() < 300, "{} were begun", endpoint.connections());
    // And one after the other, each begun before it is taken back.
    let mut raw = Raw::connect(&world, &authority).await;
    let mut streams = (1..).step_by(2);
    let mut begun = 0;
    let is_sent_away = loop {
        let stream = streams.next().unwrap();
        let before = endpoint.connections();
        if !raw.send(HEADERS, WHOLE, stream, &packed(&GET)).await {
            break true;
        }
        let deadline = std::time::Instant::now() + Duration::from_secs(5);
        while endpoint.connections() == before && std::time::Instant::now() < deadline {
            tokio::task::yield_now().await;
        }
        if endpoint.connections() == before {
            break true;
        }
        begun += 1;
        if !raw.send(RST_STREAM, 0, stream, &8_u32.to_be_bytes()).await || begun > 400 {
            break begun <= 400;
        }
    };
    assert!(is_sent_away, "{begun} requests were begun and taken back");
    eventually("no connection to the endpoint stays", || endpoint.ends() == endpoint.connections())
        .await;
}

#[tokio::test]
async fn more_requests_at_once_than_may_be_are_refused() {
    let (world, authority) = world(|config| config.limits.streams_max = 2).await;
    let endpoint = Endpoint::new(|mut wire| async move {
        wire.request().await;
        assert!(wire.is_closed().await);
    })
    .await;
    world.route("web.test", endpoint.addr).await;
    let mut raw = Raw::connect(&world, &authority).await;
    for stream in [1, 3, 5] {
        raw.send(HEADERS, WHOLE, stream, &packed(&GET)).await;
    }
    let refused = raw.next_of(&[RST_STREAM, GOAWAY]).await.unwrap();
    assert_eq!((refused.kind, refused.stream), (RST_STREAM, 5));
    assert_eq!(refused.payload, REFUSED_STREAM.to_be_bytes());
}

#[tokio::test]
async fn requests_that_are_taken_back_and_still_under_way_count_among_those_at_once() {
    let (world, authority) = world(|config| {
        config.limits.streams_max = 2;
        config.limits.dial_timeout = PATIENCE;
    })
    .await;
    let silent = Silent::new();
    world.route("web.test", silent.addr).await;
    let mut raw = Raw::connect(&world, &authority).await;
    let lines = [&[(":method", "POST")], &GET[1..]].concat();
    for (stream, begun) in [(1, 1), (3, 2)] {
        raw.send(HEADERS, END_HEADERS, stream, &packed(&lines)).await;
        eventually("it is begun", || world.router.totals().dials == begun).await;
        // More of a body than is held while nobody takes it, so that what follows is not read; and
        // less than a window.
        for _ in 0..4 {
            raw.send(DATA, 0, stream, &[0; 16_000]).await;
        }
        raw.send(RST_STREAM, 0, stream, &8_u32.to_be_bytes()).await;
    }
    raw.send(HEADERS, WHOLE, 5, &packed(&GET)).await;
    let refused = raw.next_of(&[RST_STREAM, GOAWAY]).await.unwrap();
    assert_eq!((refused.kind, refused.stream), (RST_STREAM, 5));
    assert_eq!(refused.payload, REFUSED_STREAM.to_be_bytes());
    assert_eq!(world.router.totals().dials, 2);
}

#[tokio::test]
async fn an_answer_that_nobody_wants_any_more_leaves_nothing_behind() {
    let (world, authority) = world(|config| {
        config.limits.dial_timeout = PATIENCE;
        config.limits.drain = Duration::from_secs(3600);
    })
    .await;
    let silent = Silent::new();
    world.route("web.test", silent.addr).await;
    let mut raw = Raw::connect(&world, &authority).await;
    let lines = [&[(":method", "POST")], &GET[1..]].concat();
    raw.send(HEADERS, END_HEADERS, 1, &packed(&lines)).await;
    eventually("it is begun", || world.router.totals().dials == 1).await;
    for _ in 0..4 {
        raw.send(DATA, 0, 1, &[0; 16_000]).await;
    }
    raw.send(RST_STREAM, 0, 1, &8_u32.to_be_bytes()).await;
    drop(silent);
    eventually("it is answered", || world.router.totals().answered_here == 1).await;
    drop(raw);
    world.tasks.shutdown().cancel();
    let ended = tokio::time::timeout(PATIENCE, world.router.retired());
    ended.await.expect("nobody is waited for");
}

#[tokio::test]
async fn a_client_that_opens_no_window_is_cut_and_holds_little() {
    let (world, authority) = world(|config| {
        config.limits.stream_idle = Duration::from_millis(300);
    })
    .await;
    let endpoint = Endpoint::new(|mut wire| async move {
        while wire.request().await.is_some() {
            wire.answer(&"x".repeat(1_000_000)).await;
        }
    })
    .await;
    world.route("web.test", endpoint.addr).await;
    // SETTINGS_INITIAL_WINDOW_SIZE is 0.
    let mut raw = Raw::with_settings(&world, &authority, &[(4, 0)]).await;
    raw.send(HEADERS, WHOLE, 1, &packed(&GET)).await;
    let head = raw.next_of(&[HEADERS, DATA, RST_STREAM]).await.unwrap();
    assert_eq!(head.kind, HEADERS, "the head needs no window");
    let end = raw.next_of(&[DATA, RST_STREAM, GOAWAY]).await.unwrap();
    assert_eq!((end.kind, end.stream), (RST_STREAM, 1));
}

#[tokio::test]
async fn a_body_that_does_not_come_ends_the_request() {
    let (world, authority) = world(|config| {
        config.limits.endpoint_timeout = Duration::from_millis(300);
    })
    .await;
    let endpoint = Endpoint::saying("never").await;
    world.route("web.test", endpoint.addr).await;
    let mut raw = Raw::connect(&world, &authority).await;
    let lines = [&[(":method", "POST")], &GET[1..], &[("content-length", "9")]].concat();
    raw.send(HEADERS, END_HEADERS, 1, &packed(&lines)).await;
    raw.send(DATA, 0, 1, b"some").await;
    let answer = raw.next_of(&[HEADERS, RST_STREAM]).await.unwrap();
    assert_eq!((answer.kind, answer.stream), (HEADERS, 1), "502");
}

#[tokio::test]
async fn what_breaks_the_protocol_ends_the_connection() {
    let zero = 0_u32.to_be_bytes();
    for (about, frames, expected) in [
        ("DATA nobody asked for", vec![frame(DATA, 0, 1, b"x")], PROTOCOL_ERROR),
        ("HEADERS on stream 0", vec![frame(HEADERS, WHOLE, 0, &packed(&GET))], PROTOCOL_ERROR),
        ("a stream of ours", vec![frame(HEADERS, WHOLE, 2, &packed(&GET))], PROTOCOL_ERROR),
        ("CONTINUATION alone", vec![frame(CONTINUATION, 4, 1, b"")], PROTOCOL_ERROR),
        (
            "a window beyond all",
            vec![frame(WINDOW_UPDATE, 0, 0, &[0x7f; 4]); 2],
            FLOW_CONTROL_ERROR,
        ),
        ("a window of nothing", vec![frame(WINDOW_UPDATE, 0, 0, &zero)], PROTOCOL_ERROR),
        ("a push", vec![frame(5, WHOLE, 1, &[0, 0, 0, 2])], PROTOCOL_ERROR),
        (
            "another frame amid a head",
            vec![frame(HEADERS, 0, 1, &packed(&GET)), frame(PING, 0, 0, &[0; 8])],
            PROTOCOL_ERROR,
        ),
        ("a frame too long", vec![frame(HEADERS, WHOLE, 1, &[0; 17_000])], 6),
    ] {
        let (world, authority) = world(|_| {}).await;
        let mut raw = Raw::connect(&world, &authority).await;
        for frame in frames {
            raw.send_bytes(&frame).await;
        }
        let end = raw.ends().await;
        assert_eq!(end, Some((expected, true)), "{about}");
    }
}

#[tokio::test]
async fn a_head_that_does_not_come_to_its_end_is_not_waited_for() {
    let (world, authority) = world(|config| {
        config.limits.keep_alive_idle = Duration::from_millis(300);
    })
    .await;
    let mut raw = Raw::connect(&world, &authority).await;
    raw.send(HEADERS, 0, 1, &packed(&GET)).await;
    while raw.next().await.is_some() {}
    eventually("no connection is left", || world.router.totals().connections == 0).await;
}

#[tokio::test]
async fn what_is_no_http_2_is_hung_up_on() {
    let (world, authority) = world(|config| {
        config.limits.header_read_timeout = Duration::from_millis(300);
    })
    .await;
    for nonsense in ["GET / HTTP/1.1\r\nHost: web.test\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nXX", "PRI"]
    {
        let config = super::asking(&authority);
        let mut wire = crate::tls::connect(world.addr, "web.test", config).await.unwrap();
        wire.send(nonsense).await;
        let rest = wire.rest().await;
        assert!(!rest.starts_with(b"HTTP/"), "{rest:?}");
    }
}

#[tokio::test]
async fn floods_of_small_frames_do_not_stop_others() {
    let (world, authority) = world(|_| {}).await;
    let mut raw = Raw::connect(&world, &authority).await;
    let ping = frame(PING, 0, 0, &[7; 8]);
    let settings = frame(SETTINGS, 0, 0, b"");
    let window = frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes());
    let flood = [ping, settings, window].concat().repeat(500);
    let flooded = raw.send_bytes(&flood).await;
    let mut other = Raw::connect(&world, &authority).await;
    other.send(HEADERS, WHOLE, 1, &packed(&GET)).await;
    assert!(other.next_of(&[HEADERS]).await.is_some());
    if flooded {
        let answer = raw.next_of(&[PING, GOAWAY]).await.unwrap();
        assert!(answer.kind == GOAWAY || answer.flags == ACK);
    }
}
