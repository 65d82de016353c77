//! Which crate may import which: the table of ARCHITECTURE.md.

use cargo_metadata::{DependencyKind, MetadataCommand};

use crate::repository::manifest_dir;

/// A crate and those of ours that it may import, tests aside.
const LAYERS: &[(&str, &[&str])] = &[
    ("lattice-model", &[]),
    ("lattice-api", &["lattice-model"]),
    ("lattice-daemon", &["lattice-model", "lattice-api"]),
    ("lattice-brain", ROLE),
    ("lattice-cell", &["lattice-model", "lattice-api", "lattice-daemon", "lattice-shim-protocol"]),
    ("lattice-router", ROLE),
    ("lattice-log-aggregator", ROLE),
    ("lattice-shim", &["lattice-shim-protocol"]),
    ("lattice-shim-protocol", &[]),
    (
        "lattice-appliance",
        &[
            "lattice-model",
            "lattice-api",
            "lattice-daemon",
            "lattice-brain",
            "lattice-cell",
            "lattice-router",
            "lattice-log-aggregator",
        ],
    ),
    ("lattice-cli", &["lattice-model", "lattice-api"]),
    ("lattice-simulation", &["lattice-model", "lattice-api", "lattice-brain", "lattice-cell"]),
    ("lattice-app", &[]),
];

/// The roles never import each other.
const ROLE: &[&str] = &["lattice-model", "lattice-api", "lattice-daemon"];

/// Imports everything, and is imported by nothing.
const ALL_OF_THEM: &str = "lattice-tests";

/// A crate and what it imports of ours.
#[derive(Debug)]
pub(crate) struct Crate {
    pub(crate) name: String,
    pub(crate) imports: Vec<String>,
}

/// The crates of the workspace as their manifests say.
pub(crate) fn crates() -> Vec<Crate> {
    let manifest = manifest_dir().join("Cargo.toml");
    let mut command = MetadataCommand::new();
    command.manifest_path(manifest).no_deps().other_options(["--offline".to_owned()]);
    let packages = command.exec().unwrap().packages;
    let imports = |package: &cargo_metadata::Package| {
        let product = package.dependencies.iter().filter(|d| d.kind != DependencyKind::Development);
        let ours = product.filter(|dependency| dependency.path.is_some());
        ours.map(|dependency| dependency.name.clone()).collect()
    };
    let each = packages.iter();
    each.map(|p| Crate { name: p.name.to_string(), imports: imports(p) }).collect()
}

pub(crate) fn faults(crates: &[Crate]) -> Vec<String> {
    crates.iter().filter(|found| found.name != ALL_OF_THEM).flat_map(crate_faults).collect()
}

fn crate_faults(found: &Crate) -> Vec<String> {
    let Some((name, allowed)) = LAYERS.iter().find(|(name, _)| *name == found.name) else {
        return vec![format!("{} has no place in the table of layers", found.name)];
    };
    let foreign = found.imports.iter().filter(|import| !allowed.contains(&import.as_str()));
    foreign.map(|import| format!("{name} imports {import}, which its layer may not")).collect()
}

#[test]
fn an_import_across_the_layers_is_found() {
    for (name, imports, expected) in [
        ("lattice-api", &["lattice-model"][..], &[][..]),
        ("lattice-tests", &["lattice-cli", "lattice-brain"], &[]),
        ("lattice-model", &["lattice-api"], &["imports lattice-api"]),
        ("lattice-brain", &["lattice-cell"], &["imports lattice-cell"]),
        ("lattice-cli", &["lattice-api", "lattice-daemon"], &["imports lattice-daemon"]),
        ("lattice-router", &["lattice-tests"], &["imports lattice-tests"]),
        ("lattice-new", &[], &["no place"]),
    ] {
        let imports = imports.iter().map(|import| (*import).to_owned()).collect();
        let found = faults(&[Crate { name: name.to_owned(), imports }]);
        assert_eq!(found.len(), expected.len(), "{name}: {found:?}");
        for (fault, part) in found.iter().zip(expected) {
            assert!(fault.contains(part), "{fault}");
        }
    }
}

#[test]
fn the_manifests_are_read() {
    let crates = crates();
    let brain = crates.iter().find(|found| found.name == "lattice-brain").unwrap();
    assert!(brain.imports.contains(&"lattice-model".to_owned()), "{brain:?}");
}
