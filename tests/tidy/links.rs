//! Links in documents that lead nowhere.

use std::path::{Component, Path, PathBuf};

use crate::repository::File;

/// Relative links of a document for which `exists` has nothing.
pub(crate) fn faults(file: &File, exists: impl Fn(&Path) -> bool) -> Vec<String> {
    if !file.path.ends_with(".md") {
        return Vec::new();
    }
    let links = file.text.lines().zip(1..).flat_map(|(line, n)| links(line).map(move |l| (l, n)));
    let dead = links.filter(|(link, _)| !exists(&target(&file.path, link)));
    dead.map(|(link, n)| format!("{}:{n}: {link} is not there", file.path)).collect()
}

/// What the links of a line lead to, without those to other sites and within the document.
fn links(line: &str) -> impl Iterator<Item = &str> {
    let ends = line.split("](").skip(1);
    let links = ends.filter_map(|rest| rest.split([')', '#', ' ']).next());
    links.filter(|link| !link.is_empty() && !link.contains(':'))
}

/// The link's path from the top, with `..` resolved; a link that starts with `/` starts there.
fn target(document: &str, link: &str) -> PathBuf {
    let folder = Path::new(document).parent().unwrap();
    let mut target = PathBuf::new();
    for component in folder.join(link).components() {
        match component {
            Component::Normal(name) => target.push(name),
            Component::RootDir => target.clear(),
            Component::ParentDir if !target.pop() => return PathBuf::from("../outside"),
            Component::ParentDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    target
}

#[test]
fn links_that_lead_nowhere_are_found() {
    let exists = |path: &Path| ["README.md", "docs", "docs/a.md"].map(Path::new).contains(&path);
    for (path, text, expected) in [
        (
            "README.md",
            "[a](docs/a.md), [b](docs), [c](docs/a.md#part) [d](/docs/a.md \"title\")",
            0,
        ),
        ("docs/b.md", "[a](a.md) [b](../README.md) [c](./a.md)", 0),
        ("docs/b.md", "[a](https://example.org/b.md) [b](mailto:a@example.org) [c](#part)", 0),
        ("docs/b.rs", "[a](none.md)", 0),
        ("README.md", "[a](a.md)", 1),
        ("docs/b.md", "[a](docs/a.md)\n[b](../a.md#part)", 2),
        ("docs/b.md", "[a](a.md) and [b](b.md)", 1),
        ("docs/b.md", "[a](../../README.md)", 1),
    ] {
        let file = File { path: path.to_owned(), text: text.to_owned(), is_executable: false };
        let found = faults(&file, exists);
        assert_eq!(found.len(), expected, "{path} {text}: {found:?}");
    }
}
