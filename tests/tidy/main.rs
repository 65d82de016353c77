//! Rules that the repository is held to where neither the compiler nor a lint looks.
//!
//! Each rule is a function from what it looks at to a list of faults, with a table of samples that
//! shows that it can fail; the tests below hold it against the repository.
#![allow(clippy::unwrap_used, reason = "clippy knows tests, but not what helps them")]

mod configs;
mod dependencies;
mod fuzz;
mod layers;
mod links;
mod portable;
mod purity;
mod repository;
mod router_scenarios;
mod rust;
mod scenarios;
mod sizes;
mod words;

use repository::Repository;

/// Fails with every fault on a line of its own.
fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn crates_import_only_what_their_layer_may() {
    assert_none(&layers::faults(&layers::crates()));
}

#[test]
fn pure_places_touch_neither_clock_nor_machine() {
    assert_none(&purity::faults(&Repository::read()));
}

#[test]
fn what_ltc_is_made_of_is_fenced_where_it_is_for_unix_only() {
    assert_none(&portable::faults(&Repository::read()));
}

#[test]
fn every_scenario_is_played_or_says_why_not() {
    assert_none(&scenarios::faults(&Repository::read()));
}

#[test]
fn what_the_router_is_tested_against_is_counted_in_its_tests() {
    assert_none(&router_scenarios::faults(&Repository::read()));
}

#[test]
fn files_and_functions_are_small() {
    let repository = Repository::read();
    let product = repository.rust().filter(|file| !rust::is_test(&file.path));
    let faults = product.flat_map(|file| sizes::faults(&file.path, &file.text));
    assert_none(&faults.collect::<Vec<_>>());
}

#[test]
fn every_dependency_is_used_and_says_why_it_is_there() {
    let repository = Repository::read();
    let workspace = repository.file("Cargo.toml");
    let members = dependencies::members(&repository);
    assert_none(&dependencies::faults(workspace, &members));
}

#[test]
fn every_fuzz_target_is_built() {
    assert_none(&fuzz::faults(&Repository::read()));
}

#[test]
fn nothing_has_a_name_that_says_nothing() {
    let repository = Repository::read();
    let faults = repository.files.iter().flat_map(|file| words::name_faults(&file.path));
    assert_none(&faults.collect::<Vec<_>>());
}

#[test]
fn code_and_documents_use_the_words_of_the_field() {
    let repository = Repository::read();
    let faults = repository.files.iter().flat_map(words::word_faults);
    assert_none(&faults.collect::<Vec<_>>());
}

#[test]
fn nothing_unfinished_or_disabled_is_left_behind() {
    let repository = Repository::read();
    let faults = repository.files.iter().flat_map(words::leftover_faults);
    assert_none(&faults.collect::<Vec<_>>());
}

#[test]
fn no_shell_is_given_a_program_as_text() {
    let repository = Repository::read();
    let product = repository.rust().filter(|file| !rust::is_test(&file.path));
    assert_none(&product.flat_map(words::shell_faults).collect::<Vec<_>>());
}

#[test]
fn nothing_names_the_place_where_this_clone_lies() {
    let repository = Repository::read();
    let place = words::place_of(&repository.top);
    let faults = repository.files.iter().flat_map(|file| words::place_faults(file, &place));
    assert_none(&faults.collect::<Vec<_>>());
}

#[test]
fn every_link_leads_somewhere() {
    let repository = Repository::read();
    let exists = |path: &std::path::Path| repository.top.join(path).exists();
    let faults = repository.files.iter().flat_map(|file| links::faults(file, exists));
    assert_none(&faults.collect::<Vec<_>>());
}

#[test]
fn every_configuration_file_can_be_read() {
    let repository = Repository::read();
    let faults = repository.files.iter().flat_map(configs::config_faults);
    assert_none(&faults.collect::<Vec<_>>());
}

#[test]
fn scripts_are_sound() {
    let repository = Repository::read();
    let faults = repository.files.iter().flat_map(|file| configs::script_faults(&repository, file));
    assert_none(&faults.collect::<Vec<_>>());
}
