//! What clients and endpoints say, in an access line.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], &[u8], &[u8], &str)| {
    lattice_router::fuzzing::access_line(input.0, input.1, input.2, input.3);
});
