use futures_util::FutureExt as _;
use lattice_model::{DesiredLrp, Event};

use super::*;
use crate::testing::{lrp, task_record};

const LIFE: u64 = 7;

fn hub(events_max: usize) -> Hub {
    Hub::new(LIFE, HistoryLimits { events_max, bytes_max: usize::MAX })
}

fn event(name: &str) -> Event {
    Event::TaskCreated(Arc::new(task_record(name)))
}

fn id(sequence: u64) -> Option<EventId> {
    Some(EventId { life: LIFE, sequence })
}

/// All that a reader is told without waiting.
fn told(reader: &mut EventStream) -> Vec<String> {
    let mut told = Vec::new();
    while let Some(Some(item)) = reader.next().now_or_never() {
        let item = item.unwrap();
        let sequence = item.id().sequence;
        assert_eq!(item.id().life, LIFE);
        told.push(match item {
            SequencedEvent::Event { .. } => format!("{sequence}"),
            SequencedEvent::Mark(_) => format!("mark {sequence}"),
            SequencedEvent::Resync { why, .. } => format!("{} {sequence}", why.name()),
        });
    }
    told
}

#[test]
fn a_reader_sees_what_changes_from_its_arrival_on_in_order() {
    let hub = hub(8);
    hub.publish([event("before")]);
    let mut reader = hub.subscribe(None);
    hub.publish([event("a"), Event::DesiredLrpCreated(Arc::new(lrp("b", 1, 1)))]);
    assert_eq!(told(&mut reader), ["mark 1", "2", "3"]);
    hub.publish((0..40).map(|n| event(&format!("t{n}"))));
    assert_eq!(told(&mut reader), ["too_slow 43"], "forty do not fit into eight");
    assert_eq!(hub.readers(), 1);
    drop(reader);
    assert_eq!(hub.readers(), 0);
}

#[test]
fn a_reader_that_comes_back_gets_what_it_missed_or_is_told_to_list_again() {
    for (after, expected) in [
        (id(6), vec!["mark 6", "7"]),
        (id(4), vec!["mark 4", "5", "6", "7"]),
        (id(3), vec!["mark 3", "4", "5", "6", "7"]),
        (id(2), vec!["mark 2", "too_slow 7"]),
        (id(1), vec!["history_gone 6", "7"]),
        (id(0), vec!["history_gone 6", "7"]),
        (id(99), vec!["other_life 6", "7"]),
        (Some(EventId { life: LIFE + 1, sequence: 5 }), vec!["other_life 6", "7"]),
        (Some(EventId::FOREIGN), vec!["other_life 6", "7"]),
    ] {
        let hub = hub(4);
        hub.publish((0..6).map(|n| event(&format!("t{n}"))));
        let mut reader = hub.subscribe(after);
        hub.publish([event("next")]);
        assert_eq!(told(&mut reader), expected, "{after:?}");
    }
}

#[test]
fn a_slow_reader_loses_its_own_place_only_and_goes_on_from_where_it_is_told() {
    let hub = hub(4);
    let (mut slow, mut quick) = (hub.subscribe(None), hub.subscribe(None));
    assert_eq!(told(&mut quick), ["mark 0"]);
    for n in 1..=10 {
        hub.publish([event("x")]);
        assert_eq!(told(&mut quick), [n.to_string()]);
    }
    assert_eq!(told(&mut slow), ["mark 0", "too_slow 10"]);
    hub.publish([event("x")]);
    assert_eq!(told(&mut slow), ["11"]);
}

#[test]
fn a_first_reader_may_resume_from_the_very_beginning() {
    let hub = hub(4);
    hub.publish([event("a")]);
    assert_eq!(told(&mut hub.subscribe(id(0))), ["mark 0", "1"]);
}

#[test]
fn the_history_is_bounded_in_bytes_too_but_holds_the_last_event() {
    let big = |bytes: usize| {
        let annotation = "x".repeat(bytes);
        Event::DesiredLrpCreated(Arc::new(DesiredLrp { annotation, ..lrp("b", 1, 1) }))
    };
    let hub = Hub::new(LIFE, HistoryLimits { events_max: 100, bytes_max: 50_000 });
    hub.publish((0..10).map(|_| big(10_000)));
    let kept = |after| told(&mut hub.subscribe(id(after)))[0].clone();
    assert_eq!((kept(5).as_str(), kept(6).as_str()), ("history_gone 10", "mark 6"));
    hub.publish([big(60_000)]);
    assert_eq!((kept(9).as_str(), kept(10).as_str()), ("history_gone 11", "mark 10"));
    assert_eq!(told(&mut hub.subscribe(id(10))), ["mark 10", "11"]);
}

#[tokio::test]
async fn readers_end_with_the_brain_when_they_have_been_told_everything() {
    let hub = hub(4);
    let mut reader = hub.subscribe(None);
    hub.publish([event("last")]);
    drop(hub);
    assert_eq!(told(&mut reader), ["mark 0", "1"]);
    assert!(reader.next().await.is_none());
}
