//! tests/scenarios.md names, for every scenario of Diego's suites that concerns us, the tests that
//! play it or why none does; and what it names exists.

use std::ops::RangeInclusive;

use crate::repository::Repository;

/// Where the scenarios are told.
const PAGE: &str = "tests/scenarios.md";
/// What a row says of a scenario that no test plays; the reason follows.
const NOT_COVERED: &str = "not covered: ";
/// The scenarios that must be there: a letter and numbers.
const WANTED: &[(char, RangeInclusive<u32>)] = &[
    ('V', 1..=90),
    ('V', 95..=129),
    ('I', 1..=16),
    ('I', 39..=40),
    ('U', 1..=28),
    ('S', 1..=7),
    ('Z', 1..=6),
    ('B', 1..=3),
    ('C', 1..=13),
    ('L', 1..=5),
    ('E', 1..=3),
    ('R', 1..=7),
];

pub(crate) fn faults(repository: &Repository) -> Vec<String> {
    let rows = rows(&repository.file(PAGE).text);
    let mut faults = missing(&rows);
    for (id, covered_by) in &rows {
        let file = |path: &str| {
            let found = repository.files.iter().find(|file| file.path == path);
            found.map(|file| file.text.as_str())
        };
        faults.extend(row_faults(id, covered_by, file));
    }
    faults
}

/// The number of each scenario, and what its row says of who plays it.
fn rows(page: &str) -> Vec<(String, String)> {
    let cells = page.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let rows = cells.filter_map(|line| {
        let mut parts = line.split(" | ");
        let (id, _, covered_by) = (parts.next()?, parts.next()?, parts.next()?);
        Some((id.to_owned(), covered_by.to_owned()))
    });
    rows.filter(|(id, _)| !id.is_empty() && !id.starts_with('|')).collect()
}

fn missing(rows: &[(String, String)]) -> Vec<String> {
    let numbers = |(letter, numbers): &(char, RangeInclusive<u32>)| {
        let letter = *letter;
        numbers.clone().map(move |number| format!("{letter}{number}"))
    };
    let wanted = WANTED.iter().flat_map(numbers);
    let count = |id: &String| rows.iter().filter(|(of, _)| of == id).count();
    wanted
        .filter_map(|id| match count(&id) {
            0 => Some(format!("{PAGE}: {id} is missing")),
            1 => None,
            more => Some(format!("{PAGE}: {id} is there {more} times")),
        })
        .collect()
}

fn row_faults<'a>(
    id: &str,
    covered_by: &str,
    file: impl Fn(&str) -> Option<&'a str>,
) -> Vec<String> {
    if let Some(why) = covered_by.strip_prefix(NOT_COVERED) {
        let is_reason = !why.trim().is_empty();
        return (!is_reason)
            .then(|| format!("{PAGE}: {id} does not say why"))
            .into_iter()
            .collect();
    }
    let mut faults = Vec::new();
    for name in covered_by.split(", ") {
        let parts = name.strip_prefix('`').and_then(|name| name.strip_suffix('`'));
        let Some((path, test)) = parts.and_then(|name| name.split_once("::")) else {
            faults.push(format!("{PAGE}: {id}: {name} is not `FILE::TEST`"));
            continue;
        };
        match file(path) {
            None => faults.push(format!("{PAGE}: {id}: there is no {path}")),
            Some(text) if is_test_of(test, text) => {}
            Some(_) => faults.push(format!("{PAGE}: {id}: {path} has no {test}")),
        }
    }
    faults
}

/// True when the file has a function of this name, or hands the name to a macro that makes one.
fn is_test_of(name: &str, text: &str) -> bool {
    text.contains(&format!("fn {name}(")) || text.contains(&format!("    {name}: "))
}

#[test]
fn what_is_missing_in_the_table_of_scenarios_is_found() {
    let file = |path: &str| (path == "a.rs").then_some("fn a_test() {}\n    made: 0..1;");
    for (covered_by, expected) in [
        ("`a.rs::a_test`", None),
        ("`a.rs::a_test`, `a.rs::made`", None),
        ("not covered: the moon", None),
        ("not covered: ", Some("V1 does not say why")),
        ("a test", Some("V1: a test is not `FILE::TEST`")),
        ("`a.rs::a_tes`", Some("V1: a.rs has no a_tes")),
        ("`a.rs::a_test`, `b.rs::a_test`", Some("V1: there is no b.rs")),
    ] {
        let found = row_faults("V1", covered_by, file);
        let expected = expected.map(|fault| format!("{PAGE}: {fault}"));
        assert_eq!(found.first(), expected.as_ref(), "{covered_by}");
    }
    let rows =
        rows("| | Scenario | Played by |\n|---|---|---|\n| V1 | x | `a` |\n| V1 | y | `b` |\n");
    assert_eq!(rows.len(), 2, "{rows:?}");
    let faults = missing(&rows);
    assert_eq!(faults[0], format!("{PAGE}: V1 is there 2 times"));
    assert_eq!(faults[1], format!("{PAGE}: V2 is missing"));
}
