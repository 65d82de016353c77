//! Samples what an instance uses and sends it on as its app's metrics.

use std::convert::Infallible;
use std::time::{Duration, SystemTime};

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

/// Samples until it is dropped.
pub(crate) async fn sample(tools: &Tools, work: &Work) -> Infallible {
    // It has its share, be it measured or not.
    let claim = tools.cpu.claim(shares(work));
    if work.log().metrics_guid.is_empty() {
        return std::future::pending().await;
    }
    let born = born(tools, work);
    let mut before = (Instant::now(), 0);
    let mut pause = FIRST_AFTER;
    loop {
        tokio::time::sleep(pause).await;
        pause = INTERVAL;
        let Some((usage, disk)) = usage_of(tools, work).await else { continue };
        let Traffic { received, sent } = traffic_of(tools, work).await;
        let now = Instant::now();
        let age = u64::try_from(tools.now().0.saturating_sub(born.0)).unwrap_or_default();
        let metric = ContainerMetric {
            cpu_percentage: cpu_percentage(&usage, before.1, now - before.0),
            cpu_entitlement_percentage: claim.percentage(),
            age: Duration::from_nanos(age),
            received_bytes: received,
            sent_bytes: sent,
            ..container_metric(work, &usage, disk)
        };
        before = (now, usage.cpu_ns);
        tools.seams.logs.emit(Envelope {
            source_id: work.log().metrics_guid.as_str().into(),
            instance_id: work.index().to_string().into(),
            timestamp: tools.now(),
            message: Message::ContainerMetric(metric),
        });
    }
}

/// What all its containers use together, and what they have written.
async fn usage_of(tools: &Tools, work: &Work) -> Option<(Usage, u64)> {
    let (mut all, mut disk) = (Usage::default(), 0);
    for part in work.pod().containers {
        let usage = tools.seams.runtime.usage(&part.id);
        let usage = tools.step("read usage", usage).await.ok()?;
        all.cpu_ns += usage.cpu_ns;
        all.memory_bytes += usage.memory_bytes;
        if part.shares.is_none() {
            let written = tools.seams.images.disk_usage(&part.id);
            disk += tools.step("read disk usage", written).await.unwrap_or_default();
        }
    }
    Some((all, disk))
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

fn container_metric(work: &Work, usage: &Usage, disk_bytes: u64) -> ContainerMetric {
    // Without a bound of the main container there is none of the whole.
    let main = work.containers().first().map(|spec| spec.limits).unwrap_or_default();
    let all = work.resources();
    let bytes = |main: Limit, all: u64| match main {
        Limit::Unlimited => 0,
        Limit::AtMost(_) => all.saturating_mul(1 << 20),
    };
    ContainerMetric {
        instance_index: i32::try_from(work.index()).unwrap_or(i32::MAX),
        memory_bytes: usage.memory_bytes,
        disk_bytes,
        memory_bytes_quota: bytes(main.memory_mb, all.memory_mb),
        disk_bytes_quota: bytes(main.disk_mb, all.disk_mb),
        ..ContainerMetric::default()
    }
}

/// Percent of one core since the sample before.
fn cpu_percentage(usage: &Usage, before_ns: u64, elapsed: Duration) -> f64 {
    let used = usage.cpu_ns.saturating_sub(before_ns) as f64;
    let elapsed = elapsed.as_nanos().max(1) as f64;
    100.0 * used / elapsed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn cpu_is_percent_of_one_core() {
        let check = |used_ms: u64, before_ms: u64, elapsed_ms: u64, expected: f64| {
            let usage = Usage { cpu_ns: used_ms * 1_000_000, ..Usage::default() };
            let elapsed = Duration::from_millis(elapsed_ms);
            assert_eq!(cpu_percentage(&usage, before_ms * 1_000_000, elapsed), expected);
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
        let usage = Usage { memory_bytes: 7, ..Usage::default() };
        let metric = container_metric(&order.work, &usage, 9);
        assert_eq!((metric.instance_index, metric.memory_bytes, metric.disk_bytes), (3, 7, 9));
        assert_eq!((metric.memory_bytes_quota, metric.disk_bytes_quota), (2 << 20, 0));
    }
}
