//! Whether this cell can still do its work: now and then it makes a container of its own, runs
//! something in it and removes it, through everything that an instance goes through but the registry.
//! A cell that cannot takes no new work, and says why; what runs there runs on.

use std::sync::Arc;
use std::time::Duration;

use lattice_model::Limit;
use tokio::sync::mpsc;

use crate::actor::Message;
use crate::images::{DiskQuota, Hold, Image, ImageConfig};
use crate::inside;
use crate::lifecycle::removal;
use crate::runtime::{ContainerBlueprint, ContainerId, ProcessSpec};
use crate::tools::Tools;

/// The name of the container.
const NAME: &str = "self-check";
/// How long all of it may take.
const TAKES_MAX: Duration = Duration::from_secs(300);
/// What the container may use: it does next to nothing.
const MEMORY_BYTES: u64 = 64 << 20;
const DISK_MB: u64 = 16;
const PIDS: u64 = 16;
const CPU_SHARES: u64 = 1024;

/// When a cell looks after itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SelfCheck {
    /// How long after the start for the first time.
    pub first_after: Duration,
    /// How often as long as all is well (Diego's ten minutes).
    pub every: Duration,
    /// How soon again when it is not.
    pub again_after: Duration,
}

impl Default for SelfCheck {
    fn default() -> Self {
        Self {
            first_after: Duration::from_secs(60),
            every: Duration::from_secs(600),
            again_after: Duration::from_secs(30),
        }
    }
}

/// Looks again and again, and tells the owner each time.
pub(crate) async fn repeat(tools: Arc<Tools>, owner: mpsc::Sender<Message>) {
    let SelfCheck { first_after, every, again_after } = tools.config.self_check;
    let mut pause = first_after;
    loop {
        tokio::time::sleep(pause).await;
        let fault = check(&tools).await.err();
        pause = if fault.is_none() { every } else { again_after };
        if owner.send(Message::Checked(fault)).await.is_err() {
            return;
        }
    }
}

/// Looks once; an error is what is wrong.
async fn check(tools: &Tools) -> Result<(), String> {
    tools.step("see how full the disk is", tools.seams.images.keep_room()).await?;
    let id = ContainerId::new(NAME);
    let late = || format!("a test container took more than {} seconds", TAKES_MAX.as_secs());
    let outcome = tokio::time::timeout(TAKES_MAX, run(tools, &id)).await;
    let outcome = outcome.unwrap_or_else(|_| Err(late()));
    // Also what a failure has left; and what cannot be removed is a failure, too.
    let removed = removal::remove(tools, &id, 1).await;
    outcome.and(removed).map_err(|why| format!("a test container failed: {why}"))
}

async fn run(tools: &Tools, id: &ContainerId) -> Result<(), String> {
    let seams = &tools.seams;
    let nothing = Image {
        digest: String::new(),
        config: ImageConfig::default(),
        layers: Vec::new(),
        hold: Hold::default(),
    };
    let attached = tools.step("connect a container", seams.network.attach(id, &[], &[])).await?;
    let quota = DiskQuota::of_mb(Limit::AtMost(DISK_MB));
    let mount = seams.images.mount(&nothing, id, attached.users.as_ref(), quota);
    let rootfs = tools.step("mount an image", mount).await?;
    let blueprint = ContainerBlueprint {
        id: id.clone(),
        hostname: NAME.to_owned(),
        rootfs,
        netns: attached.netns,
        files: Vec::new(),
        volumes: Vec::new(),
        memory_bytes: Limit::AtMost(MEMORY_BYTES),
        cpu_shares: CPU_SHARES,
        cpu_limit_percent: Limit::Unlimited,
        pids: Limit::AtMost(PIDS),
        privileged: false,
        users: attached.users,
    };
    tools.step("create a container", seams.runtime.create(blueprint)).await?;
    let process = ProcessSpec::plain(inside::nothing());
    let process = tools.step("start a process", seams.runtime.exec(id, process)).await?;
    let ended = async { Ok::<_, String>(process.control.wait().await) };
    let status = tools.step("see a process end", ended).await?;
    match status.is_success() {
        true => Ok(()),
        false => Err(format!("its process exited with status {}", status.code)),
    }
}
