//! Every message is read whole, byte by byte, and in pieces; all must agree.

use proptest::prelude::*;

use super::buffer::Buffer;
use super::head::{HeadEnd, LineEnds, Slots};
use super::reading::{Reading, Request};
use super::request::{Expects, RequestHead};
use super::response::ResponseHead;
use super::transfer::{Step, Transfer};
use super::*;

fn in_pieces(bytes: &[u8], size: usize) -> Reading {
    Reading::of(&bytes.chunks(size).collect::<Vec<_>>())
}

/// Reads a message, whole and in pieces: `METHOD target body` of each request, then a violation.
#[track_caller]
fn check(message: &str, requests: &[&str], violation: Option<Violation>) {
    let bytes = message.as_bytes();
    let whole = Reading::of(&[bytes]);
    let seen: Vec<String> = whole.requests.iter().map(shown).collect();
    assert_eq!(
        (seen.iter().map(String::as_str).collect::<Vec<_>>(), whole.violation),
        (requests.to_vec(), violation),
        "{message:?}"
    );
    for size in [1, 2, 7] {
        let (whole, read) = (Reading::of(&[bytes]), in_pieces(bytes, size));
        assert_eq!(read.unframed(), whole.unframed(), "by {size}: {message:?}");
    }
}

fn shown(request: &Request) -> String {
    let [target, body] = [&request.target, &request.body].map(|b| String::from_utf8_lossy(b));
    format!("{} {target} {body}", request.method)
}

#[test]
fn requests_end_where_they_say() {
    for (message, requests) in [
        ("", &[][..]),
        ("\r\n\r\n", &[]),
        ("GET / HTTP/1.1\r\n", &[]),
        ("GET / HTTP/1.1\r\n\r\n", &["GET / "]),
        ("\r\nGET / HTTP/1.0\r\n\r\n\r\nPUT /a HTTP/1.1\r\nA: b\r\n\r\n", &["GET / ", "PUT /a "]),
        ("P / HTTP/1.1\r\nContent-Length: 3\r\n\r\nab", &[]),
        ("P / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcG", &["P / abc"]),
        ("P / HTTP/1.1\r\nContent-Length: 3\r\ncontent-length:3\r\n\r\nabc", &["P / abc"]),
        ("P / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", &["P / "]),
        ("P / HTTP/1.1\r\nContent-Length:\r\n\r\nP /b HTTP/1.1\r\n\r\n", &["P / ", "P /b "]),
        ("P / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n", &[]),
        ("P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", &[]),
        (
            "P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n03;x=y\r\nabc\r\n0;z\r\n\r\n",
            &["P / 3\r\nabc\r\n0\r\n\r\n"],
        ),
        (
            "P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\nHost: c\r\n\r\n",
            &["P / 0\r\nA: b\r\n\r\n"],
        ),
    ] {
        check(message, requests, None);
    }
}

#[test]
fn what_two_readers_could_read_differently_is_refused() {
    use Violation::*;
    for (message, violation) in [
        ("\n", LineEnd),
        ("GET / HTTP/1.1\n", LineEnd),
        ("GET / HTTP/1.1\r\nA: b\n", LineEnd),
        ("GET / HTTP/1.1\r\nA: b\r\n\n", LineEnd),
        ("GET / HTTP/1.1\r\nA: b\rc\r\n\r\n", Header),
        ("GET / HTTP/1.1\r\nA: b\r\r\n\r\n", Header),
        ("GET / HTTP/1.1\r\nA: b\0\r\n\r\n", Header),
        ("GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", Header),
        ("GET / HTTP/1.1\r\n A: b\r\n\r\n", Header),
        ("GET / HTTP/1.1\r\nA\r\n\r\n", Header),
        ("GET / HTTP/1.1\r\n: b\r\n\r\n", Header),
        ("GET / HTTP/1.1\r\nA : b\r\n\r\n", Header),
        ("GET / HTTP/1.2\r\n\r\n", MinorVersion),
        ("GET / HTTP/2.0\r\n\r\n", MajorVersion),
        ("GET / HTTP/2.5\r\nHost: a\r\n\r\n", MajorVersion),
        ("GET / HTTP/0.9\r\n\r\n", MajorVersion),
        ("GET / HTTP/1.10\r\n\r\n", Header),
        ("GET / HTTP/x.1\r\n\r\n", Version),
        ("GET / HTTX/1.1\r\n\r\n", Version),
        ("PRI * HTTP/2.0\r\n\r\n", Http2),
        ("GET /\r\n\r\n", FirstLine),
        ("G\0T / HTTP/1.1\r\n\r\n", FirstLine),
        (
            "P / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            LengthAndEncoding,
        ),
        (
            "P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
            LengthAndEncoding,
        ),
        ("P / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", Length),
        ("P / HTTP/1.1\r\nContent-Length: 3, 3\r\n\r\n", Length),
        ("P / HTTP/1.1\r\nContent-Length: +3\r\n\r\n", Length),
        ("P / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", Length),
        ("P / HTTP/1.1\r\nContent-Length:\r\nContent-Length: 1\r\n\r\nx", Length),
        ("P / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length:\r\n\r\nx", Length),
        (
            "P / HTTP/1.1\r\nContent-Length:\r\nTransfer-Encoding: chunked\r\n\r\n",
            LengthAndEncoding,
        ),
        ("P / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", Encoding),
        ("P / HTTP/1.1\r\nTransfer-Encoding: identity\r\n\r\n", Encoding),
        (
            "P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            Encoding,
        ),
        ("P / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", Encoding),
        ("P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", Chunk),
        ("P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", Chunk),
        ("P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\n", Chunk),
        ("P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n 1\r\n", Chunk),
        ("P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", Chunk),
        ("P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n11111111111111111\r\n", Chunk),
        ("P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\n", LineEnd),
        ("P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;a\nb\r\n", LineEnd),
        ("P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;a\rb\r\n", Chunk),
        ("P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", Chunk),
        ("P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA\r\n\r\n", Header),
    ] {
        check(message, &[], Some(violation));
    }
}

#[test]
fn what_is_longer_than_its_limit_is_refused() {
    let head = "P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    let extension = "x".repeat(5000);
    let tiny = format!("1;{}\r\na\r\n", "x".repeat(4000)).repeat(6);
    let trailer = format!("0\r\nA: {}\r\n", "b".repeat(9000));
    let many = "A: b\r\n".repeat(40);
    for (body, violation) in [
        (format!("1;{extension}\r\n"), Violation::Chunk),
        (tiny, Violation::Chunk),
        (trailer, Violation::TooLarge),
        (format!("0\r\n{many}\r\n"), Violation::TooLarge),
    ] {
        assert_eq!(Reading::of(&[format!("{head}{body}").as_bytes()]).violation, Some(violation));
    }
    let lines = "A: b\r\n".repeat(101);
    let many = format!("GET / HTTP/1.1\r\n{lines}\r\n");
    assert_eq!(Reading::of(&[many.as_bytes()]).violation, Some(Violation::TooLarge));
}

#[test]
fn a_head_says_what_is_asked_of_the_hop() {
    for (head, keeps_alive, upgrade, expects) in [
        ("GET / HTTP/1.1\r\n", true, None, Expects::Nothing),
        ("GET / HTTP/1.1\r\nConnection: x, Close\r\n", false, None, Expects::Nothing),
        ("GET / HTTP/1.0\r\n", false, None, Expects::Nothing),
        ("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n", true, None, Expects::Nothing),
        ("GET / HTTP/1.1\r\nUpgrade: w\r\n", true, None, Expects::Nothing),
        ("GET / HTTP/1.1\r\nUpgrade: w\r\nConnection: upgraded\r\n", true, None, Expects::Nothing),
        (
            "GET / HTTP/1.1\r\nUpgrade: w\r\nConnection: a, UPGRADE\r\n",
            true,
            Some("w"),
            Expects::Nothing,
        ),
        ("GET / HTTP/1.0\r\nUpgrade: w\r\nConnection: upgrade\r\n", false, None, Expects::Nothing),
        ("GET / HTTP/1.1\r\nExpect: 100-Continue\r\n", true, None, Expects::Continue),
        ("GET / HTTP/1.1\r\nExpect: more\r\n", true, None, Expects::Unknown),
        ("GET / HTTP/1.0\r\nExpect: more\r\n", false, None, Expects::Nothing),
    ] {
        let bytes = format!("{head}\r\n");
        let mut slots = Slots::new();
        let read = RequestHead::parse(bytes.as_bytes(), 10, &mut slots).unwrap();
        let upgrade = upgrade.map(str::as_bytes);
        assert_eq!(
            (read.keeps_alive, read.upgrade, read.expects),
            (keeps_alive, upgrade, expects),
            "{head}"
        );
    }
}

#[test]
fn answers_end_where_they_say() {
    use Body::{Chunked, Empty, Length, UntilClose};
    for (head, to_head, expected) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n", false, Ok((Length(3), true))),
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n", true, Ok((Empty, true))),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n",
            false,
            Ok((Length(3), false)),
        ),
        ("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n", false, Ok((Length(3), false))),
        (
            "HTTP/1.0 200 OK\r\nContent-Length: 3\r\nConnection: keep-alive\r\n",
            false,
            Ok((Length(3), true)),
        ),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", false, Ok((Chunked, true))),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 9\r\n",
            false,
            Ok((Chunked, true)),
        ),
        ("HTTP/1.1 200 OK\r\n", false, Ok((UntilClose, false))),
        ("HTTP/1.1 200 OK\r\nContent-Length:\r\n", false, Ok((UntilClose, false))),
        ("HTTP/1.1 204 No\r\nContent-Length: 3\r\n", false, Ok((Empty, true))),
        ("HTTP/1.1 304 No\r\n", false, Ok((Empty, true))),
        ("HTTP/1.1 103 Hints\r\n", false, Ok((Empty, true))),
        ("HTTP/1.1 200\r\nContent-Length: 0\r\n", false, Ok((Empty, true))),
        ("HTTP/1.1 200 OK\nContent-Length: 3\n", false, Ok((Length(3), true))),
        ("HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 3\r\n", false, Ok((Length(3), true))),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n", false, Err(Violation::Encoding)),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n", false, Err(Violation::Encoding)),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n",
            false,
            Err(Violation::Length),
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length : 3\r\n", false, Err(Violation::Header)),
        ("HTTP/2 200 OK\r\n", false, Err(Violation::Version)),
        ("HTTP/1.1 099 OK\r\n", false, Err(Violation::FirstLine)),
        ("SSH-2.0-x\r\n", false, Err(Violation::Version)),
    ] {
        let bytes = format!("{head}\r\n");
        let end = HeadEnd::default().find(bytes.as_bytes(), LineEnds::Lenient);
        assert_eq!(end, Ok(Some(bytes.len())), "{head}");
        let mut slots = Slots::new();
        let read = ResponseHead::parse(bytes.as_bytes(), 10, to_head, &mut slots);
        assert_eq!(read.map(|head| (head.body, head.keeps_alive)), expected, "{head:?}");
    }
}

/// Moves a body through a transfer, reading and writing so much at a time; what came out.
fn moved(
    body: Body,
    in_chunks: bool,
    bytes: &[u8],
    (read, write): (usize, usize),
) -> Result<Vec<u8>, Violation> {
    let (mut input, mut output) = (Buffer::new(vec![0; 8192]), Vec::new());
    let mut transfer = Transfer::new(Vec::new());
    transfer.before().extend_from_slice(b"head ");
    transfer.begin(body, in_chunks);
    let mut left = bytes;
    loop {
        match transfer.step(&mut input)? {
            Step::Done => return Ok(output),
            Step::Write => {
                let slices = transfer.slices(&input).concat();
                let n = slices.len().min(write);
                output.extend_from_slice(&slices[..n]);
                transfer.wrote(n, &mut input);
            }
            Step::Read if left.is_empty() => transfer.ended()?,
            Step::Read => {
                let n = input.put(&left[..left.len().min(read)]);
                left = &left[n..];
            }
        }
    }
}

fn unchunked(bytes: &[u8]) -> Vec<u8> {
    moved(Body::Chunked, false, bytes, (1000, 1000)).unwrap().split_off(5)
}

proptest! {
    #[test]
    fn any_bytes_read_the_same_whole_and_in_pieces(
        parts in prop::collection::vec(prop::sample::select(vec![
            "GET / HTTP/1.1", "\r\n", "\n", "\r", "Content-Length: 3", "abc", "0", "3", ";x",
            "Transfer-Encoding: chunked", "Upgrade: x", " ", ":", "P / HTTP/1.0", "\r\n\r\n",
        ]), 0..24),
        size in 1usize..9,
    ) {
        let bytes = parts.concat().into_bytes();
        prop_assert_eq!(Reading::of(&[&bytes]).unframed(), in_pieces(&bytes, size).unframed());
    }

    #[test]
    fn a_body_comes_through_any_framing_and_any_pace(
        body in prop::collection::vec(any::<u8>(), 1..20_000),
        pace in (1usize..9000, 1usize..9000),
    ) {
        let length = body.len() as u64;
        let plain = moved(Body::Length(length), false, &body, pace).unwrap();
        prop_assert_eq!(&plain[5..], &body[..]);
        let chunked = moved(Body::UntilClose, true, &body, pace).unwrap();
        prop_assert_eq!(&unchunked(&chunked[5..]), &body);
        let again = moved(Body::Chunked, true, &chunked[5..], pace).unwrap();
        prop_assert_eq!(&unchunked(&again[5..]), &body);
    }

    #[test]
    fn a_body_that_ends_early_never_looks_whole(
        body in prop::collection::vec(any::<u8>(), 1..9000),
        cut in any::<prop::sample::Index>(),
    ) {
        let cut = cut.index(body.len());
        let length = Body::Length(body.len() as u64);
        prop_assert_eq!(moved(length, true, &body[..cut], (100, 100)), Err(Violation::Early));
        let chunked = moved(length, true, &body, (100, 100)).unwrap().split_off(5);
        let cut = cut.min(chunked.len() - 1);
        prop_assert_eq!(moved(Body::Chunked, true, &chunked[..cut], (100, 100)), Err(Violation::Early));
    }
}

#[test]
fn of_a_head_that_is_too_large_whole_lines_are_read() {
    for (bytes, lines_max, expected) in [
        ("GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\nC", 9, Some("GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\n\r\n")),
        ("GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\n\r\n", 1, Some("GET / HTTP/1.1\r\nA: 1\r\n\r\n")),
        (
            "GET / HTTP/1.1\r\ncontent-length: 9\r\nTransfer-Encoding: chunked\r\nA: 1\r\n\r\nbody\r\n",
            9,
            Some("GET / HTTP/1.1\r\nA: 1\r\n\r\n"),
        ),
        ("GET / HTTP/1.1\r\nA: 1\nB: 2\r\n", 9, Some("GET / HTTP/1.1\r\n\r\n")),
        ("GET /aaaa", 9, None),
        ("", 9, None),
    ] {
        let readable = super::head::readable(bytes.as_bytes(), lines_max);
        assert_eq!(readable.as_deref(), expected.map(str::as_bytes), "{bytes}");
    }
}
