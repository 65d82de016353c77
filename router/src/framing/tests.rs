//! Every message is scanned whole and byte by byte; both must agree.

use proptest::prelude::*;

use super::*;

const LINE_MAX: usize = 1000;

fn whole(bytes: &[u8]) -> Result<Place, Violation> {
    let mut framing = Framing::new(LINE_MAX);
    framing.scan(bytes).map_err(|(_, violation)| violation)?;
    Ok(framing.place())
}

fn in_pieces(bytes: &[u8], size: usize) -> Result<Place, Violation> {
    let mut framing = Framing::new(LINE_MAX);
    for piece in bytes.chunks(size) {
        framing.scan(piece).map_err(|(_, violation)| violation)?;
    }
    Ok(framing.place())
}

#[track_caller]
fn check(message: &str, expected: Result<Place, Violation>) {
    assert_eq!(whole(message.as_bytes()), expected, "whole: {message:?}");
    for size in [1, 2, 7] {
        assert_eq!(in_pieces(message.as_bytes(), size), expected, "by {size}: {message:?}");
    }
}

#[test]
fn requests_end_where_they_say() {
    use Place::{Between, Body, Head, Tunnel, Undecided};
    let _ = Tunnel;
    for (message, place) in [
        ("", Between),
        ("\r\n", Between),
        ("G", Head),
        ("GET / HTTP/1.1\r\n", Head),
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Between),
        ("GET / HTTP/1.0\r\n\r\n", Between),
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET", Head),
        ("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nab", Body),
        ("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", Between),
        ("POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", Between),
        ("POST / HTTP/1.1\r\ncontent-length:0\r\n\r\n", Between),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n", Body),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", Body),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\n\r\n", Between),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n\r\n", Between),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nA\r\n\n\r\n\r\n\n\n\n\n\n\r\n",
            Body,
        ),
        ("GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n\n\n\n", Undecided),
        ("GET / HTTP/1.0\r\nUpgrade: websocket\r\n\r\n", Between),
        ("CONNECT a:1 HTTP/1.1\r\n\r\n", Undecided),
    ] {
        check(message, Ok(place));
    }
}

#[test]
fn what_two_readers_could_read_differently_is_refused() {
    use Violation::*;
    let long = format!("GET /{} HTTP/1.1\r\n", "a".repeat(LINE_MAX));
    for (message, violation) in [
        ("\n", LineEnd),
        ("GET / HTTP/1.1\n", LineEnd),
        ("GET / HTTP/1.1\r\nHost: a\n", LineEnd),
        ("GET / HTTP/1.1\r\nHost: a\r\n\n", LineEnd),
        ("GET / HTTP/1.1\r\nHost: a\rb\r\n", LineEnd),
        ("GET / HTTP/1.1\r\nA: b\r\n c\r\n", Folded),
        ("GET / HTTP/1.1\r\n\tc\r\n", Folded),
        ("GET / HTTP/1.2\r\n", Version),
        ("PRI * HTTP/2.0\r\n", Version),
        ("GET /\r\n", Version),
        ("GET / HTTP/1.1\r\nHost\r\n", HeaderName),
        ("GET / HTTP/1.1\r\nTransfer-Encoding : chunked\r\n", HeaderName),
        ("GET / HTTP/1.1\r\n: x\r\n", HeaderName),
        (
            "P / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            LengthAndEncoding,
        ),
        (
            "P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
            LengthAndEncoding,
        ),
        ("P / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n", Length),
        ("P / HTTP/1.1\r\nContent-Length: 3, 3\r\n", Length),
        ("P / HTTP/1.1\r\nContent-Length: +3\r\n", Length),
        ("P / HTTP/1.1\r\nContent-Length: -1\r\n", Length),
        ("P / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n", Length),
        ("P / HTTP/1.1\r\nContent-Length:\r\n", Length),
        ("P / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n", Encoding),
        ("P / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n", Encoding),
        ("P / HTTP/1.1\r\nTransfer-Encoding: identity\r\n", Encoding),
        ("P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Encoding),
        ("P / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", Encoding),
        ("P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", Chunk),
        ("P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", Chunk),
        ("P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\n", Chunk),
        ("P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n 1\r\n", Chunk),
        ("P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", Chunk),
        ("P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\n", LineEnd),
        ("P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;a\nb\r\n", LineEnd),
        ("P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", Chunk),
        ("P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA\r\n", HeaderName),
        (long.as_str(), TooLong),
    ] {
        check(message, Err(violation));
    }
}

#[test]
fn the_good_bytes_before_a_violation_are_counted() {
    let mut framing = Framing::new(LINE_MAX);
    let good = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let bad = [good.as_slice(), b"GET / HTTP/1.1\n\n"].concat();
    assert_eq!(framing.scan(&bad), Err((good.len() + 14, Violation::LineEnd)));
}

#[test]
fn a_refused_upgrade_goes_on_with_requests_and_an_accepted_one_does_not() {
    let upgrade = b"GET / HTTP/1.1\r\nUpgrade: x\r\n\r\n";
    let mut framing = Framing::new(LINE_MAX);
    framing.scan(upgrade).unwrap();
    framing.resume();
    assert!(framing.scan(b"\n").is_err());
    let mut framing = Framing::new(LINE_MAX);
    framing.scan(upgrade).unwrap();
    framing.tunnel();
    assert_eq!(framing.scan(b"\n\0anything"), Ok(()));
    assert_eq!(framing.place(), Place::Tunnel);
}

proptest! {
    #[test]
    fn any_bytes_read_the_same_whole_and_in_pieces(
        parts in prop::collection::vec(prop::sample::select(vec![
            "GET / HTTP/1.1", "\r\n", "\n", "\r", "Content-Length: 3", "abc", "0", "3",
            "Transfer-Encoding: chunked", "Upgrade: x", " ", ":", "P / HTTP/1.0", "\r\n\r\n",
        ]), 0..24),
        size in 1usize..9,
    ) {
        let bytes = parts.concat().into_bytes();
        prop_assert_eq!(whole(&bytes), in_pieces(&bytes, size));
    }
}
