//! Answers before the answer (family S3): 100, 102, 103, and 101 that nobody asked for.

use super::{Case, GETS_OK, OK, SAW, Then, check};

#[tokio::test]
async fn informational_answers_are_relayed() {
    const GET: &str = "GET / HTTP/1.1\r\nHost: web.test\r\n\r\n";
    const fn relayed(
        about: &'static str,
        answers: &'static [&'static str],
        gets: &'static [&'static str],
    ) -> Case {
        Case { about, sends: GET, answers, saw: &[SAW], gets, then: Then::Stays }
    }
    check(&[
        relayed("103", &["HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: x\r\nX: 1\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"], &["HTTP/1.1 103 Early Hints | link: </a>", GETS_OK]),
        relayed("102 and 103", &["HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"], &["HTTP/1.1 102 Processing", "HTTP/1.1 103 Early Hints | link: </a>", GETS_OK]),
        relayed("a 100 that nobody expected", &["HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"], &["HTTP/1.1 100 Continue", GETS_OK]),
        relayed("too many", &["HTTP/1.1 103 A\r\n\r\nHTTP/1.1 103 A\r\n\r\nHTTP/1.1 103 A\r\n\r\nHTTP/1.1 103 A\r\n\r\nHTTP/1.1 103 A\r\n\r\nHTTP/1.1 103 A\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"], &["103", "103", "103", "103", "103", "502"]),
        relayed("a 101 that nobody asked for", &["HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"], &["502"]),
    ])
    .await;
}

#[tokio::test]
async fn bodies_wait_for_a_continue() {
    const EXPECT: &str =
        "POST / HTTP/1.1\r\nHost: web.test\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi";
    const SEEN: &[&str] =
        &["POST / HTTP/1.1 | content-length: 2 | expect: 100-continue | host: web.test || hi"];
    check(&[
        Case {
            about: "an endpoint that never says continue",
            sends: EXPECT,
            answers: &[OK],
            saw: SEEN,
            gets: &["HTTP/1.1 100 Continue", GETS_OK],
            then: Then::Stays,
        },
        Case {
            about: "an expectation without a body",
            sends: "POST / HTTP/1.1\r\nHost: web.test\r\nExpect: 100-continue\r\n\r\n",
            answers: &[OK],
            saw: &["POST / HTTP/1.1 | expect: 100-continue | host: web.test"],
            gets: &[GETS_OK],
            then: Then::Stays,
        },
    ])
    .await;
}
