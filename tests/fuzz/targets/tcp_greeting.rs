//! The greeting of TLS, in which TCP routes look for a name.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| lattice_router::fuzzing::tcp_greeting(bytes));
