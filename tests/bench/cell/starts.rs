//! Starts of one small program in containers, ours beside others': to its first output, with the
//! end and the removal, and what it costs; and starts of a further program in one that runs.

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use lattice_cell::runtime::oci::OciRuntime;
use lattice_cell::runtime::{ContainerId, Runtime as _};
use lattice_tests::machine::holders;
use rustix::fs::{Advice, fadvise};

use super::peers::{Peers, Program, Running};
use super::place::{Place, spec};
use super::whole::Whole;
use crate::effort::Effort;
use crate::figure::Figure;
use crate::machine::{cpu_time_of_all, cpu_time_with_children, undisturbed};

/// What is started one after the other in a round; a round's figure is their mean.
const IN_TURN: usize = 10;
/// What is started at once.
const AT_ONCE: usize = 50;

/// What is executed in a round.
const EXECS: usize = 50;

/// What is told of a round: how many in a second there would be.
const METRICS: [&str; 3] = ["first_output_per_s", "cycle_per_s", "starts_per_cpu_s"];

/// How containers are started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    /// One after the other.
    InTurn,
    /// The same, and the programs' files are not in memory.
    Cold,
    /// All at once.
    AtOnce,
}

/// What a start took, in seconds; the mean of a round.
#[derive(Debug, Clone, Copy, Default)]
struct Took {
    /// To the first output; nothing where that is not measured.
    first_output: Option<f64>,
    cycle: f64,
    cpu: f64,
}

pub(super) fn run(place: &Place, tokio: &tokio::runtime::Runtime, effort: Effort) {
    let runtime = tokio.block_on(async { place.runtime() });
    // The others get the configuration that this one leaves.
    tokio.block_on(start(place, &runtime, 0));
    let peers = Peers::start(place);
    let all = || tokio.block_on(join_all((0..AT_ONCE).map(|n| start(place, &runtime, n))));
    let one = |n| tokio.block_on(start(place, &runtime, n));
    for case in [Case::InTurn, Case::Cold, Case::AtOnce] {
        let ours = || match case {
            Case::AtOnce => at_once(cpu_time_of_all, all),
            Case::InTurn | Case::Cold => {
                in_turn(cpu_time_of_all, one, || case.prepare(&place.programs()))
            }
        };
        let theirs = |peer: Program| {
            let cpu_time = || peers.cpu_time(peer);
            let files: Vec<_> = peer.files().iter().map(PathBuf::from).collect();
            match case {
                Case::AtOnce => at_once(cpu_time, || all_at_once(&peers, peer)),
                Case::InTurn | Case::Cold => {
                    in_turn(cpu_time, |n| peers.run(peer, n), || case.prepare(&files))
                }
            }
        };
        beside((case.name(), effort), &peers.programs, ours, theirs);
    }
    let whole = tokio.block_on(Whole::new(place, &runtime));
    let ours = || in_turn(cpu_time_of_all, |n| tokio.block_on(whole.start(n)), || ());
    let theirs = |peer: Program| in_turn(|| peers.cpu_time(peer), |n| peers.run(peer, n), || ());
    beside(("with-image-and-network", effort), &peers.programs, ours, theirs);
    tokio.block_on(whole.end());
    exec(&peers, tokio, (place, &runtime), effort);
}

/// Rounds of ours and of each other, in turn, and their figures.
fn beside(
    (case, effort): (&'static str, Effort),
    programs: &[Program],
    mut ours: impl FnMut() -> Took,
    mut theirs: impl FnMut(Program) -> Took,
) {
    let mut rounds = vec![Vec::new(); 1 + programs.len()];
    for round in 1..=effort.rounds {
        eprintln!("{case}: round {round} of {}", effort.rounds);
        rounds[0].push(undisturbed(&mut ours));
        for (at, program) in programs.iter().enumerate() {
            rounds[1 + at].push(undisturbed(|| theirs(*program)));
        }
    }
    for (at, metric) in METRICS.into_iter().enumerate() {
        let rate = |took: &Took| took.seconds()[at].map(|seconds| 1.0 / seconds);
        let rates = |rounds: &[Took]| rounds.iter().filter_map(rate).collect::<Vec<_>>();
        let figure = Figure { bench: "cell", case, metric, unit: "1/s" };
        let ours = rates(&rounds[0]);
        for (peer, program) in programs.iter().enumerate().filter(|_| !ours.is_empty()) {
            figure.print_beside(&ours, program.name(), &rates(&rounds[1 + peer]));
        }
    }
}

/// A round of starts one after the other.
fn in_turn(
    cpu_time: impl Fn() -> Duration,
    mut start: impl FnMut(usize) -> [f64; 2],
    prepare: impl Fn(),
) -> Took {
    let mut sums = [0.0; 3];
    for n in 0..IN_TURN {
        prepare();
        let before = cpu_time();
        let [first_output, cycle] = start(n);
        let cpu = (cpu_time() - before).as_secs_f64();
        sums.iter_mut().zip([first_output, cycle, cpu]).for_each(|(sum, one)| *sum += one);
    }
    let [first_output, cycle, cpu] = sums.map(|sum| sum / IN_TURN as f64);
    Took { first_output: Some(first_output), cycle, cpu }
}

/// A round of starts at once; each has its share of the time until the last was there.
fn at_once(cpu_time: impl Fn() -> Duration, start: impl FnOnce() -> Vec<[f64; 2]>) -> Took {
    let before = cpu_time();
    let all = start();
    let cpu = (cpu_time() - before).as_secs_f64();
    let last = |at: usize| all.iter().map(|took| took[at]).fold(0.0, f64::max);
    let [first_output, cycle, cpu] = [last(0), last(1), cpu].map(|sum| sum / AT_ONCE as f64);
    Took { first_output: Some(first_output), cycle, cpu }
}

fn all_at_once(peers: &Peers<'_>, program: Program) -> Vec<[f64; 2]> {
    std::thread::scope(|scope| {
        let start = |n| scope.spawn(move || peers.run(program, n));
        let all: Vec<_> = (0..AT_ONCE).map(start).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    })
}

/// Seconds to the first output of a program in a new container, and until all is gone again.
async fn start(place: &Place, runtime: &OciRuntime, n: usize) -> [f64; 2] {
    let begin = Instant::now();
    let id = ContainerId::new(&format!("ours-{n}"));
    runtime.create(place.blueprint(&id)).await.unwrap();
    let mut process = runtime.exec(&id, spec(&["echo", "ready"])).await.unwrap();
    process.stdout.next().await.expect("it says something");
    let first = begin.elapsed().as_secs_f64();
    process.control.wait().await;
    place.keep_config(&id);
    runtime.delete(&id).await.unwrap();
    [first, begin.elapsed().as_secs_f64()]
}

/// A program that is executed in a container that runs, until it has ended.
fn exec(
    peers: &Peers<'_>,
    tokio: &tokio::runtime::Runtime,
    (place, runtime): (&Place, &OciRuntime),
    effort: Effort,
) {
    let id = ContainerId::new("ours-running");
    tokio.block_on(runtime.create(place.blueprint(&id))).unwrap();
    let holder = holders(&place.dir)[0].as_raw_nonzero().get();
    let running: Vec<_> =
        peers.programs.iter().map(|program| Running::start(peers, *program)).collect();
    let measure = |cpu_time: &dyn Fn() -> Duration, exec: &dyn Fn()| {
        let (begin, before) = (Instant::now(), cpu_time());
        (0..EXECS).for_each(|_| exec());
        let took = [begin.elapsed(), cpu_time() - before];
        let [cycle, cpu] = took.map(|sum| sum.as_secs_f64() / EXECS as f64);
        Took { first_output: None, cycle, cpu }
    };
    let ours = async || {
        let mut process = runtime.exec(&id, spec(&["echo", "ready"])).await.unwrap();
        process.stdout.next().await.expect("it says something");
        process.control.wait().await;
    };
    let ours = || {
        let cpu_time = || cpu_time_of_all() + cpu_time_with_children(holder);
        measure(&cpu_time, &|| tokio.block_on(ours()))
    };
    let theirs = |program| {
        let its = running.iter().find(|running| running.program == program).unwrap();
        measure(&|| peers.cpu_time(program), &|| its.exec())
    };
    beside(("exec", effort), &peers.programs, ours, theirs);
    drop(running);
    tokio.block_on(runtime.delete(&id)).unwrap();
}

// === impl Case ===

impl Case {
    const fn name(self) -> &'static str {
        match self {
            Self::InTurn => "one-at-a-time",
            Self::Cold => "one-at-a-time-cold",
            Self::AtOnce => "50-at-once",
        }
    }

    /// Takes programs' files out of memory where that is the case, and nobody runs them.
    fn prepare(self, files: &[PathBuf]) {
        for file in files.iter().filter(|_| self == Self::Cold) {
            fadvise(File::open(file).unwrap(), 0, None, Advice::DontNeed).unwrap();
        }
    }
}

// === impl Took ===

impl Took {
    /// As [`METRICS`] has them.
    const fn seconds(&self) -> [Option<f64>; METRICS.len()] {
        [self.first_output, Some(self.cycle), Some(self.cpu)]
    }
}
