//! What an instance uses: sampled for its app's metrics, and measured anew for those who ask.

use std::convert::Infallible;
use std::time::{Duration, SystemTime};

use lattice_api::cell::usage::Measurement;
use lattice_model::envelope::{ContainerMetric, Message};
use lattice_model::{Envelope, Limit, Time};
use tokio::time::Instant;

use crate::entitlement;
use crate::network::Traffic;
use crate::runtime::Usage;
use crate::tools::Tools;
use crate::work::Work;

/// How often an instance is sampled.
const INTERVAL: Duration = Duration::from_secs(15);
/// When it is first sampled, so that people who look soon see something.
const FIRST_AFTER: Duration = Duration::from_secs(2);
/// Over how long the CPU is looked at for those who ask: short enough to wait for, and many times
/// what a kernel may be late with its counters.
const LOOK: Duration = Duration::from_millis(250);

/// What an instance had used of the CPU by then.
#[derive(Debug, Clone, Copy)]
struct CpuReading {
    at: Instant,
    used_ns: u64,
}

/// Samples until it is dropped.
pub(crate) async fn sample(tools: &Tools, work: &Work) -> Infallible {
    // It has its share, be it measured or not.
    let _claim = tools.cpu.claim(shares(work));
    if work.log().metrics_guid.is_empty() {
        return std::future::pending().await;
    }
    let mut before = read_cpu(tools, work).await;
    let mut pause = FIRST_AFTER;
    loop {
        tokio::time::sleep(pause).await;
        pause = INTERVAL;
        let Some(since) = before else {
            before = read_cpu(tools, work).await;
            continue;
        };
        let Some((measured, now)) = measure_since(since, tools, work).await else { continue };
        before = Some(now);
        tools.seams.logs.emit(Envelope {
            source_id: work.log().metrics_guid.as_str().into(),
            instance_id: work.index().to_string().into(),
            timestamp: measured.measured_at,
            message: Message::ContainerMetric(metric(work.index(), &measured)),
        });
    }
}

/// What it uses now; takes [`LOOK`]. `None` when its container is gone or cannot be measured.
pub(crate) async fn measure(tools: &Tools, work: &Work) -> Option<Measurement> {
    let before = read_cpu(tools, work).await?;
    tokio::time::sleep(LOOK).await;
    measure_since(before, tools, work).await.map(|(measured, _)| measured)
}

async fn measure_since(
    before: CpuReading,
    tools: &Tools,
    work: &Work,
) -> Option<(Measurement, CpuReading)> {
    let usage = usage_of(tools, work).await?;
    let cpu = CpuReading { at: Instant::now(), used_ns: usage.cpu_ns };
    let disk_bytes = disk_of(tools, work).await;
    let Traffic { received, sent } = traffic_of(tools, work).await;
    let (memory_bytes_quota, disk_bytes_quota) = quotas(work);
    let measured_at = tools.now();
    let measured = Measurement {
        measured_at,
        cpu_percentage: cpu.percentage_since(before),
        cpu_entitlement_percentage: tools.cpu.percentage_of(shares(work)),
        memory_bytes: usage.memory_bytes,
        memory_bytes_quota,
        disk_bytes,
        disk_bytes_quota,
        received_bytes: received,
        sent_bytes: sent,
        age_ns: u64::try_from(measured_at.since(born(tools, work)).as_nanos()).unwrap_or(u64::MAX),
    };
    Some((measured, cpu))
}

async fn read_cpu(tools: &Tools, work: &Work) -> Option<CpuReading> {
    let usage = usage_of(tools, work).await?;
    Some(CpuReading { at: Instant::now(), used_ns: usage.cpu_ns })
}

/// What all its containers use together.
async fn usage_of(tools: &Tools, work: &Work) -> Option<Usage> {
    let mut all = Usage::default();
    for part in work.pod().containers {
        let usage = tools.seams.runtime.usage(&part.id);
        let usage = tools.step("read usage", usage).await.ok()?;
        all.cpu_ns += usage.cpu_ns;
        all.memory_bytes += usage.memory_bytes;
    }
    Some(all)
}

/// What they have written. 0 where that cannot be measured.
async fn disk_of(tools: &Tools, work: &Work) -> u64 {
    let mut all = 0;
    for part in work.pod().containers.iter().filter(|part| part.shares.is_none()) {
        let written = tools.seams.images.disk_usage(&part.id);
        all += tools.step("read disk usage", written).await.unwrap_or_default();
    }
    all
}

/// Its containers share one network. 0 where nothing is counted.
async fn traffic_of(tools: &Tools, work: &Work) -> Traffic {
    let id = work.container_id();
    let traffic = tools.seams.network.traffic(&id);
    tools.step("read traffic", traffic).await.unwrap_or_default()
}

/// When it was made, which may have been by an earlier process; now, where its files do not tell.
fn born(tools: &Tools, work: &Work) -> Time {
    let dir = tools.config.instances_dir().join(work.container_id().as_str());
    let made = std::fs::metadata(dir).and_then(|found| found.created());
    let made = made.ok().and_then(|made| made.duration_since(SystemTime::UNIX_EPOCH).ok());
    let made = made.and_then(|made| i64::try_from(made.as_nanos()).ok());
    made.map_or_else(|| tools.now(), Time)
}

fn shares(work: &Work) -> u64 {
    let pod = work.pod();
    pod.containers.iter().map(|part| entitlement::shares(part.limits.cpu_weight)).sum()
}

/// Of memory and disk, in bytes; 0 for none.
fn quotas(work: &Work) -> (u64, u64) {
    // Without a bound of the main container there is none of the whole.
    let main = work.containers().first().map(|spec| spec.limits).unwrap_or_default();
    let all = work.resources();
    let bytes = |main: Limit, all: u64| match main {
        Limit::Unlimited => 0,
        Limit::AtMost(_) => all.saturating_mul(1 << 20),
    };
    (bytes(main.memory_mb, all.memory_mb), bytes(main.disk_mb, all.disk_mb))
}

fn metric(index: u32, measured: &Measurement) -> ContainerMetric {
    ContainerMetric {
        instance_index: i32::try_from(index).unwrap_or(i32::MAX),
        cpu_percentage: measured.cpu_percentage,
        cpu_entitlement_percentage: measured.cpu_entitlement_percentage,
        memory_bytes: measured.memory_bytes,
        memory_bytes_quota: measured.memory_bytes_quota,
        disk_bytes: measured.disk_bytes,
        disk_bytes_quota: measured.disk_bytes_quota,
        received_bytes: measured.received_bytes,
        sent_bytes: measured.sent_bytes,
        age: Duration::from_nanos(measured.age_ns),
    }
}

// === impl CpuReading ===

impl CpuReading {
    /// Percent of one core.
    fn percentage_since(self, before: Self) -> f64 {
        let used = self.used_ns.saturating_sub(before.used_ns) as f64;
        let elapsed = (self.at - before.at).as_nanos().max(1) as f64;
        100.0 * used / elapsed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn cpu_is_percent_of_one_core() {
        let began = Instant::now();
        let check = |used_ms: u64, before_ms: u64, elapsed_ms: u64, expected: f64| {
            let reading = |elapsed_ms, used_ms: u64| CpuReading {
                at: began + Duration::from_millis(elapsed_ms),
                used_ns: used_ms * 1_000_000,
            };
            let now = reading(elapsed_ms, used_ms);
            assert_eq!(now.percentage_since(reading(0, before_ms)), expected);
        };
        check(1_500, 500, 1_000, 100.0);
        check(2_500, 500, 1_000, 200.0);
        check(0, 0, 0, 0.0);
        check(1, 5, 1_000, 0.0);
    }

    #[test]
    fn quotas_are_the_limits_and_0_for_none() {
        let mut order = testing::order("web", 3, "ig");
        testing::edit(&mut order, |lrp| {
            lrp.containers[0].limits.memory_mb = Limit::AtMost(2);
            lrp.containers[0].limits.disk_mb = Limit::Unlimited;
        });
        assert_eq!(quotas(&order.work), (2 << 20, 0));
    }
}
