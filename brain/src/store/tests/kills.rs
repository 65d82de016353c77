//! Real processes, killed amid their writes. `LATTICE_KILLS` says how many.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command as Process, Stdio};
use std::time::Duration;

use lattice_api::brain::{BrainError, Receptor as _};
use lattice_daemon::clock::SystemClock;
use lattice_daemon::tasks::Tasks;

use super::*;
use crate::config::Config;
use crate::testing::{NoReps, domain as usual_domain};

const CHILD: &str = "LATTICE_TEST_STORE_CHILD";
const KILLS: &str = "LATTICE_KILLS";
const KILLS_USUAL: u64 = 200;
const WRITERS: u32 = 8;
const INSTANCES: u32 = 3;

/// Not a test of its own: the child of the next one, a brain whose clients say what they are about
/// to do and what was acknowledged, until it is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_writes_until_it_is_killed() {
    let Ok(dir) = std::env::var(CHILD) else { return };
    let tasks = Tasks::default();
    let (reps, clock) = (Arc::new(NoReps), Arc::new(SystemClock));
    let brain = crate::start(Config::new(dir), reps, clock, &tasks).await.unwrap();
    brain.upsert_domain(usual_domain(), None).await.unwrap();
    let life = std::process::id();
    let writers = (0..WRITERS).map(|writer| {
        let brain = brain.clone();
        tokio::spawn(async move {
            for n in 0.. {
                let guid = format!("lrp-{life}-{writer}-{n}");
                write(&guid, "want", brain.desire_lrp(lrp(&guid, INSTANCES, 1))).await;
                if n % 3 != 0 {
                    let pg = pg(&guid);
                    write(&guid, "drop", brain.remove_lrp(&pg)).await;
                }
            }
        })
    });
    futures_util::future::join_all(writers).await;
}

async fn write(guid: &str, what: &str, order: impl Future<Output = Result<(), BrainError>>) {
    say(&format!("will-{what} {guid}"));
    order.await.unwrap();
    say(&format!("{what} {guid}"));
}

/// One write, so that a kill leaves whole lines.
fn say(words: &str) {
    std::io::stdout().write_all(format!("\n{words}\n").as_bytes()).unwrap();
}

/// What may be found of an LRP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    There,
    Gone,
    Either,
}

#[test]
fn killing_the_brain_amid_its_writes_loses_nothing_that_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let kills = std::env::var(KILLS).map_or(KILLS_USUAL, |n| n.parse().unwrap());
    let mut acknowledged = 0;
    for round in 0..kills {
        let said = one_life(dir.path(), round);
        let mut expected = BTreeMap::new();
        for line in said {
            let Some((what, guid)) = line.split_once(' ') else { continue };
            acknowledged += usize::from(matches!(what, "want" | "drop"));
            expected.insert(
                guid.to_owned(),
                match what {
                    "want" => Expected::There,
                    "drop" => Expected::Gone,
                    "will-want" | "will-drop" => Expected::Either,
                    _ => continue,
                },
            );
        }
        check(dir.path(), &expected, round);
    }
    assert!(acknowledged as u64 >= kills, "the children came to write: {acknowledged}");
}

/// Starts a child, kills it some time after it has begun to write; all that it said.
fn one_life(dir: &Path, round: u64) -> Vec<String> {
    let mut child = start(dir);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // Some of the time in the first commits, some of it later, and now and then much later.
    let dice = round.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let patience = if round.is_multiple_of(8) { 8 } else { 1 };
    let wanted = 1 + (dice >> 60) * patience;
    let mut said = Vec::new();
    let mut acknowledged = 0;
    while acknowledged < wanted {
        let line = lines.next().expect("the child goes on writing").unwrap();
        acknowledged += u64::from(line.starts_with("want "));
        said.push(line);
    }
    spin(Duration::from_micros((dice >> 40) % 3_000));
    child.kill().unwrap();
    said.extend(lines.map_while(Result::ok));
    child.wait().unwrap();
    said
}

fn start(dir: &Path) -> Child {
    let child = "store::tests::kills::child_that_writes_until_it_is_killed";
    Process::new(std::env::current_exe().unwrap())
        .args([child, "--exact", "--nocapture"])
        .env(CHILD, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Shorter than any sleep.
fn spin(time: Duration) {
    let begin = std::time::Instant::now();
    while begin.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// What was acknowledged is there, what was not is there in whole or not at all; then clears up.
fn check(dir: &Path, expected: &BTreeMap<String, Expected>, round: u64) {
    let mut store = Sqlite::open(&dir.join(STORE_FILE)).unwrap();
    let records = store.load().unwrap();
    let mut rows: BTreeMap<&str, u32> = BTreeMap::new();
    for row in &records.actual {
        *rows.entry(row.key.process_guid.as_str()).or_default() += 1;
    }
    let mut clear = Vec::new();
    for lrp in &records.desired {
        let guid = lrp.process_guid.as_str();
        let found = expected.get(guid);
        assert!(found.is_some(), "{guid} was never wanted, round {round}");
        assert_ne!(found, Some(&Expected::Gone), "{guid} was removed, round {round}");
        assert_eq!(rows.remove(guid), Some(INSTANCES), "{guid} is there by half, round {round}");
        clear.push(Write::DeleteDesired(lrp.process_guid.clone()));
        let ids = (0..INSTANCES).map(|index| RowId::ordinary(&lrp.process_guid, index));
        clear.extend(ids.map(Write::DeleteActual));
    }
    assert!(rows.is_empty(), "instances without an LRP, round {round}: {rows:?}");
    for (guid, found) in expected {
        let is_there = records.desired.iter().any(|lrp| lrp.process_guid.as_str() == guid);
        assert!(is_there || *found != Expected::There, "{guid} is lost, round {round}");
    }
    store.commit(&clear).unwrap();
}
