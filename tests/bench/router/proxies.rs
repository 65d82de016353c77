//! Proxies measured in turn, round by round.

use std::path::Path;
use std::time::Duration;

use super::load::{Load, Served};
use crate::effort::Effort;
use crate::figure::Figure;
use crate::machine::{Sides, cpu_time, memory_mb, undisturbed};
use crate::peers::Peer;

/// A proxy, and what was seen of it.
pub(crate) struct Proxy {
    pub(crate) name: &'static str,
    pub(crate) port: u16,
    pub(crate) pids: Vec<i32>,
    rounds: Vec<Round>,
}

struct Round {
    served: Served,
    per_cpu_second: f64,
}

/// What is asked for, and how.
#[derive(Clone, Copy)]
pub(crate) struct Case<'a> {
    pub(crate) name: &'a str,
    pub(crate) scheme: &'a str,
    pub(crate) host: &'a str,
    pub(crate) path: &'a str,
    pub(crate) load: Load<'a>,
}

// === impl Proxy ===

impl Proxy {
    pub(crate) fn new(name: &'static str, port: u16, pids: Vec<i32>) -> Self {
        Self { name, port, pids, rounds: Vec::new() }
    }

    pub(crate) fn of(peer: &Peer) -> Self {
        Self::new(peer.name, peer.port, peer.pids())
    }

    /// Has all of it run where it is measured.
    pub(crate) fn keep_to(self, sides: &Sides) -> Self {
        self.pids.iter().for_each(|pid| sides.measure(*pid));
        self
    }

    /// A second of its own CPU time, in all.
    pub(crate) fn cpu(&self) -> Duration {
        self.pids.iter().map(|pid| cpu_time(*pid)).sum()
    }

    /// What it holds that it shares with nobody, or in part.
    pub(crate) fn memory_mb(&self) -> f64 {
        self.pids.iter().map(|pid| memory_mb(*pid, "Pss:")).sum()
    }

    fn measure(&self, case: Case<'_>, time: Duration, dir: &Path) -> Round {
        let before = self.cpu();
        let (from, what) = ((case.scheme, self.port), (case.host, case.path));
        let served = case.load.run(from, what, time, dir);
        let spent = (self.cpu() - before).as_secs_f64();
        Round { served, per_cpu_second: served.requests / spent }
    }

    fn all(&self, of: fn(&Round) -> f64) -> Vec<f64> {
        self.rounds.iter().map(of).collect()
    }
}

/// Measures a case with each proxy in turn, and prints the last beside the others.
pub(crate) fn compare(case: Case<'_>, proxies: &mut [Proxy], effort: Effort, dir: &Path) {
    for round in 1..=effort.rounds {
        for proxy in &mut *proxies {
            eprintln!("{}: round {round} of {}: {}", case.name, effort.rounds, proxy.name);
            let round = undisturbed(|| proxy.measure(case, effort.seconds, dir));
            proxy.rounds.push(round);
        }
    }
    let Some((ours, peers)) = proxies.split_last() else { return };
    for peer in peers {
        let figure = |metric, unit| Figure { bench: "router", case: case.name, metric, unit };
        let both = |of| (ours.all(of), peer.all(of));
        let (our, their) = both(|round| round.per_cpu_second);
        figure("requests_per_cpu_s", "1/s").print_beside(&our, peer.name, &their);
        let (our, their) = both(|round| round.served.per_second);
        figure("requests_per_s", "1/s").print_beside(&our, peer.name, &their);
        for (metric, of) in [
            ("p50", (|round| round.served.p50_ms) as fn(&Round) -> f64),
            ("p99", |round| round.served.p99_ms),
            ("p99.9", |round| round.served.p999_ms),
        ] {
            let (our, their) = both(of);
            figure(metric, "ms").print_below(&our, peer.name, &their);
        }
        let memory = ([ours.memory_mb()], [peer.memory_mb()]);
        figure("memory", "MB").print_below(&memory.0, peer.name, &memory.1);
    }
}
