//! Where the host's programs are, and how they are started.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The search path, with the places where Debian puts system programs.
pub(crate) fn search_path() -> OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin");
    path
}

/// The place of a program that has a bare name; one that is named by its place is looked for there
/// alone.
pub(crate) fn find(program: &Path) -> Option<PathBuf> {
    if program.components().count() > 1 {
        return program.is_file().then(|| program.to_owned());
    }
    let path = search_path();
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// A command of a program, named by its place: with a search path to be tried, the standard library
/// starts it from a copy of this process, which takes the longer the more instances there are.
pub(crate) fn command(program: &str) -> Command {
    Command::new(find(Path::new(program)).unwrap_or_else(|| program.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_where_the_system_has_its_own() {
        assert_eq!(find(Path::new("/nowhere/sh")), None);
        assert_eq!(find(Path::new("no-such-program-anywhere")), None);
        assert!(command("sh").get_program().to_str().unwrap().starts_with('/'));
        assert_eq!(command("no-such-program-anywhere").get_program(), "no-such-program-anywhere");
    }
}
