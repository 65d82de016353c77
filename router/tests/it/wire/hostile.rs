//! What two readers could read differently (facts 1.9, 1.10): it is refused before any endpoint
//! sees it, with one answer and the connection's end.

use super::{Case, GETS_OK, OK, SAW, Then, check};

/// A request that is refused, and of whose bytes nothing is taken for a second one.
const fn refused(
    about: &'static str,
    sends: &'static str,
    status: &'static [&'static str],
) -> Case {
    Case { about, sends, answers: &[OK], saw: &[], gets: status, then: Then::Closes }
}

const BAD: &[&str] = &["400"];

#[tokio::test]
async fn two_lengths_are_refused() {
    check(&[
        refused("CL before TE", "POST / HTTP/1.1\r\nHost: web.test\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG", BAD),
        refused("TE before CL", "POST / HTTP/1.1\r\nHost: web.test\r\nTransfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\nG", BAD),
        refused("CL 0 and TE", "POST / HTTP/1.1\r\nHost: web.test\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", BAD),
        refused("two CL", "POST / HTTP/1.1\r\nHost: web.test\r\nContent-Length: 6\r\nContent-Length: 5\r\n\r\nGET /x", BAD),
        refused("a list of CL", "POST / HTTP/1.1\r\nHost: web.test\r\nContent-Length: 6, 6\r\n\r\nGET /x", BAD),
        refused("a signed CL", "POST / HTTP/1.1\r\nHost: web.test\r\nContent-Length: +6\r\n\r\nGET /x", BAD),
        refused("a negative CL", "POST / HTTP/1.1\r\nHost: web.test\r\nContent-Length: -6\r\n\r\nGET /x", BAD),
        refused("a hexadecimal CL", "POST / HTTP/1.1\r\nHost: web.test\r\nContent-Length: 0x6\r\n\r\nGET /x", BAD),
        refused("CL with a blank inside", "POST / HTTP/1.1\r\nHost: web.test\r\nContent-Length: 1 0\r\n\r\nGET /x", BAD),
        refused("CL beyond 64 bits", "POST / HTTP/1.1\r\nHost: web.test\r\nContent-Length: 18446744073709551616\r\n\r\n", BAD),
    ])
    .await;
}

#[tokio::test]
async fn encodings_other_than_one_chunked_are_refused() {
    check(&[
        refused("two TE", "POST / HTTP/1.1\r\nHost: web.test\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", BAD),
        refused("TE then identity", "POST / HTTP/1.1\r\nHost: web.test\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", BAD),
        refused("a list of TE", "POST / HTTP/1.1\r\nHost: web.test\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", BAD),
        refused("chunked not last", "POST / HTTP/1.1\r\nHost: web.test\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", BAD),
        refused("TE nobody knows", "POST / HTTP/1.1\r\nHost: web.test\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", BAD),
        refused("TE with a tail", "POST / HTTP/1.1\r\nHost: web.test\r\nTransfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", BAD),
        refused("a blank before the colon", "POST / HTTP/1.1\r\nHost: web.test\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", BAD),
        refused("a vertical tab", "POST / HTTP/1.1\r\nHost: web.test\r\nTransfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n", BAD),
        refused("an empty TE", "POST / HTTP/1.1\r\nHost: web.test\r\nTransfer-Encoding:\r\n\r\n", BAD),
        refused("TE in HTTP/1.0", "POST / HTTP/1.0\r\nHost: web.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", BAD),
    ])
    .await;
}

#[tokio::test]
async fn lines_end_with_cr_lf_and_nothing_else() {
    check(&[
        refused("bare LF everywhere", "GET / HTTP/1.1\nHost: web.test\n\n", BAD),
        refused("bare LF after a header", "GET / HTTP/1.1\r\nHost: web.test\nX: y\r\n\r\n", BAD),
        refused("bare LF at the end", "GET / HTTP/1.1\r\nHost: web.test\r\n\n", BAD),
        refused("bare CR in a value", "GET / HTTP/1.1\r\nHost: web.test\r\nX: a\rb\r\n\r\n", BAD),
        refused("CR CR LF", "GET / HTTP/1.1\r\nHost: web.test\r\nX: a\r\r\n\r\n", BAD),
        refused("a NUL in a value", "GET / HTTP/1.1\r\nHost: web.test\r\nX: a\0b\r\n\r\n", BAD),
        refused("a folded value", "GET / HTTP/1.1\r\nHost: web.test\r\nX: a\r\n b\r\n\r\n", BAD),
        refused(
            "a folded encoding",
            "POST / HTTP/1.1\r\nHost: web.test\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
            BAD,
        ),
        refused(
            "a blank before the first header",
            "GET / HTTP/1.1\r\n Host: web.test\r\n\r\n",
            BAD,
        ),
        refused("a header without colon", "GET / HTTP/1.1\r\nHost: web.test\r\nX\r\n\r\n", BAD),
        refused("a header without name", "GET / HTTP/1.1\r\nHost: web.test\r\n: x\r\n\r\n", BAD),
        refused(
            "a line feed before the request",
            "\nGET / HTTP/1.1\r\nHost: web.test\r\n\r\n",
            BAD,
        ),
        Case {
            about: "an empty line before the request",
            sends: "\r\nGET / HTTP/1.1\r\nHost: web.test\r\n\r\n",
            answers: &[OK],
            saw: &[SAW],
            gets: &[GETS_OK],
            then: Then::Stays,
        },
    ])
    .await;
}

#[tokio::test]
async fn chunks_are_read_strictly_and_written_anew() {
    const HEAD_SAW: &str = "POST / HTTP/1.1 | host: web.test | transfer-encoding: chunked || hello";
    const fn passed(about: &'static str, sends: &'static str) -> Case {
        Case { about, sends, answers: &[OK], saw: &[HEAD_SAW], gets: &[GETS_OK], then: Then::Stays }
    }
    check(&[
        passed("a chunk extension", "POST / HTTP/1.1\r\nHost: web.test\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\"b\"\r\nhello\r\n0\r\n\r\n"),
        passed("leading zeros", "POST / HTTP/1.1\r\nHost: web.test\r\nTransfer-Encoding: chunked\r\n\r\n00005\r\nhello\r\n000\r\n\r\n"),
        passed("encoding in capitals", "POST / HTTP/1.1\r\nHost: web.test\r\nTransfer-Encoding: CHUNKED\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
    ])
    .await;
}

#[tokio::test]
async fn hosts_that_can_be_confused_are_refused() {
    check(&[
        refused("no host", "GET / HTTP/1.1\r\n\r\n", BAD),
        refused("two hosts", "GET / HTTP/1.1\r\nHost: web.test\r\nHost: web.test\r\n\r\n", BAD),
        refused(
            "two different hosts",
            "GET / HTTP/1.1\r\nHost: web.test\r\nHost: other.test\r\n\r\n",
            BAD,
        ),
        refused(
            "another host in the line",
            "GET http://other.test/ HTTP/1.1\r\nHost: web.test\r\n\r\n",
            BAD,
        ),
        refused(
            "a user in the line",
            "GET http://web.test@other.test/ HTTP/1.1\r\nHost: web.test\r\n\r\n",
            BAD,
        ),
        refused("another scheme", "GET ftp://web.test/ HTTP/1.1\r\nHost: web.test\r\n\r\n", BAD),
        refused("a path in the host", "GET / HTTP/1.1\r\nHost: web.test/evil\r\n\r\n", BAD),
        refused("a user in the host", "GET / HTTP/1.1\r\nHost: a@web.test\r\n\r\n", BAD),
        refused("a blank in the host", "GET / HTTP/1.1\r\nHost: web.test other.test\r\n\r\n", BAD),
        refused("two hosts in one", "GET / HTTP/1.1\r\nHost: web.test, other.test\r\n\r\n", BAD),
        refused("a target without slash", "GET web.test HTTP/1.1\r\nHost: web.test\r\n\r\n", BAD),
        refused("a fragment", "GET /a#b HTTP/1.1\r\nHost: web.test\r\n\r\n", BAD),
        refused("* for GET", "GET * HTTP/1.1\r\nHost: web.test\r\n\r\n", BAD),
    ])
    .await;
}

#[tokio::test]
async fn what_is_not_http_1_is_refused() {
    check(&[
        refused("HTTP/1.2", "GET / HTTP/1.2\r\nHost: web.test\r\n\r\n", BAD),
        refused("HTTP/2.5", "GET / HTTP/2.5\r\nHost: web.test\r\n\r\n", &["505"]),
        refused("HTTP/2 in advance", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", BAD),
        refused("HTTP/0.9", "GET /\r\n\r\n", BAD),
        refused("http in small letters", "GET / http/1.1\r\nHost: web.test\r\n\r\n", BAD),
        refused("two blanks", "GET  / HTTP/1.1\r\nHost: web.test\r\n\r\n", BAD),
        refused("a tab", "GET\t/ HTTP/1.1\r\nHost: web.test\r\n\r\n", BAD),
        refused("a blank at the end", "GET / HTTP/1.1 \r\nHost: web.test\r\n\r\n", BAD),
        refused("a NUL in the method", "G\0T / HTTP/1.1\r\nHost: web.test\r\n\r\n", BAD),
        refused("a TLS hello", "\x16\x03\x01\x02\0\x01\0\r\n\r\n", BAD),
        refused("CONNECT", "CONNECT web.test:80 HTTP/1.1\r\nHost: web.test:80\r\n\r\n", &["405"]),
        refused(
            "an expectation nobody knows",
            "POST / HTTP/1.1\r\nHost: web.test\r\nExpect: magic\r\nContent-Length: 2\r\n\r\nhi",
            &["417"],
        ),
    ])
    .await;
}

#[tokio::test]
async fn nothing_follows_a_refused_upgrade_that_came_too_early() {
    check(&[Case {
        about: "a request behind an upgrade",
        sends: "GET / HTTP/1.1\r\nHost: web.test\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: web.test\r\n\r\n",
        answers: &[OK],
        saw: &["GET / HTTP/1.1 | connection: upgrade | host: web.test | upgrade: x"],
        gets: &[GETS_OK],
        then: Then::Closes,
    }])
    .await;
}
