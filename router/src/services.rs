//! Route services: a request for a route that names one passes it first, and comes back with a
//! signature that only routers can make (facts 1.12). Pure.

pub(crate) mod place;
pub(crate) mod signature;

use std::sync::Arc;
use std::time::Duration;

use crate::pool::{Backend, Common, Endpoint};
use crate::table::Announcement;
use crate::tls::BackendTls;
use place::Place;
pub use signature::Keys;

/// What a router with route services is told.
#[derive(Debug, Clone)]
pub struct Services {
    /// What signs, and what is believed.
    pub keys: Keys,
    /// How long a request may stay with its service.
    pub timeout: Duration,
    /// The scheme by which a service is to send requests back.
    pub recommends_https: bool,
    /// Which services are looked for among the router's own routes.
    pub hairpins: Hairpins,
    /// How often a service is asked that does not take a request.
    pub attempts_max: usize,
    /// A signature is looked at on routes without a service as well, and refused if it is none.
    pub is_strict: bool,
    /// What is spoken to services.
    pub tls: BackendTls,
}

/// Which services are looked for among the router's own routes, instead of over the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hairpins {
    /// None.
    Never,
    /// All.
    Always,
    /// Those of these hosts; what begins with a dot stands for one label and it.
    Only(Vec<String>),
}

/// The service of a route.
#[derive(Debug)]
pub struct Service {
    /// As registered.
    pub url: Arc<str>,
    /// Where it is, and as whom to speak to it; none where the URL does not say it.
    pub(crate) reached: Option<Reached>,
}

/// How a service is reached.
#[derive(Debug)]
pub(crate) struct Reached {
    pub(crate) place: Place,
    /// It, as the only endpoint that will do.
    pub(crate) endpoint: Arc<Endpoint>,
}

// === impl Hairpins ===

impl Hairpins {
    /// Those of a list of `host.domain` and `*.domain`; of an empty one, all.
    pub fn listed(hosts: &[String]) -> Result<Self, String> {
        if hosts.is_empty() {
            return Ok(Self::Always);
        }
        let wrong = hosts.iter().find(|host| !is_host(host.strip_prefix("*.").unwrap_or(host)));
        if let Some(wrong) = wrong {
            return Err(format!("`{wrong}` is neither host.domain nor *.domain"));
        }
        let entry = |host: &String| host.strip_prefix('*').unwrap_or(host).to_ascii_lowercase();
        Ok(Self::Only(hosts.iter().map(entry).collect()))
    }

    /// Whether a route of this host may be taken for the service.
    pub(crate) fn allow(&self, host: &str) -> bool {
        match self {
            Self::Never => false,
            Self::Always => true,
            Self::Only(hosts) => {
                let above = host.find('.').map(|dot| &host[dot..]);
                hosts.iter().any(|entry| entry == host || Some(entry.as_str()) == above)
            }
        }
    }
}

fn is_host(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    text.contains('.') && text.split('.').all(is_label)
}

// === impl Service ===

impl Service {
    /// A service that connections are kept to under this number.
    pub(crate) fn new(id: u64, url: Arc<str>, now: lattice_model::Time) -> Self {
        let reached = Place::parse(&url).and_then(|place| {
            let anywhere = ([0, 0, 0, 0], place.port).into();
            let mut told = Announcement::new(anywhere, "", "", "")?;
            told.tls = Some(place.host.to_string());
            let backend = Arc::new(Backend::of_service(id, &told));
            let endpoint = Arc::new(Endpoint::new(backend, Common::default(), None, now));
            Some(Reached { place, endpoint })
        });
        Self { url, reached }
    }
}

#[test]
fn hosts_that_may_be_hairpinned_are_listed() {
    let listed = |hosts: &[&str]| {
        Hairpins::listed(&hosts.iter().map(|&host| host.to_owned()).collect::<Vec<_>>())
    };
    assert_eq!(listed(&[]), Ok(Hairpins::Always));
    for wrong in ["", "host", "*.*.a.b", "a.*.b", "?!.a.b", "*", "*.", "a..b", ".a.b", "*a.b.c"] {
        assert!(listed(&[wrong]).is_err(), "{wrong}");
    }
    let some = listed(&["*.Wild.test", "one.Exact.test"]).unwrap();
    for (host, expected) in [
        ("one.exact.test", true),
        ("exact.test", false),
        ("two.exact.test", false),
        ("a.wild.test", true),
        ("*.wild.test", true),
        ("a.b.wild.test", false),
        ("wild.test", false),
        ("awild.test", false),
    ] {
        assert_eq!(some.allow(host), expected, "{host}");
        assert!(Hairpins::Always.allow(host) && !Hairpins::Never.allow(host));
    }
}
