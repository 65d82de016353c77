//! What an endpoint answers: what the client gets of it is one head, and says the same.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (bool, &[u8])| lattice_router::fuzzing::answers(input.1, input.0));
