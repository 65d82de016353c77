//! What the routing API says, and what the table's owner is told of it.

use std::collections::BTreeMap;

use lattice_daemon::bus::Message;
use lattice_model::wire::event_stream::Frame;
use lattice_model::wire::registration::{REGISTER, Registration, UNREGISTER};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::pool::Tag;

/// A route of the API: one uri, and one endpoint of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Route {
    route: String,
    port: u16,
    ip: String,
    /// Seconds for which it counts; what is not more than 0 is for as long as the router has it.
    ttl: Option<i64>,
    log_guid: String,
    route_service_url: String,
    modification_tag: Tag,
}

/// Which route it is, to the API.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    uri: String,
    ip: String,
    port: u16,
}

/// An event of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    Upserted(Route),
    Deleted(Route),
}

/// The routes that the API has, as far as is known here.
#[derive(Debug, Default)]
pub(crate) struct Known {
    routes: BTreeMap<Place, Route>,
}

/// The routes of a listing, and how many of its elements are none: those are left out.
pub(crate) fn listed(body: &[u8]) -> Result<(Vec<Route>, usize), serde_json::Error> {
    // Go writes an empty list as `null`.
    let each = serde_json::from_slice::<Option<Vec<&RawValue>>>(body)?.unwrap_or_default();
    let routes = each.iter().filter_map(|element| serde_json::from_str(element.get()).ok());
    let routes: Vec<Route> = routes.collect();
    let odd = each.len() - routes.len();
    Ok((routes, odd))
}

// === impl Change ===

impl Change {
    /// What a frame says; `None` for a kind of event that is not known.
    pub(crate) fn read(frame: &Frame) -> Result<Option<Self>, serde_json::Error> {
        let change = match &*frame.name {
            "Upsert" => Self::Upserted,
            "Delete" => Self::Deleted,
            _ => return Ok(None),
        };
        serde_json::from_str(&frame.data).map(|route| Some(change(route)))
    }
}

// === impl Known ===

impl Known {
    /// Takes a listing for all there is: what to say of it. What has gone is withdrawn first.
    pub(crate) fn replace(&mut self, listed: Vec<Route>) -> impl Iterator<Item = Message> {
        let mut before = std::mem::take(&mut self.routes);
        for route in listed {
            let place = route.place();
            let known = before.remove(&place).filter(|known| known.outranks(&route));
            self.routes.insert(place, known.unwrap_or(route));
        }
        let gone = before.into_values().map(|route| route.message(UNREGISTER));
        gone.chain(self.routes.values().map(|route| route.message(REGISTER)))
    }

    /// Takes one change: what to say of it; nothing where more is known already.
    pub(crate) fn change(&mut self, change: Change) -> Option<Message> {
        let (Change::Upserted(route) | Change::Deleted(route)) = &change;
        let place = route.place();
        if self.routes.get(&place).is_some_and(|known| known.outranks(route)) {
            return None;
        }
        Some(match change {
            Change::Upserted(route) => {
                let message = route.message(REGISTER);
                self.routes.insert(place, route);
                message
            }
            Change::Deleted(route) => {
                self.routes.remove(&place);
                route.message(UNREGISTER)
            }
        })
    }
}

// === impl Route ===

impl Route {
    fn place(&self) -> Place {
        Place { uri: self.route.clone(), ip: self.ip.clone(), port: self.port }
    }

    fn outranks(&self, other: &Self) -> bool {
        let (known, told) = (&self.modification_tag, &other.modification_tag);
        !known.guid.is_empty() && known.guid == told.guid && told.index < known.index
    }

    /// What a component would say over the bus that had this route. It names no instance: several
    /// may have one `log_guid`, and one address may be registered over the bus as well.
    fn message(&self, subject: &str) -> Message {
        #[derive(Serialize)]
        struct Tagged<'a> {
            #[serde(flatten)]
            registration: Registration,
            #[serde(skip_serializing_if = "Option::is_none")]
            modification_tag: Option<&'a Tag>,
        }
        let ttl = self.ttl.unwrap_or_default().max(0);
        let registration = Registration {
            host: self.ip.clone(),
            port: self.port,
            uris: vec![self.route.clone()],
            app: self.log_guid.clone(),
            stale_threshold_in_seconds: u32::try_from(ttl).unwrap_or(u32::MAX),
            route_service_url: self.route_service_url.clone(),
            ..Registration::default()
        };
        let tag = Some(&self.modification_tag).filter(|tag| !tag.guid.is_empty());
        let told = Tagged { registration, modification_tag: tag };
        let payload = serde_json::to_vec(&told).expect("texts and numbers are JSON");
        Message { subject: subject.into(), payload: payload.into(), reply: None }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn route(uri: &str, index: u64) -> Route {
        Route {
            route: uri.into(),
            port: 80,
            ip: "10.0.0.1".into(),
            modification_tag: Tag { guid: "g".into(), index },
            ..Route::default()
        }
    }

    /// What was said, in short: `+uri` and `-uri`.
    fn short(messages: impl IntoIterator<Item = Message>) -> Vec<String> {
        let short = |message: Message| {
            let sign = if &*message.subject == REGISTER { '+' } else { '-' };
            let payload: Value = serde_json::from_slice(&message.payload).unwrap();
            format!("{sign}{}", payload["uris"][0].as_str().unwrap())
        };
        messages.into_iter().map(short).collect()
    }

    #[test]
    fn a_route_is_told_as_its_component_would() {
        let full = json!({
            "route": "a.test/p", "port": 65340, "ip": "1.2.3.4", "ttl": 60, "log_guid": "app",
            "route_service_url": "https://rs.test",
            "modification_tag": {"guid": "g", "index": 3}, "created_at": "of no use here",
        });
        let bare = json!({"route": "a.test", "port": 1, "ip": "1.2.3.4", "ttl": null});
        let text = json!([full, bare, {"ttl": -1}, {"ttl": 5_000_000_000_i64}]).to_string();
        let (routes, odd) = listed(text.as_bytes()).unwrap();
        assert_eq!(odd, 0);
        let said = |route: &Route| -> Value {
            serde_json::from_slice(&route.message(REGISTER).payload).unwrap()
        };
        assert_eq!(
            said(&routes[0]),
            json!({
                "host": "1.2.3.4", "port": 65340, "uris": ["a.test/p"], "app": "app",
                "stale_threshold_in_seconds": 60, "route_service_url": "https://rs.test",
                "modification_tag": {"guid": "g", "index": 3},
            })
        );
        assert_eq!(said(&routes[1]), json!({"host": "1.2.3.4", "port": 1, "uris": ["a.test"]}));
        assert_eq!(said(&routes[2]), json!({"host": "", "port": 0, "uris": [""]}));
        assert_eq!(said(&routes[3])["stale_threshold_in_seconds"], u32::MAX);
    }

    #[test]
    fn a_listing_is_read_as_far_as_it_is_one() {
        for (text, expected) in [
            ("[]", Some((0, 0))),
            ("null", Some((0, 0))),
            (r#"[{"route":"a.test"}]"#, Some((1, 0))),
            (r#"[{"route":"a.test"},5,{"port":70000},{"route":null},{"port":"x"}]"#, Some((1, 4))),
            (r#"[{"modification_tag":{"guid":"g","index":-1}}]"#, Some((0, 1))),
            ("{}", None),
            ("", None),
            ("[", None),
            ("[] []", None),
            ("<html>", None),
        ] {
            let read = listed(text.as_bytes()).ok().map(|(routes, odd)| (routes.len(), odd));
            assert_eq!(read, expected, "{text}");
        }
    }

    #[test]
    fn events_are_read_and_those_of_other_kinds_passed_over() {
        let read = |name: &str, data: &str| {
            Change::read(&Frame { id: "1".into(), name: name.into(), data: data.into() }).ok()
        };
        let told = Route { route: "a.test".into(), ..Route::default() };
        const A: &str = r#"{"route":"a.test"}"#;
        assert_eq!(read("Upsert", A), Some(Some(Change::Upserted(told.clone()))));
        assert_eq!(read("Delete", A), Some(Some(Change::Deleted(told))));
        assert_eq!(read("Surprise", A), Some(None));
        assert_eq!(read("", ""), Some(None));
        for odd in ["", "5", "{\"route\":", "{\"port\":-1}"] {
            assert_eq!(read("Upsert", odd), None, "{odd}");
        }
    }

    #[test]
    fn a_listing_withdraws_what_it_does_not_have() {
        let mut known = Known::default();
        let all = vec![route("a.test", 0), route("b.test", 0)];
        assert_eq!(short(known.replace(all)), ["+a.test", "+b.test"]);
        assert_eq!(short(known.change(Change::Upserted(route("c.test", 0)))), ["+c.test"]);
        let next = vec![route("b.test", 0), route("d.test", 0)];
        assert_eq!(short(known.replace(next)), ["-a.test", "-c.test", "+b.test", "+d.test"]);
        assert_eq!(short(known.change(Change::Deleted(route("d.test", 0)))), ["-d.test"]);
        assert_eq!(short(known.replace(Vec::new())), ["-b.test"]);
        assert_eq!(short(known.replace(Vec::new())), [""; 0]);
    }

    #[test]
    fn what_is_older_than_what_is_known_says_nothing() {
        let mut known = Known::default();
        assert_eq!(short(known.change(Change::Upserted(route("a.test", 5)))), ["+a.test"]);
        assert_eq!(known.change(Change::Upserted(route("a.test", 4))), None);
        assert_eq!(known.change(Change::Deleted(route("a.test", 4))), None);
        assert_eq!(short(known.change(Change::Upserted(route("a.test", 5)))), ["+a.test"]);
        let mut other = route("a.test", 0);
        other.modification_tag.guid = "h".into();
        assert_eq!(short(known.change(Change::Upserted(other.clone()))), ["+a.test"]);
        other.modification_tag.guid.clear();
        assert_eq!(short(known.change(Change::Deleted(other))), ["-a.test"]);
    }

    proptest! {
        /// Whatever comes in whatever order, what was said adds up to what is known.
        #[test]
        fn what_is_told_adds_up_to_what_is_known(
            steps in prop::collection::vec((0_u8..3, prop::collection::vec((0_u8..4, 0_u64..4), 0..4)), 0..20)
        ) {
            let (mut known, mut held) = (Known::default(), BTreeSet::new());
            for (kind, routes) in steps {
                let routes = routes.into_iter().map(|(host, index)| route(&format!("{host}.test"), index));
                let said: Vec<Message> = match kind {
                    0 => known.replace(routes.collect()).collect(),
                    1 => routes.filter_map(|route| known.change(Change::Upserted(route))).collect(),
                    _ => routes.filter_map(|route| known.change(Change::Deleted(route))).collect(),
                };
                for word in short(said) {
                    match word.strip_prefix('+') {
                        Some(uri) => held.insert(uri.to_owned()),
                        None => held.remove(&word[1..]),
                    };
                }
                let expected: BTreeSet<String> =
                    known.routes.keys().map(|place| place.uri.clone()).collect();
                prop_assert_eq!(&held, &expected);
            }
        }
    }
}
