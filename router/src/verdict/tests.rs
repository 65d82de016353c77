//! Every failure's words, and which of them are tried again.

use std::io;

use super::*;
use crate::config::HeaderRules;
use crate::proxy::answer::{Added, refuse};

/// What clients are told of each failure, byte for byte; the ends of lines are shown.
const ANSWERS: &str = include_str!("answers.txt");

fn every_failure() -> Vec<Failure> {
    let host = || "web.test".to_owned();
    let wanted = |whose| Failure::UnknownInstance {
        whose,
        index: "3".to_owned(),
        guid: "g".to_owned(),
        host: host(),
    };
    let mut all = vec![
        Failure::HealthCheck { is_ending: false },
        Failure::HealthCheck { is_ending: true },
        Failure::Challenge { answer: "token.thumb".to_owned() },
        Failure::UnknownRoute { host: host() },
        Failure::NoEndpoints { host: host() },
        Failure::PlatformHost { host: host() },
        Failure::Busy { host: host() },
        wanted(Whose::App),
        wanted(Whose::Process),
        Failure::MalformedInstance { whose: Whose::App },
        Failure::MalformedInstance { whose: Whose::Process },
        Failure::EmptyHost,
        Failure::MalformedHost,
        Failure::Ambiguous("why"),
        Failure::Malformed(Violation::Chunk),
        Failure::HeadTooLarge,
        Failure::BodyTooLarge { max: 1024 },
        Failure::MinorVersion,
        Failure::MajorVersion,
        Failure::Panicked,
        Failure::Expectation,
        Failure::Unsupported,
        Failure::Service(Obstacle::Disabled),
        Failure::ClientGone,
    ];
    let why = || "why".to_owned();
    let troubles = [
        Trouble::Dial("Connection refused (os error 111)".to_owned()),
        Trouble::DialTimeout,
        Trouble::DeadConnection,
        Trouble::Ended,
        Trouble::Reset { is_asked: true },
        Trouble::Garbled(why()),
        Trouble::Timeout,
        Trouble::Tls(Distrust::Handshake, why()),
        Trouble::Tls(Distrust::Name, why()),
        Trouble::Tls(Distrust::Certificate, why()),
        Trouble::Tls(Distrust::Ours, why()),
        Trouble::Tls(Distrust::Late, why()),
        Trouble::InstanceGone,
    ];
    all.extend(troubles.map(Failure::Endpoint));
    all
}

/// A change here is one that clients see. `LATTICE_UPDATE_GOLDEN=1` writes the file anew.
#[test]
fn every_failure_is_told_in_these_very_bytes() {
    let rules = HeaderRules::default();
    let mut told = String::new();
    for failure in every_failure() {
        let (answer, mut bytes) = (failure.answer(), Vec::new());
        let added = Added { keeps_alive: !answer.closes, ..Added::for_test(false, &rules) };
        refuse(&mut bytes, &answer, added);
        let bytes = String::from_utf8(bytes).unwrap().replace("\r\n", "\\r\\n\n");
        told.push_str(&format!("--- {failure:?}\n{bytes}\n"));
    }
    if std::env::var_os("LATTICE_UPDATE_GOLDEN").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/verdict/answers.txt");
        std::fs::write(path, &told).unwrap();
    }
    for (told, expected) in told.lines().zip(ANSWERS.lines()) {
        assert_eq!(told, expected);
    }
    assert_eq!(told.lines().count(), ANSWERS.lines().count());
}

#[test]
fn what_is_found_before_the_heads_size_is_looked_at_is_told_of_a_large_one_too() {
    let host = || "web.test".to_owned();
    for (failure, expected) in [
        (Failure::EmptyHost, true),
        (Failure::UnknownRoute { host: host() }, true),
        (Failure::NoEndpoints { host: host() }, true),
        (Failure::MalformedInstance { whose: Whose::App }, true),
        (Failure::MalformedHost, false),
        (Failure::Busy { host: host() }, false),
        (Failure::HeadTooLarge, false),
    ] {
        assert_eq!(failure.is_of_lookup(), expected, "{failure:?}");
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
        (Trouble::Ended, [true, false, false, false], false),
        (Trouble::Reset { is_asked: false }, [true; 4], true),
        (Trouble::Reset { is_asked: true }, [false; 4], true),
        (Trouble::Garbled(why()), [false; 4], false),
        (Trouble::Timeout, [false; 4], false),
        (Trouble::InstanceGone, [false; 4], false),
        (Trouble::Tls(Distrust::Handshake, why()), [true; 4], true),
        (Trouble::Tls(Distrust::Name, why()), [true; 4], true),
        (Trouble::Tls(Distrust::Certificate, why()), [true; 4], true),
        (Trouble::Tls(Distrust::Ours, why()), [true, false, false, true], true),
        (Trouble::Tls(Distrust::Late, why()), [true; 4], true),
    ] {
        let seen = [get, put, post, post_empty].map(|shape| trouble.may_retry(shape));
        assert_eq!(seen, retried, "{trouble:?}");
        assert_eq!(trouble.marks_endpoint(), marks, "{trouble:?}");
    }
}

#[test]
fn errors_of_reading_are_told_apart_by_what_came_before() {
    let dead = Trouble::DeadConnection;
    for (kind, is_asked, expected) in [
        (io::ErrorKind::ConnectionReset, true, Trouble::Reset { is_asked: true }),
        (io::ErrorKind::ConnectionReset, false, Trouble::Reset { is_asked: false }),
        (io::ErrorKind::UnexpectedEof, true, Trouble::Ended),
        (io::ErrorKind::UnexpectedEof, false, dead.clone()),
        (io::ErrorKind::BrokenPipe, false, dead),
        (io::ErrorKind::TimedOut, true, Trouble::Garbled("timed out".to_owned())),
    ] {
        assert_eq!(Trouble::of_reading(&kind.into(), is_asked), expected, "{kind:?}");
    }
}

#[test]
fn a_tls_connection_that_breaks_after_the_request_is_no_handshake_that_failed() {
    use rustls::AlertDescription::{BadCertificate, InternalError};
    for (alert, is_asked, expected) in [
        (InternalError, false, Some(Distrust::Handshake)),
        (InternalError, true, None),
        (BadCertificate, false, Some(Distrust::Ours)),
        (BadCertificate, true, Some(Distrust::Ours)),
    ] {
        let error = rustls::Error::AlertReceived(alert);
        let error = io::Error::new(io::ErrorKind::InvalidData, error);
        match (Trouble::of_reading(&error, is_asked), expected) {
            (Trouble::Tls(distrust, _), Some(expected)) => assert_eq!(distrust, expected),
            (Trouble::Garbled(why), None) => assert!(why.starts_with("tls: "), "{why}"),
            (other, _) => panic!("{alert:?} {is_asked}: {other:?}"),
        }
    }
}

#[test]
fn a_kept_connection_that_died_of_age_is_replaced_once() {
    let get = Shape { is_idempotent: true, has_body: false };
    let post = Shape { is_idempotent: false, has_body: true };
    for (trouble, expected) in [
        (Trouble::DeadConnection, [true, true]),
        (Trouble::Reset { is_asked: false }, [true, true]),
        (Trouble::Reset { is_asked: true }, [true, false]),
        (Trouble::Ended, [true, false]),
        (Trouble::Garbled("x".to_owned()), [false, false]),
        (Trouble::Timeout, [false, false]),
        (Trouble::Dial("x".to_owned()), [false, false]),
    ] {
        assert_eq!([get, post].map(|shape| trouble.is_of_old_age(shape)), expected, "{trouble:?}");
    }
}
