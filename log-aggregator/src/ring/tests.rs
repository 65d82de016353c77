use std::time::Duration;

use lattice_model::envelope::Log;
use proptest::prelude::*;

use super::*;

const NOW: Time = Time::from_secs(1000);

fn line(app_id: &str, text: &str) -> Envelope {
    Envelope::log(app_id.into(), "0".into(), NOW, Log::out("APP".into(), text))
}

fn metric(app_id: &str, instance_index: i32, memory_bytes: u64) -> Envelope {
    let metric = ContainerMetric {
        instance_index,
        cpu_percentage: 1.0,
        memory_bytes,
        ..ContainerMetric::default()
    };
    Envelope {
        source_id: app_id.into(),
        instance_id: instance_index.to_string().into(),
        timestamp: NOW,
        message: Message::ContainerMetric(metric),
    }
}

fn texts(envelopes: &[Envelope]) -> Vec<String> {
    let text = |envelope: &Envelope| match &envelope.message {
        Message::Log(log) => String::from_utf8(log.payload.to_vec()).unwrap(),
        Message::ContainerMetric(m) => format!("{}:{}", m.instance_index, m.memory_bytes),
    };
    envelopes.iter().map(text).collect()
}

/// Keeps lines given as `app:text`.
fn kept(limits: Limits, lines: &[&str]) -> (Rings, u64) {
    let mut rings = Rings::new(limits);
    let mut evicted = 0;
    for (app_id, text) in lines.iter().map(|line| line.split_once(':').unwrap()) {
        evicted += rings.keep(line(app_id, text), NOW).apps_evicted;
    }
    (rings, evicted)
}

#[test]
fn the_latest_lines_are_answered_oldest_first() {
    let limits = Limits { lines_per_app: 3, ..Limits::default() };
    let (rings, _) = kept(limits, &["a:1", "a:2", "b:x", "a:3", "a:4"]);
    for (app_id, count, expected) in [
        ("a", 100, vec!["2", "3", "4"]),
        ("a", 2, vec!["3", "4"]),
        ("a", 0, vec![]),
        ("b", 100, vec!["x"]),
        ("none", 100, vec![]),
    ] {
        assert_eq!(texts(&rings.recent(app_id, count)), expected, "{app_id} {count}");
    }
}

#[test]
fn an_apps_bytes_are_bounded_by_its_oldest_lines() {
    let each = line("a", "1").bytes();
    let limits = Limits { bytes_per_app: 2 * each, ..Limits::default() };
    let (rings, evicted) = kept(limits, &["a:1", "a:2", "a:3"]);
    assert_eq!(texts(&rings.recent("a", 9)), ["2", "3"]);
    assert_eq!((rings.bytes(), evicted), (2 * each, 0));
}

#[test]
fn a_line_that_fits_nowhere_is_told_as_unkept() {
    let mut rings = Rings::new(Limits { bytes_per_app: 10, ..Limits::default() });
    let cost = rings.keep(line("a", "1"), NOW);
    assert_eq!(cost, Cost { apps_evicted: 0, is_unkept: true });
    assert_eq!((rings.apps(), rings.bytes()), (0, 0));
}

#[test]
fn the_app_that_was_silent_longest_gives_way() {
    let limits = Limits { apps: 2, ..Limits::default() };
    let (rings, evicted) = kept(limits, &["a:1", "b:1", "a:2", "c:1"]);
    assert_eq!(evicted, 1);
    assert_eq!(texts(&rings.recent("a", 9)), ["1", "2"]);
    assert!(rings.recent("b", 9).is_empty());
    assert_eq!(texts(&rings.recent("c", 9)), ["1"]);

    let limits = Limits { bytes: 2 * line("a", "1").bytes(), ..Limits::default() };
    let (rings, evicted) = kept(limits, &["a:1", "b:1", "c:1"]);
    assert_eq!((rings.apps(), evicted), (2, 1));
    assert!(rings.recent("a", 9).is_empty());
}

#[test]
fn each_instance_has_its_newest_measurement_until_that_is_outdated() {
    let mut rings = Rings::new(Limits::default());
    for (at, envelope) in [
        (0, metric("a", 1, 10)),
        (0, metric("a", 0, 20)),
        (60, metric("a", 1, 30)),
        (60, metric("b", 7, 40)),
    ] {
        rings.keep(envelope, NOW + Duration::from_secs(at));
    }
    for (at, expected) in
        [(60, vec!["0:20", "1:30"]), (120, vec!["1:30"]), (179, vec!["1:30"]), (180, vec![])]
    {
        let told = rings.metrics("a", NOW + Duration::from_secs(at));
        assert_eq!(texts(&told), expected, "after {at} s");
    }
}

#[test]
fn a_further_instance_waits_until_another_is_outdated() {
    let mut rings = Rings::new(Limits { instances_per_app: 1, ..Limits::default() });
    assert!(!rings.keep(metric("a", 0, 1), NOW).is_unkept);
    assert!(!rings.keep(metric("a", 0, 2), NOW).is_unkept);
    assert!(rings.keep(metric("a", 1, 3), NOW).is_unkept);
    assert_eq!(texts(&rings.metrics("a", NOW)), ["0:2"]);
    let later = NOW + Duration::from_secs(120);
    assert!(!rings.keep(metric("a", 1, 4), later).is_unkept);
    assert_eq!(texts(&rings.metrics("a", later)), ["1:4"]);
    assert_eq!(rings.bytes(), metric("a", 1, 4).bytes());
}

proptest! {
    #[test]
    fn the_bounds_hold_and_the_bytes_are_those_of_what_is_kept(
        inputs in prop::collection::vec((0..6_u8, 0..4_i32, "[a-z]{0,30}", any::<bool>()), 0..200)
    ) {
        let limits = Limits {
            lines_per_app: 5,
            bytes_per_app: 900,
            instances_per_app: 2,
            apps: 4,
            bytes: 2000,
            ..Limits::default()
        };
        let mut rings = Rings::new(limits.clone());
        for (i, (app, index, text, is_metric)) in inputs.into_iter().enumerate() {
            let app_id = format!("app-{app}");
            let envelope =
                if is_metric { metric(&app_id, index, 1) } else { line(&app_id, &text) };
            let now = NOW + Duration::from_secs(i as u64 * 7);
            rings.keep(envelope, now);
            let all = rings.apps.values().flat_map(|ring| {
                ring.lines.iter().chain(ring.metrics.values().map(|measured| &measured.envelope))
            });
            prop_assert_eq!(rings.bytes(), all.map(Envelope::bytes).sum::<usize>());
            prop_assert!(rings.bytes() <= limits.bytes && rings.apps() <= limits.apps);
            prop_assert_eq!(rings.apps(), rings.by_use.len());
            for ring in rings.apps.values() {
                prop_assert!(ring.lines.len() <= limits.lines_per_app);
                prop_assert!(ring.metrics.len() <= limits.instances_per_app);
            }
        }
    }
}
