//! The PROXY protocol's header.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| lattice_router::fuzzing::preamble(bytes));
