//! Names that say nothing, words that are not the field's, and what should not be left behind.

use std::path::{Component, Path};

use crate::repository::File;

/// This file must name what it looks for.
const HERE: &str = "tests/tidy/words.rs";

const EMPTY_NAMES: &[&str] =
    &["common", "util", "utils", "helper", "helpers", "manager", "managers", "misc"];
/// Figures of speech for components that have names.
const FOREIGN_WORDS: &[&str] = &["house", "houses", "rooms", "minds"];
/// These are such figures where something counts them; `no room left` and `keep in mind` are not.
const FOREIGN_WHEN_COUNTED: &[&str] = &["room", "mind"];
const COUNTING: &[&str] =
    &["a", "the", "this", "that", "each", "every", "another", "other", "one", "pure"];
const LEFTOVERS: &[&str] = &["todo!(", "dbg!(", "unimplemented!(", "#[ignore"];
/// Left behind where they stand alone; `mktemp` wants six of a letter.
const LEFTOVER_WORDS: &[&str] = &["FIXME", "XXX"];
/// Folders of every machine, which say nothing about whose it is.
const ANYWHERE: &[&str] = &["home", "opt", "root", "srv", "tmp", "usr", "var", "Users"];

/// Folders and files that are named for nothing.
pub(crate) fn name_faults(path: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if path == "mod.rs" || path.ends_with("/mod.rs") {
        faults.push(format!("{path}: name it for its folder, beside the folder"));
    }
    for part in path.split('/') {
        let name = part.split('.').next().unwrap_or_default().replace('_', "-");
        if name.split('-').any(|word| EMPTY_NAMES.contains(&word)) {
            faults.push(format!("{path}: {part} says nothing about what it holds"));
        }
    }
    faults
}

/// Words in code and documents that are not the field's.
pub(crate) fn word_faults(file: &File) -> Vec<String> {
    let is_read = file.path.ends_with(".rs") || file.path.ends_with(".md");
    if !is_read || file.path == HERE || file.path == "CHANGELOG.md" {
        return Vec::new();
    }
    let lines = file.text.lines().zip(1..);
    let hits = lines.filter_map(|(line, number)| Some((number, foreign_word(line)?)));
    hits.map(|(n, word)| format!("{}:{n}: `{word}` is not a word of ours", file.path)).collect()
}

fn foreign_word(line: &str) -> Option<String> {
    let words = words(line);
    let before = std::iter::once("").chain(words.iter().map(String::as_str));
    let mut pairs = before.zip(&words);
    let is_foreign = |before: &str, word: &str| {
        let is_counted = COUNTING.contains(&before) && FOREIGN_WHEN_COUNTED.contains(&word);
        is_counted || FOREIGN_WORDS.contains(&word)
    };
    pairs.find(|(before, word)| is_foreign(before, word)).map(|(_, word)| word.clone())
}

/// Marks of unfinished work.
pub(crate) fn leftover_faults(file: &File) -> Vec<String> {
    let is_read = [".rs", ".md", ".toml", ".sh"].iter().any(|end| file.path.ends_with(end))
        || file.text.starts_with("#!");
    if !is_read || file.path == HERE {
        return Vec::new();
    }
    let lines = file.text.lines().zip(1..);
    let hits = lines.filter_map(|(line, number)| Some((number, leftover(line)?)));
    hits.map(|(n, leftover)| format!("{}:{n}: {leftover} is left behind", file.path)).collect()
}

fn leftover(line: &str) -> Option<&'static str> {
    let has_word = |word: &&&str| line.split(|c: char| !c.is_alphanumeric()).any(|w| w == **word);
    let mark = LEFTOVERS.iter().find(|leftover| line.contains(**leftover));
    mark.or_else(|| LEFTOVER_WORDS.iter().find(has_word)).copied()
}

/// Programs that are run as a shell's text and not as an argument vector.
pub(crate) fn shell_faults(file: &File) -> Vec<String> {
    let text: String = file.text.split_whitespace().collect();
    let shells = ["sh", "bash", "/bin/sh", "/bin/bash"];
    let as_list = |shell: &str| text.contains(&format!("\"{shell}\",\"-c\""));
    let as_command = |shell: &str| text.contains(&format!("Command::new(\"{shell}\").arg"));
    let found = shells.iter().find(|shell| as_list(shell) || as_command(shell));
    let fault = |shell| format!("{}: runs {shell} with a program as text", file.path);
    found.map(fault).into_iter().collect()
}

/// The first part of a clone's path that tells it from another machine's.
pub(crate) fn place_of(top: &Path) -> String {
    let mut place = String::new();
    for component in top.components() {
        let Component::Normal(name) = component else { continue };
        let name = name.to_str().unwrap();
        place = format!("{place}/{name}");
        if !ANYWHERE.contains(&name) {
            break;
        }
    }
    format!("{place}/")
}

/// Mentions of the place where the clone lies: they mean nothing elsewhere.
pub(crate) fn place_faults(file: &File, place: &str) -> Vec<String> {
    let hits = file.text.lines().zip(1..).filter(|(line, _)| line.contains(place));
    hits.map(|(_, n)| format!("{}:{n}: names {place}, a place on this machine", file.path))
        .collect()
}

/// The words of prose and of identifiers in either case, in lower case.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for c in text.chars() {
        let is_hump = was_lower && c.is_uppercase();
        if !c.is_alphabetic() || is_hump {
            words.push(String::new());
        }
        was_lower = c.is_lowercase();
        if c.is_alphabetic() {
            words.last_mut().unwrap().extend(c.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.to_owned(), text: text.to_owned(), is_executable: false }
    }

    #[test]
    fn empty_names_are_found() {
        for (path, expected) in [
            ("brain/src/board.rs", 0),
            ("brain/src/commonality.rs", 0),
            ("brain/src/board/mod.rs", 1),
            ("mod.rs", 1),
            ("brain/src/common.rs", 1),
            ("foundation/util/src/lib.rs", 1),
            ("cell/src/image_utils.rs", 1),
            ("docs/misc/x.md", 1),
        ] {
            assert_eq!(name_faults(path).len(), expected, "{path}");
        }
    }

    #[test]
    fn foreign_words_are_found_whole_in_prose_and_identifiers() {
        for (path, text, expected) in [
            ("a.rs", "headroom, reminder, warehouse, Mindful", 0),
            ("a.rs", "fn make_room() {} // no room is left; keep it in mind", 0),
            ("a.txt", "the room", 0),
            ("CHANGELOG.md", "the room", 0),
            ("a.md", "Each Room.", 1),
            ("a.rs", "fn is_in_house() {}", 1),
            ("a.rs", "struct ServerRooms;", 1),
            ("a.rs", "// two rooms\n// a pure mind", 2),
        ] {
            assert_eq!(word_faults(&file(path, text)).len(), expected, "{path} {text}");
        }
    }

    #[test]
    fn what_is_left_behind_is_found() {
        for (path, text, expected) in [
            ("a.rs", "fn todo() {}", 0),
            ("a.json", "FIXME", 0),
            ("a.sh", "mktemp -d /tmp/x.XXXXXX", 0),
            ("a.rs", "// XXX: later", 1),
            ("a.rs", "todo!()", 1),
            ("a.rs", "dbg!(x);\nunimplemented!()", 2),
            ("a.rs", "#[ignore = \"slow\"]", 1),
            ("script/x", "#!/usr/bin/env bash\n# FIXME", 1),
        ] {
            assert_eq!(leftover_faults(&file(path, text)).len(), expected, "{path} {text}");
        }
    }

    #[test]
    fn programs_as_text_are_found() {
        for (text, expected) in [
            ("Command::new(\"nft\").arg(\"-c\")", 0),
            ("[\"tar\", \"-c\"]", 0),
            ("Command::new(\"sh\").arg(\"-c\")", 1),
            ("Command::new(\"/bin/bash\")\n    .args([\"-c\"])", 1),
            ("vec![\"sh\", \"-c\", text]", 1),
            ("vec![\n    \"/bin/sh\",\n    \"-c\",\n]", 1),
        ] {
            assert_eq!(shell_faults(&file("a.rs", text)).len(), expected, "{text}");
        }
    }

    #[test]
    fn the_place_of_a_clone_is_found_where_it_is_named() {
        for (top, expected) in [
            ("/data/clones/lattice", "/data/"),
            ("/home/somebody/lattice", "/home/somebody/"),
            ("/root/lattice", "/root/lattice/"),
            ("/tmp/x/lattice", "/tmp/x/"),
        ] {
            assert_eq!(place_of(Path::new(top)), expected);
        }
        let text = "see /data/clones/x\nand data/clones";
        assert_eq!(place_faults(&file("a.md", text), "/data/").len(), 1);
    }
}
