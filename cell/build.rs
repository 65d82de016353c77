//! Builds `lattice-shim`, which stands beside containers and in them, for this program to carry:
//! cargo cannot yet make one program a part of another. It is built by a cargo of its own, in a
//! directory of its own, so that it has no more in it than it needs.

use std::env;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

const NAME: &str = "lattice-shim";

/// What it is made of, from this crate.
const SOURCES: [&str; 6] = [
    "shim/src",
    "shim/Cargo.toml",
    "shim/protocol",
    "../Cargo.toml",
    "../Cargo.lock",
    "../.cargo/config.toml",
];

/// What was meant for the program around it: a checker in the compiler's place, and flags.
const NOT_INHERITED: [&str; 4] =
    ["RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"];

fn main() {
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    let out = PathBuf::from(variable("OUT_DIR"));
    let program = build(&out.join("build"));
    let bytes = fs::read(&program)
        .unwrap_or_else(|e| panic!("cannot read {} after it was built: {e}", program.display()));
    fs::write(out.join(NAME), &bytes).expect("what a build script makes can be written");
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    println!("cargo::rustc-env=LATTICE_SHIM_HASH={:016x}", hasher.finish());
}

/// Builds it in `dir`, and says where it is.
fn build(dir: &Path) -> PathBuf {
    // Small for whoever runs it; quick to make for whoever works on it.
    let (profile, profile_dir) = match variable("PROFILE").as_str() {
        "release" => ("shim", "shim"),
        _ => ("dev", "debug"),
    };
    let target = variable("TARGET");
    let mut cargo = Command::new(variable("CARGO"));
    cargo.args(["build", "--quiet", "--locked", "--bin", NAME, "--profile", profile]);
    cargo.args(["--target", &target]).arg("--target-dir").arg(dir);
    // Wherever the cargo around this one builds, that place is locked.
    cargo.env("CARGO_BUILD_BUILD_DIR", dir);
    // Its manifest says which workspace, and the configuration there is the one that holds.
    cargo.current_dir(Path::new(&variable("CARGO_MANIFEST_DIR")).join("shim"));
    // Everyone carries it, and nobody steps through it.
    cargo.env("CARGO_PROFILE_DEV_DEBUG", "false").env("CARGO_PROFILE_DEV_STRIP", "symbols");
    for name in NOT_INHERITED {
        cargo.env_remove(name);
    }
    let status = cargo.status().unwrap_or_else(|e| panic!("cannot start cargo: {e}"));
    assert!(status.success(), "{NAME} cannot be built; cargo says above why");
    dir.join(target).join(profile_dir).join(NAME)
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name} for build scripts"))
}
