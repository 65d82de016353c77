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

use super::Bench;
use super::cells::{Fleet, Given};
use super::records::{self, INSTANCES_PER_APP};
use crate::machine::cpu_time;

/// How many claims and starts are under way at once.
const IN_FLIGHT: usize = 384;
const PATIENCE: Duration = Duration::from_secs(120);

/// What a whole platform is to bear, by which the delays are judged.
const OFFERED_PER_S: u32 = 25_000;

/// Starts a fiftieth more apps in each round, and prints how fast it went: as many as can be
/// with a bound on what is under way, then at a steady pace.
pub(crate) fn transitions(bench: &Bench, runtime: &Runtime, brain: &Handle, fleet: &Fleet) {
    let [mut per_second, mut full, mut cpu] = [const { Vec::new() }; 3];
    let own = i32::try_from(std::process::id()).unwrap();
    let (old, new) = (bench.scale.apps(), bench.scale.apps() / 50);
    for round in 0..bench.rounds {
        let first = old + round * new;
        let work = placed(runtime, brain, fleet, first..first + new);
        eprintln!("round {} of {}: {} claims and starts", round + 1, bench.rounds, work.len());
        let (begin, cpu_before) = (Instant::now(), cpu_time(own));
        let mut took = runtime.block_on(claim_and_start(brain, work));
        per_second.push(took.len() as f64 / begin.elapsed().as_secs_f64());
        cpu.push((cpu_time(own) - cpu_before).as_secs_f64() * 1e6 / took.len() as f64);
        full.push(percentile(&mut took, 0.99));
    }
    let first = old + bench.rounds * new;
    let work = placed(runtime, brain, fleet, first..first + bench.rounds * new);
    // What wanting so many apps at once left to do is not this load's.
    std::thread::sleep(Duration::from_secs(2));
    let mut took = runtime.block_on(claim_and_start_steadily(brain, work));
    let p99 = [percentile(&mut took, 0.99)];
    eprintln!(
        "{} calls at a steady pace: half took {:.1} ms",
        took.len(),
        percentile(&mut took, 0.5)
    );
    bench.print("transition_p99_at_full_speed_ms", "ms", &full);
    bench.print("transitions_per_s", "1/s", &per_second);
    bench.print("transition_p99_ms", "ms", &p99);
    // That of the cells, too.
    bench.print("transition_cpu_us", "us", &cpu);
}

/// Loses a tenth of the cells at once; prints the time from the first one's expiry until the last
/// replacement was given to a cell.
pub(crate) fn replacement(bench: &Bench, runtime: &Runtime, brain: &Handle, fleet: &Fleet) {
    let count = bench.scale.cells as usize / 10;
    // The loss is whole when the last of them expires.
    let mut last_words = Instant::now();
    for presence in fleet.presences().into_iter().take(count) {
        last_words = Instant::now();
        runtime.block_on(brain.heartbeat(presence)).unwrap();
    }
    let lost = fleet.lose(count);
    fleet.given().clear();
    eprintln!("{count} cells with {lost} instances are lost");
    let expiry = last_words + Duration::from_secs(PRESENCE_TTL_S);
    let own = i32::try_from(std::process::id()).unwrap();
    let cpu_before = cpu_time(own);
    eventually("all is replaced", PATIENCE, || expect(fleet.given().len() == lost, lost));
    let cpu = (cpu_time(own) - cpu_before).as_secs_f64() * 1e3;
    let last = fleet.given().iter().map(|given| given.at).max().unwrap();
    bench.print("replacement_ms", "ms", &[last.duration_since(expiry).as_secs_f64() * 1e3]);
    // That of the cells, and of a presence's life without a loss, too.
    bench.print("replacement_cpu_ms", "ms", &[cpu]);
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

/// The same at a steady pace, whatever the answers take. Each delay counts from the moment at
/// which the call was due, so that what a stall holds up is counted, too.
async fn claim_and_start_steadily(brain: &Handle, work: Vec<Given>) -> Vec<f64> {
    let begin = Instant::now();
    let mut calls = JoinSet::new();
    for (number, Given { key, instance, .. }) in (0..).zip(work) {
        // A claim and a start.
        let due = begin + Duration::from_secs(2) / OFFERED_PER_S * number;
        // The timer's own steps are a millisecond.
        if due > Instant::now() {
            tokio::time::sleep_until(due.into()).await;
        }
        let brain = brain.clone();
        calls.spawn(async move {
            brain.claim_lrp(&key, &instance).await.unwrap();
            let claimed = Instant::now();
            brain.start_lrp(&key, &instance, records::net(key.index)).await.unwrap();
            [(claimed - due).as_secs_f64() * 1e3, claimed.elapsed().as_secs_f64() * 1e3]
        });
    }
    calls.join_all().await.concat()
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
