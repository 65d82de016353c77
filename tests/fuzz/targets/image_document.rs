//! A registry's documents: index, manifest and configuration.
#![no_main]

use lattice_api::registry::{ImageDocument, Index, Manifest};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(index) = serde_json::from_slice::<Index>(bytes) {
        let chosen = index.choose("amd64");
        assert!(chosen.is_none_or(|chosen| index.manifests.contains(chosen)));
        assert!(!index.platforms().is_empty());
    }
    if let Ok(manifest) = serde_json::from_slice::<Manifest>(bytes)
        && manifest.check().is_ok()
    {
        let written = serde_json::to_vec(&manifest).expect("a manifest is JSON");
        assert_eq!(serde_json::from_slice::<Manifest>(&written).ok(), Some(manifest));
    }
    if let Ok(document) = serde_json::from_slice::<ImageDocument>(bytes) {
        assert!(document.config.env_vars().iter().all(|var| !var.name.is_empty()));
        assert!(document.config.tcp_ports().is_sorted());
    }
});
