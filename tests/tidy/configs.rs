//! Configuration files that cannot be read, and scripts that are not sound.

use std::process::Command;

use crate::repository::{File, Repository};

const SET: &str = "set -euo pipefail";

/// Why a configuration file cannot be read, if it is one.
pub(crate) fn config_faults(file: &File) -> Vec<String> {
    let extension = file.path.rsplit_once('.').map_or("", |(_, extension)| extension);
    let error = match extension {
        "toml" | "lock" => file.text.parse::<toml::Table>().err().map(|e| e.to_string()),
        "json" => {
            serde_json::from_str::<serde_json::Value>(&file.text).err().map(|e| e.to_string())
        }
        "yml" | "yaml" => Some("nothing here reads YAML; write TOML or JSON".to_owned()),
        _ => None,
    };
    error.map(|error| format!("{}: {error}", file.path)).into_iter().collect()
}

/// What is wrong with a script, if it is one. A file that is only read by others has no `#!`.
pub(crate) fn script_faults(repository: &Repository, file: &File) -> Vec<String> {
    let is_script = is_bash(file);
    let is_part = file.path.ends_with(".sh");
    let mut faults = Vec::new();
    if is_script {
        faults.extend(form_faults(file));
    }
    if is_script || is_part {
        let path = repository.top.join(&file.path);
        let checked = Command::new("bash").arg("-n").arg(path).output().unwrap();
        if !checked.status.success() {
            let error = String::from_utf8_lossy(&checked.stderr).into_owned();
            faults.push(format!("{}: {}", file.path, error.trim()));
        }
    }
    faults
}

fn form_faults(file: &File) -> Vec<String> {
    let mut faults = Vec::new();
    if !file.is_executable {
        faults.push(format!("{}: is a script, but not executable", file.path));
    }
    let mut lines = file.text.lines().map(str::trim);
    if lines.find(|line| !line.is_empty() && !line.starts_with('#')) != Some(SET) {
        faults.push(format!("{}: does not begin with `{SET}`", file.path));
    }
    faults
}

fn is_bash(file: &File) -> bool {
    let first = file.text.lines().next().unwrap_or_default();
    first.starts_with("#!") && (first.ends_with("bash") || first.ends_with("/sh"))
}

#[test]
fn configuration_that_cannot_be_read_is_found() {
    for (path, text, expected) in [
        ("a.toml", "a = 1", 0),
        ("a.toml", "a = ", 1),
        ("Cargo.lock", "[", 1),
        ("a.json", "{\"a\": 1}", 0),
        ("a.json", "{a: 1}", 1),
        ("a.yml", "a: 1", 1),
        ("a.md", "a = ", 0),
        ("LICENSE", "[", 0),
    ] {
        let file = File { path: path.to_owned(), text: text.to_owned(), is_executable: false };
        assert_eq!(config_faults(&file).len(), expected, "{path} {text}");
    }
}

#[test]
fn scripts_that_are_not_sound_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let top = folder.path().to_owned();
    let repository = Repository { top, files: Vec::new() };
    let bash = "#!/usr/bin/env bash\n";
    for (path, text, is_executable, expected) in [
        ("good", format!("{bash}# What.\n\n{SET}\necho x\n"), true, &[][..]),
        ("part.sh", "echo x\n".to_owned(), false, &[]),
        ("other", "#!/usr/bin/env python3\n(".to_owned(), false, &[]),
        ("plain", format!("{bash}{SET}\n"), false, &["not executable"]),
        ("loose", format!("{bash}set -e\necho x\n"), true, &["does not begin"]),
        ("late", format!("{bash}cd /\n{SET}\n"), true, &["does not begin"]),
        ("broken", format!("{bash}{SET}\nif true\n"), true, &["syntax error"]),
        ("broken.sh", "if true\n".to_owned(), false, &["syntax error"]),
    ] {
        std::fs::write(repository.top.join(path), &text).unwrap();
        let file = File { path: path.to_owned(), text, is_executable };
        let found = script_faults(&repository, &file);
        assert_eq!(found.len(), expected.len(), "{path}: {found:?}");
        for (fault, part) in found.iter().zip(expected) {
            assert!(fault.contains(part), "{fault}");
        }
    }
}
