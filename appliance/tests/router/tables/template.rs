//! Texts with holes.
//!
//! | in a text | stands for |
//! |---|---|
//! | `<host>`, `<router>` | the row's host, the router's port |
//! | `<a>`, `<b>`, ... | the backends' ports |
//! | `<forwarded>`, `<app-a>`, `<answered>`, ... | the lines that every request or answer gains |
//! | `<uuid>`, `<date>`, `<ms>`, `<port>`, `<hex16>`, ... | whatever is one |
//! | `<uuid:id>` | the same, which is to be the same everywhere in the row |
//!
//! Any other text in brackets is itself.

use std::collections::BTreeMap;

/// Names, and what they stand for.
pub(super) type Names = BTreeMap<String, String>;

/// What stands for several lines.
const SHORT: &[(&str, &str)] = &[
    (
        "<forwarded>",
        "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Request-Start: <ms>\r\n\
         X-Vcap-Request-Id: <uuid>\r\n",
    ),
    ("<app-a>", "X-CF-ApplicationID: app\r\nX-CF-InstanceID: guid-a\r\nX-CF-InstanceIndex: 0\r\n"),
    ("<app-b>", "X-CF-ApplicationID: app\r\nX-CF-InstanceID: guid-b\r\nX-CF-InstanceIndex: 0\r\n"),
    ("<answered>", "X-Vcap-Request-Id: <uuid>\r\nDate: <date>\r\n"),
    ("<refused>", "Content-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n"),
];

/// How many bytes at a text's start are of a kind.
type Measure = fn(&str) -> Option<usize>;

const KINDS: &[(&str, Measure)] = &[
    ("uuid", |text| fits(text, "hhhhhhhh-hhhh-hhhh-hhhh-hhhhhhhhhhhh")),
    ("date", |text| fits(text, "aaa, 00 aaa 0000 00:00:00 GMT")),
    ("stamp", |text| fits(text, "0000-00-00T00:00:00.000000000Z")),
    ("ms", |text| fits(text, "0000000000000")),
    ("hex16", |text| fits(text, "hhhhhhhhhhhhhhhh")),
    ("hex32", |text| fits(text, "hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh")),
    ("port", |text| some(text, |c| c.is_ascii_digit())),
    ("seconds", |text| some(text, |c| c.is_ascii_digit() || c == '.')),
    ("reason", |text| some(text, |c| !c.is_control())),
    ("why", |text| some(text, |c| !c.is_control() && c != '"')),
];

/// Puts in what is known.
pub(super) fn fill(text: &str, names: &Names) -> String {
    let mut text = text.to_owned();
    for (short, long) in SHORT {
        text = text.replace(short, long);
    }
    for (name, value) in names.iter().filter(|(name, _)| !name.contains(':')) {
        text = text.replace(&format!("<{name}>"), value);
    }
    text
}

/// Whether a text is as its template says; what it adds to the names.
pub(super) fn check(template: &str, text: &str, names: &mut Names) -> Result<(), String> {
    let wanted = fill(template, names);
    let (mut left, mut rest) = (wanted.as_str(), text);
    while !left.is_empty() {
        let read = match hole(left) {
            Some((length, name, measure)) => {
                let taken = measure(rest).map(|taken| &rest[..taken]);
                let is_known = |taken: &&str| match name.contains(':') {
                    true => names.entry(name.to_owned()).or_insert((*taken).to_owned()) == *taken,
                    false => true,
                };
                taken.filter(is_known).map(|taken| (length, taken.len()))
            }
            None => {
                let length = left.chars().next().map_or(0, char::len_utf8);
                rest.starts_with(&left[..length]).then_some((length, length))
            }
        };
        let Some((of_template, of_text)) = read else {
            return Err(format!(
                "      wanted {wanted:?}\n      saw    {text:?}\n      from   {rest:?}"
            ));
        };
        (left, rest) = (&left[of_template..], &rest[of_text..]);
    }
    if rest.is_empty() {
        return Ok(());
    }
    Err(format!("      wanted {wanted:?}\n      saw    {text:?}\n      beyond {rest:?}"))
}

/// The hole that a text begins with: how long its name is with the brackets, the name, its kind.
fn hole(text: &str) -> Option<(usize, &str, Measure)> {
    let end = text.strip_prefix('<')?.find('>')? + 1;
    let name = &text[1..end];
    let kind = name.split(':').next()?;
    let (_, measure) = KINDS.iter().find(|(known, _)| *known == kind)?;
    Some((end + 1, name, *measure))
}

/// `h` is a digit of base 16, `0` one of base 10, `a` a letter.
fn fits(text: &str, shape: &str) -> Option<usize> {
    let start = text.get(..shape.len())?;
    let is_so = |(shape, c): (char, char)| match shape {
        'h' => matches!(c, '0'..='9' | 'a'..='f'),
        '0' => c.is_ascii_digit(),
        'a' => c.is_ascii_alphabetic(),
        exact => c == exact,
    };
    shape.chars().zip(start.chars()).all(is_so).then_some(shape.len())
}

fn some(text: &str, is_of_it: impl Fn(char) -> bool) -> Option<usize> {
    let end = text.find(|c| !is_of_it(c)).unwrap_or(text.len());
    (end > 0).then_some(end)
}

#[test]
fn a_hole_takes_what_is_of_its_kind_and_a_name_the_same_everywhere() {
    let of = |template: &str, text: &str| {
        let mut names = Names::from([("a".to_owned(), "80".to_owned())]);
        check(template, text, &mut names).is_ok()
    };
    for (template, text, is_so) in [
        ("x<port>y", "x12y", true),
        ("x<port>y", "xy", false),
        ("x<a>", "x80", true),
        ("x<a>", "x81", false),
        ("<html>", "<html>", true),
        ("<hex16:t> <hex16:t>", "00000000000000aa 00000000000000aa", true),
        ("<hex16:t> <hex16:t>", "00000000000000aa 00000000000000ab", false),
        ("<hex16> <hex16>", "00000000000000aa 00000000000000ab", true),
        ("a", "ab", false),
        ("ab", "a", false),
        ("Date: <date>.", "Date: Mon, 23 Nov 2026 12:00:00 GMT.", true),
        ("\"<why>\"", "\"a (b)\"", true),
    ] {
        assert_eq!(of(template, text), is_so, "{template} {text}");
    }
}
