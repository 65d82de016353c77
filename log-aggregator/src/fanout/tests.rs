use lattice_model::envelope::{LogStream, Message};

use super::*;

const NOW: Time = Time::from_secs(1);

fn line(app_id: &str, text: &str) -> Envelope {
    Envelope::log(app_id.into(), "0".into(), NOW, Log::out("APP".into(), text))
}

fn fanout(listener_envelopes: usize, listener_bytes: usize) -> Fanout {
    Fanout::new(&Limits { listener_envelopes, listener_bytes, ..Limits::default() })
}

/// What waits in a queue: lines as they are, notices with their stream and source.
fn waiting(subscription: &mut Subscription) -> Vec<String> {
    let mut texts = Vec::new();
    while let Ok(envelope) = subscription.envelopes.try_recv() {
        let Message::Log(log) = envelope.message else { panic!("not a line") };
        let text = String::from_utf8(log.payload.to_vec()).unwrap();
        if log.source_type.as_ref() == SOURCE_TYPE {
            assert_eq!(log.stream, LogStream::Err);
            texts.push(format!("{SOURCE_TYPE} {}", text.split(':').next().unwrap()));
        } else {
            texts.push(text);
        }
    }
    texts
}

#[test]
fn a_listener_hears_its_app_and_no_other() {
    let mut fanout = fanout(10, 10_000);
    let mut a = fanout.listen(Wanted::App("a".into()));
    let mut also_a = fanout.listen(Wanted::App("a".into()));
    let mut b = fanout.listen(Wanted::App("b".into()));
    for envelope in [line("a", "1"), line("b", "2"), line("c", "3")] {
        assert_eq!(fanout.tell(&envelope, NOW), 0);
    }
    assert_eq!(waiting(&mut a), ["1"]);
    assert_eq!(waiting(&mut also_a), ["1"]);
    assert_eq!(waiting(&mut b), ["2"]);
}

#[test]
fn a_firehose_is_everything_shared_by_its_listeners() {
    let mut fanout = fanout(10, 10_000);
    let mut alone = fanout.listen(Wanted::Firehose("alone".into()));
    let mut one = fanout.listen(Wanted::Firehose("shared".into()));
    let mut two = fanout.listen(Wanted::Firehose("shared".into()));
    for text in ["1", "2", "3", "4"] {
        fanout.tell(&line(text, text), NOW);
    }
    assert_eq!(waiting(&mut alone), ["1", "2", "3", "4"]);
    let (one, two) = (waiting(&mut one), waiting(&mut two));
    assert_eq!((one.len(), two.len()), (2, 2));
    let mut both = [one, two].concat();
    both.sort();
    assert_eq!(both, ["1", "2", "3", "4"]);
}

#[test]
fn a_slow_listener_is_told_before_the_next_line_how_many_it_lost() {
    let mut fanout = fanout(2, 10_000);
    let mut slow = fanout.listen(Wanted::App("a".into()));
    let lost: u64 = ["1", "2", "3", "4"].iter().map(|t| fanout.tell(&line("a", t), NOW)).sum();
    assert_eq!(lost, 2);
    assert_eq!(waiting(&mut slow), ["1", "2"]);
    fanout.tell(&line("a", "5"), NOW);
    assert_eq!(waiting(&mut slow), ["LGR 2 messages dropped (2 in all)", "5"]);
}

#[test]
fn a_slow_listener_is_told_though_nothing_more_is_written() {
    let mut fanout = fanout(1, 10_000);
    let mut slow = fanout.listen(Wanted::App("a".into()));
    fanout.tell(&line("a", "1"), NOW);
    fanout.tell(&line("a", "2"), NOW);
    fanout.tell_of_losses(NOW);
    assert_eq!(waiting(&mut slow), ["1"]);
    fanout.tell_of_losses(NOW);
    fanout.tell_of_losses(NOW);
    assert_eq!(waiting(&mut slow), ["LGR 1 messages dropped (1 in all)"]);
}

#[test]
fn bytes_bound_a_queue_but_a_single_line_of_any_size_passes() {
    let mut fanout = fanout(10, 300);
    let mut listener = fanout.listen(Wanted::App("a".into()));
    let long = "x".repeat(1000);
    assert_eq!(fanout.tell(&line("a", &long), NOW), 0);
    assert_eq!(fanout.tell(&line("a", "short"), NOW), 1);
    assert_eq!(waiting(&mut listener), [long]);
}

#[test]
fn who_left_is_forgotten_and_counts_as_no_loss() {
    let mut fanout = fanout(1, 10_000);
    drop(fanout.listen(Wanted::App("a".into())));
    drop(fanout.listen(Wanted::Firehose("f".into())));
    assert_eq!(fanout.count(), 2);
    assert_eq!(fanout.tell(&line("a", "1"), NOW), 0);
    fanout.tell_of_losses(NOW);
    assert_eq!(fanout.count(), 0);
}

#[test]
fn a_loss_of_unknown_owners_is_said_to_everyone() {
    let mut fanout = fanout(10, 10_000);
    let mut a = fanout.listen(Wanted::App("a".into()));
    let mut all = fanout.listen(Wanted::Firehose("f".into()));
    fanout.tell_of_loss_before(7, NOW);
    assert_eq!(waiting(&mut a), ["LGR 7 messages dropped"]);
    assert_eq!(waiting(&mut all), ["LGR 7 messages dropped"]);
}
