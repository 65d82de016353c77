//! The order in which the kernel is asked for things, seen by strace: a kill does not test what a
//! power cut forgets.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command as Process, Stdio};

use super::*;

const CHILD: &str = "LATTICE_TEST_SYNC_CHILD";
const COMMITS: usize = 20;

/// Not a test of its own: the child of the next one, which says after each commit that it is done.
#[test]
fn child_that_says_what_it_has_committed() {
    let Ok(path) = std::env::var(CHILD) else { return };
    let mut store = Sqlite::open(path.as_ref()).unwrap();
    for n in 0..COMMITS {
        let row = row(u32::try_from(n).unwrap(), Presence::Ordinary);
        let writes = [Write::PutTask(task(&format!("t{n}"), 1)), Write::PutActual(Arc::new(row))];
        store.commit(&writes).unwrap();
        std::io::stdout().write_all(b"committed\n").unwrap();
    }
}

/// One file or directory as the trace shows it.
#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    is_unsynced: bool,
    syncs: usize,
}

#[test]
fn the_disk_has_each_commit_before_it_is_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(STORE_FILE);
    let trace = dir.path().join("trace");
    let child = "store::tests::syncs::child_that_says_what_it_has_committed";
    let status = Process::new("strace")
        .args(["-f", "-y", "-qq", "-s", "256", "-e", "trace=write,pwrite64,fdatasync,fsync", "-o"])
        .arg(&trace)
        .arg(std::env::current_exe().unwrap())
        .args([child, "--exact", "--nocapture"])
        .env(CHILD, &path)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("strace is there; script/bootstrap installs it");
    assert!(status.success(), "{status}");
    let trace = std::fs::read_to_string(trace).unwrap();
    let log = format!("{}-wal", path.display());
    let (acknowledged, seen) = follow(&trace, &log);
    assert_eq!(acknowledged, COMMITS, "{trace}");
    assert!(seen[&log].syncs >= COMMITS, "a sync for each commit: {seen:?}");
    let folder = dir.path().display().to_string();
    assert!(seen.get(&folder).is_some_and(|seen| seen.syncs > 0), "the new file's name: {seen:?}");
}

/// Counts the acknowledgements, and sees that at each of them the log was written and synced.
fn follow(trace: &str, log: &str) -> (usize, BTreeMap<String, Seen>) {
    let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
    let mut under_way: BTreeMap<&str, String> = BTreeMap::new();
    let mut acknowledged = 0;
    for line in trace.lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        let file = call.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
        let file = file.map(|(file, _)| file.to_owned());
        if call.starts_with("write(") && call.contains("committed\\n") {
            assert!(!seen[log].is_unsynced, "acknowledged before the sync: {line}");
            assert!(seen[log].syncs > acknowledged, "nothing was synced: {line}");
            acknowledged += 1;
        } else if call.starts_with("pwrite64(") || call.starts_with("write(") {
            seen.entry(file.unwrap_or_default()).or_default().is_unsynced = true;
        } else if call.ends_with("<unfinished ...>") {
            under_way.insert(thread, file.unwrap_or_default());
        } else if call.starts_with("fdatasync(") || call.starts_with("fsync(") {
            synced(&mut seen, file.unwrap_or_default());
        } else if call.starts_with("<... f") && call.ends_with("= 0") {
            synced(&mut seen, under_way.remove(thread).unwrap_or_default());
        }
    }
    (acknowledged, seen)
}

fn synced(seen: &mut BTreeMap<String, Seen>, file: String) {
    let seen = seen.entry(file).or_default();
    seen.is_unsynced = false;
    seen.syncs += 1;
}
