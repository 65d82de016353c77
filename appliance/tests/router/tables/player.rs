//! Plays rows against one process of the router.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::Row;
use super::backend::{Backend, Seen, is_held_open};
use super::client::{Client, Doors, Over};
use super::template::{self, Names};
use super::trust::TRUST;
use crate::nats::{self, Nats, free_port};
use crate::process::{Router, ask, eventually};

/// The router, its NATS server, and where to look.
pub(crate) struct Town {
    pub(crate) router: Router,
    bus: nats::Client,
    doors: Doors,
    routes: u16,
    metrics: u16,
    /// How many access lines were looked at.
    lines: usize,
    rows: usize,
    /// How often something was published.
    published: usize,
    _nats: Nats,
}

type Counters = BTreeMap<String, u64>;
type Expected = Option<&'static [(&'static str, u64)]>;
type Between<'c> = (&'c Counters, &'c Counters);

/// A row being played.
struct Play<'t> {
    town: &'t mut Town,
    row: &'t Row,
    names: Names,
    backends: Vec<Backend>,
    seen: Seen,
    faults: Vec<String>,
}

/// Plays a table with this in the router's file.
#[track_caller]
pub(crate) fn play(more: &str, rows: &[Row]) {
    Town::new(more).play(rows);
}

impl Town {
    pub(crate) fn new(more: &str) -> Self {
        let nats = Nats::start();
        let [health, routes, metrics, tls] = std::array::from_fn(|_| free_port());
        let keys = format!(
            "go_max_procs: 1\nenable_envelope_v1_metrics: false\n\
             access_log: {{file: <dir>/access.log}}\n\
             status: {{host: 127.0.0.1, port: {health}, user: admin, pass: secret, routes: {{port: {routes}}}}}\n\
             prometheus: {{port: {metrics}}}\n{}{more}",
            TRUST.keys(tls)
        );
        // However long the rows take, none of their routes becomes stale.
        let prunes =
            if more.contains("prune") { "" } else { "\nprune_stale_droplets_interval: 0s" };
        let router = Router::start(&[&nats], &format!("{keys}{prunes}"));
        let doors = Doors { plain: router.port, tls };
        let bus = nats.client();
        Self { router, bus, doors, routes, metrics, lines: 0, rows: 0, published: 0, _nats: nats }
    }

    /// Plays all rows, and tells of all that are not as they say.
    #[track_caller]
    pub(crate) fn play(&mut self, rows: &[Row]) {
        let mut faults = Vec::new();
        for row in rows {
            faults.extend(self.faults_of(row));
        }
        assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), rows.len(), faults.join("\n"));
    }

    fn faults_of(&mut self, row: &Row) -> Option<String> {
        self.rows += 1;
        let mut play = Play::new(self, row);
        let silent = play.town.counters();
        play.publish(row.routes);
        let registered = play.town.counters();
        play.look_at_counters("with what was published", row.hears, (&silent, &registered));
        let held = play.hold();
        let asked = play.town.counters();
        play.ask();
        play.look_at_backends();
        drop(held);
        play.look_at_lines();
        play.look_at_routes();
        let answered = play.town.counters();
        play.look_at_counters("with what was asked", row.counts, (&asked, &answered));
        let faults = play.faults;
        (!faults.is_empty()).then(|| format!("{}\n{}", row.about, faults.join("\n")))
    }

    /// Where clients connect.
    pub(super) fn doors(&self) -> Doors {
        self.doors
    }

    /// Publishes messages, and waits until the last of them has been heard: another one behind it is
    /// seen at `/routes`.
    pub(super) fn publish(&mut self, messages: &[String]) {
        for message in messages {
            match message.strip_prefix('-') {
                Some(message) => self.bus.publish("router.unregister", message),
                None => self.bus.publish("router.register", message),
            }
        }
        self.published += 1;
        let last = format!("heard-{}.player", self.published);
        let message = format!(
            "{{\"host\":\"127.0.0.1\",\"port\":1,\"uris\":[\"{last}\"],\
             \"isolation_segment\":\"is1\",\"tags\":{{\"component\":\"player\"}}}}"
        );
        self.bus.publish("router.register", &message);
        eventually("what was published is known", || self.shown().get(&last).is_some());
    }

    /// What `/routes` shows.
    fn shown(&self) -> Value {
        let page = page(self.routes, "/routes");
        serde_json::from_str(&page).unwrap_or_else(|error| panic!("{error} in {page}"))
    }

    /// The counters of `/metrics`; those of the player's own registrations are not among them.
    fn counters(&self) -> Counters {
        let page = page(self.metrics, "/metrics");
        let mut is_counter = false;
        let samples = page.lines().filter_map(|line| {
            if line.starts_with("# TYPE ") {
                is_counter = line.ends_with(" counter");
                return None;
            }
            let (name, value) = line.rsplit_once(' ').filter(|_| is_counter)?;
            let is_ours = name.contains("component=\"player\"");
            (!is_ours).then(|| (name.to_owned(), value.parse().expect("a count")))
        });
        samples.collect()
    }

    /// The access lines since the last look, as soon as there are so many.
    fn next_lines(&mut self, about: &str, many: usize) -> Vec<String> {
        let path = self.router.path("access.log");
        let mut text = String::new();
        eventually(&format!("{about}: {many} more access lines"), || {
            text = fs::read_to_string(&path).unwrap();
            text.matches('\n').count() >= self.lines + many
        });
        let lines: Vec<String> = text.lines().skip(self.lines).map(str::to_owned).collect();
        self.lines += lines.len();
        lines
    }
}

impl<'t> Play<'t> {
    fn new(town: &'t mut Town, row: &'t Row) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let scripts = row.backends.iter().enumerate();
        let backends: Vec<_> =
            scripts.map(|(nth, script)| Backend::new(*script, nth, &seen)).collect();
        let mut names = Names::new();
        let mut name = |name: &str, value: String| names.insert(name.to_owned(), value);
        name("host", format!("row-{:03}.test", town.rows));
        name("router", town.doors.plain.to_string());
        name("person", TRUST.person());
        for (backend, letter) in backends.iter().zip('a'..) {
            name(&letter.to_string(), backend.port.to_string());
        }
        Self { town, row, names, backends, seen, faults: Vec::new() }
    }

    fn fill(&self, text: &str) -> String {
        template::fill(text, &self.names)
    }

    fn check(&mut self, column: &str, template: &str, text: &str) {
        if let Err(fault) = template::check(template, text, &mut self.names) {
            self.faults.push(format!("    {column}\n{fault}"));
        }
    }

    fn publish(&mut self, messages: &[&str]) {
        if !messages.is_empty() {
            let messages: Vec<String> = messages.iter().map(|m| self.fill(m)).collect();
            self.town.publish(&messages);
        }
    }

    /// Requests that are left under way, as soon as their backends have them.
    fn hold(&mut self) -> Vec<Client> {
        let mut held = Vec::new();
        for request in self.row.holds {
            let mut client = Client::new(self.town.doors, Over::Plain, "");
            let request = self.fill(request);
            client.send(&request);
            held.push(client);
            let seen = self.seen.clone();
            eventually("a backend holds it", || seen.lock().unwrap().len() == held.len());
            if is_held_open(&request) {
                held.last_mut().expect("one was added").begins();
            }
        }
        self.seen.lock().unwrap().clear();
        held
    }

    fn ask(&mut self) {
        let row = self.row;
        let connect = |town: &Town| Client::new(town.doors, row.over, row.announces);
        let mut client = connect(self.town);
        for (nth, (request, expected)) in row.asks.repeat(row.times).iter().enumerate() {
            if nth > 0 && nth % row.asks.len() == 0 {
                self.publish(row.between);
            }
            let request = self.fill(request);
            client.send(&request);
            let got = client.answer(&request);
            let is_status = expected.len() == 3;
            match (is_status, got.get(9..12) == Some(expected)) {
                (true, true) => {}
                (true, false) => self.faults.push(format!("    {expected} is not {got:?}")),
                (false, _) => self.check("client got", expected, &got),
            }
            if request.contains("Connection: close") {
                client = connect(self.town);
            }
        }
        if self.row.closes {
            if !client.is_over() {
                self.faults.push("    the connection stays".to_owned());
            }
        } else if let Some(fault) = client.broken() {
            self.faults.push(format!("    {fault}"));
        }
    }

    fn look_at_backends(&mut self) {
        let seen = std::mem::take(&mut *self.seen.lock().unwrap());
        if let Some(expected) = self.row.saw {
            for (expected, (_, saw)) in expected.iter().zip(&seen) {
                self.check("backend saw", expected, saw);
            }
            if expected.len() != seen.len() {
                self.faults.push(format!("    backends saw {seen:?}"));
            }
        }
        let backends = 0..self.backends.len();
        let shares: Vec<usize> =
            backends.map(|nth| seen.iter().filter(|(of, _)| *of == nth).count()).collect();
        if self.row.shares.is_some_and(|expected| expected != shares) {
            self.faults.push(format!("    shares are {shares:?}"));
        }
        let connections: Vec<usize> = self.backends.iter().map(Backend::connections).collect();
        if self.row.connections.is_some_and(|expected| expected != connections) {
            self.faults.push(format!("    connections are {connections:?}"));
        }
    }

    /// A request that was held has its line when its client has gone, and is not the row's matter.
    fn look_at_lines(&mut self) {
        let held = self.row.holds.len();
        let asked = self.row.asks.len() * self.row.times;
        let many = self.row.lines.map_or(asked, <[_]>::len);
        let mut lines = self.town.next_lines(self.row.about, many + held);
        lines.retain(|line| !line.contains(" /hold ") && !is_held_open(line));
        for (expected, line) in self.row.lines.unwrap_or_default().iter().zip(&lines) {
            self.check("access line", expected, line);
        }
        if lines.len() != many {
            self.faults.push(format!("    {many} access lines wanted: {lines:#?}"));
        }
    }

    fn look_at_routes(&mut self) {
        let shown = self.town.shown();
        for (uri, expected) in self.row.shows {
            let (uri, expected) = (self.fill(uri), self.fill(expected));
            let saw = shown.get(&uri).cloned().unwrap_or_default();
            let wanted: Value = match expected.is_empty() {
                true => Value::Null,
                false => serde_json::from_str(&expected).expect("the row has JSON"),
            };
            if saw != wanted {
                let fault = format!("      wanted {wanted}\n      saw    {saw}");
                self.faults.push(format!("    /routes has of {uri}\n{fault}"));
            }
        }
    }

    /// A request is counted before its line is written, so nothing is waited for.
    fn look_at_counters(&mut self, when: &str, expected: Expected, (before, after): Between<'_>) {
        let Some(expected) = expected else { return };
        let grown = after.iter().map(|(name, count)| {
            let was = before.get(name).copied().unwrap_or_default();
            (name.clone(), count - was)
        });
        let grown: Counters = grown.filter(|(_, by)| *by > 0).collect();
        let wanted: Counters = expected.iter().map(|(name, by)| (self.fill(name), *by)).collect();
        if grown != wanted {
            let fault = format!("      wanted {wanted:?}\n      saw    {grown:?}");
            self.faults.push(format!("    counters have grown {when}\n{fault}"));
        }
    }
}

/// The body of one of the router's pages.
fn page(port: u16, path: &str) -> String {
    // `admin:secret`.
    let known = "Authorization: Basic YWRtaW46c2VjcmV0";
    let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{known}\r\n\r\n");
    let answer = ask(port, &head);
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer.body
}
