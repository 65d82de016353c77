//! Files, functions and parameter lists that are too long to be read at a glance.

use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

use crate::rust::is_for_tests;

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;
const PARAMETERS_MAX: usize = 5;

pub(crate) fn faults(path: &str, source: &str) -> Vec<String> {
    let file = syn::parse_file(source).unwrap_or_else(|e| panic!("{path}: {e}"));
    let mut functions = Functions { path, faults: Vec::new() };
    let lines = source.lines().count();
    if lines > FILE_LINES_MAX {
        functions.faults.push(format!("{path}: {lines} lines, at most {FILE_LINES_MAX}"));
    }
    functions.visit_file(&file);
    functions.faults
}

struct Functions<'a> {
    path: &'a str,
    faults: Vec<String>,
}

impl Functions<'_> {
    fn check_lines(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let lines = block.span().end().line - signature.span().start().line + 1;
        if lines > FUNCTION_LINES_MAX {
            let place = self.place(signature);
            self.faults.push(format!("{place} has {lines} lines, at most {FUNCTION_LINES_MAX}"));
        }
    }

    fn place(&self, signature: &syn::Signature) -> String {
        format!("{}:{}: {}", self.path, signature.span().start().line, signature.ident)
    }

    /// Counts the receiver as one, as clippy does.
    fn check_parameters(&mut self, signature: &syn::Signature) {
        let parameters = signature.inputs.len();
        if parameters > PARAMETERS_MAX {
            let (place, max) = (self.place(signature), PARAMETERS_MAX);
            self.faults.push(format!("{place} has {parameters} parameters, at most {max}"));
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_for_tests(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_for_tests(&item.attrs) {
            self.check_lines(&item.sig, &item.block);
            self.check_parameters(&item.sig);
            visit::visit_item_fn(self, item);
        }
    }

    /// What a trait demands is looked at where the trait stands.
    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if item.trait_.is_none() {
            for inner in &item.items {
                if let syn::ImplItem::Fn(function) = inner {
                    self.check_parameters(&function.sig);
                }
            }
        }
        visit::visit_item_impl(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.check_lines(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.check_lines(&item.sig, block);
        }
        self.check_parameters(&item.sig);
        visit::visit_trait_item_fn(self, item);
    }
}

#[test]
fn what_is_too_long_is_found() {
    let function = |lines: usize| format!("fn f() {{{}}}", "\n".repeat(lines - 1));
    let method = |lines: usize| format!("impl S {{\n{}\n}}", function(lines));
    let defaulted = |lines: usize| format!("trait T {{\n{}\n}}", function(lines));
    let in_tests = format!("#[cfg(test)]\nmod tests {{\n{}\n}}", function(71));
    for (source, expected) in [
        (function(70), None),
        (function(71), Some("x.rs:1: f has 71 lines, at most 70")),
        (format!("mod m {{\n{}\n}}", function(71)), Some("x.rs:2: f has 71 lines, at most 70")),
        (method(70), None),
        (method(71), Some("x.rs:2: f has 71 lines, at most 70")),
        (defaulted(71), Some("x.rs:2: f has 71 lines, at most 70")),
        (in_tests, None),
        ("fn f(a: A, b: B, c: C, d: D, e: E) {}".to_owned(), None),
        (
            "fn f(a: A, b: B, c: C, d: D, e: E, f: F) {}".to_owned(),
            Some("x.rs:1: f has 6 parameters, at most 5"),
        ),
        (
            "trait T { fn f(&self, b: B, c: C, d: D, e: E, f: F); }".to_owned(),
            Some("x.rs:1: f has 6 parameters, at most 5"),
        ),
        (
            "impl S { fn f(&self, b: B, c: C, d: D, e: E, f: F) {} }".to_owned(),
            Some("x.rs:1: f has 6 parameters, at most 5"),
        ),
        ("impl T for S { fn f(&self, b: B, c: C, d: D, e: E, f: F) {} }".to_owned(), None),
        ("// \n".repeat(500), None),
        ("// \n".repeat(501), Some("x.rs: 501 lines, at most 500")),
    ] {
        let found = faults("x.rs", &source);
        assert_eq!(found.first().map(String::as_str), expected, "{found:?}");
    }
}
