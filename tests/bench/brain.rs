//! The brain with 250,000 running instances on 1,250 simulated cells, its store on the real disk.
//!
//! The parent fills a store and measures convergence on the bare board; a child of its own, whose
//! memory is therefore the brain's alone, starts from that store and does the rest.

mod cells;
mod load;
mod records;

use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lattice_api::brain::{Bbs as _, Receptor as _};
use lattice_brain::board::{Board, Command as Order, Write};
use lattice_brain::config::{Limits, STORE_FILE};
use lattice_brain::store::{Sqlite, Store as _};
use lattice_brain::{Config, Handle};
use lattice_daemon::clock::{Clock as _, SystemClock};
use lattice_daemon::tasks::Tasks;
use lattice_model::Time;
use tokio::runtime::Runtime;

use crate::effort::Effort;
use crate::figure::{Figure, median};
use crate::machine::{memory_mb, thread_cpu_time, undisturbed};
use cells::Fleet;
use records::Scale;

/// Names the directory of the store to the child.
const DATA_DIR: &str = "LATTICE_BENCH_BRAIN";
const STORE_CHUNK: usize = 10_000;
const SYNCS: usize = 200;

/// What is measured, and how often.
#[derive(Debug, Clone, Copy)]
struct Bench {
    scale: Scale,
    rounds: u32,
}

impl Bench {
    fn print(&self, metric: &'static str, unit: &'static str, rounds: &[f64]) {
        Figure { bench: "brain", case: self.scale.case, metric, unit }.print(rounds);
    }
}

pub(crate) fn run(effort: Effort) {
    let scale = if effort == Effort::SMOKE { Scale::SMOKE } else { Scale::FULL };
    let bench = Bench { scale, rounds: u32::try_from(effort.rounds).unwrap() };
    match std::env::var_os(DATA_DIR) {
        Some(dir) => measure(&bench, dir.as_ref()),
        None => prepare(&bench),
    }
}

fn prepare(bench: &Bench) {
    let program = std::env::current_exe().unwrap();
    // Not in /tmp, which may be memory.
    let dir = tempfile::tempdir_in(program.parent().unwrap()).unwrap();
    converge(bench);
    fill(bench, dir.path());
    sync_alone(bench, dir.path());
    let args = std::env::args().skip(1);
    let child = Command::new(program).args(args).env(DATA_DIR, dir.path()).status().unwrap();
    assert!(child.success(), "the child has failed: {child}");
}

/// One full convergence over a board where all is well.
fn converge(bench: &Bench) {
    eprintln!("convergence");
    let now = Time::from_secs(1_000_000);
    let mut board = Board::load(bench.scale.records(now), Limits::default(), 1, now);
    for cell in Fleet::new(bench.scale).presences() {
        board.apply(Order::Heartbeat(Box::new(cell)), now).unwrap();
    }
    let round = || {
        let before = thread_cpu_time();
        let applied = board.apply(Order::Converge, now).unwrap();
        assert!(applied.is_empty(), "all was well");
        (thread_cpu_time() - before).as_secs_f64() * 1e3
    };
    let rounds: Vec<f64> = std::iter::repeat_with(round).take(bench.rounds as usize).collect();
    bench.print("convergence_cpu_ms", "ms", &rounds);
}

fn fill(bench: &Bench, dir: &Path) {
    eprintln!("filling the store");
    let mut store = Sqlite::open(&dir.join(STORE_FILE)).unwrap();
    let records = bench.scale.records(SystemClock.now());
    let domains =
        records.domains.into_iter().map(|(domain, until)| Write::PutDomain(domain, until));
    let desired = records.desired.into_iter().map(|lrp| Write::PutDesired(Arc::new(lrp)));
    let actual = records.actual.into_iter().map(|row| Write::PutActual(Arc::new(row)));
    let writes: Vec<Write> = domains.chain(desired).chain(actual).collect();
    writes.chunks(STORE_CHUNK).for_each(|chunk| store.commit(chunk).unwrap());
}

/// What the disk takes for the least durable write there is; no commit can be faster.
fn sync_alone(bench: &Bench, dir: &Path) {
    let file = std::fs::File::create(dir.join("sync")).unwrap();
    let page = [7; 4096];
    let mut took: Vec<f64> = (0..SYNCS)
        .map(|n| {
            file.write_all_at(&page, n as u64 * 4096).unwrap();
            let begin = Instant::now();
            file.sync_data().unwrap();
            begin.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    bench.print("disk_sync_ms", "ms", &[median(&took)]);
    bench.print("disk_sync_p99_ms", "ms", &[load::percentile(&mut took, 0.99)]);
}

fn measure(bench: &Bench, dir: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2) // as many as the appliance has
        .enable_all()
        .build()
        .unwrap();
    let _context = runtime.enter();
    let tasks = Tasks::default();
    let fleet = Arc::new(Fleet::new(bench.scale));
    let rss = || memory_mb(i32::try_from(std::process::id()).unwrap(), "Rss") * 1e6;
    let before = rss();
    let (brain, seconds) = cold_start(&runtime, dir, &fleet, &tasks);
    bench.print("cold_start_ms", "ms", &[seconds * 1e3]);
    runtime.block_on(async {
        for presence in fleet.presences() {
            brain.heartbeat(presence).await.unwrap();
        }
    });
    bench.print(
        "bytes_per_instance",
        "B",
        &[(rss() - before) / f64::from(bench.scale.instances())],
    );
    fleet.hold(&bench.scale.records(Time::default()).actual);
    tasks.spawn("heartbeats", cells::keep_alive(Arc::clone(&fleet), brain.clone(), tasks.clone()));
    snapshot(bench, &runtime, &brain);
    load::transitions(bench, &runtime, &brain, &fleet);
    load::replacement(bench, &runtime, &brain, &fleet);
    assert!(runtime.block_on(tasks.end(Duration::from_secs(30))), "the brain ends");
}

/// From nothing but the file to the first answer.
fn cold_start(runtime: &Runtime, dir: &Path, fleet: &Arc<Fleet>, tasks: &Tasks) -> (Handle, f64) {
    eprintln!("cold start");
    let begin = Instant::now();
    let config = Config::new(dir);
    let reps = Arc::clone(fleet) as _;
    let brain = runtime.block_on(async {
        let brain = lattice_brain::start(config, reps, Arc::new(SystemClock), tasks).await.unwrap();
        assert_eq!(brain.domains().await.unwrap().len(), 1);
        brain
    });
    (brain, begin.elapsed().as_secs_f64())
}

/// From the question to a table of all hosts and where they lead.
fn snapshot(bench: &Bench, runtime: &Runtime, brain: &Handle) {
    eprintln!("snapshot of all routes");
    let round = || {
        let begin = Instant::now();
        let (desired, actual) = runtime.block_on(async {
            (brain.desired_lrps(None).await.unwrap(), brain.actual_lrps(None).await.unwrap())
        });
        assert_eq!(load::routes(&desired, &actual).len(), bench.scale.apps() as usize);
        begin.elapsed().as_secs_f64() * 1e3
    };
    let rounds: Vec<f64> = (0..bench.rounds).map(|_| undisturbed(round)).collect();
    bench.print("snapshot_ms", "ms", &rounds);
}
