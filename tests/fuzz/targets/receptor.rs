//! The Receptor's bodies: a desired LRP, its change, a task, an action, and the answers a client
//! reads. What creates an LRP can be told and read again.
#![no_main]

use lattice_api::brain::bodies::{
    DesiredLrpResponse, action, desired_lrp, parse_json, parse_registry_credentials, task,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(body) = parse_json(bytes) else { return };
    if let Ok(lrp) = desired_lrp::parse_create(&body) {
        let told = serde_json::to_value(DesiredLrpResponse::from(&lrp)).expect("it is JSON");
        assert_eq!(desired_lrp::parse_response(&told).as_ref(), Ok(&lrp));
    }
    let _ = desired_lrp::parse_response(&body);
    let _ = desired_lrp::parse_update(&body);
    let _ = task::parse_create(&body);
    let _ = task::parse_response(&body);
    let _ = parse_registry_credentials(&body);
    if let Ok(read) = action::parse(&body) {
        let told = serde_json::to_value(&read).expect("it is JSON");
        assert_eq!(action::parse(&told), Ok(read));
    }
});
