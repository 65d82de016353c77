//! What comes back from a route service, and the URL that leads there.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], &[u8], &str)| {
    lattice_router::fuzzing::signature(input.0, input.1);
    lattice_router::fuzzing::service_url(input.2);
});
