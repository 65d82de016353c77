//! What a router may be told to say otherwise (families S2, S6 and S20).

use lattice_router::{Config, ForwardedProto};

use super::{Case, OK, Then, check_with, seen};

#[tokio::test]
async fn the_clients_scheme_may_be_replaced() {
    let sanitize = |config: &mut Config| config.headers.forwarded_proto = ForwardedProto::Sanitize;
    check_with(
        sanitize,
        &[
            seen!("nothing said", "", "host: web.test"),
            seen!("https said", "X-Forwarded-Proto: https\r\n", "host: web.test"),
            seen!("http said", "X-Forwarded-Proto: http\r\n", "host: web.test"),
            seen!(
                "said twice",
                "X-Forwarded-Proto: https\r\nX-Forwarded-Proto: https\r\n",
                "host: web.test"
            ),
        ],
    )
    .await;
    let force = |config: &mut Config| config.headers.forwarded_proto = ForwardedProto::Https;
    check_with(
        force,
        &[
            seen!("nothing said", "", "host: web.test | x-forwarded-proto: https"),
            seen!(
                "http said",
                "X-Forwarded-Proto: http\r\n",
                "host: web.test | x-forwarded-proto: https"
            ),
            seen!(
                "https said",
                "X-Forwarded-Proto: https\r\n",
                "host: web.test | x-forwarded-proto: https"
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn some_headers_cannot_be_taken_away_by_connection() {
    let keep = |config: &mut Config| {
        let kept = ["X-Forwarded-For", "x-forwarded-proto", "X-Kept"];
        config.headers.not_of_hop = kept.map(str::to_owned).into();
    };
    check_with(
        keep,
        &[
            seen!(
                "XFF",
                "Connection: X-Forwarded-For\r\nX-Forwarded-For: 1.2.3.4\r\n",
                "host: web.test | x-forwarded-for: 1.2.3.4, 127.0.0.1"
            ),
            seen!(
                "XFP",
                "Connection: X-Forwarded-Proto\r\nX-Forwarded-Proto: https\r\n",
                "host: web.test | x-forwarded-proto: https"
            ),
            seen!(
                "one of two",
                "Connection: x-kept, x-lost\r\nX-Kept: 1\r\nX-Lost: 2\r\n",
                "host: web.test | x-kept: 1"
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn answers_may_be_rewritten() {
    const fn answer(
        about: &'static str,
        sends: &'static str,
        answers: &'static [&'static str],
        saw: &'static [&'static str],
        gets: &'static [&'static str],
    ) -> Case {
        Case { about, sends, answers, saw, gets, then: Then::Stays }
    }
    const GET: &str = "GET / HTTP/1.1\r\nHost: web.test\r\n\r\n";
    let rewrite = |config: &mut Config| {
        config.headers.removed_from_answers = vec!["x-lost".to_owned()];
        config.headers.added_to_answers = vec![("X-Added".to_owned(), "a".to_owned())];
    };
    check_with(
        rewrite,
        &[
            answer("added where it is not", GET, &[OK], &[super::SAW], &["HTTP/1.1 200 OK | content-length: 2 | x-added: a || ok"]),
            answer("left where it is", GET, &["HTTP/1.1 200 OK\r\nx-added: b\r\nContent-Length: 2\r\n\r\nok"], &[super::SAW], &["HTTP/1.1 200 OK | content-length: 2 | x-added: b || ok"]),
            answer("taken out, as often as it is there", GET, &["HTTP/1.1 200 OK\r\nX-LOST: b\r\nContent-Length: 2\r\nx-lost: c\r\n\r\nok"], &[super::SAW], &["HTTP/1.1 200 OK | content-length: 2 | x-added: a || ok"]),
            answer("added to the router's own", "GET / HTTP/1.1\r\nHost: nobody.test\r\n\r\n", &[], &[], &["HTTP/1.1 404 Not Found | cache-control: no-cache, no-store | content-length: 63 | content-type: text/plain; charset=utf-8 | x-added: a | x-cf-routererror: unknown_route | x-content-type-options: nosniff || 404 Not Found: Requested route ('nobody.test') does not exist.\n"]),
        ],
    )
    .await;
}

#[tokio::test]
async fn trace_ids_that_are_there_are_passed_on() {
    let trace = |config: &mut Config| config.headers.tracing.zipkin = true;
    check_with(
        trace,
        &[seen!(
            "b3",
            "b3: 463ac35c9f6413ad48485a3953bb6124-a2fb4a1d1a96d312-1\r\n",
            "b3: 463ac35c9f6413ad48485a3953bb6124-a2fb4a1d1a96d312-1 | host: web.test"
        )],
    )
    .await;
}
