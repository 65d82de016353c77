//! A client's cookies, and one that an endpoint sets.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &str)| lattice_router::fuzzing::cookies(input.0, input.1));
