//! Dependencies: versions in one place, each with its reason, none without a user.

use std::collections::BTreeSet;

use toml::{Table, Value};

use crate::repository::{File, Repository};

/// Dependencies that a crate has for their features alone, so that its code does not name them.
const UNNAMED: &[(&str, &str)] = &[];

/// A crate of the workspace.
#[derive(Debug, Clone, Default)]
pub(crate) struct Member {
    /// Its folder.
    pub(crate) folder: String,
    /// Its manifest's text.
    pub(crate) manifest: String,
    /// All its Rust code.
    pub(crate) code: String,
}

pub(crate) fn members(repository: &Repository) -> Vec<Member> {
    let workspace: Table = repository.file("Cargo.toml").text.parse().unwrap();
    let listed = workspace["workspace"]["members"].as_array().unwrap();
    let folders: Vec<&str> = listed.iter().map(|folder| folder.as_str().unwrap()).collect();
    let owner = |path: &str| {
        let owners = folders.iter().filter(|folder| path.starts_with(&format!("{folder}/")));
        owners.max_by_key(|folder| folder.len()).copied()
    };
    let member = |folder: &&str| Member {
        folder: (*folder).to_owned(),
        manifest: repository.file(&format!("{folder}/Cargo.toml")).text.clone(),
        code: repository
            .rust()
            .filter(|file| owner(&file.path) == Some(folder))
            .map(|file| file.text.as_str())
            .collect(),
    };
    folders.iter().map(member).collect()
}

pub(crate) fn faults(workspace: &File, members: &[Member]) -> Vec<String> {
    let table: Table = workspace.text.parse().unwrap();
    let shared = table["workspace"]["dependencies"].as_table().unwrap();
    let used: BTreeSet<String> =
        members.iter().flat_map(|m| dependencies(m).keys().cloned().collect::<Vec<_>>()).collect();
    let mut faults = Vec::new();
    for (name, value) in shared {
        if value.get("path").is_some() {
            continue;
        }
        if !has_reason(&workspace.text, name) {
            faults.push(format!("{name} is a dependency without a reason in a comment beside it"));
        }
        if !used.contains(name) {
            faults.push(format!("{name} is a dependency that no crate uses"));
        }
    }
    faults.extend(members.iter().flat_map(member_faults));
    faults
}

fn member_faults(member: &Member) -> Vec<String> {
    let folder = &member.folder;
    let mut faults = Vec::new();
    for (name, value) in dependencies(member) {
        if value.get("workspace") != Some(&Value::Boolean(true)) {
            faults.push(format!("{folder}: {name} has a version of its own"));
        }
        let named = name.replace('-', "_");
        let is_unnamed = UNNAMED.contains(&(folder.as_str(), name.as_str()));
        if !is_unnamed && !has_word(&member.code, &named) {
            faults.push(format!("{folder}: {name} is a dependency that its code does not name"));
        }
    }
    faults
}

/// Every kind of dependency, those for some targets only included.
fn dependencies(member: &Member) -> Table {
    let manifest: Table = member.manifest.parse().unwrap();
    let mut found = Table::new();
    let targets = manifest.get("target").and_then(Value::as_table);
    let targets = targets.into_iter().flat_map(Table::values).filter_map(Value::as_table);
    for table in std::iter::once(&manifest).chain(targets) {
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let dependencies = table.get(kind).and_then(Value::as_table);
            found.extend(dependencies.cloned().unwrap_or_default());
        }
    }
    found
}

fn has_reason(manifest: &str, name: &str) -> bool {
    let mut lines = manifest.lines().skip_while(|line| *line != "[workspace.dependencies]");
    let line = lines.find(|line| line.split_once(" = ").is_some_and(|(key, _)| key == name));
    let reason = line.and_then(|line| line.rsplit_once(" # "));
    reason.is_some_and(|(_, reason)| reason.trim().len() >= 4)
}

fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.split(|c| !is_part(c)).any(|found| found == word)
}

#[test]
fn a_dependency_without_reason_user_or_shared_version_is_found() {
    let ours = "[workspace.dependencies]\nlattice-x = { path = \"x\" }\n";
    let user = |manifest: &str, code: &str| Member {
        folder: "x".to_owned(),
        manifest: manifest.to_owned(),
        code: code.to_owned(),
    };
    let shared = "[dependencies]\na-b.workspace = true\n";
    for (dependency, member, expected) in [
        ("a-b = \"1\" # does this", user(shared, "use a_b::c;"), vec![]),
        ("a-b = \"1\"", user(shared, "use a_b::c;"), vec!["without a reason"]),
        ("a-b = \"1\" # x", user(shared, "use a_b::c;"), vec!["without a reason"]),
        ("a-b = \"1\" # does this", user("", ""), vec!["no crate uses"]),
        ("a-b = \"1\" # does this", user(shared, "use a_bc::d;"), vec!["does not name"]),
        (
            "a-b = \"1\" # does this",
            user("[dev-dependencies]\na-b = \"1\"\n", "a_b::c()"),
            vec!["version of its own"],
        ),
        (
            "a-b = \"1\" # does this",
            user("[target.'cfg(unix)'.dependencies]\na-b = \"1\"\n", "a_b::c()"),
            vec!["version of its own"],
        ),
    ] {
        let text = format!("{ours}{dependency}\n");
        let workspace = File { path: "Cargo.toml".to_owned(), text, ..File::default() };
        let found = faults(&workspace, std::slice::from_ref(&member));
        assert_eq!(found.len(), expected.len(), "{dependency} {member:?}: {found:?}");
        for (fault, part) in found.iter().zip(expected) {
            assert!(fault.contains(part), "{fault}");
        }
    }
}
