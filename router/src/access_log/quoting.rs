//! Texts of others as Go's `%q` writes them. Pure.

/// Appends a text so that nothing in it can end a field or a line, or reach a terminal as a control
/// sequence. What can be printed stays as it is.
pub(super) fn escape(out: &mut Vec<u8>, text: &[u8]) {
    let is_plain = |b: u8| (0x20..=0x7e).contains(&b) && b != b'"' && b != b'\\';
    // Looking at all of it takes less time than looking for the first that is not.
    if text.iter().fold(true, |all, &b| all & is_plain(b)) {
        return out.extend_from_slice(text);
    }
    for chunk in text.utf8_chunks() {
        chunk.valid().chars().for_each(|c| escape_char(out, c));
        chunk.invalid().iter().for_each(|&b| push_hex(out, "\\x", b.into(), 2));
    }
}

fn escape_char(out: &mut Vec<u8>, c: char) {
    let short = match c {
        '"' | '\\' => c,
        '\x07' => 'a',
        '\x08' => 'b',
        '\x0b' => 'v',
        '\x0c' => 'f',
        '\n' => 'n',
        '\r' => 'r',
        '\t' => 't',
        _ if is_printable(c) => return push(out, c),
        _ => {
            let number = u32::from(c);
            return match number {
                0..=0x1f | 0x7f => push_hex(out, "\\x", number, 2),
                0..=0xffff => push_hex(out, "\\u", number, 4),
                _ => push_hex(out, "\\U", number, 8),
            };
        }
    };
    out.push(b'\\');
    push(out, short);
}

/// Whether it is a letter, mark, number, sign or symbol, or the blank of ASCII. The standard library
/// knows, but says so only by how it writes a text; marks it escapes at a text's beginning alone.
fn is_printable(c: char) -> bool {
    let mut text = [b'a'; 5];
    let length = 1 + c.encode_utf8(&mut text[1..]).len();
    let written = std::str::from_utf8(&text[..length]).map(str::escape_debug);
    c == '\'' || written.is_ok_and(|mut written| written.nth(1) == Some(c))
}

fn push(out: &mut Vec<u8>, c: char) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

fn push_hex(out: &mut Vec<u8>, begin: &str, number: u32, digits: u32) {
    out.extend_from_slice(begin.as_bytes());
    for place in (0..digits).rev() {
        let digit = (number >> (4 * place)) & 15;
        out.extend(char::from_digit(digit, 16).map(|digit| digit as u8));
    }
}

#[test]
fn texts_are_written_as_go_writes_them() {
    for (text, expected) in [
        (&b"plain 'text' ~"[..], "plain 'text' ~"),
        (b"\"a\\b\"", r#"\"a\\b\""#),
        (b"\x07\x08\x0c\n\r\t\x0b", r"\a\b\f\n\r\t\v"),
        (b"\x00\x1b[31m\x7f", r"\x00\x1b[31m\x7f"),
        ("äöü €, 日本 🙂".as_bytes(), "äöü €, 日本 🙂"),
        ("e\u{301}".as_bytes(), "e\u{301}"),
        ("\u{301}".as_bytes(), "\u{301}"),
        (
            "\u{85}\u{a0}\u{ad}\u{200b}\u{2028}\u{3000}\u{feff}".as_bytes(),
            r"\u0085\u00a0\u00ad\u200b\u2028\u3000\ufeff",
        ),
        ("\u{e000}\u{e0001}".as_bytes(), r"\ue000\U000e0001"),
        ("\u{fffd}".as_bytes(), "\u{fffd}"),
        (b"\xff\xc3(\xe2\x82", r"\xff\xc3(\xe2\x82"),
    ] {
        let mut out = Vec::new();
        escape(&mut out, text);
        assert_eq!(std::str::from_utf8(&out), Ok(expected), "{text:?}");
    }
}
