//! What a client sends, in two reads: where it is cut decides nothing, and where the scanner sees
//! whole requests, the parser behind it does not wait for more of the first.
#![no_main]

use httparse::{EMPTY_HEADER, Request, Status};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u16, &[u8])| {
    let (cut, bytes) = input;
    let is_whole = lattice_router::fuzzing::frame(bytes, cut.into());
    if is_whole && !bytes.iter().all(|b| b"\r\n".contains(b)) {
        let mut headers = [EMPTY_HEADER; 256];
        assert_ne!(Request::new(&mut headers).parse(bytes), Ok(Status::Partial));
    }
});
