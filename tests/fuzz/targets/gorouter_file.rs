//! gorouter's configuration file.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| lattice_router::fuzzing::gorouter_file(text));
