//! Questions of instances: whatever they hold, an answer is to the same question, and no message
//! is answered that could be an answer itself.
#![no_main]

use std::net::Ipv4Addr;

use lattice_cell::dns::zone::{Reply, Zone};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|query: &[u8]| {
    let zone = Zone::new(Ipv4Addr::new(10, 255, 0, 1), "apps.example.com");
    match zone.reply(query) {
        Reply::Known(answer) => {
            assert_eq!(answer[..2], query[..2]);
            assert_eq!(zone.reply(&answer), Reply::Silence);
        }
        Reply::Elsewhere => assert_eq!(query[2] & 0x80, 0),
        Reply::Silence => {}
    }
});
