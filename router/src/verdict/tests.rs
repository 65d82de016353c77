//! Every failure's words, and which of them are tried again.

use super::*;

#[test]
fn every_failure_has_its_status_and_words() {
    let host = || "web.test".to_owned();
    let refused = Trouble::Dial("Connection refused (os error 111)".to_owned());
    for (failure, expected) in [
        (
            Failure::HealthCheck { is_ending: false },
            "Client - | ok | private, max-age=0 | closes=false",
        ),
        (
            Failure::HealthCheck { is_ending: true },
            "Client - |  | private, max-age=0 | closes=false",
        ),
        (
            Failure::Challenge { answer: "token.thumb".to_owned() },
            "Client - | token.thumb | no-cache, no-store | closes=false",
        ),
        (
            Failure::UnknownRoute { host: host() },
            "Route unknown_route | 404 Not Found: Requested route ('web.test') does not \
             exist. | no-cache, no-store | closes=false",
        ),
        (
            Failure::NoEndpoints { host: host() },
            "Route no_endpoints | 503 Service Unavailable: Requested route ('web.test') has \
             no available endpoints. | public,max-age=2 | closes=false",
        ),
        (
            Failure::PlatformHost { host: host() },
            "Client platform_host | 403 Forbidden: Requested route ('web.test') is not \
             served to instances. | no-cache, no-store | closes=false",
        ),
        (
            Failure::Busy { host: host() },
            "Route Connection Limit Reached | 503 Service Unavailable: Requested route \
             ('web.test') has reached the connection limit. | - | closes=false",
        ),
        (
            Failure::UnknownInstance {
                whose: Whose::App,
                index: "3".to_owned(),
                guid: "g".to_owned(),
                host: host(),
            },
            "Route unknown_route | 400 Bad Request: Requested instance ('3') with guid ('g') does \
             not exist for route ('web.test') | no-cache, no-store | closes=false",
        ),
        (
            Failure::MalformedInstance { whose: Whose::Process },
            "Client invalid_cf_process_instance_header | 400 Bad Request: Invalid \
             X-CF-Process-Instance Header | no-cache, no-store | closes=false",
        ),
        (
            Failure::EmptyHost,
            "Client empty_host | 400 Bad Request: Request had empty Host header | \
             public,max-age=2 | closes=false",
        ),
        (
            Failure::MalformedHost,
            "Client - | 400 Bad Request: malformed Host header | - | closes=true",
        ),
        (
            Failure::Ambiguous("why"),
            "Client ambiguous_request | 400 Bad Request: why | - | closes=true",
        ),
        (
            Failure::Unsupported,
            "Client unsupported_method | 405 Method Not Allowed: the router carries no \
             CONNECT | - | closes=true",
        ),
        (
            Failure::Malformed(Violation::Chunk),
            "Client malformed_request | 400 Bad Request: a chunk is malformed | - | closes=true",
        ),
        (Failure::HeadTooLarge, "Client max-request-size-exceeded |  | - | closes=true"),
        (Failure::Expectation, "Client - |  | - | closes=true"),
        (Failure::ClientGone, "Client - | 499 Request Cancelled | - | closes=true"),
        (
            Failure::Endpoint(refused),
            "Endpoint endpoint_failure (dial: Connection refused (os error 111)) | 502 Bad \
             Gateway: Registered endpoint failed to handle the request. | - | closes=false",
        ),
        (
            Failure::Endpoint(Trouble::Timeout),
            "Endpoint endpoint_failure (context deadline exceeded) | 502 Bad Gateway: \
             Registered endpoint failed to handle the request. | - | closes=false",
        ),
    ] {
        let a = failure.answer();
        let error = a.error.as_deref().unwrap_or("-");
        let cache = a.cache_control.unwrap_or("-");
        let shown = format!("{:?} {error} | {} | {cache} | closes={}", a.fault, a.body, a.closes);
        assert_eq!(shown, expected);
    }
}

#[test]
fn the_body_names_the_status() {
    for failure in
        [Failure::EmptyHost, Failure::MalformedHost, Failure::Malformed(Violation::Length)]
    {
        let answer = failure.answer();
        assert!(answer.body.starts_with(&answer.status.to_string()), "{answer:?}");
    }
}

#[test]
fn only_what_cannot_have_been_used_is_tried_again() {
    let get = Shape { is_idempotent: true, has_body: false };
    let put = Shape { is_idempotent: true, has_body: true };
    let post = Shape { is_idempotent: false, has_body: true };
    let post_empty = Shape { is_idempotent: false, has_body: false };
    let why = || "x".to_owned();
    for (trouble, retried, marks) in [
        (Trouble::Dial(why()), [true, true, true, true], true),
        (Trouble::DialTimeout, [true, true, true, true], true),
        (Trouble::DeadConnection, [true, true, true, true], false),
        (Trouble::Closed(why()), [true, false, false, false], true),
        (Trouble::Garbled(why()), [false; 4], false),
        (Trouble::Timeout, [false; 4], false),
    ] {
        let seen = [get, put, post, post_empty].map(|shape| trouble.may_retry(shape));
        assert_eq!(seen, retried, "{trouble:?}");
        assert_eq!(trouble.marks_endpoint(), marks, "{trouble:?}");
    }
}
