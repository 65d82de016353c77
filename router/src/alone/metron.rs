//! What a metron agent is told of each request: the line of the app's log, and events (facts 1.13
//! and 1.14).

use lattice_model::envelope::{Log, Message};
use lattice_model::wire::dropsonde::{self, proto};
use lattice_model::{Envelope, Labels};
use uuid::Uuid;

use super::agent::Agent;
use super::report::ORIGIN;
use crate::records::{Record, Served};

/// Who is told, and what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metron {
    /// The UDP address of the agent, `host:port`.
    pub address: String,
    /// The router's place among routers, which lines are said to come from.
    pub index: u32,
    /// The lines of apps.
    pub tells_lines: bool,
    /// Each request that the router was asked.
    pub tells_served: bool,
    /// Each request that the router asked of an endpoint.
    pub tells_asked: bool,
}

/// Whose view of a request an event has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Peer {
    Client = 1,
    Server = 2,
}

/// The methods by the numbers that the schema gives them, from 1.
const METHODS: &[&str] = &[
    "GET",
    "POST",
    "PUT",
    "DELETE",
    "HEAD",
    "ACL",
    "BASELINE_CONTROL",
    "BIND",
    "CHECKIN",
    "CHECKOUT",
    "CONNECT",
    "COPY",
    "DEBUG",
    "LABEL",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MKREDIRECTREF",
    "MKWORKSPACE",
    "MOVE",
    "OPTIONS",
    "ORDERPATCH",
    "PATCH",
    "PRI",
    "PROPFIND",
    "PROPPATCH",
    "REBIND",
    "REPORT",
    "SEARCH",
    "SHOWMETHOD",
    "SPACEJUMP",
    "TEXTSEARCH",
    "TRACE",
    "TRACK",
    "UNBIND",
    "UNCHECKOUT",
    "UNLINK",
    "UNLOCK",
    "UPDATE",
    "UPDATEREDIRECTREF",
    "VERSION_CONTROL",
];

// === impl Metron ===

impl Metron {
    /// Whether requests themselves are told.
    pub(super) fn wants_served(&self) -> bool {
        self.tells_served || self.tells_asked
    }

    /// Tells it of a record.
    pub(super) fn tell(&self, record: &Record, agent: &Agent) {
        self.datagrams(record).iter().for_each(|datagram| agent.send(datagram));
    }

    /// The datagrams of a record.
    fn datagrams(&self, record: &Record) -> Vec<Vec<u8>> {
        let tags = record.facts.as_ref().map(|facts| facts.tags.clone()).unwrap_or_default();
        let mut datagrams = Vec::new();
        if let Some(served) = &record.served {
            let at = served.ended;
            let tags = traced(served, &tags);
            let mut tell = |peer| {
                let event = event(served, &record.envelope, peer);
                datagrams.push(dropsonde::encode_request(ORIGIN, at, event, &tags));
            };
            if self.tells_asked && served.asked.is_some() {
                tell(Peer::Client);
            }
            if self.tells_served {
                tell(Peer::Server);
            }
        }
        if self.tells_lines && !record.envelope.source_id.is_empty() {
            datagrams.push(self.line(record, &tags));
        }
        datagrams
    }

    fn line(&self, record: &Record, tags: &Labels) -> Vec<u8> {
        let instance_id = self.index.to_string().into();
        let mut envelope = Envelope { instance_id, ..record.envelope.clone() };
        if let (Message::Log(log), Some(short)) = (&mut envelope.message, &record.short) {
            *log = Log { payload: short.clone(), ..log.clone() };
        }
        dropsonde::encode_tagged(ORIGIN, &envelope, tags)
    }
}

fn event(served: &Served, envelope: &Envelope, peer: Peer) -> proto::HttpStartStop {
    let began = match peer {
        Peer::Client => served.asked.unwrap_or(served.began),
        Peer::Server => served.began,
    };
    let method = METHODS.iter().position(|known| *known == served.method);
    let forwarded = served.forwarded_for.split(", ").filter(|address| !address.is_empty());
    proto::HttpStartStop {
        start_timestamp: began.0,
        stop_timestamp: served.ended.0,
        request_id: uuid(&served.request_id),
        peer_type: peer as i32,
        method: method.map_or(0, |place| i32::try_from(place + 1).unwrap_or(0)),
        uri: served.uri.clone(),
        remote_address: served.client.clone(),
        user_agent: served.user_agent.clone(),
        status_code: served.status.into(),
        content_length: i64::try_from(served.sent).unwrap_or(i64::MAX),
        application_id: uuid(&envelope.source_id),
        instance_index: envelope.instance_id.parse().ok(),
        instance_id: Some(served.instance_id.clone()).filter(|id| !id.is_empty()),
        forwarded: forwarded.map(str::to_owned).collect(),
    }
}

/// The tags of an event: the endpoint's, and where in a trace the request stands.
fn traced(served: &Served, tags: &Labels) -> Labels {
    let own = tags.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    let ids =
        served.trace.iter().flat_map(|(trace, span)| [("trace_id", trace), ("span_id", span)]);
    own.chain(ids.map(|(name, id)| (name.to_owned(), id.clone()))).collect()
}

fn uuid(text: &str) -> Option<proto::Uuid> {
    let bytes = Uuid::try_parse(text).ok()?.into_bytes();
    let (low, high) = bytes.split_at(8);
    let number = |half: &[u8]| half.iter().rev().fold(0, |number, &b| (number << 8) | u64::from(b));
    Some(proto::Uuid { low: number(low), high: number(high) })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use lattice_model::Time;
    use prost::Message as _;

    use super::*;
    use crate::pool::Facts;

    const APP: &str = "00010203-0405-0607-0809-0a0b0c0d0e0f";

    fn served(asked: Option<Time>) -> Box<Served> {
        Box::new(Served {
            began: Time(1),
            asked,
            ended: Time(9),
            request_id: APP.to_owned(),
            trace: Some(("t".to_owned(), "s".to_owned())),
            method: "PUT".to_owned(),
            uri: "http://web.test/a".to_owned(),
            client: "10.0.0.1:5".to_owned(),
            user_agent: "curl".to_owned(),
            forwarded_for: "10.0.0.9, 10.0.0.1".to_owned(),
            status: 201,
            sent: 7,
            instance_id: "guid".to_owned(),
        })
    }

    fn record(app: &str, served: Option<Box<Served>>, short: Option<&[u8]>) -> Record {
        let log = Log::out("RTR".into(), "whole");
        let tags = [("component".to_owned(), "web".to_owned())].into_iter().collect();
        Record {
            short: short.map(Into::into),
            facts: Some(Arc::new(Facts { tags, ..Facts::default() })),
            served,
            ..Envelope::log(app.into(), "3".into(), Time(5), log).into()
        }
    }

    fn told(metron: &Metron, record: &Record) -> Vec<proto::Envelope> {
        let read = |bytes: &Vec<u8>| proto::Envelope::decode(&**bytes).unwrap();
        metron.datagrams(record).iter().map(read).collect()
    }

    #[test]
    fn a_line_comes_from_the_router_with_the_endpoints_tags_and_fits_into_a_datagram() {
        let metron = Metron { index: 4, tells_lines: true, ..Metron::default() };
        for (short, expected) in [(None, &b"whole"[..]), (Some(&b"sh"[..]), b"sh")] {
            let [envelope] = &told(&metron, &record(APP, None, short))[..] else { panic!("one") };
            assert_eq!((&*envelope.origin, envelope.timestamp), ("gorouter", Some(5)));
            assert_eq!(envelope.tags.get("component").map(String::as_str), Some("web"));
            let line = envelope.log_message.as_ref().unwrap();
            assert_eq!(line.message, expected);
            assert_eq!(line.source_instance.as_deref(), Some("4"));
            assert_eq!(
                (line.app_id.as_deref(), line.source_type.as_deref()),
                (Some(APP), Some("RTR"))
            );
        }
        assert!(told(&metron, &record("", None, None)).is_empty(), "it is no app's");
    }

    #[test]
    fn a_request_is_told_as_the_router_was_asked_it_and_as_it_asked_an_endpoint() {
        let all = Metron { tells_served: true, tells_asked: true, ..Metron::default() };
        let asked = Metron { tells_asked: true, ..Metron::default() };
        let served_only = Metron { tells_served: true, ..Metron::default() };
        for (metron, asked, expected) in [
            (&all, Some(Time(2)), &[(1, 2), (2, 1)][..]),
            (&all, None, &[(2, 1)]),
            (&asked, Some(Time(2)), &[(1, 2)]),
            (&served_only, Some(Time(2)), &[(2, 1)]),
        ] {
            let events = told(metron, &record(APP, Some(served(asked)), None));
            for tag in [("component", "web"), ("trace_id", "t"), ("span_id", "s")] {
                let value = |event: &proto::Envelope| event.tags.get(tag.0).cloned();
                assert!(events.iter().all(|event| value(event).as_deref() == Some(tag.1)));
            }
            let events: Vec<_> =
                events.into_iter().map(|event| event.http_start_stop.unwrap()).collect();
            let seen: Vec<_> =
                events.iter().map(|event| (event.peer_type, event.start_timestamp)).collect();
            assert_eq!(seen, expected);
            for event in events {
                let id =
                    Some(proto::Uuid { low: 0x0706_0504_0302_0100, high: 0x0f0e_0d0c_0b0a_0908 });
                assert_eq!((event.application_id, event.request_id), (id, id));
                assert_eq!((event.method, event.status_code, event.stop_timestamp), (3, 201, 9));
                assert_eq!(event.forwarded, ["10.0.0.9", "10.0.0.1"]);
                assert_eq!((event.instance_index, event.content_length), (Some(3), 7));
            }
        }
    }
}
