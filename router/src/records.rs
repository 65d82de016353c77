//! Access lines on their way from workers to a writer of the router's own, which is told more of
//! them than a log holds.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use lattice_daemon::log_ingress::{LogIngress, PENDING_BYTES_MAX, PENDING_MAX};
use lattice_daemon::queue::{Receiver, Sender, Weight, queue};
use lattice_model::{Envelope, Time};

use crate::pool::Facts;

/// The longest line that fits into a datagram, as gorouter reckons.
pub const DATAGRAM_BYTES_MAX: usize = 65_400;

/// A line, and what else is known of its request.
#[derive(Debug, Clone)]
pub struct Record {
    /// The whole line as an app's log has it.
    pub envelope: Envelope,
    /// The line for a datagram, where the whole one does not fit into any.
    pub short: Option<Arc<[u8]>>,
    /// What the endpoint was registered with.
    pub facts: Option<Arc<Facts>>,
    /// The request itself, where the writer wants to know.
    pub served: Option<Box<Served>>,
}

/// A request that has come to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// When it came.
    pub began: Time,
    /// When its endpoint was asked; none where none was.
    pub asked: Option<Time>,
    /// When it ended.
    pub ended: Time,
    /// `X-Vcap-Request-Id`.
    pub request_id: String,
    /// The ids of its trace and its span in it, if it is traced.
    pub trace: Option<(String, String)>,
    /// The request line's method.
    pub method: String,
    /// Scheme, host and path.
    pub uri: String,
    /// The client's address.
    pub client: String,
    /// `User-Agent`.
    pub user_agent: String,
    /// `X-Forwarded-For` as the endpoint saw it.
    pub forwarded_for: String,
    /// The answer's status.
    pub status: u16,
    /// Bytes of the answer's body.
    pub sent: u64,
    /// The instance guid.
    pub instance_id: String,
}

/// The way to the writer; whoever finds it full loses a line, and waits for nothing.
#[derive(Debug, Clone)]
pub struct Records {
    to: Sender<Record>,
    wants_served: bool,
    unwritten: Arc<AtomicU64>,
}

/// The writer's end.
#[derive(Debug)]
pub struct Written {
    /// What arrives.
    pub records: Receiver<Record>,
    /// How many arrived and could not be written, ever; for the writer to count.
    pub unwritten: Arc<AtomicU64>,
}

/// A way, and its end at the writer, who may want to know each request itself.
pub fn channel(wants_served: bool) -> (Records, Written) {
    let (to, records) = queue(PENDING_MAX, PENDING_BYTES_MAX);
    let unwritten = Arc::new(AtomicU64::new(0));
    let written = Written { records, unwritten: unwritten.clone() };
    (Records { to, wants_served, unwritten }, written)
}

// === impl Record ===

impl From<Envelope> for Record {
    /// A line of which nothing else is known.
    fn from(envelope: Envelope) -> Self {
        Self { envelope, short: None, facts: None, served: None }
    }
}

impl Weight for Record {
    fn bytes(&self) -> usize {
        let short = self.short.as_deref().map_or(0, <[u8]>::len);
        self.envelope.bytes() + short + self.served.as_deref().map_or(0, Weight::bytes)
    }
}

// === impl Served ===

impl Weight for Served {
    fn bytes(&self) -> usize {
        let texts = [
            &self.request_id,
            &self.method,
            &self.uri,
            &self.client,
            &self.user_agent,
            &self.forwarded_for,
            &self.instance_id,
        ];
        let trace = self.trace.as_ref().map_or(0, |(trace, span)| trace.len() + span.len());
        size_of::<Self>() + trace + texts.map(String::len).iter().sum::<usize>()
    }
}

// === impl Records ===

impl Records {
    /// Whether records are to hold requests.
    pub(crate) fn wants_served(&self) -> bool {
        self.wants_served
    }

    /// How many the writer could not write; it goes on counting.
    pub(crate) fn unwritten(&self) -> Arc<AtomicU64> {
        self.unwritten.clone()
    }

    /// Hands all of them over, in their order; how many were lost.
    pub(crate) fn send_all(&self, records: &mut dyn ExactSizeIterator<Item = Record>) -> u64 {
        self.to.send_all(records)
    }
}

impl LogIngress for Records {
    fn emit(&self, envelope: Envelope) -> bool {
        self.to.send(envelope.into()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use lattice_model::envelope::Log;

    use super::*;

    #[test]
    fn all_that_a_client_can_make_long_is_counted() {
        let served = |text: &str| Served {
            began: Time(0),
            asked: None,
            ended: Time(0),
            request_id: text.to_owned(),
            trace: Some((text.to_owned(), text.to_owned())),
            method: text.to_owned(),
            uri: text.to_owned(),
            client: text.to_owned(),
            user_agent: text.to_owned(),
            forwarded_for: text.to_owned(),
            status: 200,
            sent: 0,
            instance_id: text.to_owned(),
        };
        let record = |text: &str| Record {
            short: Some(text.as_bytes().into()),
            served: Some(Box::new(served(text))),
            ..Envelope::log("a".into(), "0".into(), Time(0), Log::out("RTR".into(), text)).into()
        };
        assert_eq!(record("longer").bytes() - record("").bytes(), 11 * "longer".len());
    }
}
