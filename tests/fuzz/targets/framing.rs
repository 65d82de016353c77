//! What a client sends, in two reads: where it is cut decides nothing, and where the router sees
//! whole requests, another parser does not wait for more of the first.
#![no_main]

use httparse::{EMPTY_HEADER, Request, Status};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u16, &[u8])| {
    let (cut, bytes) = input;
    let whole = &bytes[..lattice_router::fuzzing::requests(bytes, cut.into())];
    if !whole.iter().all(|b| b"\r\n".contains(b)) {
        let mut headers = [EMPTY_HEADER; 256];
        assert_ne!(Request::new(&mut headers).parse(whole), Ok(Status::Partial));
    }
});
