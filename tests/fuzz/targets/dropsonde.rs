//! An envelope of a stranger: read or refused, and what was read survives being written again.
#![no_main]

use lattice_model::wire::dropsonde;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(envelope) = dropsonde::decode(bytes) else { return };
    let written = dropsonde::encode(&envelope);
    let again = dropsonde::decode(&written).expect("what was read can be written");
    assert_eq!(dropsonde::encode(&again), written);
});
