//! What only Unix has, in the crates that `ltc` is made of: it stands behind `#[cfg(unix)]`, so that
//! `ltc` can be built for other systems.

use std::ops::RangeInclusive;

use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

use crate::purity::{imports, joined};
use crate::repository::Repository;
use crate::rust::{Token, is_test, test_lines, tokens};

/// The crates, without their tests.
const PLACES: &[&str] = &["cli/src/", "foundation/api/src/", "foundation/model/src/"];

const UNIX_ONLY: &[&[&str]] = &[
    &["os", "::", "unix"],
    &["os", "::", "linux"],
    &["os", "::", "fd"],
    &["signal", "::", "unix"],
    &["libc", "::"],
    &["nix", "::"],
    &["rustix", "::"],
];

pub(crate) fn faults(repository: &Repository) -> Vec<String> {
    let mut faults = Vec::new();
    for place in PLACES {
        let mut files = repository.rust().filter(|file| file.path.starts_with(place)).peekable();
        if files.peek().is_none() {
            faults.push(format!("no file begins with {place}: has a crate of ltc's moved?"));
        }
        for file in files.filter(|file| !is_test(&file.path)) {
            faults.extend(source_faults(&file.path, &file.text));
        }
    }
    faults
}

fn source_faults(path: &str, source: &str) -> Vec<String> {
    let file = syn::parse_file(source).unwrap_or_else(|e| panic!("{path}: {e}"));
    let mut fences = Fences(test_lines(&file));
    fences.visit_file(&file);
    let mut words = tokens(source);
    words.extend(file.items.iter().flat_map(imports));
    words.retain(|token| !fences.0.iter().any(|lines| lines.contains(&token.line)));
    let words = joined(words);
    let mut faults = Vec::new();
    for unix_only in UNIX_ONLY {
        let is_hit = |window: &&[Token]| window.iter().map(|token| &token.text).eq(*unix_only);
        for hit in words.windows(unix_only.len()).filter(is_hit) {
            let fault = format!("{path}:{}: {} without cfg(unix)", hit[0].line, unix_only.concat());
            if !faults.contains(&fault) {
                faults.push(fault);
            }
        }
    }
    faults
}

/// The lines that are compiled for tests or for Unix only.
struct Fences(Vec<RangeInclusive<usize>>);

impl<'ast> Visit<'ast> for Fences {
    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}

    fn visit_item(&mut self, item: &'ast syn::Item) {
        let attributes = match item {
            syn::Item::Fn(item) => &item.attrs,
            syn::Item::Impl(item) => &item.attrs,
            syn::Item::Mod(item) => &item.attrs,
            syn::Item::Use(item) => &item.attrs,
            _ => return visit::visit_item(self, item),
        };
        match attributes.iter().any(is_for_unix) {
            true => self.0.push(item.span().start().line..=item.span().end().line),
            false => visit::visit_item(self, item),
        }
    }
}

fn is_for_unix(attribute: &syn::Attribute) -> bool {
    let condition = attribute.meta.require_list().ok().filter(|list| list.path.is_ident("cfg"));
    condition.is_some_and(|list| list.tokens.to_string() == "unix")
}

#[test]
fn what_is_for_unix_only_and_not_fenced_is_found() {
    for (source, expected) in [
        ("fn f() { std::os::unix::process::parent_id(); }", Some("os::unix")),
        ("use std::os::unix::fs::PermissionsExt;", Some("os::unix")),
        ("use std::{fs, os::fd::AsFd};", Some("os::fd")),
        ("fn f() { use tokio::signal::unix::signal; }", Some("signal::unix")),
        ("fn f() { unsafe { libc::getuid() }; }", Some("libc::")),
        ("#[cfg(not(unix))] fn f() { nix::unistd::getuid(); }", Some("nix::")),
        ("#[cfg(unix)] fn f() { use std::os::unix::fs::PermissionsExt; }", None),
        ("#[cfg(unix)] use std::os::unix::fs::PermissionsExt;", None),
        ("#[cfg(unix)] mod m { fn f() { libc::getuid(); } }", None),
        ("mod m { #[cfg(unix)] fn f() { libc::getuid(); } }", None),
        ("mod m { fn f() { libc::getuid(); } }", Some("libc::")),
        ("#[cfg(test)] mod tests { use std::os::unix::fs::PermissionsExt; }", None),
        ("fn f() { let libc = 1; my::os::other(); } // std::os::unix", None),
    ] {
        let found = source_faults("x.rs", source);
        let first = found.first().map(String::as_str).unwrap_or_default();
        assert_eq!(!found.is_empty(), expected.is_some(), "{source}: {found:?}");
        assert!(first.contains(expected.unwrap_or_default()), "{source}: {found:?}");
    }
}
