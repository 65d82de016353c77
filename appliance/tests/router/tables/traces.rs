//! Trace headers in and out (family S20).

use super::{Row, play, row};

/// A request with these lines, and what its endpoint sees of them in this order of lines: those of
/// the client that stay, and behind all others those that are new.
macro_rules! traced {
    ($about:literal, $given:literal, $kept:literal, $new:literal) => {
        row($about)
            .asks(&[(concat!("GET / HTTP/1.1\r\nHost: <host>\r\n", $given, "\r\n"), "200")])
            .saw(&[concat!(
                "GET / HTTP/1.1\r\nHost: <host>\r\n",
                $kept,
                "<forwarded>",
                $new,
                "<app-a>\r\n"
            )])
    };
}

macro_rules! zipkin_kept {
    ($about:literal, $given:literal) => {
        traced!($about, $given, $given, "")
    };
}

macro_rules! zipkin_new {
    ($about:literal, $given:literal) => {
        traced!(
            $about,
            $given,
            "",
            "X-B3-TraceId: <hex32:t>\r\nX-B3-SpanId: <hex16:s>\r\nb3: <hex32:t>-<hex16:s>\r\n"
        )
    };
}

const ZIPKIN: &[Row] = &[
    zipkin_new!("nothing said", ""),
    zipkin_kept!("b3", "b3: 463ac35c9f6413ad48485a3953bb6124-a2fb4a1d1a96d312\r\n"),
    zipkin_kept!("sampled", "b3: 463ac35c9f6413ad48485a3953bb6124-a2fb4a1d1a96d312-1\r\n"),
    zipkin_kept!("not sampled", "b3: 463ac35c9f6413ad48485a3953bb6124-a2fb4a1d1a96d312-0\r\n"),
    zipkin_kept!("debugged", "b3: 463ac35c9f6413ad48485a3953bb6124-a2fb4a1d1a96d312-d\r\n"),
    zipkin_kept!(
        "with its parent",
        "b3: 463ac35c9f6413ad48485a3953bb6124-a2fb4a1d1a96d312-1-0020000000000001\r\n"
    ),
    zipkin_kept!("a short id", "b3: 48485a3953bb6124-a2fb4a1d1a96d312\r\n"),
    zipkin_kept!(
        "two lines",
        "X-B3-TraceId: 463ac35c9f6413ad48485a3953bb6124\r\nX-B3-SpanId: a2fb4a1d1a96d312\r\n"
    ),
    zipkin_kept!(
        "two short lines",
        "X-B3-TraceId: 48485a3953bb6124\r\nX-B3-SpanId: a2fb4a1d1a96d312\r\n"
    ),
    zipkin_kept!(
        "all lines",
        "X-B3-TraceId: 463ac35c9f6413ad48485a3953bb6124\r\nX-B3-SpanId: a2fb4a1d1a96d312\r\n\
         X-B3-ParentSpanId: 0020000000000001\r\nX-B3-Sampled: 1\r\nX-B3-Flags: 1\r\n"
    ),
    zipkin_kept!(
        "two lines beside one that is wrong",
        "b3: 463ac35c9f6413ad48485a3953bb6124\r\n\
         X-B3-TraceId: 463ac35c9f6413ad48485a3953bb6124\r\nX-B3-SpanId: a2fb4a1d1a96d312\r\n"
    ),
    zipkin_new!("half of one", "b3: 463ac35c9f6413ad48485a3953bb6124\r\n"),
    zipkin_new!("no digits", "b3: 463ac35c9f6413ad48485a3953bb6124-x2fb4a1d1a96d312\r\n"),
    zipkin_new!("too short", "b3: 463ac35c-a2fb4a1d1a96d312\r\n"),
    zipkin_new!("too long", "b3: 463ac35c9f6413ad48485a3953bb61240-a2fb4a1d1a96d312\r\n"),
    zipkin_new!("no state", "b3: 463ac35c9f6413ad48485a3953bb6124-a2fb4a1d1a96d312-7\r\n"),
    zipkin_new!("a state alone", "b3: 0\r\n"),
    zipkin_new!("empty", "b3: \r\n"),
    zipkin_new!("a trace without span", "X-B3-TraceId: 463ac35c9f6413ad48485a3953bb6124\r\n"),
    zipkin_new!("a span without trace", "X-B3-SpanId: a2fb4a1d1a96d312\r\n"),
    zipkin_new!(
        "a span that is none",
        "X-B3-TraceId: 463ac35c9f6413ad48485a3953bb6124\r\nX-B3-SpanId: 1\r\n"
    ),
];

#[test]
fn zipkins_headers_are_kept_where_they_are_right_and_else_new() {
    play("tracing: {enable_zipkin: true}", ZIPKIN);
}

macro_rules! w3c {
    ($about:literal, $given:literal, $new:literal) => {
        traced!($about, $given, "", $new)
    };
}

macro_rules! w3c_new {
    ($about:literal, $given:literal) => {
        w3c!(
            $about,
            $given,
            "traceparent: 00-<hex32>-<hex16:s>-01\r\ntracestate: gorouter=<hex16:s>\r\n"
        )
    };
}

const W3C: &[Row] = &[
    w3c_new!("nothing said", ""),
    w3c!(
        "a parent",
        "traceparent: 00-463ac35c9f6413ad48485a3953bb6124-00f067aa0ba902b7-01\r\n",
        "traceparent: 00-463ac35c9f6413ad48485a3953bb6124-<hex16:s>-01\r\n\
         tracestate: gorouter=<hex16:s>\r\n"
    ),
    w3c!(
        "a parent that is not sampled",
        "traceparent: 00-463ac35c9f6413ad48485a3953bb6124-00f067aa0ba902b7-00\r\n",
        "traceparent: 00-463ac35c9f6413ad48485a3953bb6124-<hex16:s>-00\r\n\
         tracestate: gorouter=<hex16:s>\r\n"
    ),
    w3c!(
        "others' state",
        "traceparent: 00-463ac35c9f6413ad48485a3953bb6124-00f067aa0ba902b7-01\r\n\
         tracestate: a=1,b=2\r\n",
        "traceparent: 00-463ac35c9f6413ad48485a3953bb6124-<hex16:s>-01\r\n\
         tracestate: gorouter=<hex16:s>,a=1,b=2\r\n"
    ),
    w3c!(
        "another router's state",
        "traceparent: 00-463ac35c9f6413ad48485a3953bb6124-00f067aa0ba902b7-01\r\n\
         tracestate: a=1,gorouter=0,b=2\r\n",
        "traceparent: 00-463ac35c9f6413ad48485a3953bb6124-<hex16:s>-01\r\n\
         tracestate: gorouter=<hex16:s>,a=1,b=2\r\n"
    ),
    w3c!(
        "state in two lines",
        "traceparent: 00-463ac35c9f6413ad48485a3953bb6124-00f067aa0ba902b7-01\r\n\
         tracestate: a=1\r\ntracestate: b=2\r\n",
        "traceparent: 00-463ac35c9f6413ad48485a3953bb6124-<hex16:s>-01\r\n\
         tracestate: gorouter=<hex16:s>,a=1,b=2\r\n"
    ),
    w3c_new!(
        "a version that nobody knows",
        "traceparent: ff-463ac35c9f6413ad48485a3953bb6124-00f067aa0ba902b7-01\r\n"
    ),
    w3c_new!(
        "no trace",
        "traceparent: 00-00000000000000000000000000000000-00f067aa0ba902b7-01\r\n"
    ),
    w3c_new!("no span", "traceparent: 00-463ac35c9f6413ad48485a3953bb6124-0000000000000000-01\r\n"),
    w3c_new!("no flags", "traceparent: 00-463ac35c9f6413ad48485a3953bb6124-00f067aa0ba902b7\r\n"),
    w3c_new!("nonsense", "traceparent: nonsense\r\n"),
    w3c_new!("state without a parent", "tracestate: a=1\r\n"),
];

#[test]
fn a_parent_is_taken_over_but_for_its_span() {
    play("tracing: {enable_w3c: true}", W3C);
}

#[test]
fn a_tenant_signs_its_state() {
    play(
        "tracing: {enable_w3c: true, w3c_tenant_id: blue}",
        &[
            w3c!(
                "a new trace",
                "",
                "traceparent: 00-<hex32>-<hex16:s>-01\r\ntracestate: blue@gorouter=<hex16:s>\r\n"
            ),
            w3c!(
                "its own state comes first, another tenant's stays",
                "traceparent: 00-463ac35c9f6413ad48485a3953bb6124-00f067aa0ba902b7-01\r\n\
                 tracestate: red@gorouter=1,blue@gorouter=2\r\n",
                "traceparent: 00-463ac35c9f6413ad48485a3953bb6124-<hex16:s>-01\r\n\
                 tracestate: blue@gorouter=<hex16:s>,red@gorouter=1\r\n"
            ),
        ],
    );
}

/// What a line ends with when both are on.
const LINE: &str = "<host> - [<stamp>] \"GET / HTTP/1.1\" 200 0 2 \"-\" \"-\" \"127.0.0.1:<port>\" \
    \"127.0.0.1:<a>\" x_forwarded_for:\"127.0.0.1\" x_forwarded_proto:\"http\" \
    vcap_request_id:\"<uuid>\" response_time:<seconds> gorouter_time:<seconds> app_id:\"app\" \
    app_index:\"0\" instance_id:\"guid-a\" x_cf_routererror:\"-\" x_b3_traceid:\"<hex32:t>\" \
    x_b3_spanid:\"<hex16:s>\" x_b3_parentspanid:\"-\" b3:\"<hex32:t>-<hex16:s>\" \
    traceparent:\"00-<hex32:t>-<hex16:p>-01\" tracestate:\"gorouter=<hex16:p>\"";

#[test]
fn both_together_share_one_trace_that_the_line_shows() {
    play(
        "tracing: {enable_w3c: true, enable_zipkin: true}",
        &[
            traced!(
                "a new trace",
                "",
                "",
                "X-B3-TraceId: <hex32:t>\r\nX-B3-SpanId: <hex16:s>\r\nb3: <hex32:t>-<hex16:s>\r\n\
                 traceparent: 00-<hex32:t>-<hex16:p>-01\r\ntracestate: gorouter=<hex16:p>\r\n"
            )
            .lines(&[LINE]),
            traced!(
                "b3 gives the trace",
                "b3: 463ac35c9f6413ad48485a3953bb6124-a2fb4a1d1a96d312\r\n",
                "b3: 463ac35c9f6413ad48485a3953bb6124-a2fb4a1d1a96d312\r\n",
                "traceparent: 00-463ac35c9f6413ad48485a3953bb6124-<hex16:p>-01\r\n\
                 tracestate: gorouter=<hex16:p>\r\n"
            ),
        ],
    );
}

#[test]
fn neither_is_touched_unless_asked_for() {
    play("", &[zipkin_kept!("both, and wrong", "b3: nonsense\r\ntraceparent: nonsense\r\n")]);
}
