//! What cells do to a brain: claims and starts, and their own loss.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lattice_api::brain::{Bbs as _, PRESENCE_TTL_S, Receptor as _};
use lattice_brain::Handle;
use lattice_model::{ActualLrp, DesiredLrp, NetInfo};
use lattice_tests::{eventually, expect};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::cells::{Fleet, Given};
use super::records::{self, APPS, INSTANCES_PER_APP};
use super::{ROUNDS, print};

/// Apps that are added, and started, in each round.
const APPS_PER_ROUND: u32 = 1_000;
/// How many claims and starts are under way at once.
const IN_FLIGHT: usize = 256;
/// Cells that are lost at once: a tenth.
const CELLS_LOST: usize = 125;
const PATIENCE: Duration = Duration::from_secs(120);

/// Claims and starts as many instances as the rounds have, and prints how fast it went.
pub(crate) fn transitions(runtime: &Runtime, brain: &Handle, fleet: &Fleet) {
    let (mut per_second, mut p99) = (Vec::new(), Vec::new());
    for round in 0..u32::try_from(ROUNDS).unwrap() {
        let first = APPS + round * APPS_PER_ROUND;
        let work = placed(runtime, brain, fleet, first..first + APPS_PER_ROUND);
        eprintln!("round {} of {ROUNDS}: {} claims and starts", round + 1, work.len());
        let begin = Instant::now();
        let mut took = runtime.block_on(claim_and_start(brain, work));
        per_second.push(took.len() as f64 / begin.elapsed().as_secs_f64());
        p99.push(percentile(&mut took, 0.99));
    }
    print("transitions_per_s", "1/s", &per_second);
    print("transition_p99_ms", "ms", &p99);
}

/// Loses a tenth of the cells at once; prints the time from the first one's expiry until the last
/// replacement was given to a cell.
pub(crate) fn replacement(runtime: &Runtime, brain: &Handle, fleet: &Fleet) {
    let last_words = Instant::now();
    for presence in fleet.presences().into_iter().take(CELLS_LOST) {
        runtime.block_on(brain.heartbeat(presence)).unwrap();
    }
    let lost = fleet.lose(CELLS_LOST);
    fleet.given().clear();
    eprintln!("{CELLS_LOST} cells with {lost} instances are lost");
    let expiry = last_words + Duration::from_secs(PRESENCE_TTL_S);
    eventually("all is replaced", PATIENCE, || expect(fleet.given().len() == lost, lost));
    let last = fleet.given().iter().map(|given| given.at).max().unwrap();
    print("replacement_ms", "ms", &[last.duration_since(expiry).as_secs_f64() * 1e3]);
}

/// The value below which this part of all lies.
pub(crate) fn percentile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let place = (values.len() as f64 * part).ceil() as usize;
    values[place.clamp(1, values.len()) - 1]
}

/// Host names and where they lead.
pub(crate) fn routes<'a>(
    desired: &[Arc<DesiredLrp>],
    actual: &'a [ActualLrp],
) -> BTreeMap<String, Vec<(&'a str, u16)>> {
    let mut backends: BTreeMap<_, Vec<&NetInfo>> = BTreeMap::new();
    for row in actual {
        backends.entry(&row.key.process_guid).or_default().extend(row.net());
    }
    let mut table = BTreeMap::new();
    for lrp in desired {
        let nets = backends.get(&lrp.process_guid).map_or(&[][..], Vec::as_slice);
        for route in lrp.routes.http() {
            let port = |net: &&'a NetInfo| {
                let mapping = net.ports.iter().find(|port| port.container_port == route.port)?;
                Some((net.address.as_str(), mapping.host_port))
            };
            let leads_to: Vec<_> = nets.iter().filter_map(port).collect();
            for host in route.hostnames {
                table.insert(host, leads_to.clone());
            }
        }
    }
    table
}

/// Wants these apps, and waits until the auction has given all of their instances to cells.
fn placed(
    runtime: &Runtime,
    brain: &Handle,
    fleet: &Fleet,
    apps: std::ops::Range<u32>,
) -> Vec<Given> {
    let wanted = apps.len() * INSTANCES_PER_APP as usize;
    runtime.block_on(async {
        let mut orders = JoinSet::new();
        for app in apps {
            let brain = brain.clone();
            orders.spawn(async move { brain.desire_lrp(records::lrp(app)).await.unwrap() });
        }
        orders.join_all().await;
    });
    eventually("all is placed", PATIENCE, || expect(fleet.given().len() == wanted, wanted));
    std::mem::take(&mut *fleet.given())
}

/// Milliseconds that each claim and each start took.
async fn claim_and_start(brain: &Handle, work: Vec<Given>) -> Vec<f64> {
    let work = Arc::new(Mutex::new(work));
    let mut workers = JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let (brain, work) = (brain.clone(), Arc::clone(&work));
        workers.spawn(async move {
            let mut took = Vec::new();
            let next = || work.lock().unwrap().pop();
            while let Some(Given { key, instance, .. }) = next() {
                let begin = Instant::now();
                brain.claim_lrp(&key, &instance).await.unwrap();
                let claimed = Instant::now();
                brain.start_lrp(&key, &instance, records::net(key.index)).await.unwrap();
                took.push((claimed - begin).as_secs_f64() * 1e3);
                took.push(claimed.elapsed().as_secs_f64() * 1e3);
            }
            took
        });
    }
    workers.join_all().await.concat()
}
