//! What a registry and its token server answer: the challenge before the first zero byte, a token or
//! a refusal behind it. What goes on from here can stand in a header, or be shown to a person.
#![no_main]

use lattice_api::registry::auth::{Challenge, token_of};
use lattice_api::registry::document::{REFUSAL_CHARS_MAX, refusal};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let header = String::from_utf8_lossy(parts.next().unwrap_or_default());
    let body = parts.next().unwrap_or_default();
    if let Some(Challenge::Bearer { realm, service, scope }) = Challenge::parse(&header) {
        let values = [Some(realm), service, scope];
        assert!(values.iter().flatten().all(|value| header.contains(value.as_str())));
    }
    if let Some(token) = token_of(body) {
        assert!(!token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()));
    }
    if let Some(words) = refusal(body) {
        assert!(!words.is_empty() && words.chars().count() <= REFUSAL_CHARS_MAX);
        assert!(!words.chars().any(char::is_control));
    }
});
