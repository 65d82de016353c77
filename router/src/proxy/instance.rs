//! `X-CF-App-Instance` and `X-CF-Process-Instance`: a request for one instance and no other
//! (facts 1.2). Pure.

use std::sync::Arc;

use crate::h1::name::Name;
use crate::h1::request::RequestHead;
use crate::pool::{Endpoint, Route};
use crate::verdict::{Failure, Whose};

/// Which instance is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted<'b> {
    whose: Whose,
    guid: &'b str,
    index: Option<&'b str>,
}

// === impl Wanted ===

impl<'b> Wanted<'b> {
    /// Reads what a request asks for, if it asks for a certain instance.
    pub(crate) fn read(head: &RequestHead<'_, 'b>) -> Result<Option<Self>, Failure> {
        const NAMES: [(Name, Whose); 2] =
            [(Name::AppInstance, Whose::App), (Name::ProcessInstance, Whose::Process)];
        for (name, whose) in NAMES {
            if let Some(value) = head.fields.values(name).next().filter(|value| !value.is_empty()) {
                let wanted = Self::parse(whose, value);
                return wanted.map(Some).ok_or(Failure::MalformedInstance { whose });
            }
        }
        Ok(None)
    }

    /// The endpoints of a route that the request may go to.
    pub(crate) fn among(&self, route: &Route, host: &str) -> Result<Vec<Arc<Endpoint>>, Failure> {
        let found: Vec<_> = route.pool.load().iter().filter(|e| self.is(e)).cloned().collect();
        if found.is_empty() { Err(self.unknown(host.to_owned())) } else { Ok(found) }
    }

    /// That the host does not have it.
    pub(crate) fn unknown(&self, host: String) -> Failure {
        Failure::UnknownInstance {
            whose: self.whose,
            index: self.index.unwrap_or_default().to_owned(),
            guid: self.guid.to_owned(),
            host,
        }
    }

    /// `GUID:INDEX`, or for a process `GUID` alone.
    fn parse(whose: Whose, value: &'b [u8]) -> Option<Self> {
        let value = std::str::from_utf8(value).ok()?;
        let (guid, index) = match value.split_once(':') {
            Some((guid, index)) => (guid, Some(index)),
            None if whose == Whose::Process => (value, None),
            None => return None,
        };
        let is_number =
            |index: &str| !index.is_empty() && index.bytes().all(|b| b.is_ascii_digit());
        (is_guid(guid) && index.is_none_or(is_number)).then_some(Self { whose, guid, index })
    }

    fn is(&self, endpoint: &Endpoint) -> bool {
        let guid = match self.whose {
            Whose::App => &*endpoint.facts.app,
            Whose::Process => endpoint.process(),
        };
        *guid == *self.guid && self.index.is_none_or(|index| *endpoint.index == *index)
    }
}

/// 8-4-4-4-12 hexadecimal digits in lower case.
fn is_guid(text: &str) -> bool {
    let mut parts = text.split('-');
    let is_part = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    [8, 4, 4, 4, 12].into_iter().all(|n| parts.next().is_some_and(|part| is_part(part, n)))
        && parts.next().is_none()
}

#[test]
fn what_is_wanted_is_a_guid_and_an_index() {
    const GUID: &str = "01234567-89ab-cdef-0123-456789abcdef";
    for (whose, value, expected) in [
        (Whose::App, format!("{GUID}:0"), Some(Some("0"))),
        (Whose::App, format!("{GUID}:12"), Some(Some("12"))),
        (Whose::App, GUID.to_owned(), None),
        (Whose::App, format!("{GUID}:"), None),
        (Whose::App, format!("{GUID}:-1"), None),
        (Whose::App, format!("{GUID}:1 "), None),
        (Whose::App, format!("{GUID}:1:2"), None),
        (Whose::App, format!("{}:1", GUID.to_uppercase()), None),
        (Whose::App, "web:1".to_owned(), None),
        (Whose::App, format!("x{GUID}:1"), None),
        (Whose::Process, GUID.to_owned(), Some(None)),
        (Whose::Process, format!("{GUID}:3"), Some(Some("3"))),
        (Whose::Process, format!("{GUID}:"), None),
        (Whose::Process, String::new(), None),
    ] {
        let wanted = Wanted::parse(whose, value.as_bytes());
        assert_eq!(wanted.map(|wanted| wanted.index), expected, "{whose:?} {value}");
    }
}
