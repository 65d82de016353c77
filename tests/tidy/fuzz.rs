//! The crate of fuzz targets, which no build of the workspace looks at.

use toml::{Table, Value};

use crate::repository::{File, Repository};

const MANIFEST: &str = "tests/fuzz/Cargo.toml";
const TARGETS: &str = "tests/fuzz/targets/";

pub(crate) fn faults(repository: &Repository) -> Vec<String> {
    let targets = repository.rust().filter_map(|file| file.path.strip_prefix(TARGETS));
    let targets: Vec<&str> = targets.filter_map(|name| name.strip_suffix(".rs")).collect();
    manifest_faults(repository.file(MANIFEST), repository.file("Cargo.toml"), &targets)
}

/// Each file is a target and each target a file; foreign crates have the workspace's versions, or
/// a reason beside them.
fn manifest_faults(manifest: &File, workspace: &File, targets: &[&str]) -> Vec<String> {
    let table: Table = manifest.text.parse().unwrap();
    let shared: Table = workspace.text.parse().unwrap();
    let bins = table["bin"].as_array().unwrap();
    let bins: Vec<&str> = bins.iter().filter_map(|bin| bin["name"].as_str()).collect();
    let unlisted = targets.iter().filter(|target| !bins.contains(target));
    let missing = bins.iter().filter(|bin| !targets.contains(bin));
    let mut faults: Vec<String> =
        unlisted.map(|target| format!("{TARGETS}{target}.rs is no target of {MANIFEST}")).collect();
    faults.extend(missing.map(|bin| format!("{MANIFEST}: the target {bin} has no file")));
    for (name, wanted) in table["dependencies"].as_table().unwrap() {
        if wanted.get("path").is_some() {
            continue;
        }
        let known = shared["workspace"]["dependencies"].get(name).map(version);
        if known.is_some_and(|known| known != version(wanted)) {
            faults.push(format!("{MANIFEST}: {name} has another version than in the workspace"));
        }
        let mut lines = manifest.text.lines();
        let line = lines.find(|line| line.split(' ').next() == Some(name.as_str()));
        if !line.is_some_and(|line| line.contains(" # ")) {
            faults.push(format!("{MANIFEST}: {name} has no reason in a comment beside it"));
        }
    }
    faults
}

fn version(wanted: &Value) -> Option<&str> {
    wanted.as_str().or_else(|| wanted.get("version")?.as_str())
}

#[test]
fn targets_without_files_files_without_targets_and_stray_versions_are_found() {
    let file = |text: &str| File { text: text.to_owned(), ..File::default() };
    let workspace = file("[workspace.dependencies]\na = { version = \"1\" }\n");
    let manifest = |dependency: &str| {
        file(&format!(
            "[[bin]]\nname = \"x\"\n[dependencies]\nours = {{ path = \".\" }}\n{dependency}"
        ))
    };
    for (dependency, targets, expected) in [
        ("a = \"1\" # why", &["x"][..], None),
        ("b = \"1\" # why", &["x"], None),
        ("a = \"1\" # why", &["x", "y"], Some("y.rs is no target")),
        ("a = \"1\" # why", &[], Some("x has no file")),
        ("a = \"2\" # why", &["x"], Some("another version")),
        ("b = \"1\"", &["x"], Some("no reason")),
    ] {
        let found = manifest_faults(&manifest(dependency), &workspace, targets);
        assert_eq!(found.is_empty(), expected.is_none(), "{dependency}: {found:?}");
        assert!(expected.is_none_or(|part| found[0].contains(part)), "{found:?}");
    }
}
