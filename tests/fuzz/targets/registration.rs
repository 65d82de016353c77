//! gorouter's registrations, one a line (`-` before one withdraws), into a router's table.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| lattice_router::fuzzing::register(bytes));
