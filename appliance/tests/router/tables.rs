//! Tables of what goes in and what comes out: registrations over NATS, bytes of a client and of
//! scripted backends on one side; on the other the bytes that both get, the access line, `/routes`
//! and the counters of `/metrics`. One module a family of `docs/router-scenarios.md`.
//!
//! A row says what it is about; a column that it does not name is not looked at. Texts have holes
//! (see [`template`]). The rows of one table share a process; each has a host of its own.

mod backend;
mod client;
mod exchange;
mod framing;
mod player;
mod template;
mod trust;

mod access_lines;
mod certificates;
mod checks;
mod choices;
mod connections;
mod forwarded;
mod metrics;
mod own_answers;
mod preamble;
mod registrations;
mod retries;
mod rewrites;
mod routes;
mod services;
mod sticky;
mod tls;
mod traces;
mod upgrades;

pub(crate) use backend::{HANGS_UP, RESETS, SAYS_NOTHING, Script};
pub(crate) use client::Over;
pub(crate) use exchange::Exchange;
pub(crate) use player::{Town, play};
pub(crate) use trust::Proof;

/// One case.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    about: &'static str,
    routes: &'static [&'static str],
    backends: &'static [Script],
    announces: &'static str,
    over: Over,
    holds: &'static [&'static str],
    asks: &'static [(&'static str, &'static str)],
    times: usize,
    between: &'static [&'static str],
    closes: bool,
    saw: Option<&'static [&'static str]>,
    shares: Option<&'static [usize]>,
    connections: Option<&'static [usize]>,
    lines: Option<&'static [&'static str]>,
    shows: &'static [(&'static str, &'static str)],
    hears: Option<&'static [(&'static str, u64)]>,
    counts: Option<&'static [(&'static str, u64)]>,
}

/// A plain request.
pub(crate) const GET: &str = "GET / HTTP/1.1\r\nHost: <host>\r\n\r\n";
/// A backend's usual answer.
pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// What a client gets of it.
pub(crate) const GETS_OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n<answered>\r\nok";

/// A registration: of which backend, at which uri (the row's host if none is named), with which
/// keys beside the usual.
macro_rules! route {
    ($backend:literal) => {
        $crate::tables::route!($backend, "<host>")
    };
    ($backend:literal, $uri:literal) => {
        $crate::tables::route!($backend, $uri, "")
    };
    ($backend:literal, $uri:literal, $more:literal) => {
        concat!(
            r#"{"host":"127.0.0.1","port":<"#,
            $backend,
            r#">,"uris":[""#,
            $uri,
            r#""],"app":"app","private_instance_id":"guid-"#,
            $backend,
            r#"","private_instance_index":"0""#,
            $more,
            "}"
        )
    };
}
pub(crate) use route;

/// A case of one request to the one backend `a`, which answers as usual.
pub(crate) const fn row(about: &'static str) -> Row {
    Row {
        about,
        routes: &[route!("a")],
        backends: &[Script::Answers(&[OK])],
        announces: "",
        over: Over::Plain,
        holds: &[],
        asks: &[(GET, "200")],
        times: 1,
        between: &[],
        closes: false,
        saw: None,
        shares: None,
        connections: None,
        lines: None,
        shows: &[],
        hears: None,
        counts: None,
    }
}

impl Row {
    /// What is published, in this order: JSON to register, and behind a `-` to unregister.
    pub(crate) const fn routes(mut self, routes: &'static [&'static str]) -> Self {
        self.routes = routes;
        self
    }

    /// What the backends `a`, `b` and so on do.
    pub(crate) const fn backends(mut self, backends: &'static [Script]) -> Self {
        self.backends = backends;
        self
    }

    /// How the client comes.
    pub(crate) const fn over(mut self, over: Over) -> Self {
        self.over = over;
        self
    }

    /// What is said at the connection's start, before TLS: for whom a load balancer speaks.
    pub(crate) const fn announces(mut self, announces: &'static str) -> Self {
        self.announces = announces;
        self
    }

    /// Requests that are under way meanwhile: a backend never answers what is asked of `/hold`, and
    /// what is asked of `/held` it answers as usual and does not end.
    pub(crate) const fn holds(mut self, holds: &'static [&'static str]) -> Self {
        self.holds = holds;
        self
    }

    /// What the client sends, one after the other on one connection, and what it gets; a status
    /// alone stands for any answer with it.
    pub(crate) const fn asks(mut self, asks: &'static [(&'static str, &'static str)]) -> Self {
        self.asks = asks;
        self
    }

    /// All that is asked is asked so many times.
    pub(crate) const fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }

    /// What is published between one time and the next.
    pub(crate) const fn between(mut self, messages: &'static [&'static str]) -> Self {
        self.between = messages;
        self
    }

    /// The router ends the client's connection, where else it would keep it.
    pub(crate) const fn closes(mut self) -> Self {
        self.closes = true;
        self
    }

    /// What the backends saw, message by message.
    pub(crate) const fn saw(mut self, saw: &'static [&'static str]) -> Self {
        self.saw = Some(saw);
        self
    }

    /// How many requests each backend saw.
    pub(crate) const fn shares(mut self, shares: &'static [usize]) -> Self {
        self.shares = Some(shares);
        self
    }

    /// How many connections each backend saw.
    pub(crate) const fn connections(mut self, connections: &'static [usize]) -> Self {
        self.connections = Some(connections);
        self
    }

    /// The access lines; if none is named, that there is one for each request.
    pub(crate) const fn lines(mut self, lines: &'static [&'static str]) -> Self {
        self.lines = Some(lines);
        self
    }

    /// What `/routes` has for these uris, in JSON; nothing where that is empty.
    pub(crate) const fn shows(mut self, shows: &'static [(&'static str, &'static str)]) -> Self {
        self.shows = shows;
        self
    }

    /// The counters that have grown with what was published, and by how much; no other has.
    pub(crate) const fn hears(mut self, counts: &'static [(&'static str, u64)]) -> Self {
        self.hears = Some(counts);
        self
    }

    /// The counters that have grown with what was asked, and by how much; no other has.
    pub(crate) const fn counts(mut self, counts: &'static [(&'static str, u64)]) -> Self {
        self.counts = Some(counts);
        self
    }
}
