//! What instances are told of names; pure.

use core::net::{Ipv4Addr, Ipv6Addr};

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

/// Apps are `NAME.` and this inside instances, whatever the domain.
pub const APPS_INTERNAL: &str = "apps.internal";
/// How many seconds an answer may be kept; the router's address does not change while it runs.
const TTL: u32 = 30;
/// The bytes before the questions of a message.
const HEADER_BYTES: usize = 12;
/// Set in the third byte of an answer.
const IS_ANSWER: u8 = 0x80;

/// The names that are answered here.
#[derive(Debug, Clone)]
pub struct Zone {
    router: Ipv4Addr,
    internal: Name,
    localhost: Name,
    /// `None` where it is under `localhost`, which is each instance itself.
    domain: Option<Name>,
}

/// What becomes of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// This is the answer.
    Known(Vec<u8>),
    /// Others have to be asked.
    Elsewhere,
    /// It is no question.
    Silence,
}

/// Whom a name belongs to.
enum Owner {
    Apps,
    Domain,
    Localhost,
    Others,
}

// === impl Zone ===

impl Zone {
    /// The names that lead to the router at this address. A domain that is no name has none.
    pub fn new(router: Ipv4Addr, domain: &str) -> Self {
        let name = |text: &str| Name::from_str_relaxed(text).ok().map(absolute);
        let fixed = |text: &str| name(text).expect("a name");
        let localhost = fixed("localhost");
        let domain = name(domain).filter(|domain| !localhost.zone_of(domain));
        Self { router, internal: fixed(APPS_INTERNAL), localhost, domain }
    }

    /// What becomes of the bytes of a question.
    pub fn reply(&self, query: &[u8]) -> Reply {
        let Some(flags) = query.get(2).filter(|_| query.len() >= HEADER_BYTES) else {
            return Reply::Silence;
        };
        // An answer to an answer could go on for ever.
        if flags & IS_ANSWER != 0 {
            return Reply::Silence;
        }
        let Ok(message) = Message::from_vec(query) else {
            return Reply::Known(bare(query, ResponseCode::FormErr));
        };
        if message.metadata.op_code != OpCode::Query {
            return Reply::Known(bare(query, ResponseCode::NotImp));
        }
        let [question] = message.queries.as_slice() else {
            return Reply::Known(bare(query, ResponseCode::FormErr));
        };
        match self.addresses(question) {
            Some(addresses) => Reply::Known(answer(&message, question, addresses)),
            None => Reply::Elsewhere,
        }
    }

    /// The addresses behind a name of ours, perhaps none; `None` when others have to be asked.
    fn addresses(&self, question: &Query) -> Option<Vec<RData>> {
        if question.query_class() != DNSClass::IN {
            return None;
        }
        let v4 = |address| vec![RData::A(A(address))];
        match (self.owner(question.name()), question.query_type()) {
            (Owner::Apps | Owner::Domain, RecordType::A) => Some(v4(self.router)),
            // The router has no such address, and another that has would not be the router.
            (Owner::Apps | Owner::Domain, RecordType::AAAA) => Some(Vec::new()),
            (Owner::Apps, _) => Some(Vec::new()),
            (Owner::Localhost, RecordType::A) => Some(v4(Ipv4Addr::LOCALHOST)),
            (Owner::Localhost, RecordType::AAAA) => {
                Some(vec![RData::AAAA(AAAA(Ipv6Addr::LOCALHOST))])
            }
            (Owner::Localhost, _) => Some(Vec::new()),
            (Owner::Domain | Owner::Others, _) => None,
        }
    }

    fn owner(&self, name: &Name) -> Owner {
        let below = |zone: &Name| zone.zone_of(name) && zone.num_labels() < name.num_labels();
        if self.internal.zone_of(name) {
            return Owner::Apps;
        }
        if self.localhost.zone_of(name) {
            return Owner::Localhost;
        }
        match &self.domain {
            Some(domain) if below(domain) => Owner::Domain,
            Some(_) | None => Owner::Others,
        }
    }
}

fn absolute(mut name: Name) -> Name {
    name.set_fqdn(true);
    name
}

fn answer(query: &Message, question: &Query, addresses: Vec<RData>) -> Vec<u8> {
    let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
    answer.metadata.authoritative = true;
    answer.metadata.recursion_desired = query.metadata.recursion_desired;
    answer.metadata.recursion_available = true;
    answer.add_query(question.clone());
    let records = addresses.into_iter();
    answer.add_answers(records.map(|data| Record::from_rdata(question.name().clone(), TTL, data)));
    if query.edns.is_some() {
        answer.set_edns(Edns::new());
    }
    debug_assert_eq!(answer.metadata.message_type, MessageType::Response);
    answer.to_vec().unwrap_or_default()
}

/// Says that the question could not be answered.
pub fn failure(query: &[u8]) -> Vec<u8> {
    bare(query, ResponseCode::ServFail)
}

/// Says that whoever asks has too many questions under way.
pub fn refusal(query: &[u8]) -> Vec<u8> {
    bare(query, ResponseCode::Refused)
}

/// A code and no more, for a question of at least a header.
fn bare(query: &[u8], code: ResponseCode) -> Vec<u8> {
    let id = query.get(..2).map_or(0, |id| u16::from_be_bytes([id[0], id[1]]));
    let op_code = query.get(2).map_or(OpCode::Query, |flags| OpCode::from_u8((flags >> 3) & 0xf));
    let mut message = Message::response(id, op_code);
    message.metadata.response_code = code;
    message.metadata.recursion_available = true;
    message.to_vec().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 255, 0, 1);

    fn question(name: &str, kind: RecordType) -> Message {
        let mut message = Message::query();
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        message
    }

    /// The answer's addresses, or why there are none.
    fn told(domain: &str, name: &str, kind: RecordType) -> String {
        let query = question(name, kind);
        match Zone::new(ROUTER, domain).reply(&query.to_vec().unwrap()) {
            Reply::Silence => "silence".to_owned(),
            Reply::Elsewhere => "elsewhere".to_owned(),
            Reply::Known(bytes) => {
                let answer = Message::from_vec(&bytes).unwrap();
                assert_eq!(answer.metadata.id, query.metadata.id);
                assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
                assert_eq!(answer.queries, query.queries);
                let data: Vec<String> = answer.answers.iter().map(|r| r.data.to_string()).collect();
                data.join(" ")
            }
        }
    }

    #[test]
    fn names_of_apps_lead_to_the_router() {
        use RecordType::{A, AAAA, MX};
        for (domain, name, kind, expected) in [
            ("lattice.localhost", "web.apps.internal.", A, "10.255.0.1"),
            ("lattice.localhost", "WEB.Apps.Internal.", A, "10.255.0.1"),
            ("lattice.localhost", "a.b.apps.internal.", A, "10.255.0.1"),
            ("lattice.localhost", "web.apps.internal.", AAAA, ""),
            ("lattice.localhost", "web.apps.internal.", MX, ""),
            ("lattice.localhost", "webapps.internal.", A, "elsewhere"),
            ("lattice.localhost", "web.lattice.localhost.", A, "127.0.0.1"),
            ("lattice.localhost", "localhost.", AAAA, "::1"),
            ("lattice.localhost", "localhost.", MX, ""),
            ("lattice.localhost", "example.com.", A, "elsewhere"),
            ("example.com", "web.example.com.", A, "10.255.0.1"),
            ("example.com", "web.example.com.", AAAA, ""),
            ("example.com", "web.example.com.", MX, "elsewhere"),
            ("example.com", "example.com.", A, "elsewhere"),
            ("example.com", "notexample.com.", A, "elsewhere"),
            ("not..a..name", "web.apps.internal.", A, "10.255.0.1"),
        ] {
            assert_eq!(told(domain, name, kind), expected, "{name} {kind} under {domain}");
        }
    }

    #[test]
    fn what_is_no_question_gets_no_answer() {
        let zone = Zone::new(ROUTER, "example.com");
        let mut an_answer = question("web.apps.internal.", RecordType::A);
        an_answer.metadata.message_type = MessageType::Response;
        for bytes in [&b""[..], b"short", &an_answer.to_vec().unwrap()] {
            assert_eq!(zone.reply(bytes), Reply::Silence, "{bytes:?}");
        }
    }

    #[test]
    fn what_cannot_be_understood_is_told_so_under_its_number() {
        let zone = Zone::new(ROUTER, "example.com");
        let code = |bytes: &[u8]| match zone.reply(bytes) {
            Reply::Known(answer) => {
                let answer = Message::from_vec(&answer).unwrap();
                assert_eq!(answer.metadata.id, u16::from_be_bytes([bytes[0], bytes[1]]));
                answer.metadata.response_code
            }
            other => panic!("{bytes:?}: {other:?}"),
        };
        let mut cut = question("web.apps.internal.", RecordType::A).to_vec().unwrap();
        cut.truncate(20);
        assert_eq!(code(&cut), ResponseCode::FormErr);
        assert_eq!(code(&Message::query().to_vec().unwrap()), ResponseCode::FormErr);
        let mut two = question("a.apps.internal.", RecordType::A);
        two.add_query(two.queries[0].clone());
        assert_eq!(code(&two.to_vec().unwrap()), ResponseCode::FormErr);
        let mut update = question("a.apps.internal.", RecordType::A);
        update.metadata.op_code = OpCode::Update;
        assert_eq!(code(&update.to_vec().unwrap()), ResponseCode::NotImp);
    }
}
