//! The table against its rules, and against a naive model of itself.

use std::collections::{BTreeMap, BTreeSet};

use lattice_model::Time;
use proptest::prelude::*;

use super::key::Key;
use super::*;

fn key(uri: &str) -> Key {
    Key::parse(uri).unwrap()
}

fn told(port: u16) -> Announcement {
    let mut told = Announcement::for_test(&format!("10.0.0.1:{port}"));
    told.facts.stale_after = Some(Duration::from_secs(120));
    told
}

/// Routes without endpoints stay for 30 s.
fn rules(routes_max: usize) -> Rules {
    let empty_route_kept = Duration::from_secs(30);
    let balance = Balance::LeastConnection;
    Rules { routes_max, empty_route_kept, balance, measures_apps: false }
}

fn at(secs: i64) -> Time {
    Time::from_secs(secs)
}

fn editor(uris: &[(&str, &[u16])]) -> Editor {
    let mut editor = Editor::new(rules(1000), 7);
    for (uri, ports) in uris {
        for port in *ports {
            editor.register(&key(uri), &told(*port), at(0));
        }
        if ports.is_empty() {
            editor.register(&key(uri), &told(1), at(0));
            editor.unregister(&key(uri), &told(1), at(0));
        }
    }
    editor
}

fn found(editor: &Editor, host: &str, path: &str) -> Option<String> {
    editor.table().find(host, path).map(|route| route.uri.to_string())
}

#[test]
fn the_longest_path_with_endpoints_wins() {
    let editor = editor(&[
        ("web.test", &[1]),
        ("web.test/a", &[2]),
        ("web.test/a/b/c", &[3]),
        ("web.test/empty/deep", &[]),
        ("web.test/empty", &[4]),
        ("hollow.test/x", &[]),
    ]);
    for (host, path, expected) in [
        ("web.test", "/", Some("web.test")),
        ("web.test", "/ab", Some("web.test")),
        ("web.test", "/a", Some("web.test/a")),
        ("web.test", "/A/b", Some("web.test/a")),
        ("web.test", "/a/b/c/d", Some("web.test/a/b/c")),
        ("web.test", "/a/b/cd", Some("web.test/a")),
        ("web.test", "/empty/deep/er", Some("web.test/empty")),
        ("web.test", "/a%2fb", Some("web.test")),
        ("web.test", "*", Some("web.test")),
        ("hollow.test", "/x/y", Some("hollow.test/x")),
        ("hollow.test", "/", None),
        ("other.test", "/", None),
    ] {
        assert_eq!(found(&editor, host, path).as_deref(), expected, "{host}{path}");
    }
}

#[test]
fn an_exact_host_beats_wildcards_even_when_empty() {
    let editor = editor(&[
        ("*.test", &[1]),
        ("*.b.test", &[2]),
        ("*.test/p", &[3]),
        ("a.test", &[4]),
        ("gone.test", &[]),
        ("only.test/path", &[5]),
    ]);
    for (host, path, expected) in [
        ("a.test", "/", Some("a.test")),
        ("x.test", "/", Some("*.test")),
        ("x.test", "/p/q", Some("*.test/p")),
        ("x.b.test", "/", Some("*.b.test")),
        ("x.y.b.test", "/", Some("*.b.test")),
        ("x.y.test", "/", Some("*.test")),
        ("gone.test", "/", Some("gone.test")),
        ("only.test", "/else", Some("*.test")),
        ("test", "/", None),
    ] {
        assert_eq!(found(&editor, host, path).as_deref(), expected, "{host}{path}");
    }
}

#[test]
fn wildcards_are_gone_when_the_last_one_is() {
    let mut editor = editor(&[("*.test", &[1])]);
    editor.unregister(&key("*.test"), &told(1), at(1));
    editor.prune(at(100), false);
    assert_eq!(found(&editor, "x.test", "/"), None);
    assert_eq!(editor.table().wildcards.load(Ordering::Relaxed), 0);
}

#[test]
fn a_registration_says_what_it_did() {
    let mut editor = Editor::new(rules(1), 0);
    let (web, first) = (key("web.test"), told(1));
    assert_eq!(editor.register(&web, &first, at(0)), Registered::Added);
    assert_eq!(editor.register(&web, &first, at(1)), Registered::Refreshed);
    let mut moved = told(1);
    moved.index = "1".into();
    assert_eq!(editor.register(&web, &moved, at(2)), Registered::Updated);
    assert_eq!(editor.register(&key("more.test"), &first, at(3)), Registered::Full);
    assert!(editor.unregister(&web, &moved, at(4)));
    assert!(!editor.unregister(&web, &moved, at(4)));
    assert!(!editor.unregister(&key("none.test"), &moved, at(4)));
}

#[test]
fn an_older_tag_changes_nothing() {
    let mut editor = Editor::new(rules(10), 0);
    let web = key("web.test");
    let tagged = |guid: &str, index| {
        let mut told = told(1);
        told.tag = Some(Tag { guid: guid.to_owned(), index });
        told
    };
    assert_eq!(editor.register(&web, &tagged("g", 5), at(0)), Registered::Added);
    assert_eq!(editor.register(&web, &tagged("g", 4), at(0)), Registered::Outdated);
    assert!(!editor.unregister(&web, &tagged("g", 4), at(0)));
    assert_eq!(editor.register(&web, &tagged("g", 6), at(0)), Registered::Updated);
    assert_eq!(editor.register(&web, &tagged("h", 1), at(0)), Registered::Updated);
    assert!(editor.unregister(&web, &tagged("h", 1), at(0)));
}

#[test]
fn endpoints_without_heartbeat_are_forgotten_and_routes_a_while_later() {
    let mut editor = editor(&[("web.test", &[1, 2])]);
    editor.register(&key("web.test"), &told(2), at(100));
    let mut forever = told(3);
    forever.facts.stale_after = None;
    editor.register(&key("platform.test"), &forever, at(0));
    for (now, endpoints, routes) in [(120, 0, 0), (121, 1, 0), (220, 0, 0), (221, 1, 0)] {
        let pruned = editor.prune(at(now), false);
        assert_eq!(pruned, Pruned { endpoints, routes }, "at {now}");
    }
    assert_eq!(found(&editor, "web.test", "/").as_deref(), Some("web.test"));
    assert_eq!(editor.prune(at(251), false), Pruned { endpoints: 0, routes: 1 });
    assert_eq!(found(&editor, "web.test", "/"), None);
    assert_eq!(editor.len(), 1);
}

#[test]
fn a_route_goes_with_its_last_endpoint_where_it_is_not_kept() {
    let rules = Rules { empty_route_kept: Duration::ZERO, ..rules(10) };
    let mut editor = Editor::new(rules, 0);
    for uri in ["a.test", "b.test"] {
        editor.register(&key(uri), &told(1), at(0));
        assert_eq!(editor.table().find(uri, "/").unwrap().balance(), Balance::LeastConnection);
    }
    editor.unregister(&key("a.test"), &told(1), at(1));
    assert_eq!(found(&editor, "a.test", "/"), None);
    editor.prune(at(121), false);
    assert!(editor.is_empty());
}

#[test]
fn every_endpoint_can_be_taken_for_fresh() {
    let mut editor = editor(&[("web.test", &[1]), ("other.test", &[2])]);
    editor.refresh(at(100));
    assert_eq!(editor.prune(at(200), false), Pruned::default());
    assert_eq!(editor.prune(at(221), false).endpoints, 2);
}

#[test]
fn stale_endpoints_and_empty_routes_are_kept_when_told_so() {
    let mut editor = editor(&[("web.test", &[1]), ("empty.test", &[])]);
    assert_eq!(editor.prune(at(9999), true), Pruned::default());
    assert!(!editor.table().find("web.test", "/").unwrap().is_empty());
    assert!(editor.table().find("empty.test", "/").unwrap().is_empty());
    assert_eq!(editor.prune(at(9999), false), Pruned { endpoints: 1, routes: 1 });
    assert_eq!(found(&editor, "empty.test", "/"), None);
}

#[test]
fn a_backend_is_one_for_all_its_routes_and_withdrawn_with_the_last() {
    let mut editor = editor(&[("a.test", &[1]), ("b.test", &[1])]);
    let backend = |editor: &Editor, host| {
        editor.table().find(host, "/").unwrap().pool.load()[0].backend.clone()
    };
    let first = backend(&editor, "a.test");
    assert_eq!(first.id, backend(&editor, "b.test").id);
    editor.unregister(&key("a.test"), &told(1), at(1));
    assert!(!first.is_gone());
    editor.unregister(&key("b.test"), &told(1), at(1));
    assert!(first.is_gone());
    editor.register(&key("a.test"), &told(1), at(2));
    assert_ne!(first.id, backend(&editor, "a.test").id);
}

#[test]
fn a_new_instance_at_an_old_address_is_another_backend() {
    let mut editor = editor(&[("a.test", &[1])]);
    let before = editor.table().find("a.test", "/").unwrap().pool.load()[0].backend.clone();
    let next = Announcement { instance_id: "other".into(), ..told(1) };
    assert_eq!(editor.register(&key("a.test"), &next, at(1)), Registered::Updated);
    let after = editor.table().find("a.test", "/").unwrap().pool.load()[0].backend.clone();
    assert_ne!(before.id, after.id);
    assert!(before.is_gone() && !after.is_gone());
}

#[test]
fn an_address_has_one_tenant_on_all_routes() {
    let mut editor = Editor::new(rules(1000), 1);
    let of = |id: &str, port| Announcement { instance_id: id.into(), ..told(port) };
    let shown = |editor: &Editor| -> Vec<(String, usize)> {
        let routes = editor.table().routes();
        routes.iter().map(|route| (route.uri.to_string(), route.pool.load().len())).collect()
    };
    for (uri, id, port) in [("a.t", "old", 1), ("b.t", "old", 1), ("b.t", "old", 2), ("c.t", "", 1)]
    {
        editor.register(&key(uri), &of(id, port), at(0));
    }
    let before = editor.table().find("a.t", "/").unwrap().pool.load()[0].backend.clone();
    assert_eq!(editor.register(&key("d.t"), &of("new", 1), at(1)), Registered::Added);
    let expected = [("a.t", 0), ("b.t", 1), ("c.t", 1), ("d.t", 1)];
    assert_eq!(shown(&editor), expected.map(|(uri, n)| (uri.to_owned(), n)));
    assert!(before.is_gone());
    // The old one's heartbeat, if it lives after all, takes the address back.
    editor.register(&key("a.t"), &of("old", 1), at(2));
    let expected = [("a.t", 1), ("b.t", 1), ("c.t", 1), ("d.t", 0)];
    assert_eq!(shown(&editor), expected.map(|(uri, n)| (uri.to_owned(), n)));
}

/// What the table should be, written so simply that it is obviously right.
#[derive(Default)]
struct Naive {
    ports: BTreeMap<String, BTreeMap<u16, i64>>,
    emptied: BTreeMap<String, i64>,
}

impl Naive {
    fn find(&self, host: &str, path: &str) -> Option<String> {
        let mut names = vec![host.to_owned()];
        let labels: Vec<_> = host.split('.').collect();
        names.extend((1..labels.len()).map(|n| format!("*.{}", labels[n..].join("."))));
        names.iter().find_map(|name| self.find_named(name, path))
    }

    fn find_named(&self, name: &str, path: &str) -> Option<String> {
        let asked: Vec<_> = path.split('/').filter(|s| !s.is_empty()).collect();
        let uris = (0..=asked.len()).rev().map(|n| {
            let path = asked[..n].join("/");
            if path.is_empty() { name.to_owned() } else { format!("{name}/{path}") }
        });
        let known: Vec<_> = uris.filter(|uri| self.ports.contains_key(uri)).collect();
        let served = known.iter().find(|uri| !self.ports[*uri].is_empty());
        served.or(known.first()).cloned()
    }

    /// Forgets routes that have been empty for so long.
    fn forget_empty(&mut self, now: i64, kept: i64) {
        for (uri, ports) in &self.ports {
            match ports.is_empty() {
                true => self.emptied.entry(uri.clone()).or_insert(now),
                false => continue,
            };
        }
        self.emptied.retain(|uri, _| self.ports[uri].is_empty());
        let is_over = |uri: &String| self.emptied.get(uri).is_some_and(|at| now - at >= kept);
        self.ports.retain(|uri, _| !is_over(uri));
        self.emptied.retain(|uri, _| self.ports.contains_key(uri));
    }
}

#[derive(Debug, Clone)]
enum Step {
    Register(&'static str, u16),
    Unregister(&'static str, u16),
    Prune,
}

const URIS: [&str; 7] = ["a.t", "a.t/x", "a.t/x/y", "*.t", "*.t/x", "b.a.t", "*.a.t/y"];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let uri = || prop::sample::select(URIS.to_vec());
    let step = prop_oneof![
        5 => (uri(), 1u16..4).prop_map(|(uri, port)| Step::Register(uri, port)),
        3 => (uri(), 1u16..4).prop_map(|(uri, port)| Step::Unregister(uri, port)),
        1 => Just(Step::Prune),
    ];
    prop::collection::vec(step, 0..40)
}

proptest! {
    #[test]
    fn any_sequence_of_changes_leaves_what_a_naive_table_would_hold(
        steps in steps(),
        kept in prop::sample::select(vec![0_i64, 30, 90]),
    ) {
        let empty_route_kept = Duration::from_secs(kept.unsigned_abs());
        let mut editor = Editor::new(Rules { empty_route_kept, ..rules(1000) }, 1);
        let mut naive = Naive::default();
        for (n, step) in steps.iter().enumerate() {
            let now = i64::try_from(n).unwrap() * 50;
            match step {
                Step::Register(uri, port) => {
                    editor.register(&key(uri), &told(*port), at(now));
                    naive.ports.entry((*uri).to_owned()).or_default().insert(*port, now);
                    naive.emptied.remove(*uri);
                }
                Step::Unregister(uri, port) => {
                    editor.unregister(&key(uri), &told(*port), at(now));
                    naive.ports.get_mut(*uri).map(|ports| ports.remove(port));
                    naive.forget_empty(now, if kept == 0 { 0 } else { i64::MAX });
                }
                Step::Prune => {
                    editor.prune(at(now), false);
                    for ports in naive.ports.values_mut() {
                        ports.retain(|_, seen| now - *seen <= 120);
                    }
                    naive.forget_empty(now, kept);
                }
            }
            for (host, path) in [
                ("a.t", "/"), ("a.t", "/x/y/z"), ("a.t", "/xy"), ("b.a.t", "/y"),
                ("c.a.t", "/y"), ("c.t", "/x"), ("t", "/"),
            ] {
                prop_assert_eq!(found(&editor, host, path), naive.find(host, path));
            }
        }
        let ports: BTreeMap<String, BTreeSet<u16>> = editor.table().routes().iter().map(|route| {
            let ports = route.pool.load().iter().map(|e| e.backend.addr().port()).collect();
            (route.uri.to_string(), ports)
        }).collect();
        let expected: BTreeMap<String, BTreeSet<u16>> =
            naive.ports.iter().map(|(uri, all)| (uri.clone(), all.keys().copied().collect())).collect();
        prop_assert_eq!(ports, expected);
        prop_assert_eq!(editor.len(), naive.ports.len());
    }
}
