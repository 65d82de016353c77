//! Rust source as tokens with lines, and which of them are tests.

use std::ops::RangeInclusive;
use std::str::FromStr as _;

use proc_macro2::{TokenStream, TokenTree};
use syn::spanned::Spanned as _;

/// A word or a sign, without the literals between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) line: usize,
    pub(crate) text: String,
}

/// Crates under `tests/` that are products of their own.
const PRODUCTS: &[&str] = &["tests/simulation/", "tests/lattice-app/"];

/// Whether a file holds nothing but tests.
pub(crate) fn is_test(path: &str) -> bool {
    let inner = PRODUCTS.iter().find_map(|product| path.strip_prefix(product)).unwrap_or(path);
    inner.split('/').any(|part| part == "tests" || part == "tests.rs")
}

/// The words and signs of a source, in order; comments and literals have none.
pub(crate) fn tokens(source: &str) -> Vec<Token> {
    let mut flat = Vec::new();
    flatten(TokenStream::from_str(source).unwrap(), &mut flat);
    flat
}

fn flatten(stream: TokenStream, into: &mut Vec<Token>) {
    for tree in stream {
        let line = tree.span().start().line;
        match tree {
            TokenTree::Group(group) => flatten(group.stream(), into),
            TokenTree::Ident(ident) => into.push(Token { line, text: ident.to_string() }),
            TokenTree::Punct(sign) => into.push(Token { line, text: sign.to_string() }),
            TokenTree::Literal(_) => {}
        }
    }
}

/// The lines of every item that is compiled for tests only.
pub(crate) fn test_lines(file: &syn::File) -> Vec<RangeInclusive<usize>> {
    let tests = file.items.iter().filter(|item| is_for_tests(attributes(item)));
    tests.map(|item| item.span().start().line..=item.span().end().line).collect()
}

pub(crate) fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::Path(path) => path.segments.last().is_some_and(|last| last.ident == "test"),
        syn::Meta::List(list) => list.path.is_ident("cfg") && is_test_only(&list.tokens),
        syn::Meta::NameValue(_) => false,
    })
}

/// Whether a condition demands tests: `test`, or `all(test, ...)`.
fn is_test_only(condition: &TokenStream) -> bool {
    let mut words = Vec::new();
    flatten(condition.clone(), &mut words);
    let has = |word: &str| words.iter().any(|token| token.text == word);
    has("test") && !has("not") && !has("any")
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

#[test]
fn comments_and_literals_are_no_tokens() {
    let found = tokens("/// tokio::x\nfn f() { // std::fs\n let _ = \"rand::\"; a.await }");
    let texts: Vec<&str> = found.iter().map(|token| token.text.as_str()).collect();
    assert_eq!(texts, ["#", "doc", "=", "fn", "f", "let", "_", "=", ";", "a", ".", "await"]);
    assert_eq!(found.last().unwrap().line, 3);
}

#[test]
fn files_of_tests_are_recognised() {
    for (path, expected) in [
        ("brain/src/board/tests.rs", true),
        ("brain/tests/http.rs", true),
        ("tests/tidy/main.rs", true),
        ("tests/simulation/tests/long.rs", true),
        ("tests/simulation/src/lib.rs", false),
        ("brain/src/attests.rs", false),
    ] {
        assert_eq!(is_test(path), expected, "{path}");
    }
}

#[test]
fn items_for_tests_are_recognised() {
    for (item, expected) in [
        ("#[cfg(test)] mod tests {}", true),
        ("#[cfg(all(test, unix))] const A: u8 = 1;", true),
        ("#[test] fn a() {}", true),
        ("#[tokio::test] async fn a() {}", true),
        ("fn a() {}", false),
        ("#[cfg(not(test))] fn a() {}", false),
        ("#[cfg(feature = \"test\")] fn a() {}", false),
        ("#[cfg(unix)] fn a() {}", false),
    ] {
        let found = test_lines(&syn::parse_file(&format!("\n{item}\n")).unwrap());
        assert_eq!(found, if expected { vec![2..=2] } else { vec![] }, "{item}");
    }
    let source = "fn a() {}\n#[cfg(test)]\nmod tests {\n}\nfn b() {}";
    assert_eq!(test_lines(&syn::parse_file(source).unwrap()), [2..=4]);
}
