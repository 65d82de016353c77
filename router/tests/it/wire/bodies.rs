//! Where bodies end, both ways (family S4): lengths, chunks, trailers, and answers without body.

use super::{Case, GETS_OK, OK, SAW, Then, check};

const GET: &str = "GET / HTTP/1.1\r\nHost: web.test\r\n\r\n";

/// What an endpoint answers to a GET, and what the client gets of it.
const fn answer(
    about: &'static str,
    answers: &'static [&'static str],
    gets: &'static [&'static str],
    then: Then,
) -> Case {
    Case { about, sends: GET, answers, saw: &[SAW], gets, then }
}

#[tokio::test]
async fn answers_keep_their_framing() {
    check(&[
        answer("a length", &[OK], &[GETS_OK], Then::Stays),
        answer("no length: until the end", &["HTTP/1.1 200 OK\r\n\r\nok"], &["HTTP/1.1 200 OK | transfer-encoding: chunked || ok"], Then::Stays),
        answer("an endpoint of HTTP/1.0", &["HTTP/1.0 200 OK\r\n\r\nok"], &["HTTP/1.1 200 OK | transfer-encoding: chunked || ok"], Then::Stays),
        answer("chunks", &["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n"], &["HTTP/1.1 200 OK | transfer-encoding: chunked || ok"], Then::Stays),
        answer("chunks with extensions", &["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nok\r\n0\r\n\r\n"], &["HTTP/1.1 200 OK | transfer-encoding: chunked || ok"], Then::Stays),
        answer("trailers", &["HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n"], &["HTTP/1.1 200 OK | trailer: X-Sum | transfer-encoding: chunked || ok + X-Sum: 7"], Then::Stays),
        answer("a trailer that would frame", &["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nContent-Length: 9\r\nX-Sum: 7\r\n\r\n"], &["HTTP/1.1 200 OK | transfer-encoding: chunked || ok + X-Sum: 7"], Then::Stays),
        answer("204", &["HTTP/1.1 204 No Content\r\n\r\n"], &["HTTP/1.1 204 No Content"], Then::Stays),
        answer("304 with a length", &["HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"], &["HTTP/1.1 304 Not Modified | content-length: 9"], Then::Stays),
        answer("a length twice", &["HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok"], &[GETS_OK], Then::Stays),
        answer("bare line feeds", &["HTTP/1.1 200 OK\nContent-Length: 2\n\nok"], &[GETS_OK], Then::Stays),
        answer("a folded value", &["HTTP/1.1 200 OK\r\nX-A: b\r\n  c\r\nContent-Length: 2\r\n\r\nok"], &["HTTP/1.1 200 OK | content-length: 2 | x-a: b    c || ok"], Then::Stays),
        answer("no reason", &["HTTP/1.1 299\r\nContent-Length: 2\r\n\r\nok"], &["HTTP/1.1 299  | content-length: 2 || ok"], Then::Stays),
        answer("its own reason", &["HTTP/1.1 200 Fine, thanks\r\nContent-Length: 2\r\n\r\nok"], &["HTTP/1.1 200 Fine, thanks | content-length: 2 || ok"], Then::Stays),
        answer("no content type, and none is guessed", &["HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>"], &["HTTP/1.1 200 OK | content-length: 6 || <html>"], Then::Stays),
    ])
    .await;
}

#[tokio::test]
async fn answers_that_could_be_read_differently_are_the_endpoints_fault() {
    const BAD: &[&str] = &["502"];
    check(&[
        answer("two lengths", &["HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok"], BAD, Then::Stays),
        answer("a list of lengths", &["HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nok"], BAD, Then::Stays),
        answer("an encoding nobody knows", &["HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"], BAD, Then::Stays),
        answer("a NUL", &["HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\nok"], BAD, Then::Stays),
        answer("a blank before the colon", &["HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok"], BAD, Then::Stays),
        answer("not HTTP/1", &["HTTP/2 200 OK\r\nContent-Length: 2\r\n\r\nok"], BAD, Then::Stays),
        answer("no status", &["HTTP/1.1 OK\r\nContent-Length: 2\r\n\r\nok"], BAD, Then::Stays),
        answer("a length beside chunks, which win", &["HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"], &["HTTP/1.1 200 OK | transfer-encoding: chunked || ok"], Then::Stays),
        answer("bytes behind the answer", &["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n"], &[GETS_OK], Then::Stays),
    ])
    .await;
}

#[tokio::test]
async fn requests_keep_their_framing() {
    const fn upload(
        about: &'static str,
        sends: &'static str,
        saw: &'static [&'static str],
    ) -> Case {
        Case { about, sends, answers: &[OK], saw, gets: &[GETS_OK], then: Then::Stays }
    }
    check(&[
        upload("a length", "POST / HTTP/1.1\r\nHost: web.test\r\nContent-Length: 2\r\n\r\nhi", &["POST / HTTP/1.1 | content-length: 2 | host: web.test || hi"]),
        upload("a length twice", "POST / HTTP/1.1\r\nHost: web.test\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi", &["POST / HTTP/1.1 | content-length: 2 | host: web.test || hi"]),
        upload("a length of 0", "POST / HTTP/1.1\r\nHost: web.test\r\nContent-Length: 0\r\n\r\n", &["POST / HTTP/1.1 | content-length: 0 | host: web.test"]),
        upload("no body at all", "POST / HTTP/1.1\r\nHost: web.test\r\n\r\n", &["POST / HTTP/1.1 | host: web.test"]),
        upload("a GET with a body", "GET / HTTP/1.1\r\nHost: web.test\r\nContent-Length: 2\r\n\r\nhi", &["GET / HTTP/1.1 | content-length: 2 | host: web.test || hi"]),
        upload("chunks", "POST / HTTP/1.1\r\nHost: web.test\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", &["POST / HTTP/1.1 | host: web.test | transfer-encoding: chunked || hi"]),
        upload("trailers", "POST / HTTP/1.1\r\nHost: web.test\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n", &["POST / HTTP/1.1 | host: web.test | trailer: X-Sum | transfer-encoding: chunked || hi + X-Sum: 7"]),
        upload("a trailer that would route", "POST / HTTP/1.1\r\nHost: web.test\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nHost: other.test\r\nX-Forwarded-For: 9\r\n\r\n", &["POST / HTTP/1.1 | host: web.test | transfer-encoding: chunked || hi"]),
    ])
    .await;
}

#[tokio::test]
async fn heads_alone_are_answered_with_heads_alone() {
    check(&[Case {
        about: "HEAD, then HEAD",
        sends: "HEAD / HTTP/1.1\r\nHost: web.test\r\n\r\nHEAD /2 HTTP/1.1\r\nHost: web.test\r\n\r\n",
        answers: &["HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"],
        saw: &["HEAD / HTTP/1.1 | host: web.test", "HEAD /2 HTTP/1.1 | host: web.test"],
        gets: &["HTTP/1.1 200 OK | content-length: 9", "HTTP/1.1 200 OK | transfer-encoding: chunked"],
        then: Then::Stays,
    }])
    .await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_one_after_the_other() {
    check(&[Case {
        about: "three requests in one write",
        sends: "GET /1 HTTP/1.1\r\nHost: web.test\r\n\r\nPOST /2 HTTP/1.1\r\nHost: web.test\r\nContent-Length: 18\r\n\r\nGET /x HTTP/1.1\r\n\n\r\n\r\nGET /3 HTTP/1.1\r\nHost: web.test\r\n\r\n",
        answers: &["HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n3"],
        saw: &["GET /1 HTTP/1.1 | host: web.test", "POST /2 HTTP/1.1 | content-length: 18 | host: web.test || GET /x HTTP/1.1\r\n\n", "GET /3 HTTP/1.1 | host: web.test"],
        gets: &["HTTP/1.1 200 OK | content-length: 1 || 1", "HTTP/1.1 200 OK | content-length: 1 || 2", "HTTP/1.1 200 OK | content-length: 1 || 3"],
        then: Then::Stays,
    }])
    .await;
}

#[tokio::test]
async fn old_clients_get_what_they_can_read() {
    const V10: &str = "GET / HTTP/1.0\r\nHost: web.test\r\n\r\n";
    const KEEP: &str = "GET / HTTP/1.0\r\nHost: web.test\r\nConnection: keep-alive\r\n\r\n";
    const fn old(
        about: &'static str,
        sends: &'static str,
        answers: &'static [&'static str],
        gets: &'static [&'static str],
        then: Then,
    ) -> Case {
        Case { about, sends, answers, saw: &[SAW], gets, then }
    }
    const CHUNKS: &[&str] =
        &["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: y\r\n\r\n"];
    check(&[
        old("a length", V10, &[OK], &["HTTP/1.0 200 OK | content-length: 2 || ok"], Then::Closes),
        old("a length, kept", KEEP, &[OK], &["HTTP/1.0 200 OK | connection: keep-alive | content-length: 2 || ok"], Then::Stays),
        old("chunks are joined", V10, CHUNKS, &["HTTP/1.0 200 OK || ok"], Then::Closes),
        old("chunks end with the connection", KEEP, CHUNKS, &["HTTP/1.0 200 OK || ok"], Then::Closes),
        old("nothing informational", V10, &["HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"], &["HTTP/1.0 200 OK | content-length: 2 || ok"], Then::Closes),
    ])
    .await;
}
