//! Instances' records on their way through the journal.

use super::*;
use crate::store::parse_changes;

fn instance_row(guid: &str, index: u32, crashes: u32) -> lattice_model::ActualLrp {
    let row = row(index, Presence::Ordinary);
    lattice_model::ActualLrp { key: key(guid, index), crash_count: crashes, ..row }
}

/// Commits so much that generations are moved to the table, and remembers what should be there.
fn churn(store: &mut Sqlite, rounds: u32) -> std::collections::BTreeMap<(String, u32), u32> {
    let mut expected = std::collections::BTreeMap::new();
    for round in 0..rounds {
        let batch = (0..500).map(|n| {
            let (guid, index) = (format!("app-{:03}", (round * 7 + n) % 400), n % 60);
            if (round + n) % 11 == 0 {
                expected.remove(&(guid.clone(), index));
                Write::DeleteActual(RowId::ordinary(&pg(&guid), index))
            } else {
                expected.insert((guid.clone(), index), round);
                Write::PutActual(Arc::new(instance_row(&guid, index, round)))
            }
        });
        store.commit(&batch.collect::<Vec<_>>()).unwrap();
    }
    expected
}

fn kept(store: &mut Sqlite) -> std::collections::BTreeMap<(String, u32), u32> {
    let rows = store.load().unwrap().actual.into_iter();
    rows.map(|row| ((row.key.process_guid.to_string(), row.key.index), row.crash_count)).collect()
}

fn count(store: &Sqlite, table: &str) -> u32 {
    let sql = format!("SELECT count(*) FROM {table}");
    store.connection().query_row(&sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn the_newest_of_many_changes_counts_wherever_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(STORE_FILE);
    let mut store = Sqlite::open(&path).unwrap();
    let expected = churn(&mut store, 120);
    assert!(count(&store, "actual_lrps") > 0, "some is in the table");
    assert!(count(&store, "journal") > 0, "some is in the journal");
    assert!(count(&store, "journal") < 120, "the journal does not grow for ever");
    // As if the process had been killed: nothing is moved at its end.
    drop(store);
    let mut store = Sqlite::open(&path).unwrap();
    assert_eq!(kept(&mut store), expected);
    assert_eq!(count(&store, "journal"), 0);
}

#[test]
fn a_failed_commit_does_not_confuse_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Sqlite::open(&dir.path().join(STORE_FILE)).unwrap();
    let expected = churn(&mut store, 50);
    let hide = "ALTER TABLE domains RENAME TO hidden";
    store.connection().execute_batch(hide).unwrap();
    let lost = Write::PutActual(Arc::new(instance_row("lost", 0, 1)));
    store.commit(&[lost, Write::PutDomain(domain("d"), None)]).unwrap_err();
    store.connection().execute_batch("ALTER TABLE hidden RENAME TO domains").unwrap();
    assert_eq!(kept(&mut store), expected);
    let found = Write::PutActual(Arc::new(instance_row("found", 0, 1)));
    store.commit(&[found]).unwrap();
    assert_eq!(kept(&mut store).len(), expected.len() + 1);
}

#[test]
fn a_journal_that_cannot_be_read_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(STORE_FILE);
    let store = Sqlite::open(&path).unwrap();
    let bad = "INSERT INTO journal VALUES (1, '[{\"put\":{}}]')";
    store.connection().execute_batch(bad).unwrap();
    drop(store);
    let message = Sqlite::open(&path).unwrap_err().to_string();
    assert_eq!(message, "a record in journal cannot be read");
    assert!(parse_changes("[]").unwrap().is_empty());
    assert!(parse_changes("{").is_err());
}
