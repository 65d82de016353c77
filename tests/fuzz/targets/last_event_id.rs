//! The header with which a reader of events comes back. An id that is accepted is one that a brain
//! writes, to the letter.
#![no_main]

use lattice_api::brain::EventId;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(id) = text.parse::<EventId>() {
        assert_eq!(id.to_string(), text);
    }
    // Any eight and eight bytes are an id, and it is read as it was written.
    if let Some((life, rest)) = bytes.split_first_chunk()
        && let Some((sequence, _)) = rest.split_first_chunk()
    {
        let (life, sequence) = (u64::from_be_bytes(*life), u64::from_be_bytes(*sequence));
        let id = EventId { life, sequence };
        assert_eq!(id.to_string().parse(), Ok(id));
    }
});
