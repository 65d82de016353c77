//! The repository's text files.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// What is not ours to read, at whatever depth.
const SKIPPED: &[&str] = &[".git", "target", "node_modules"];

/// Everything in the clone that is text.
pub(crate) struct Repository {
    pub(crate) top: PathBuf,
    pub(crate) files: Vec<File>,
}

/// One text file.
#[derive(Debug, Clone, Default)]
pub(crate) struct File {
    /// Relative to the top, with slashes.
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) is_executable: bool,
}

// === impl Repository ===

impl Repository {
    pub(crate) fn read() -> Self {
        let top = manifest_dir().parent().unwrap().to_owned();
        let mut files = Vec::new();
        read_into(&mut files, &top, &top);
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Self { top, files }
    }

    pub(crate) fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.path.ends_with(".rs"))
    }

    pub(crate) fn file(&self, path: &str) -> &File {
        let found = self.files.iter().find(|file| file.path == path);
        found.unwrap_or_else(|| panic!("there is no {path}"))
    }
}

/// The folder of this crate in the clone that is tested. It is asked for when the tests run: clones
/// that share a target directory share this program.
pub(crate) fn manifest_dir() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo tells tests their folder").into()
}

fn read_into(files: &mut Vec<File>, top: &Path, folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        let path = entry.path();
        if SKIPPED.iter().any(|skipped| entry.file_name() == *skipped) {
            continue;
        }
        if kind.is_dir() {
            read_into(files, top, &path);
        } else if kind.is_file()
            && let Ok(text) = fs::read_to_string(&path)
        {
            let is_executable = entry.metadata().unwrap().permissions().mode() & 0o111 != 0;
            let path = path.strip_prefix(top).unwrap().to_str().unwrap().to_owned();
            files.push(File { path, text, is_executable });
        }
    }
}

#[test]
fn the_repository_is_read_without_what_is_built_in_it() {
    let repository = Repository::read();
    assert!(repository.file("tests/tidy/repository.rs").text.contains("fn the_repository_is_read"));
    let built = repository.files.iter().find(|file| file.path.starts_with("target/"));
    assert!(built.is_none(), "{built:?}");
}
