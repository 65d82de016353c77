//! Access lines.

use std::time::Duration;

use lattice_model::Time;

use crate::access_log::{self, Line};

/// What is behind each letter of an escape, as Go reads it.
const LETTERS: [(u8, u8); 9] = [
    (b'"', b'"'),
    (b'\\', b'\\'),
    (b'a', 7),
    (b'b', 8),
    (b'f', 12),
    (b'n', b'\n'),
    (b'r', b'\r'),
    (b't', b'\t'),
    (b'v', 11),
];

/// Writes a line of these texts. It is one line without anything that a terminal would obey; who
/// reads it finds the fields where they are, and each text as it was.
pub fn access_line(target: &[u8], agent: &[u8], forwarded_for: &[u8], error: &str) {
    let mut text = Vec::new();
    access_log::write(&mut text, &line(target, agent, forwarded_for, error));
    assert!(!text.iter().any(|b| b.is_ascii_control()), "{}", String::from_utf8_lossy(&text));
    let fields = quoted(&text);
    assert_eq!(fields.len(), 12, "{}", String::from_utf8_lossy(&text));
    let request = [b"GET ".as_slice(), target, b" HTTP/1.1"].concat();
    for (field, whole) in [
        (&fields[0], request.as_slice()),
        (&fields[2], agent),
        (&fields[5], forwarded_for),
        (&fields[11], error.as_bytes()),
    ] {
        assert_eq!(field, if whole.is_empty() { b"-" } else { whole });
    }
}

fn line<'r>(
    target: &'r [u8],
    agent: &'r [u8],
    forwarded_for: &'r [u8],
    error: &'r str,
) -> Line<'r> {
    Line {
        host: b"web.test",
        at: Time(0),
        method: b"GET",
        target,
        version: "HTTP/1.1",
        status: 200,
        received: 1,
        sent: 2,
        referer: b"",
        user_agent: agent,
        client: "127.0.0.1:1",
        backend: "127.0.0.1:2",
        forwarded_for,
        forwarded_proto: b"http",
        request_id: b"id",
        took: Duration::ZERO,
        took_here: Duration::ZERO,
        app: "app",
        index: "0",
        instance_id: "guid",
        error,
        extra: &[],
        headers: &[],
    }
}

/// Every text in quotes, as Go reads it.
fn quoted(line: &[u8]) -> Vec<Vec<u8>> {
    let (mut fields, mut rest) = (Vec::new(), line);
    while let Some(begin) = memchr::memchr(b'"', rest) {
        let (field, behind) = unquoted(&rest[begin + 1..]).expect("a text ends");
        fields.push(field);
        rest = behind;
    }
    fields
}

/// The text up to the quote that ends it, and what is behind that.
fn unquoted(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut text = Vec::new();
    loop {
        match rest {
            [b'"', behind @ ..] => return Some((text, behind)),
            [b'\\', b'x', behind @ ..] => {
                text.push(u8::try_from(digits(behind, 2)?).ok()?);
                rest = &behind[2..];
            }
            [b'\\', size @ (b'u' | b'U'), behind @ ..] => {
                let digits_many = if *size == b'u' { 4 } else { 8 };
                let letter = char::from_u32(digits(behind, digits_many)?)?;
                text.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                rest = &behind[digits_many..];
            }
            [b'\\', letter, behind @ ..] => {
                text.push(LETTERS.iter().find(|(known, _)| known == letter)?.1);
                rest = behind;
            }
            [byte, behind @ ..] => {
                text.push(*byte);
                rest = behind;
            }
            [] => return None,
        }
    }
}

fn digits(text: &[u8], many: usize) -> Option<u32> {
    u32::from_str_radix(std::str::from_utf8(text.get(..many)?).ok()?, 16).ok()
}

#[cfg(test)]
proptest::proptest! {
    #[test]
    fn whatever_a_line_tells_can_be_read_back(
        target in "/[ -~\u{e9}\u{7f}\u{1}\n\"\\\\]{0,30}",
        agent in proptest::collection::vec(proptest::num::u8::ANY, 0..1200),
        forwarded_for in proptest::collection::vec(proptest::num::u8::ANY, 0..40),
        error in "[a-z\"\\\\\n ]{0,30}",
    ) {
        access_line(target.as_bytes(), &agent, &forwarded_for, &error);
    }
}
