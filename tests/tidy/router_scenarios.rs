//! The table of docs/router-scenarios.md is counted in the tests: how many rows the tests have that
//! play each of gorouter's families. `LATTICE_UPDATE_GOLDEN=1` writes it anew.

mod families;

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};
use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};

use crate::repository::Repository;
use crate::rust::is_for_tests;
use families::FAMILIES;

const PAGE: &str = "docs/router-scenarios.md";
const HEAD: &str =
    "| | family | original | ours | where | fewer, because |\n|---|---|---|---|---|---|\n";

/// A family of gorouter's cases.
struct Family {
    id: &'static str,
    name: &'static str,
    /// How many cases the original has.
    original: usize,
    /// The tests that play it: a file, and which of its tests; all where none is named.
    tests: &'static [(&'static str, &'static [&'static str])],
    /// Why ours are fewer, where they are.
    fewer: &'static str,
}

/// The table as it should be, and what is wrong with what it is counted from.
pub(crate) fn table(repository: &Repository) -> (String, Vec<String>) {
    let (mut table, mut faults) = (HEAD.to_owned(), Vec::new());
    let mut counted = BTreeSet::new();
    for family in FAMILIES {
        let mut ours = 0;
        for (path, names) in family.tests {
            let rows = match repository.files.iter().find(|file| file.path == *path) {
                Some(file) => rows_of_tests(&file.text),
                None => BTreeMap::new(),
            };
            let all: Vec<&str> = rows.keys().map(String::as_str).collect();
            for name in if names.is_empty() { &all } else { *names } {
                match rows.get(*name) {
                    Some(rows) => ours += rows,
                    None => {
                        faults.push(format!("{}: there is no test {name} in {path}", family.id))
                    }
                }
                if !counted.insert((path.to_string(), name.to_string())) {
                    faults.push(format!("{}: {name} of {path} is counted twice", family.id));
                }
            }
        }
        faults.extend(family.fault(ours));
        table.push_str(&family.line(ours));
    }
    (table, faults)
}

/// What the page has in its place.
pub(crate) fn shown(repository: &Repository) -> &str {
    let page = &repository.file(PAGE).text;
    let begin = page.find(HEAD).unwrap_or_else(|| panic!("{PAGE} has no table of families"));
    let end = page[begin..].find("\n\n").map_or(page.len(), |end| begin + end + 1);
    &page[begin..end]
}

/// Holds the page against the tests, or writes it anew.
pub(crate) fn faults(repository: &Repository) -> Vec<String> {
    let (table, mut faults) = table(repository);
    let shown = shown(repository);
    if shown == table {
        return faults;
    }
    if std::env::var_os("LATTICE_UPDATE_GOLDEN").is_some() {
        let page = repository.file(PAGE).text.replace(shown, &table);
        std::fs::write(repository.top.join(PAGE), page).unwrap();
        return faults;
    }
    faults.push(format!("{PAGE} is old: run with LATTICE_UPDATE_GOLDEN=1; it would be\n{table}"));
    faults
}

// === impl Family ===

impl Family {
    fn line(&self, ours: usize) -> String {
        let Self { id, name, original, fewer, .. } = self;
        let places: Vec<String> = self.tests.iter().map(|(path, _)| place(path)).collect();
        format!("| {id} | {name} | {original} | {ours} | {} | {fewer} |\n", places.join(", "))
    }

    /// A family with fewer cases than the original's says why, and only such a one.
    fn fault(&self, ours: usize) -> Option<String> {
        match (ours < self.original, self.fewer.is_empty()) {
            (true, true) => Some(format!("{}: {ours} of {} and no reason", self.id, self.original)),
            (false, false) => Some(format!("{}: a reason, and nothing to explain", self.id)),
            (true, false) | (false, true) => None,
        }
    }
}

/// A file as the page names it.
fn place(path: &str) -> String {
    let short = path
        .replace("appliance/tests/router/", "router/")
        .replace("router/tests/it/", "")
        .replace("router/src/", "");
    let short = short.trim_end_matches(".rs");
    format!("`{}`", short.trim_end_matches("/tests"))
}

/// How many rows each test of a file has: one, or where it goes through a table, as many as that
/// has. It may be a constant of the file, or what one of its functions gives.
fn rows_of_tests(source: &str) -> BTreeMap<String, usize> {
    let file = syn::parse_file(source).unwrap();
    let mut constants = Constants::default();
    constants.visit_file(&file);
    let mut tests = Tests { constants: constants.0, rows: BTreeMap::new() };
    tests.visit_file(&file);
    tests.rows
}

/// The tables that have names, and how long they are.
#[derive(Default)]
struct Constants(BTreeMap<String, usize>);

impl<'ast> Visit<'ast> for Constants {
    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        let mut longest = Longest::default();
        longest.visit_expr(&item.expr);
        self.0.insert(item.ident.to_string(), longest.rows);
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if gives_a_list(&item.sig.output) {
            let mut longest = Longest::default();
            longest.visit_block(&item.block);
            self.0.insert(item.sig.ident.to_string(), longest.rows);
        }
    }
}

fn gives_a_list(output: &syn::ReturnType) -> bool {
    match output {
        syn::ReturnType::Type(_, given) => match &**given {
            syn::Type::Array(_) => true,
            syn::Type::Path(path) => path.path.segments.last().is_some_and(|l| l.ident == "Vec"),
            _ => false,
        },
        syn::ReturnType::Default => false,
    }
}

/// The tests, and how many rows they have.
struct Tests {
    constants: BTreeMap<String, usize>,
    rows: BTreeMap<String, usize>,
}

impl<'ast> Visit<'ast> for Tests {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_for_tests(&item.attrs) {
            return;
        }
        let mut longest = Longest { constants: Some(&self.constants), rows: 1 };
        longest.visit_block(&item.block);
        self.rows.insert(item.sig.ident.to_string(), longest.rows);
    }

    /// A property is one row, whatever it is tried with.
    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        if item.path.is_ident("proptest") {
            let names = names_of_functions(item.tokens.clone());
            self.rows.extend(names.into_iter().map(|name| (name, 1)));
        }
    }
}

fn names_of_functions(tokens: TokenStream) -> Vec<String> {
    let mut is_name = false;
    let named = tokens.into_iter().filter_map(|token| {
        let TokenTree::Ident(word) = token else { return None };
        let was_name = std::mem::replace(&mut is_name, word == "fn");
        was_name.then(|| word.to_string())
    });
    named.collect()
}

/// The longest array, written out or named.
#[derive(Default)]
struct Longest<'c> {
    constants: Option<&'c BTreeMap<String, usize>>,
    rows: usize,
}

impl<'ast> Visit<'ast> for Longest<'_> {
    fn visit_expr_array(&mut self, array: &'ast syn::ExprArray) {
        self.rows = self.rows.max(array.elems.len());
        visit::visit_expr_array(self, array);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        let list = Punctuated::<syn::Expr, syn::Token![,]>::parse_terminated;
        if item.path.is_ident("vec")
            && let Ok(list) = item.parse_body_with(list)
        {
            self.rows = self.rows.max(list.len());
        }
    }

    fn visit_expr_path(&mut self, path: &'ast syn::ExprPath) {
        let name = path.path.get_ident().map(ToString::to_string);
        let named = name.and_then(|name| self.constants?.get(&name).copied());
        self.rows = self.rows.max(named.unwrap_or(0));
    }
}

#[test]
fn rows_are_those_of_the_longest_table_of_a_test() {
    let source = "const NAMED: &[u8] = &[1, 2, 3];\n\
        #[test] fn one() { assert!(true); }\n\
        #[test] fn three() { for row in NAMED { check(row); } }\n\
        #[tokio::test] async fn four() { check(&[(1, [0; 9]), (2, [0; 9]), f!(3), g()]).await; }\n\
        fn helps() { for _ in [1, 2] {} }\n\
        mod tests { #[test] fn two() { for (a, b) in [(1, NAMED.len()), (2, 3)] {} } }\n\
        proptest! { #[test] fn property(a in 0..3) { helps([1, 2]) } }\n\
        fn gives() -> Vec<u8> { vec![1, 2, 3, 4, 5] }\n\
        #[test] fn five() { for row in gives() { check(row); } helps(); }";
    let rows = rows_of_tests(source);
    let expected =
        [("five", 5), ("four", 4), ("one", 1), ("property", 1), ("three", 3), ("two", 3)];
    assert_eq!(rows, expected.map(|(name, n)| (name.to_owned(), n)).into());
}

#[test]
fn a_family_that_has_fewer_says_why_and_no_other_does() {
    let family = |fewer| Family { id: "S0", name: "", original: 5, tests: &[], fewer };
    for (fewer, ours, is_fault) in
        [("", 5, false), ("", 4, true), ("why", 4, false), ("why", 6, true), ("", 9, false)]
    {
        assert_eq!(family(fewer).fault(ours).is_some(), is_fault, "{fewer} {ours}");
    }
}
