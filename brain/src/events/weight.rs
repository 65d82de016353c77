//! How much memory an event holds, by estimate. Pure.

use std::io;

use lattice_model::{ActualLrp, Event};
use serde::Serialize;

/// What the fixed parts of a record take.
const RECORD_BYTES: usize = 512;

/// Counts what is written to it.
#[derive(Debug, Default)]
struct Counter(usize);

/// The bytes that an event holds.
pub(super) fn of(event: &Event) -> usize {
    match event {
        Event::DesiredLrpCreated(lrp) | Event::DesiredLrpRemoved(lrp) => written(lrp),
        Event::DesiredLrpChanged { before, after } => written(before) + written(after),
        Event::ActualLrpCreated(row) | Event::ActualLrpRemoved(row) => instance(row),
        Event::ActualLrpChanged { before, after } => instance(before) + instance(after),
        Event::ActualLrpCrashed(crash) => RECORD_BYTES + crash.reason.len(),
        Event::TaskCreated(task) | Event::TaskRemoved(task) => written(task),
        Event::TaskChanged { before, after } => written(before) + written(after),
    }
}

/// Instances change more often than all else: this must cost nothing.
fn instance(row: &ActualLrp) -> usize {
    RECORD_BYTES + row.crash_reason.len()
}

fn written(record: &impl Serialize) -> usize {
    let mut counter = Counter::default();
    // What cannot be written is not counted, and is not lost either.
    let _ = serde_json::to_writer(&mut counter, record);
    RECORD_BYTES + counter.0
}

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
