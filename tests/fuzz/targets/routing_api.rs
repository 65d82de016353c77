//! Listings and events of a routing API.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| lattice_router::fuzzing::routing_api(bytes));
