//! The actor over a store that dies: what a kill or a power cut does, ten thousand times.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use lattice_api::brain::Receptor as _;
use lattice_daemon::clock::SystemClock;
use lattice_model::{DesiredLrp, DesiredLrpUpdate};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::actor::{Actor, Handle, Parts};
use crate::board::Board;
use crate::config::Config;
use crate::dispatch::{Keyring, Outbox};
use crate::events::Hub;

const LIVES: u64 = 10_000;
const LRPS: u64 = 6;
const CLIENTS: u64 = 5;

/// A store that dies with one of its commits, which it may have kept, and is not heard of again.
struct Mortal {
    disk: InMemory,
    commits_left: u64,
    keeps_the_last: bool,
    is_dead: bool,
}

impl Store for Mortal {
    fn load(&mut self) -> Result<Records, StoreError> {
        if self.is_dead { Err(StoreError::Ended) } else { self.disk.load() }
    }

    fn commit(&mut self, writes: &[Write]) -> Result<(), StoreError> {
        if self.is_dead {
            return Err(StoreError::Ended);
        }
        if self.commits_left > 0 {
            self.commits_left -= 1;
            return self.disk.commit(writes);
        }
        self.is_dead = true;
        if self.keeps_the_last {
            self.disk.commit(writes)?;
        }
        Err(StoreError::Ended)
    }
}

/// The finalizer of splitmix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let n = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (n ^ (n >> 31)) % sides
    }
}

/// An LRP's annotation and instances; the annotation says both, so that halves are seen.
type Known = BTreeMap<String, Option<u32>>;

/// What one client has ordered, and whether it was acknowledged.
type Ordered = (String, Option<u32>, bool);

#[tokio::test]
async fn ten_thousand_deaths_lose_nothing_that_was_acknowledged() {
    let disk = InMemory::default();
    let mut known = Known::new();
    let mut acknowledged = 0;
    for life in 0..LIVES {
        let mut dice = Dice(life);
        let mortal = Mortal {
            disk: disk.clone(),
            commits_left: dice.below(4),
            keeps_the_last: dice.below(2) == 0,
            is_dead: false,
        };
        let ordered = live(mortal, &known, &mut dice).await;
        acknowledged += ordered.iter().filter(|(_, _, is_acknowledged)| *is_acknowledged).count();
        known = check(&disk, &known, &ordered, life);
    }
    assert!(acknowledged as u64 > LIVES, "much was acknowledged: {acknowledged}");
}

/// One life of a brain, until its store dies; what was ordered meanwhile.
async fn live(mut store: Mortal, known: &Known, dice: &mut Dice) -> Vec<Ordered> {
    let config = Config::new("/nonexistent");
    let clock = Arc::new(SystemClock);
    let records = store.load().unwrap();
    let board = Board::load(records, config.limits.clone(), dice.0, Time(0));
    let writer = Writer::spawn(store).unwrap();
    let (outbox, hub) = (Outbox::default(), Hub::new(1, config.limits.events));
    let (keyring, scout) = (Keyring::default(), crate::testing::scout());
    let shelf = crate::custom_domains::Shelf::new(Vec::new(), Vec::new(), Vec::new());
    let parts = Parts { writer, hub, outbox, keyring, shelf, scout, clock };
    let (actor, brain) = Actor::new(board, parts, &config);
    let actor = tokio::spawn(actor.run(CancellationToken::new()));
    let mut ordered = Vec::new();
    let mut known = known.clone();
    while !actor.is_finished() {
        // Clients at one time have LRPs of their own, so that what they order has one order.
        let first = dice.below(LRPS);
        let orders = (0..CLIENTS.min(1 + dice.below(CLIENTS))).map(|client| {
            let guid = format!("lrp-{}", (first + client) % LRPS);
            let instances = u32::try_from(1 + dice.below(4)).unwrap();
            let is_known = known.get(&guid).copied().flatten().is_some();
            let wanted = (!is_known || dice.below(3) > 0).then_some(instances);
            order(&brain, guid, is_known, wanted)
        });
        let done = join_all(orders).await;
        known.extend(done.iter().map(|(guid, wanted, _)| (guid.clone(), *wanted)));
        ordered.extend(done);
    }
    actor.await.unwrap();
    ordered
}

async fn order(brain: &Handle, guid: String, is_known: bool, wanted: Option<u32>) -> Ordered {
    let answer = match wanted {
        None => brain.remove_lrp(&pg(&guid)).await,
        Some(instances) if is_known => {
            let annotation = Some(instances.to_string());
            let update = DesiredLrpUpdate { instances: Some(instances), annotation, routes: None };
            brain.update_lrp(&pg(&guid), update).await
        }
        Some(instances) => {
            let annotation = instances.to_string();
            let lrp = DesiredLrp { annotation, ..lrp(&guid, instances, 1) };
            brain.desire_lrp(lrp).await
        }
    };
    (guid, wanted, answer.is_ok())
}

/// What the disk has is what was last acknowledged of each LRP, or what was ordered of it since;
/// returns what it has.
fn check(disk: &InMemory, before: &Known, ordered: &[Ordered], life: u64) -> Known {
    let records = disk.clone().load().unwrap();
    let mut found = Known::new();
    for lrp in &records.desired {
        let (guid, instances) = (lrp.process_guid.to_string(), lrp.instances);
        assert_eq!(lrp.annotation, instances.to_string(), "half an update, life {life}");
        let rows = records.actual.iter().filter(|row| row.key.process_guid == lrp.process_guid);
        assert_eq!(rows.count(), instances as usize, "half of {guid}, life {life}");
        found.insert(guid, Some(instances));
    }
    for n in 0..LRPS {
        let guid = format!("lrp-{n}");
        let mut allowed = vec![before.get(&guid).copied().flatten()];
        for (_, wanted, is_acknowledged) in ordered.iter().filter(|(of, ..)| *of == guid) {
            if *is_acknowledged {
                allowed.clear();
            }
            allowed.push(*wanted);
        }
        let there = found.get(&guid).copied().flatten();
        assert!(allowed.contains(&there), "{guid}: {there:?} of {allowed:?}, life {life}");
    }
    found
}
