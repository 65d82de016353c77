//! Trace ids (facts 1.7): Zipkin's B3 headers and W3C's `traceparent` and `tracestate`. Pure: the
//! dice are passed in.

use crate::config::Tracing;
use crate::h1::name::Name;
use crate::h1::request::RequestHead;

/// The longest `tracestate` that is passed on.
const TRACE_STATE_BYTES_MAX: usize = 2048;
/// How we sign a `tracestate`.
const VENDOR: &str = "gorouter";

/// What a request's trace headers come to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Trace {
    /// Where in which trace the request stands.
    pub(crate) ids: Option<Ids>,
    /// Lines for the endpoint, in place of the client's.
    pub(crate) lines: Vec<(&'static str, String)>,
    replaces_b3: bool,
    replaces_w3c: bool,
}

/// A trace and a span in it, in 32 and 16 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ids {
    pub(crate) trace: String,
    pub(crate) span: String,
}

// === impl Trace ===

impl Trace {
    /// Reads what the client sent, and begins a trace where there is none; `dice` makes its ids.
    pub(crate) fn of(
        head: &RequestHead<'_, '_>,
        rules: &Tracing,
        dice: impl Fn() -> (u128, u64),
    ) -> Self {
        let mut trace = Self::default();
        if !rules.zipkin && !rules.w3c {
            return trace;
        }
        let (id, span) = dice();
        let mut ids = Ids { trace: format!("{id:032x}"), span: format!("{span:016x}") };
        let parent = match rules.w3c {
            true => head.fields.values(Name::TraceParent).next().and_then(Parent::read),
            false => None,
        };
        if let Some(parent) = &parent {
            ids.trace.clone_from(&parent.trace);
        }
        if rules.zipkin {
            match b3(head) {
                Some(known) if parent.is_none() => {
                    ids.trace = known.trace;
                    // With W3C's headers a span of our own begins.
                    ids.span = if rules.w3c { ids.span } else { known.span };
                }
                Some(_) => {}
                None => trace.begin_b3(&ids),
            }
        }
        if rules.w3c {
            let flags = parent.as_ref().map_or("01", |parent| &parent.flags);
            let told = format!("00-{}-{}-{flags}", ids.trace, ids.span);
            trace.lines.push(("traceparent", told));
            let others = parent.is_some().then_some(head);
            trace.lines.push(("tracestate", state(others, rules, &ids.span)));
            trace.replaces_w3c = true;
        }
        trace.ids = Some(ids);
        trace
    }

    /// Whether the client's own line is replaced.
    pub(crate) fn replaces(&self, name: Name) -> bool {
        match name {
            Name::B3 | Name::B3TraceId | Name::B3SpanId | Name::B3ParentSpanId => self.replaces_b3,
            Name::TraceParent | Name::TraceState => self.replaces_w3c,
            _ => false,
        }
    }

    fn begin_b3(&mut self, ids: &Ids) {
        self.replaces_b3 = true;
        self.lines.push(("X-B3-TraceId", ids.trace.clone()));
        self.lines.push(("X-B3-SpanId", ids.span.clone()));
        self.lines.push(("b3", format!("{}-{}", ids.trace, ids.span)));
    }
}

// === impl Ids ===

impl Ids {
    /// Those of a client, with the trace's padded to 32 digits.
    fn known(trace: &str, span: &str) -> Option<Self> {
        let is_good = (is_id(trace, 16) || is_id(trace, 32)) && is_id(span, 16);
        is_good.then(|| Self {
            trace: format!("{trace:0>32}").to_ascii_lowercase(),
            span: span.to_ascii_lowercase(),
        })
    }
}

/// What `traceparent` says.
struct Parent {
    trace: String,
    flags: String,
}

impl Parent {
    /// `00-TRACE-SPAN-FLAGS`; ids of zeros are none.
    fn read(value: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?;
        let parts: Vec<&str> = text.split('-').collect();
        let &["00", trace, span, flags] = parts.as_slice() else { return None };
        let is_good = is_id(trace, 32) && is_id(span, 16) && is_hex(flags, 2);
        is_good.then(|| Self { trace: trace.to_owned(), flags: flags.to_owned() })
    }
}

/// What B3 headers say that are right: the one line before the several.
fn b3(head: &RequestHead<'_, '_>) -> Option<Ids> {
    let text =
        |name| head.fields.values(name).next().and_then(|value| std::str::from_utf8(value).ok());
    let pair = || Some((text(Name::B3TraceId)?, text(Name::B3SpanId)?));
    let in_several = || {
        let is_good = text(Name::B3ParentSpanId).is_none_or(|parent| is_id(parent, 16));
        pair().filter(|_| is_good).and_then(|(trace, span)| Ids::known(trace, span))
    };
    text(Name::B3).and_then(in_one).or_else(in_several)
}

/// `TRACE-SPAN`, perhaps with `-SAMPLING` and that with `-PARENT`.
fn in_one(b3: &str) -> Option<Ids> {
    let mut parts = b3.split('-');
    let (trace, span) = (parts.next()?, parts.next()?);
    let sampling = parts.next().is_none_or(|s| matches!(s, "0" | "1" | "d"));
    let parent = parts.next().is_none_or(|parent| is_id(parent, 16));
    let is_good = sampling && parent && parts.next().is_none();
    is_good.then(|| Ids::known(trace, span)).flatten()
}

/// The client's `tracestate`, with our span at its front and nowhere else. Without a parent of his
/// the client's says nothing (W3C Trace Context 3.2.2.5).
fn state(head: Option<&RequestHead<'_, '_>>, rules: &Tracing, span: &str) -> String {
    let key = match &rules.w3c_tenant {
        Some(tenant) => format!("{tenant}@{VENDOR}"),
        None => VENDOR.to_owned(),
    };
    let mut state = format!("{key}={span}");
    let given = head.into_iter().flat_map(|head| head.fields.values(Name::TraceState));
    let given = given.filter_map(|value| std::str::from_utf8(value).ok());
    let others = given.flat_map(|value| value.split(',')).map(str::trim);
    for other in others.filter(|entry| !entry.is_empty()) {
        if other.split('=').next() != Some(&*key) {
            state.push(',');
            state.push_str(other);
        }
    }
    if state.len() > TRACE_STATE_BYTES_MAX { format!("{key}={span}") } else { state }
}

fn is_id(text: &str, length: usize) -> bool {
    is_hex(text, length) && text.bytes().any(|b| b != b'0')
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests;
