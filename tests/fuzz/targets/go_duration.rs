//! Go's durations, read by the cell and by ltc: what is printed can be read, and means the same.
#![no_main]

use lattice_model::go_duration::{go_duration, parse_go_duration};
use lattice_cli::duration;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Some(read) = parse_go_duration(text) {
        assert!(!go_duration(read).is_empty());
    }
    if let Ok(read) = duration::parse(text) {
        assert_eq!(duration::parse(&duration::format(read)), Ok(read));
    }
});
