//! An address that takes connections on behalf of one instance. Pure.

use core::net::{IpAddr, SocketAddr};
use core::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};

use lattice_model::Time;

use crate::table::Announcement;

/// An address that takes connections on behalf of one instance. A new instance at an old address
/// is another backend, so that no connection outlives its instance.
#[derive(Debug)]
pub struct Backend {
    /// Never used twice; connections are pooled under it.
    pub id: u64,
    /// The address as lines show it, the instance guid, and the name, one behind the other.
    text: Box<str>,
    failed_until: AtomicI64,
    /// Requests whose answer has not begun.
    pub in_flight: AtomicU32,
    port: u16,
    instance_bytes: u16,
    label_bytes: u8,
    ip: IpAddr,
    /// Its address is that of the name in its label, whatever that is.
    is_looked_up: bool,
    name: Named,
    gone: AtomicBool,
}

/// What the name of a backend is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    /// It has none, and speaks in clear.
    Nothing,
    /// It must show a certificate for it; for its address where it is empty.
    Certificate,
    /// The same, and it is a route service: its address is looked up for each connection.
    Service,
}

// === impl Backend ===

impl Backend {
    /// A backend with a number of its own.
    pub fn new(id: u64, told: &Announcement) -> Self {
        let name = if told.tls.is_some() { Named::Certificate } else { Named::Nothing };
        Self::named(id, told, name, &told.label())
    }

    /// A route service, known by the name that it must prove. Lines show no address of it, as
    /// gorouter's do.
    pub fn of_service(id: u64, told: &Announcement) -> Self {
        Self::named(id, told, Named::Service, "")
    }

    fn named(id: u64, told: &Announcement, name: Named, label: &str) -> Self {
        let proven = told.tls.as_deref().unwrap_or_default();
        Self {
            id,
            text: [label, &told.instance_id, proven].concat().into(),
            failed_until: AtomicI64::new(0),
            in_flight: AtomicU32::new(0),
            port: told.addr.port(),
            instance_bytes: u16::try_from(told.instance_id.len()).expect("announcements bound it"),
            label_bytes: u8::try_from(label.len()).expect("announcements bound it"),
            ip: told.addr.ip(),
            is_looked_up: told.name.is_some(),
            name,
            gone: AtomicBool::new(false),
        }
    }

    /// The name whose address is looked up for each connection, where there is one.
    pub fn host(&self) -> Option<&str> {
        let of_label = || self.label().rsplit_once(':').map(|(host, _)| host);
        if self.is_looked_up { of_label() } else { self.service() }
    }

    /// The address; of one that is looked up only the port means something.
    pub fn addr(&self) -> SocketAddr {
        SocketAddr::new(self.ip, self.port)
    }

    /// The address as text, for logs.
    pub fn label(&self) -> &str {
        &self.text[..usize::from(self.label_bytes)]
    }

    /// The instance guid; may be empty.
    pub fn instance_id(&self) -> &str {
        &self.text[self.instance()]
    }

    /// What it is told to be: the instance guid, or where it has none the address.
    pub fn shown(&self) -> &str {
        if self.instance_bytes == 0 { self.label() } else { self.instance_id() }
    }

    /// Speaks TLS, with a certificate for this name; for its address where that is empty.
    pub fn tls(&self) -> Option<&str> {
        match self.name {
            Named::Nothing => None,
            Named::Certificate | Named::Service => Some(&self.text[self.instance().end..]),
        }
    }

    /// The name of a route service, whose address is looked up for each connection.
    pub fn service(&self) -> Option<&str> {
        match self.name {
            Named::Nothing | Named::Certificate => None,
            Named::Service => self.tls(),
        }
    }

    fn instance(&self) -> Range<usize> {
        let begin = usize::from(self.label_bytes);
        begin..begin + usize::from(self.instance_bytes)
    }

    /// Whether this is what an announcement speaks of.
    pub fn is_of(&self, told: &Announcement) -> bool {
        self.addr() == told.addr
            && *self.instance_id() == *told.instance_id
            && self.tls() == told.tls.as_deref()
    }

    /// Requests whose answer has not begun.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Passes it over until then.
    pub fn mark_failed(&self, until: Time) {
        self.failed_until.store(until.0, Ordering::Relaxed);
    }

    /// Forgets a failure.
    pub fn clear_failure(&self) {
        self.failed_until.store(0, Ordering::Relaxed);
    }

    /// Whether it failed a short while ago.
    pub fn is_failed(&self, now: Time) -> bool {
        self.failed_until.load(Ordering::Relaxed) > now.0
    }

    /// Notes that no route leads here any more.
    pub fn withdraw(&self) {
        self.gone.store(true, Ordering::Relaxed);
    }

    /// Whether no route leads here any more; its connections are closed then.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_with_a_name_is_known_by_it() {
        let told = Announcement::for_test("10.0.0.1:80").at("db.internal", 81);
        let other = Announcement::for_test("10.0.0.1:80").at("web.internal", 81);
        let backend = Backend::new(1, &told);
        assert_eq!((backend.label(), backend.host()), ("db.internal:81", Some("db.internal")));
        assert_eq!((backend.shown(), backend.addr().port()), ("db.internal:81", 81));
        assert!(backend.is_of(&told) && !backend.is_of(&other) && backend.service().is_none());
    }

    #[test]
    fn a_backend_says_of_itself_what_was_announced() {
        let expected = |label, id, shown, tls, service| (label, id, shown, tls, service);
        for (addr, id, tls, is_service, shown) in [
            (
                "10.0.0.1:80",
                "",
                None,
                false,
                expected("10.0.0.1:80", "", "10.0.0.1:80", None, None),
            ),
            (
                "10.0.0.1:80",
                "guid",
                None,
                false,
                expected("10.0.0.1:80", "guid", "guid", None, None),
            ),
            ("[::1]:1", "g", Some(""), false, expected("[::1]:1", "g", "g", Some(""), None)),
            ("[::1]:1", "", Some("n"), false, expected("[::1]:1", "", "[::1]:1", Some("n"), None)),
            ("0.0.0.0:443", "", Some("rs"), true, expected("", "", "", Some("rs"), Some("rs"))),
        ] {
            let addr = addr.parse().unwrap();
            let mut told = Announcement::new(addr, "app", id, "0").unwrap();
            told.tls = tls.map(str::to_owned);
            let backend =
                if is_service { Backend::of_service(1, &told) } else { Backend::new(1, &told) };
            let says = (backend.label(), backend.instance_id(), backend.shown());
            assert_eq!((says.0, says.1, says.2, backend.tls(), backend.service()), shown);
            assert_eq!(backend.addr(), addr);
            assert!(backend.is_of(&told));
            told.instance_id.push('x');
            assert!(!backend.is_of(&told));
        }
    }
}
