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

/// Whether a file holds nothing but tests.
pub(crate) fn is_test(path: &str) -> bool {
    path.split('/').any(|part| part == "tests" || part == "tests.rs")
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
        syn::Meta::List(list) => {
            list.path.is_ident("cfg") && list.tokens.to_string().contains("test")
        }
        syn::Meta::NameValue(_) => false,
    })
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
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
fn items_for_tests_are_recognised() {
    let source =
        "fn a() {}\n#[cfg(test)]\nmod tests {\n}\n#[test]\nfn b() {}\n#[cfg(unix)]\nfn c() {}";
    assert_eq!(test_lines(&syn::parse_file(source).unwrap()), [2..=4, 5..=6]);
}
