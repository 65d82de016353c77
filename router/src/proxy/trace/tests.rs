//! Trace headers in and out, with dice that always fall the same way (family S20).

use super::*;
use crate::h1::head::Slots;

const NEW: &str = "000000000000000000000000000000aa";
const SPAN: &str = "00000000000000bb";
const ID: &str = "463ac35c9f6413ad48485a3953bb6124";

fn traced(headers: &str, zipkin: bool, w3c: bool) -> Trace {
    let bytes = format!("GET / HTTP/1.1\r\n{headers}\r\n");
    let mut slots = Slots::new();
    let head = RequestHead::parse(bytes.as_bytes(), 20, &mut slots).unwrap();
    Trace::of(&head, &Tracing { zipkin, w3c, w3c_tenant: None }, || (0xaa, 0xbb))
}

fn lines(trace: &Trace) -> Vec<String> {
    trace.lines.iter().map(|(name, value)| format!("{name}: {value}")).collect()
}

fn ids(trace: &Trace) -> Option<(&str, &str)> {
    trace.ids.as_ref().map(|ids| (&*ids.trace, &*ids.span))
}

#[test]
fn nothing_is_said_unless_asked_for() {
    assert_eq!(traced("b3: x\r\ntraceparent: y\r\n", false, false), Trace::default());
}

#[test]
fn b3_headers_that_are_right_are_left_alone() {
    for headers in [
        format!("b3: {ID}-a2fb4a1d1a96d312\r\n"),
        format!("b3: {ID}-a2fb4a1d1a96d312-1\r\n"),
        format!("b3: {ID}-a2fb4a1d1a96d312-d-0020000000000001\r\n"),
        format!("X-B3-TraceId: {ID}\r\nX-B3-SpanId: a2fb4a1d1a96d312\r\nX-B3-Sampled: 1\r\n"),
        format!("b3: {ID}\r\nX-B3-TraceId: {ID}\r\nX-B3-SpanId: a2fb4a1d1a96d312\r\n"),
        format!(
            "X-B3-TraceId: {ID}\r\nX-B3-SpanId: a2fb4a1d1a96d312\r\nX-B3-ParentSpanId: 0020000000000001\r\n"
        ),
    ] {
        let trace = traced(&headers, true, false);
        let kept = Some((ID, "a2fb4a1d1a96d312"));
        assert_eq!((lines(&trace), ids(&trace)), (vec![], kept), "{headers}");
        assert!(!trace.replaces(Name::B3), "{headers}");
    }
    let short = traced("b3: a2fb4a1d1a96d312-a2fb4a1d1a96d312\r\n", true, false);
    assert_eq!(ids(&short), Some(("0000000000000000a2fb4a1d1a96d312", "a2fb4a1d1a96d312")));
}

#[test]
fn b3_headers_that_are_not_are_replaced() {
    for headers in [
        String::new(),
        "b3: 1\r\n".to_owned(),
        format!("b3: {ID}\r\n"),
        format!("b3: {ID}-x2fb4a1d1a96d312\r\n"),
        format!("b3: {ID}-a2fb4a1d1a96d312-2\r\n"),
        format!("b3: {ID}-a2fb4a1d1a96d312-1-1\r\n"),
        "b3: 00000000000000000000000000000000-a2fb4a1d1a96d312\r\n".to_owned(),
        format!("X-B3-TraceId: {ID}\r\n"),
        format!("X-B3-TraceId: {ID}\r\nX-B3-SpanId: 1\r\n"),
        "X-B3-SpanId: a2fb4a1d1a96d312\r\n".to_owned(),
    ] {
        let trace = traced(&headers, true, false);
        let expected = [
            format!("X-B3-TraceId: {NEW}"),
            format!("X-B3-SpanId: {SPAN}"),
            format!("b3: {NEW}-{SPAN}"),
        ];
        assert_eq!((lines(&trace), ids(&trace)), (expected.into(), Some((NEW, SPAN))), "{headers}");
        assert!(trace.replaces(Name::B3SpanId) && !trace.replaces(Name::TraceParent));
    }
}

#[test]
fn a_traceparent_is_kept_but_for_its_span() {
    let good = format!("traceparent: 00-{ID}-00f067aa0ba902b7");
    for (headers, parent, state) in [
        (format!("{good}-00\r\n"), format!("00-{ID}-{SPAN}-00"), ""),
        (
            format!("{good}-01\r\ntracestate: a=1, b=2\r\n"),
            format!("00-{ID}-{SPAN}-01"),
            ",a=1,b=2",
        ),
        (
            format!("{good}-01\r\ntracestate: a=1,gorouter=old\r\n"),
            format!("00-{ID}-{SPAN}-01"),
            ",a=1",
        ),
        (
            format!("{good}-01\r\ntracestate: a=1\r\ntracestate: b=2\r\n"),
            format!("00-{ID}-{SPAN}-01"),
            ",a=1,b=2",
        ),
        (
            format!("{good}-01\r\ntracestate: a={}\r\n", "x".repeat(2048)),
            format!("00-{ID}-{SPAN}-01"),
            "",
        ),
        (String::new(), format!("00-{NEW}-{SPAN}-01"), ""),
        ("tracestate: a=1\r\n".to_owned(), format!("00-{NEW}-{SPAN}-01"), ""),
        (format!("{good}\r\n"), format!("00-{NEW}-{SPAN}-01"), ""),
        (
            format!("traceparent: 01-{ID}-00f067aa0ba902b7-01\r\n"),
            format!("00-{NEW}-{SPAN}-01"),
            "",
        ),
        (
            format!("traceparent: 00-{ID}-0000000000000000-01\r\n"),
            format!("00-{NEW}-{SPAN}-01"),
            "",
        ),
        ("traceparent: 00-x-00f067aa0ba902b7-01\r\n".to_owned(), format!("00-{NEW}-{SPAN}-01"), ""),
    ] {
        let trace = traced(&headers, false, true);
        let expected =
            [format!("traceparent: {parent}"), format!("tracestate: gorouter={SPAN}{state}")];
        assert_eq!(lines(&trace), expected, "{headers}");
        assert!(trace.replaces(Name::TraceState) && !trace.replaces(Name::B3));
    }
}

#[test]
fn a_tenant_signs_the_tracestate() {
    let bytes = format!(
        "GET / HTTP/1.1\r\ntraceparent: 00-{ID}-00f067aa0ba902b7-00\r\n\
         tracestate: gorouter=1,t@gorouter=2\r\n\r\n"
    );
    let mut slots = Slots::new();
    let head = RequestHead::parse(bytes.as_bytes(), 20, &mut slots).unwrap();
    let rules = Tracing { zipkin: false, w3c: true, w3c_tenant: Some("t".to_owned()) };
    let trace = Trace::of(&head, &rules, || (0xaa, 0xbb));
    assert_eq!(trace.lines[1].1, format!("t@gorouter={SPAN},gorouter=1"));
}

#[test]
fn both_ways_of_tracing_share_one_trace() {
    let new = traced("", true, true);
    assert_eq!(
        lines(&new)[2..4],
        [format!("b3: {NEW}-{SPAN}"), format!("traceparent: 00-{NEW}-{SPAN}-01")]
    );
    let known = traced(&format!("b3: {ID}-a2fb4a1d1a96d312\r\n"), true, true);
    assert_eq!(lines(&known)[0], format!("traceparent: 00-{ID}-{SPAN}-01"));
    assert_eq!(ids(&known), Some((ID, SPAN)));
    let told = traced(&format!("traceparent: 00-{ID}-00f067aa0ba902b7-00\r\n"), true, true);
    let expected = [format!("b3: {ID}-{SPAN}"), format!("traceparent: 00-{ID}-{SPAN}-00")];
    assert_eq!(lines(&told)[2..4], expected);
}
