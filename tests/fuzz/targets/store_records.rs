//! The store's records: what is read back from the file is what was written, and what was not
//! written by us is an error.
#![no_main]

use lattice_brain::store::parse_changes;
use lattice_model::{ActualLrp, DesiredLrp, Task};
use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;

fuzz_target!(|text: &str| {
    if let Ok(changes) = parse_changes(text) {
        let told = serde_json::to_string(&changes).expect("it is JSON");
        assert_eq!(parse_changes(&told).expect("we wrote it"), changes);
    }
    survives::<DesiredLrp>(text);
    survives::<ActualLrp>(text);
    survives::<Task>(text);
});

fn survives<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(text: &str) {
    if let Ok(record) = serde_json::from_str::<T>(text) {
        let told = serde_json::to_string(&record).expect("it is JSON");
        assert_eq!(serde_json::from_str::<T>(&told).expect("we wrote it"), record);
    }
}
