//! The Receptor's bodies, by the first byte: a desired LRP, its change, a task, an action, registry
//! credentials, and the records and events a client reads. What is accepted can be told and read
//! again.
#![no_main]

use lattice_api::brain::bodies::task::TaskCreateRequest;
use lattice_api::brain::bodies::{
    ActualLrpResponse, CellResponse, DesiredLrpResponse, EventBody, action, desired_lrp, event,
    parse_json, parse_registry_credentials, task,
};
use lattice_model::{ActualLrp, CellPresence};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const EVENTS: [&str; 10] = [
    "desired_lrp_created",
    "desired_lrp_changed",
    "desired_lrp_removed",
    "actual_lrp_created",
    "actual_lrp_changed",
    "actual_lrp_removed",
    "actual_lrp_crashed",
    "task_created",
    "task_changed",
    "task_removed",
];

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, text)) = bytes.split_first() else { return };
    let Ok(body) = parse_json(text) else { return };
    match kind {
        b'l' => desired(&body),
        b'u' => update(&body),
        b't' => work(&body),
        b'a' => act(&body),
        b'c' => drop(parse_registry_credentials(&body)),
        b'r' => records(&body),
        _ => events(EVENTS[usize::from(*kind) % EVENTS.len()], &body),
    }
});

fn desired(body: &Value) {
    let _ = desired_lrp::parse_response(body);
    if let Ok(lrp) = desired_lrp::parse_create(body) {
        let told = serde_json::to_value(DesiredLrpResponse::from(&lrp)).expect("it is JSON");
        assert_eq!(desired_lrp::parse_response(&told).as_ref(), Ok(&lrp));
    }
}

fn update(body: &Value) {
    if let Ok(update) = desired_lrp::parse_update(body) {
        let told = serde_json::to_value(&update).expect("it is JSON");
        assert_eq!(desired_lrp::parse_update(&told), Ok(update));
    }
}

fn work(body: &Value) {
    let _ = task::parse_response(body);
    if let Ok(wanted) = task::parse_create(body) {
        let told = serde_json::to_value(TaskCreateRequest::from(&wanted)).expect("it is JSON");
        assert_eq!(task::parse_create(&told), Ok(wanted));
    }
}

fn act(body: &Value) {
    if let Ok(read) = action::parse(body) {
        let told = serde_json::to_value(&read).expect("it is JSON");
        assert_eq!(action::parse(&told), Ok(read));
    }
}

fn records(body: &Value) {
    if let Ok(record) = serde_json::from_value::<ActualLrpResponse>(body.clone())
        && let Ok(read) = ActualLrp::try_from(record)
    {
        let told = ActualLrpResponse::from(&read);
        assert_eq!(ActualLrp::try_from(told).as_ref(), Ok(&read));
    }
    if let Ok(record) = serde_json::from_value::<CellResponse>(body.clone()) {
        let _ = CellPresence::try_from(record);
    }
}

fn events(name: &str, body: &Value) {
    if let Ok(Some(read)) = event::parse(name, body) {
        assert_eq!(event::name(&read), name);
        let told = serde_json::to_value(EventBody::from(&read)).expect("it is JSON");
        assert_eq!(event::parse(name, &told).as_ref(), Ok(&Some(read)));
    }
}
