//! What stories stand on: a machine of their own, an appliance on it, a registry, images.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a broken fixture is a failed test")]

pub mod appliance;
pub mod image;
pub mod inside;
pub mod load;
pub mod machine;
pub mod neighbour;
pub mod person;
pub mod registry;
pub mod rest;
pub mod soak;
pub mod supervisor;
pub mod terminal;
pub mod web;

use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long a level may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `level` is reached and returns what it found; panics with the last finding after
/// `patience`.
pub fn eventually<T, E: std::fmt::Debug>(
    what: &str,
    patience: Duration,
    mut level: impl FnMut() -> Result<T, E>,
) -> T {
    let deadline = Instant::now() + patience;
    loop {
        match level() {
            Ok(found) => return found,
            Err(finding) if Instant::now() > deadline => {
                panic!("{what}: not within {patience:?}; last seen: {finding:?}")
            }
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// `Ok` when it holds, else the finding that shows why not.
pub fn expect<F>(holds: bool, finding: F) -> Result<(), F> {
    if holds { Ok(()) } else { Err(finding) }
}

/// A program of this workspace, built beside the test that runs.
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let dir = test.parent().expect("a program is in a directory");
    // Tests are in PROFILE/deps, programs in PROFILE itself.
    let dir = if dir.ends_with("deps") { dir.parent().expect("deps is in PROFILE") } else { dir };
    let program = dir.join(name);
    assert!(
        program.exists(),
        "{} is not built; build the whole workspace (`cargo build --workspace --bins`)",
        program.display()
    );
    program
}
