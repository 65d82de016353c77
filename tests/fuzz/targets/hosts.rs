//! A route's uri, a request's target, and its host.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &str, &str)| {
    lattice_router::fuzzing::route_uri(input.0);
    lattice_router::fuzzing::asked(input.1, input.2);
});
